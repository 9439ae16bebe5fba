import sys

from activation_study.dependencies import STEPS, sources, sources_digest
from activation_study import datasets, progress, receipts
from activation_study.config import read
from activation_study.errors import StudyError
from activation_study.study import Study


configfile: "config.yaml"


try:
    for file in workflow.configfiles:
        read(file)  # finds what Snakemake's own reader passes over, such as a key that stands there twice
    if not workflow.overwrite_configfiles:
        # --config alone changes keys of config.yaml; by the profile it would stand for the whole file.
        for key, value in read("config.yaml").items():
            config.setdefault(key, value)
    STUDY = Study.from_config(config)
    if STUDY.config["claims"]:
        # And with it PyTorch and SciPy, seconds that other studies need not spend.
        from activation_study import claims

        claims.of_study(STUDY.config)
    AGAIN = {}
    if workflow.is_main_process:
        for name in STUDY.datasets():
            datasets.examine(name, STUDY.config["datasets"][name])
        AGAIN = receipts.to_make_again(STUDY)
except StudyError as error:
    sys.exit(f"error: {error}")
if line := receipts.summary(AGAIN):
    print(line, file=sys.stderr)


def again(wildcards):
    """An input function without inputs: what something else made is made again, whatever Snakemake knows of it."""
    workflow.dag.forcefiles.update(AGAIN)
    return []


onstart:
    try:
        progress.claim(STUDY)
        progress.plan(STUDY)
    except StudyError as error:
        sys.exit(f"error: {error}")
    # With a limit of jobs per second Snakemake's scheduler sets a timer whenever it has looked at the waiting jobs, and
    # looks again when it rings: each job that ends adds one for good, and after some hundred they fill a core.
    if workflow.local_exec:
        workflow.scheduler.job_rate_limiter = None


onsuccess:
    if refused := receipts.refused(STUDY):
        sys.exit("\n".join(f"error: {line}" for line in refused))
