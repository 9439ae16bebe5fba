"""What Snakemake itself costs: dry runs of large studies, and a real study's time outside its training."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

ROOT = Path(__file__).resolve().parents[1]
WORK = ("training", "validation", "probe")
CORES = 2
SMALL = "benchmark_jobs"


def dry_run_seconds(activations: int, depths: int) -> float:
    """Seconds of a dry run of activations × depths runs."""
    config = {
        "study": "benchmark_dag",
        "activations": {f"a{i}": {"expression": f"x * sigmoid({1 + i / 1000} * x)"} for i in range(activations)},
        "datasets": {"digits": {"source": "digits", "target": 0.9}},
        "experiments": {"all": {"depth": list(range(1, depths + 1))}},
    }
    return _snakemake(config, "--dry-run", "--quiet", "all")


def job_overhead() -> dict[str, Any]:
    """Share of a study's time, on all its cores, in which no replica was trained, evaluated or probed.

    That of the default study where results/ hold one that was run in one go, and of a small one run now elsewhere.
    """
    return _of_the_default_study() or _of_a_small_study()


def _of_the_default_study() -> dict[str, Any] | None:
    table = ROOT / "results/default/tables/timings.parquet"
    if not table.exists():
        return None
    timings = pd.read_parquet(table)
    logs = sorted((ROOT / ".snakemake/log").glob("*.snakemake.log"))
    for log in map(Path.read_text, reversed(logs)):
        elapsed = re.search(r"Elapsed time: (?:(\d+) days?, )?(\d+):(\d+):([\d.]+)", log)
        here = "results/default/tables/timings.parquet" in log
        if elapsed and here and log.count("\nrule train:") == timings["run"].nunique():
            days, hours, minutes, seconds = (float(part or 0) for part in elapsed.groups())
            wall = timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds).total_seconds()
            cores = int(re.search(r"Provided cores: (\d+)", log).group(1))
            runs = timings["run"].nunique()
            return _shares(timings, wall, cores, f"the default study, {runs} runs on {cores} cores, its costs included")
    return None


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
    command = [sys.executable, "-m", "snakemake", "--cores", str(CORES), "--configfile", str(file), *options]
    start = time.perf_counter()
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    finally:
        file.unlink()
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}\n{done.stdout}{done.stderr}")
    return time.perf_counter() - start
