"""What Snakemake itself costs: dry runs of large studies, and a real study's time outside its training."""

from __future__ import annotations

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

ROOT = Path(__file__).resolve().parents[1]
WORK = ("training", "validation", "probe", "measurement")
CORES = 2
SMALL = "benchmark_jobs"


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
    more, without the time in which costs were measured, since that is work too; and of a small one, run now,
    elsewhere.
    """
    return _of_the_default_study(checkout) or _of_a_small_study()


def _of_the_default_study(checkout: Path) -> dict[str, Any] | None:
    table = checkout / "results/default/tables/timings.parquet"
    if not table.exists():
        return None
    timings = pd.read_parquet(table)
    runs = timings["run"].nunique()
    for log in map(Path.read_text, sorted((checkout / ".snakemake/log").glob("*.snakemake.log"), reverse=True)):
        elapsed = re.search(r"Elapsed time: (?:(\d+) days?, )?(\d+):(\d+):([\d.]+)", log)
        wildcards = re.findall(r"wildcards: dataset=(.+?), activation=(.+?), condition=(\S+)", log)
        here = timings[timings["run"].isin({"/".join(names) for names in wildcards})]
        trained = here["run"].nunique()
        if elapsed and "results/default/tables/timings.parquet" in log and trained >= runs / 4:
            days, hours, minutes, seconds = (float(part or 0) for part in elapsed.groups())
            wall = timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds).total_seconds()
            cores, jobs = int(re.search(r"Provided cores: (\d+)", log).group(1)), _job_seconds(log)
            cost = sum(jobs.get("cost", []))
            what = f"the default study, {trained} of its {runs} runs in one call on {cores} cores"
            return _shares(here, wall - cost, cores, what) | {
                "cost_jobs_s": cost,
                "with_cost_jobs": _shares(here, wall, cores, what)["value"],
                "training_jobs_s": sum(jobs["train"]),
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


def _of_a_small_study() -> dict[str, Any]:
    names = ("relu", "tanh")
    config = {
        "study": SMALL,
        "activations": {"relu": {"class": "ReLU"}, "tanh": {"class": "Tanh"}},
        "datasets": {"mnist1d": {"source": "mnist1d", "target": 0.5}},
        "experiments": {"core": {"depth": 20}},
    }
    folder = ROOT / "results" / SMALL
    shutil.rmtree(folder, ignore_errors=True)
    try:
        files = [f"results/{SMALL}/runs/mnist1d/{name}/depth=20/timings.parquet" for name in names]
        wall = _snakemake(config, *files, "--quiet", "all")
        timings = pd.concat(pd.read_parquet(ROOT / file) for file in files)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    what = f"a study of {len(names)} runs (mnist1d, depth 20) on {CORES} cores: the default one has not been run here"
    return _shares(timings, wall, CORES, what)


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
    file.write_text(yaml.safe_dump(config))
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
