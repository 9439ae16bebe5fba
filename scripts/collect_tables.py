"""Snakemake: the rows of all runs → the study's tables, validated."""

from activation_study.jobs.job import job

with job(snakemake.log[0]):
    from activation_study.jobs.collect import collect_tables
    from activation_study.study.study import Study

    collect_tables(Study.from_config(snakemake.config), snakemake.input, snakemake.output)
