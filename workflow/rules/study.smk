import functools
import os
import sys
from pathlib import Path

from activation_study.data import entries
from activation_study.jobs import cluster, console, progress
from activation_study.jobs.store import Store
from activation_study.study import code, receipts
from activation_study.study.config import merged
from activation_study.core.errors import StudyError
from activation_study.study.study import Study

# In a folder of one's own, the checkout's; --configfile my.yaml stands alone, and so does a module's config.
CHECKOUT = Path(workflow.snakefile).parents[2]
DEFAULT_CONFIG = "config.yaml" if os.path.exists("config.yaml") else str(CHECKOUT / "config.yaml")
MODULE = not workflow.modifier.is_main_snakefile()
STORE = Store(workflow)

try:
    progress.check_place(CHECKOUT)
    files, changes = workflow.overwrite_configfiles or [DEFAULT_CONFIG], workflow.config_settings.config
    settings = merged([], config) if MODULE else merged(files, changes)
    settings = STORE.settled(settings)
    STUDY = Study.from_config(settings)
    if STUDY.config.claims and workflow.is_main_process:
        # And with it PyTorch and SciPy, seconds and memory that other studies, and jobs elsewhere, need not spend.
        from activation_study.claims import file as claims_file

        claims_file.of_study(STUDY.config)
    AGAIN = {}
    if workflow.is_main_process:
        for name in STUDY.datasets():
            entries.examine(name, STUDY.config.datasets[name].model_dump())
        STORE.fetch(STUDY)
        AGAIN = receipts.to_make_again(STUDY, STORE.copied)
except StudyError as error:
    sys.exit(f"error: {error}")
if line := receipts.summary(AGAIN):
    print(line, file=sys.stderr)


def again(wildcards):
    """An input function without inputs: what something else made is made again, whatever Snakemake knows of it."""
    STORE.hold(workflow)
    workflow.dag.forcefiles.update(map(STORE.known, AGAIN))
    return []


def beside(files):
    """Input files that lie beside the code: in a store are results alone, where receipts say what made them."""
    return [] if STORE else files


# What a job asks of the machine that it runs on.
memory = functools.partial(cluster.memory, workflow)

console.attach(STUDY, workflow)
console.quote_interpreter()

if not workflow.overwrite_configfiles:

    configfile: DEFAULT_CONFIG


# As our own reader has it, not Snakemake's: jobs read it once more.
config.clear()
config.update(settings)


onstart:
    try:
        progress.lock_results(STUDY)
        cluster.begin(STUDY, workflow)
    except StudyError as error:
        sys.exit(f"error: {error}")
    # With a limit of jobs per second Snakemake's scheduler sets a timer whenever it has looked at the waiting jobs, and
    # looks again when it rings: each job that ends adds one for good, and after some hundred they fill a core.
    if workflow.local_exec:
        workflow.scheduler.job_rate_limiter = None


def refused():
    """Why activations and datasets have no results, by what the jobs of this call said."""
    STORE.fetch(STUDY)
    return console.refused_lines(receipts.refused(STUDY, STORE.copied))


onsuccess:
    for line in console.report_line(STUDY, workflow):
        print(line, file=sys.stderr)
    if lines := refused():
        sys.exit("\n".join(lines))


onerror:
    STORE.fetch_logs(workflow.scheduler.failed)
    for line in [
        *refused(),
        *console.last_lines(
            STUDY,
            workflow.scheduler.failed,
            workflow.start_time.timestamp(),
            STORE.query(f"{STUDY.results}/logs"),
        ),
    ]:
        print(line, file=sys.stderr)
