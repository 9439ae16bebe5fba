"""Snakemake: one data set → its arrays and its manifest."""

from pathlib import Path

from activation_study.datasets import prepare
from activation_study.jobs import job

with job(snakemake.log[0]) as log:
    manifest = prepare(
        **snakemake.params.dataset,
        arrays=Path(snakemake.output.arrays),
        manifest=Path(snakemake.output.manifest),
        attempt=snakemake.params.attempt,
    )
    log(": ".join(manifest[key] for key in ("status", "source", "message") if manifest[key]))
