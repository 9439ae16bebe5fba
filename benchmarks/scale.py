"""`make scale`: how long the workflow takes for a large study, and how much memory: results/bench/scale.json.

    python benchmarks/scale.py [--runs 1000 10000] [--activations 16 50 100]

Nothing is trained: a `large_study` is written, and then looked at, collected, judged and shown as the workflow does it.
Each step is a process of its own; its memory is the most that it and its children had at once.
"""

from __future__ import annotations

import argparse
import datetime
import itertools
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil

import document
import large_study
from activation_study.jobs.collect import collect_tables
from activation_study.jobs.judge import READ, judge_claims
from activation_study.jobs.provenance import provenance
from activation_study.report.page import build
from activation_study.study import receipts
from activation_study.study.jobs import RUN_TABLES
from activation_study.study.study import Study
from activation_study.tables.columns import TABLES

DRY_RUN = "dry run"
TARGETS = {DRY_RUN: (30, 1500), "collect": (60, 2000), "judge": (60, 2000), "page": (60, 2000)}
"""By step: seconds and MB, for 10,000 runs."""
EVERY = 0.2
"""Seconds between two looks at the memory."""
PROCESSES = 2
"""Of the page, and cores of a dry run."""


class Files(dict[str, Any]):
    """As Snakemake hands them over."""

    __getattr__ = dict.__getitem__


def collect(study: Study) -> None:
    inputs = Files({name: study.job_files(name) for name in RUN_TABLES})
    inputs["cost"] = [study.cost_file(name) for name in study.costed()]
    inputs["activations"] = [study.activation_file(name) for name in study.activations()]
    inputs["datasets"] = [study.dataset_file(name) for name in study.datasets()]
    outputs = {name: study.table_file(name) for name in TABLES} | {"dictionary": f"{study.results}/tables/README.md"}
    collect_tables(study, inputs, Files(outputs))


def judge(study: Study) -> None:
    outputs = {name: study.table_file(name) for name in ("ledger", "ledger_cells")} | {"validity": study.validity_file}
    judge_claims(study, Files({name: study.table_file(name) for name in READ}), Files(outputs))


def page(study: Study) -> None:
    made_by = receipts.of_report(study, receipts.found(study.table_file("runs")))
    about = {"claims": study.config.claims, "made_by": made_by, "processes": PROCESSES}
    build(study.name, Path(study.results) / "tables", Path(study.page), provenance(study), **about)


STEPS = {step.__name__: step for step in (collect, judge, page)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, nargs="+", default=[1_000, 10_000])
    parser.add_argument("--activations", type=int, nargs="+", default=[16, 50, 100])
    parser.add_argument("--step", choices=STEPS, help="one step alone, of the study in the working directory")
    arguments = parser.parse_args()
    if arguments.step:
        STEPS[arguments.step](Study.from_file("config.yaml"))
        return
    found: dict[str, Any] = {"targets": TARGETS, "date": datetime.date.today().isoformat(), "studies": []}
    for runs, activations in itertools.product(arguments.runs, arguments.activations):
        with tempfile.TemporaryDirectory() as folder:
            found["studies"].append(of_study(runs, activations, Path(folder)))
        print(document.scale(found), flush=True)
    document.write_json(document.BENCH / "scale.json", found)


def of_study(runs: int, activations: int, folder: Path) -> dict[str, Any]:
    """Seconds and MB of every step."""
    snakemake = ("-m", "snakemake", "-s", str(document.ROOT / "Snakefile"), "--cores", str(PROCESSES), "--quiet", "all")
    dry_run = (*snakemake, "--dry-run", "--configfile", "config.yaml")
    before = Path.cwd()
    os.chdir(folder)
    try:
        study = Study.from_file(large_study.write_config(runs, activations))
        steps = {DRY_RUN: measured(dry_run)}
        large_study.write_results(study)
        steps |= {step: measured((__file__, "--step", step)) for step in STEPS}
        steps[f"{DRY_RUN}, all there"] = measured(dry_run)
        mb = Path(study.page).stat().st_size / 1e6
    finally:
        os.chdir(before)
    about = provenance(study)
    return {
        "runs": len(study.runs),
        "activations": activations,
        "jobs": len(study.jobs),
        "page_mb": mb,
        "steps": steps,
        "machine": f"{about['cores']} cores of {about['processor']}",
    }


def measured(arguments: Sequence[str]) -> dict[str, float]:
    """Seconds, those of the processor, and peak MB of Python with these arguments, its children included.

    Raises:
        RuntimeError: it fails.
    """
    start, before, most = time.perf_counter(), _processor_seconds(), 0
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen([sys.executable, *arguments], stdout=said, stderr=said)
        while process.poll() is None:
            most = max(most, _memory(process.pid))
            time.sleep(EVERY)
        seconds = time.perf_counter() - start
        if process.returncode:
            said.seek(0)
            raise RuntimeError(f"{' '.join(arguments)}\n{said.read()}")
    return {"seconds": seconds, "processor_s": _processor_seconds() - before, "mb": most / 1e6}


def _processor_seconds() -> float:
    """Of all children that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _memory(pid: int) -> int:
    """Bytes of a process and its children; what they share counts once."""
    total = 0
    try:
        parent = psutil.Process(pid)
        for process in (parent, *parent.children(recursive=True)):
            total += process.memory_full_info().pss
    except psutil.Error:  # it has just ended
        pass
    return total


if __name__ == "__main__":
    main()
