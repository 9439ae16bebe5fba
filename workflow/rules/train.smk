rule train:
    input:
        arrays=rules.dataset.output.arrays,
        manifest=rules.dataset.output.manifest,
        constants=rules.activation.output[0],
        own=STUDY.activation_sources,
        again=again,
    output:
        runs=f"{STUDY.results}/runs/{{dataset}}/{{activation}}/{{condition}}/runs.parquet",
        curves=f"{STUDY.results}/runs/{{dataset}}/{{activation}}/{{condition}}/curves.parquet",
        layers=f"{STUDY.results}/runs/{{dataset}}/{{activation}}/{{condition}}/layers.parquet",
        measurements=f"{STUDY.results}/runs/{{dataset}}/{{activation}}/{{condition}}/measurements.parquet",
        timings=f"{STUDY.results}/runs/{{dataset}}/{{activation}}/{{condition}}/timings.parquet",
        jobs=f"{STUDY.results}/runs/{{dataset}}/{{activation}}/{{condition}}/jobs.parquet",
    log:
        f"{STUDY.results}/logs/runs/{{dataset}}/{{activation}}/{{condition}}.log",
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=STUDY.run_mem_mb,
        gpu=STUDY.gpus,
    params:
        run=STUDY.run_params,
        code=code.digest("train"),
    script:
        "../../scripts/train.py"
