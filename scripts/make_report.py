"""Snakemake: the study's tables → its report."""

from pathlib import Path

from activation_study.jobs.job import job

with job(snakemake.log[0]) as log:
    from activation_study.jobs.provenance import provenance
    from activation_study.report.page import build
    from activation_study.study import receipts
    from activation_study.study.study import Study

    study = Study.from_config(snakemake.config)
    made_by = receipts.of_report(study, receipts.found(snakemake.input[0]))
    tables, out = Path(snakemake.input[0]).parent, Path(snakemake.output.html)
    about = {"claims": study.config.claims, "made_by": made_by}
    log(build(study.name, tables, out, provenance(study), **about, processes=snakemake.threads))
