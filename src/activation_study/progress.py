"""How far a study is: which runs have results, and how long the rest will take."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

from activation_study import files
from activation_study.errors import StudyError
from activation_study.text import plain

if TYPE_CHECKING:  # a training job shows its line without reading any config
    from activation_study.study import Study


def claim(study: Study) -> None:
    """Keep the study's results folder for this process until it ends, however it ends.

    Snakemake's own lock outlives a killed process, and the next call would stop at it.

    Raises:
        StudyError: another process works on this study, or the folder cannot be written.
    """
    results = Path(study.results)
    try:
        results.mkdir(parents=True, exist_ok=True)
        file = os.open(results / ".lock", os.O_CREAT | os.O_RDWR)  # never closed: the lock ends with the process
    except OSError as error:
        raise _unwritable(results, error) from None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise StudyError(f"{results}: another call works on this study; wait for its end or stop it") from None


def plan(study: Study) -> None:
    """Note the start, and every run with its relative cost, in the study's results folder.

    Raises:
        StudyError: the folder cannot be written.
    """
    results, costs = Path(study.results), {run.id: run.cost for run in study.runs.values()}
    try:
        files.write_json({"started": time.time(), "costs": costs}, results / "plan.json")
    except OSError as error:
        raise _unwritable(results, error) from None


def _unwritable(results: Path, error: OSError) -> StudyError:
    return StudyError(f"{plain(results)}: cannot be written ({error.strerror}); the study keeps its results there")


def line(results: str | Path, now: float | None = None) -> str:
    """One line: runs with results, and the time left at the pace since the start ("" before anything is known)."""
    try:
        plan = files.read_json(Path(results) / "plan.json")
    except (OSError, ValueError):
        return ""
    costs, started = plan["costs"], plan["started"]
    written = {run: _written(Path(results) / "runs" / run / "runs.parquet") for run in costs}
    done = sum(when is not None for when in written.values())
    text = f"{done} of {len(costs)} runs have results"
    fresh = sum(costs[run] for run, when in written.items() if when is not None and when >= started)
    left = sum(costs[run] for run, when in written.items() if when is None)
    if fresh and left:
        seconds = left / fresh * ((time.time() if now is None else now) - started)
        text += f"; about {duration(seconds)} of training left"
    return text


def duration(seconds: float) -> str:
    """Rounded for reading: seconds, minutes or hours."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _written(path: Path) -> float | None:
    try:
        return path.stat().st_mtime
    except OSError:
        return None
