wildcard_constraints:
    dataset="[A-Za-z0-9_-]+",
    activation="[A-Za-z0-9_-]+",
    condition="depth=[^/]+",


rule dataset:
    input:
        code=sources("datasets"),
    output:
        arrays=f"{STUDY.results}/data/{{dataset}}.npz",
        # Not deleted before the job: its number of attempts goes on.
        manifest=update(f"{STUDY.results}/data/{{dataset}}.json"),
    log:
        f"{STUDY.results}/logs/data/{{dataset}}.log",
    conda:
        "../../environment.yml"
    resources:
        mem_mb=STUDY.dataset_mem_mb,
    params:
        dataset=STUDY.dataset_params,
        fingerprint=STUDY.dataset_fingerprint,
        # A dataset that could not be had is tried again at the next call.
        attempt=STUDY.dataset_attempt,
    script:
        "../../scripts/prepare_dataset.py"


rule activation:
    input:
        code=sources("portraits"),
        own=STUDY.activation_sources,
    output:
        f"{STUDY.results}/activations/{{activation}}.json",
    log:
        f"{STUDY.results}/logs/activations/{{activation}}.log",
    conda:
        "../../environment.yml"
    resources:
        mem_mb=1500,
    params:
        activation=STUDY.activation_params,
    script:
        "../../scripts/describe_activation.py"
