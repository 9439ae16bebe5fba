"""Snakemake: one data set → its arrays and its manifest."""

from pathlib import Path

from activation_study.jobs.job import job

with job(snakemake.log[0]) as log:
    from activation_study.data.prepare import prepare
    from activation_study.study import receipts

    manifest = prepare(
        **snakemake.params.dataset,
        arrays=Path(snakemake.output.arrays),
        manifest=Path(snakemake.output.manifest),
        made_by=receipts.of_dataset(snakemake.params.dataset, snakemake.params.fingerprint),
    )
    log(": ".join(manifest[key] for key in ("status", "source", "message") if manifest[key]))
