rule tables:
    input:
        runs=STUDY.job_files("runs"),
        curves=STUDY.job_files("curves"),
        layers=STUDY.job_files("layers"),
        measurements=STUDY.job_files("measurements"),
        timings=STUDY.job_files("timings"),
        jobs=STUDY.job_files("jobs"),
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
        mem_mb=memory(4000),
    params:
        code=code.digest("tables"),
        config=STUDY.digest,
    script:
        "../../scripts/collect_tables.py"
