"""Snakemake: one activation → its constants and portrait."""

from activation_study.jobs.job import describe_activation, job

with job(snakemake.log[0]) as log:
    log(describe_activation(snakemake.params.activation, snakemake.output[0]))
