"""Snakemake: the rows of all runs → the study's tables, validated."""

from activation_study.jobs import job

with job(snakemake.log[0]):
    from activation_study.collecting import collect_tables
    from activation_study.study import Study

    collect_tables(Study.from_config(snakemake.config), snakemake.input, snakemake.output)
