rule train:
    input:
        arrays=STUDY.job_arrays,
        manifests=STUDY.job_manifests,
        constants=STUDY.job_constants,
        own=beside(STUDY.job_sources),
        again=again,
    # Kept until the job has looked into them: what is not out of date in them stays.
    output:
        runs=update(f"{STUDY.results}/runs/{{shape}}/{{part}}/runs.parquet"),
        curves=update(f"{STUDY.results}/runs/{{shape}}/{{part}}/curves.parquet"),
        layers=update(f"{STUDY.results}/runs/{{shape}}/{{part}}/layers.parquet"),
        measurements=update(f"{STUDY.results}/runs/{{shape}}/{{part}}/measurements.parquet"),
        timings=update(f"{STUDY.results}/runs/{{shape}}/{{part}}/timings.parquet"),
        jobs=update(f"{STUDY.results}/runs/{{shape}}/{{part}}/jobs.parquet"),
    log:
        f"{STUDY.results}/logs/runs/{{shape}}/{{part}}.log",
    priority: STUDY.job_priority
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=memory(STUDY.job_mem_mb),
        runtime=STUDY.job_runtime,
        gpu=STUDY.gpus,
    params:
        runs=STUDY.job_params,
        code=code.digest("train"),
    script:
        "../../scripts/train.py"
