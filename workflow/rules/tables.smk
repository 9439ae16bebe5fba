rule tables:
    input:
        runs=collect(f"{STUDY.results}/runs/{{run}}/runs.parquet", run=STUDY.runs),
        curves=collect(f"{STUDY.results}/runs/{{run}}/curves.parquet", run=STUDY.runs),
        layers=collect(f"{STUDY.results}/runs/{{run}}/layers.parquet", run=STUDY.runs),
        measurements=collect(f"{STUDY.results}/runs/{{run}}/measurements.parquet", run=STUDY.runs),
        timings=collect(f"{STUDY.results}/runs/{{run}}/timings.parquet", run=STUDY.runs),
        jobs=collect(f"{STUDY.results}/runs/{{run}}/jobs.parquet", run=STUDY.runs),
        cost=collect(f"{STUDY.results}/cost/{{activation}}.parquet", activation=STUDY.costed()),
        activations=collect(
            f"{STUDY.results}/activations/{{activation}}.json", activation=STUDY.activations()
        ),
        datasets=collect(f"{STUDY.results}/data/{{dataset}}.json", dataset=STUDY.datasets()),
        again=again,
    output:
        runs=f"{STUDY.results}/tables/runs.parquet",
        curves=f"{STUDY.results}/tables/curves.parquet",
        layers=f"{STUDY.results}/tables/layers.parquet",
        measurements=f"{STUDY.results}/tables/measurements.parquet",
        timings=f"{STUDY.results}/tables/timings.parquet",
        jobs=f"{STUDY.results}/tables/jobs.parquet",
        cost=f"{STUDY.results}/tables/cost.parquet",
        experiments=f"{STUDY.results}/tables/experiments.parquet",
        activations=f"{STUDY.results}/tables/activations.parquet",
        portraits=f"{STUDY.results}/tables/portraits.parquet",
        datasets=f"{STUDY.results}/tables/datasets.parquet",
        gaps=f"{STUDY.results}/tables/gaps.parquet",
        dictionary=f"{STUDY.results}/tables/README.md",
    log:
        f"{STUDY.results}/logs/tables.log",
    conda:
        "../../environment.yml"
    resources:
        mem_mb=4000,
    params:
        code=code.digest("tables"),
        config=STUDY.digest,
    script:
        "../../scripts/collect_tables.py"
