wildcard_constraints:
    dataset="[A-Za-z0-9_-]+",
    activation="[A-Za-z0-9_-]+",
    shape="[A-Za-z0-9_.-]+",
    part="[0-9a-f]{12}",


rule dataset:
    input:
        again=again,
    output:
        arrays=f"{STUDY.results}/data/{{dataset}}.npz",
        manifest=f"{STUDY.results}/data/{{dataset}}.json",
    log:
        f"{STUDY.results}/logs/data/{{dataset}}.log",
    priority: 101
    conda:
        "../../environment.yml"
    resources:
        mem_mb=memory(STUDY.dataset_mem_mb),
    params:
        code=code.digest("dataset"),
        dataset=STUDY.dataset_params,
        fingerprint=STUDY.dataset_fingerprint,
    script:
        "../../scripts/prepare_dataset.py"


rule activation:
    input:
        again=again,
        own=beside(STUDY.activation_sources),
    output:
        f"{STUDY.results}/activations/{{activation}}.json",
    log:
        f"{STUDY.results}/logs/activations/{{activation}}.log",
    # All are examined before anything trains, and all data are there.
    priority: 101
    conda:
        "../../environment.yml"
    resources:
        mem_mb=memory(1500),
    params:
        code=code.digest("activation"),
        activation=STUDY.activation_params,
    script:
        "../../scripts/describe_activation.py"
