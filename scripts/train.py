"""Snakemake: one run → its rows of the tables."""

from activation_study.jobs.job import job, train

with job(snakemake.log[0]) as log:
    train(snakemake.params.run, snakemake.input, snakemake.output, log)
