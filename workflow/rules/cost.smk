rule cost:
    input:
        constants=rules.activation.output[0],
        again=again,
        own=beside(STUDY.activation_sources),
    output:
        f"{STUDY.results}/cost/{{activation}}.parquet",
    log:
        f"{STUDY.results}/logs/cost/{{activation}}.log",
    conda:
        "../../environment.yml"
    # Cut down to --cores, so that nothing else runs beside it; PyTorch itself takes one.
    threads: 1024
    resources:
        mem_mb=memory(STUDY.cost_mem_mb()),
    params:
        code=code.digest("cost"),
        cost=STUDY.cost_params,
    script:
        "../../scripts/measure_cost.py"
