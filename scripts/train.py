"""Snakemake: some runs of one shape → their rows of the tables."""

from activation_study.jobs.job import job

with job(snakemake.log[0]) as log:
    from activation_study.jobs.train import train

    train(snakemake.params.runs, snakemake.input, snakemake.output, log)
