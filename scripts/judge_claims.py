"""Snakemake: the study's tables → the verdicts on its claims."""

from activation_study.jobs import job

with job(snakemake.log[0]) as log:
    from activation_study.judging import judge_claims
    from activation_study.study import Study

    log(judge_claims(Study.from_config(snakemake.config), snakemake.input, snakemake.output))
