rule report:
    input:
        rules.tables.output,
        ledger=rules.ledger.output,
        claims=beside(STUDY.config.claims),
        again=again,
        assets=beside(STUDY.report_assets()),
    output:
        html=report(STUDY.page, caption="../report/page.rst", category="Report"),
        # Snakemake empties it first: figures of an activation that is no longer asked for do not stay.
        files=report(
            directory(f"reports/{STUDY.name}"),
            patterns=["figures/figure-{figure}.svg"],
            caption="../report/figure.rst",
            category="Figures",
            labels={"figure": "{figure}"},
        ),
    log:
        f"{STUDY.results}/logs/report.log",
    # Snakemake's S3 does not see a folder that a job elsewhere has put there.
    localrule: bool(STORE)
    conda:
        "../../environment.yml"
    threads: 4
    resources:
        mem_mb=memory(4000),
    params:
        code=code.digest("report"),
        report=STUDY.report_params,
    script:
        "../../scripts/make_report.py"
