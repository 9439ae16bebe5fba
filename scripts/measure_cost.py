"""Snakemake: one activation, paired with ReLU → what it costs."""

from activation_study.jobs.job import job, measure_cost

with job(snakemake.log[0]) as log:
    measure_cost(snakemake.params.cost, snakemake.input.constants, snakemake.output[0], log)
