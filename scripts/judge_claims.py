"""Snakemake: the study's tables → the verdicts on its claims."""

from activation_study.jobs.job import job

with job(snakemake.log[0]) as log:
    from activation_study.jobs.judge import judge_claims
    from activation_study.study.study import Study

    log(judge_claims(Study.from_config(snakemake.config), snakemake.input, snakemake.output))
