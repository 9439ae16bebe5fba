rule report:
    input:
        rules.tables.output,
        code=sources("report.build"),
        assets=STUDY.report_assets(),
    output:
        html=report(f"reports/{STUDY.name}.html", category="Report"),
    params:
        report=STUDY.report_params,
    log:
        f"{STUDY.results}/logs/report.log",
    conda:
        "../../environment.yml"
    resources:
        mem_mb=4000,
    script:
        "../../scripts/make_report.py"
