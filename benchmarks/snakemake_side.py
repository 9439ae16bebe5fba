"""What Snakemake itself costs: dry runs of large studies, and a real study's time outside its training."""

from __future__ import annotations

import math
import re
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

import study_side
from activation_study.study.study import Study

ROOT = Path(__file__).resolve().parents[1]
WORK = ("training", "validation", "probe", "measurement")
CORES = 2
PART = "benchmark_jobs"


def dry_run_seconds(activations: int, depths: int) -> list[float]:
    """Seconds of a dry run of activations × depths runs: two dry runs, one a core, at the same time."""
    with ThreadPoolExecutor(CORES) as pool:
        return list(pool.map(lambda turn: _dry_run(activations, depths, turn), range(CORES)))


def _dry_run(activations: int, depths: int, turn: int) -> float:
    config = {
        "study": f"benchmark_dag_{turn}",
        "activations": {f"a{i}": {"expression": f"x * sigmoid({1 + i / 1000} * x)"} for i in range(activations)},
        "datasets": {"digits": {"source": "digits", "target": 0.9}},
        "experiments": {"all": {"depth": list(range(1, depths + 1))}},
    }
    return _snakemake(config, "--dry-run", "--quiet", "all")


def job_overhead(checkout: Path) -> dict[str, Any]:
    """Share of a study's time, on all its cores, in which nothing was trained, evaluated, probed or measured.

    That of the default study where the checkout holds one of which a single call trained a quarter of the runs or
    more, without the time in which costs were measured, since that is work too; and of a part of it, run now,
    elsewhere.
    """
    return _of_the_default_study(checkout) or _of_a_part()


def _of_the_default_study(checkout: Path) -> dict[str, Any] | None:
    folder = checkout / "results/default/tables"
    if not (folder / "timings.parquet").exists():
        return None
    timings, jobs = (pd.read_parquet(folder / f"{name}.parquet") for name in ("timings", "jobs"))
    began = pd.to_datetime(jobs.set_index("run")["started"])
    for file in sorted((checkout / ".snakemake/log").glob("*.snakemake.log"), reverse=True):
        log = file.read_text()
        elapsed = re.search(r"Elapsed time: (?:(\d+) days?, )?(\d+):(\d+):([\d.]+)", log)
        if not elapsed or "results/default/tables/timings.parquet" not in log:
            continue
        days, hours, minutes, seconds = (float(part or 0) for part in elapsed.groups())
        length = timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
        # The log is written to its call's end; a clock of whole seconds is a little behind.
        end = pd.Timestamp(file.stat().st_mtime, unit="s", tz="UTC")
        here = timings[timings["run"].isin(began.index[began.between(end - length - timedelta(seconds=2), end)])]
        trained, runs = here["run"].nunique(), timings["run"].nunique()
        if trained >= runs / 4:
            cores, seconds_of = int(re.search(r"Provided cores: (\d+)", log).group(1)), _job_seconds(log)
            wall, cost = length.total_seconds(), sum(seconds_of.get("cost", []))
            what = f"the default study, {trained} of its {runs} runs in one call on {cores} cores"
            return _shares(here, wall - cost, cores, what) | {
                "cost_jobs_s": cost,
                "with_cost_jobs": _shares(here, wall, cores, what)["value"],
                "training_jobs": len(seconds_of["train"]),
                "training_jobs_s": sum(seconds_of["train"]),
            }
    return None


def _job_seconds(log: str) -> dict[str, list[float]]:
    """The seconds of every finished job by rule, from the times in Snakemake's log."""
    moments = re.compile(
        r"^\[(\w{3} \w{3} +\d+ [\d:]+ \d+)\]$|^(?:local)?rule (\w+):$|^    jobid: (\d+)$|^Finished jobid: (\d+) ", re.M
    )
    now, rule, begun, seconds = datetime.min, "", {}, {}
    for moment, name, started, finished in moments.findall(log):
        if moment:
            now = datetime.strptime(moment, "%a %b %d %H:%M:%S %Y")
        elif name:
            rule = name
        elif started:
            begun[started] = rule, now
        elif finished in begun:
            of, since = begun.pop(finished)
            seconds.setdefault(of, []).append((now - since).total_seconds())
    return seconds


def _of_a_part() -> dict[str, Any]:
    """The default study's core on one dataset, 5 and 20 layers: a minute or two."""
    config = study_side.DEFAULT.config.model_dump(mode="json") | {"study": PART, "claims": []}
    core = {"dataset": "mnist1d", "activation": study_side.core_activations()}
    config["experiments"] = {"core": [core | {"depth": n, "steps": study_side.core_steps(n)} for n in (5, 20)]}
    default = study_side.DEFAULT
    config["jobs"]["runs_per_job"] = math.ceil(len(default.runs) / len(default.jobs))  # as many as there on average
    files, folder = Study.from_config(config).job_files("timings"), ROOT / "results" / PART
    shutil.rmtree(folder, ignore_errors=True)
    try:
        wall = _snakemake(config, *files, "--quiet", "all")
        timings = pd.concat(pd.read_parquet(ROOT / file) for file in files)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    runs = timings["run"].nunique()
    what = f"the default study's core on mnist1d, {runs} runs on {CORES} cores: the whole has not been run here"
    return _shares(timings, wall, CORES, what) | {"training_jobs": len(files)}


def _shares(timings: pd.DataFrame, wall: float, cores: int, what: str) -> dict[str, Any]:
    seconds = timings.groupby("phase")["seconds"].sum()
    return {
        "study": what,
        "wall_s": wall,
        "value": 1 - seconds.reindex(WORK).sum() / (cores * wall),
        "outside_training_alone": 1 - seconds["training"] / (cores * wall),
        "core_seconds": {phase: float(value) for phase, value in seconds.items()},
    }


def _snakemake(config: dict[str, Any], *options: str) -> float:
    file = ROOT / "results" / f"{config['study']}.yaml"
    file.parent.mkdir(exist_ok=True)
    file.write_text(yaml.safe_dump(config, sort_keys=False))
    # --configfile takes every word that follows it, so it comes last.
    command = [sys.executable, "-m", "snakemake", "--cores", str(CORES), *options, "--configfile", str(file)]
    start = time.perf_counter()
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    finally:
        file.unlink()
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}\n{done.stdout}{done.stderr}")
    return time.perf_counter() - start
