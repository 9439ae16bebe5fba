TRAINING_CODE = sources_digest(*STEPS["train"])


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
        # Not as inputs: whenever a job ends, Snakemake looks at every input of all that wait.
        code=TRAINING_CODE,
    script:
        "../../scripts/train.py"
