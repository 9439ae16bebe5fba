rule ledger:
    input:
        runs=rules.tables.output.runs,
        experiments=rules.tables.output.experiments,
        curves=rules.tables.output.curves,
        layers=rules.tables.output.layers,
        measurements=rules.tables.output.measurements,
        cost=rules.tables.output.cost,
        portraits=rules.tables.output.portraits,
        claims=beside(STUDY.config.claims),
        # Its receipt says whether it is another one now: two studies that name each other would take turns for ever.
        compared=ancient(beside(STUDY.compared)),
        again=again,
    output:
        ledger=f"{STUDY.results}/tables/ledger.parquet",
        ledger_cells=f"{STUDY.results}/tables/ledger_cells.parquet",
        validity=STUDY.validity_file,
    log:
        f"{STUDY.results}/logs/ledger.log",
    conda:
        "../../environment.yml"
    resources:
        mem_mb=memory(4000),
    params:
        code=code.digest("ledger"),
        config=STUDY.digest,
    script:
        "../../scripts/judge_claims.py"
