"""Snakemake: the study's tables → the verdicts on its claims."""

from activation_study.jobs import job
from activation_study.judging import judge_claims
from activation_study.study import Study

with job(snakemake.log[0]) as log:
    log(judge_claims(Study.from_config(snakemake.config), snakemake.input, snakemake.output))
