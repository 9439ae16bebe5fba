"""A study's tables against those of a reference run: what agrees, and within which tolerance.

On the reference's processor, device and versions the same code and params give the same bytes. Elsewhere rounding
differs and deep networks amplify it: single networks then differ, and where two learning rates are about as good, the
other one may be selected. Scores agree all the same, so they are compared for every run; whatever else is measured
depends on the rate, and is compared where both selected the same (docs/performance.md has the sizes).
A reference may lack the large tables: what it holds is compared.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from activation_study.analysis.replicas import evaluated
from activation_study.core.errors import StudyError
from activation_study.core.text import plain
from activation_study.study.places import REFERENCE, RESULTS, candidates
from activation_study.tables.checked import read_any

CLOCKS = ("timings", "jobs", "cost")
"""Tables that measure a machine: never compared."""
MACHINE = ("device", "threads", "processor", "python", "torch", "numpy", "code", "params")
"""Columns of ``jobs`` which, when equal, leave no room for different results."""
STANDARD_ERRORS = 4.0  # two-sided 0.08% of Student's t at the 18 degrees of freedom of twice ten seeds
SHARE = 0.95  # of all means must lie within them, and of all selected rates at most one step of the grid apart
SAME_RATE = 0.50  # of all runs must select the very same rate, or too little else is compared
SAME_CHOICE = 0.90  # of all verdicts must be the same, and of the intervals of their cells overlap
RELATIVE = 1e-6  # of constants and portraits, which are computed in float64
OPPOSITE = {"true": "false", "false": "true"}


class Finding(NamedTuple):
    """What was found of one table."""

    table: str
    agrees: bool
    text: str

    def __str__(self) -> str:
        table, verdict = plain(self.table, 64), "agrees" if self.agrees else "DIFFERS"
        return f"{table:<13} {verdict:<8} {plain(self.text, 600)}"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--tables", type=Path, help="left out: results/default's")
    parser.add_argument("--reference", type=Path, help="left out: the published ones")


def main(arguments: argparse.Namespace) -> None:
    """Print one line per table and a last one that sums up; exit code 1 if any differs.

    Raises:
        StudyError: a folder without tables, or a file that is not a table.
    """
    arguments.tables = _folder("--tables", arguments.tables, RESULTS)
    arguments.reference = _folder("--reference", arguments.reference, REFERENCE)
    found = compare(arguments.tables, arguments.reference)
    tables, reference = plain(arguments.tables), plain(arguments.reference)
    print("\n".join(map(str, found)))
    differing = [finding.table for finding in found if not finding.agrees]
    if differing:
        sys.exit(f"{tables} differs from {reference} in {', '.join(differing)}")
    print(f"{tables} agrees with {reference}")


def _folder(option: str, asked: Path | None, default: Path) -> Path:
    """The folder that was asked for, or the first of the default's places that is there."""
    places = [asked] if asked else candidates(default)
    for folder in places:
        if asked or folder.is_dir():
            return folder
    looked = " and ".join(map(plain, places))
    raise StudyError(f"{option}: no folder {looked}; name the one with the tables")


def compare(tables: Path, reference: Path) -> list[Finding]:
    """One finding per table of the reference. Raises :class:`StudyError` as :func:`main` does."""
    names = _names(reference, "--reference")
    _names(tables, "--tables")
    expected = _same_machine(tables, reference)
    return [_finding(name, tables, reference, expected) for name in names]


def _names(folder: Path, option: str) -> list[str]:
    """Of the folder's tables; ``runs`` must be one."""
    try:
        names = sorted(file.stem for file in folder.iterdir() if file.suffix == ".parquet")
    except OSError as error:
        raise StudyError(f"{option}: {plain(folder, 100)} cannot be read ({error.strerror})") from None
    if "runs" not in names:
        raise StudyError(f"{option}: {plain(folder)} has no runs.parquet; the folder of a finished study is needed")
    return names


def _finding(name: str, tables: Path, reference: Path, expected: str) -> Finding:
    if name in CLOCKS:
        return Finding(
            name, True, "not compared: it measures the machine" + (f"; {expected}" if name == "jobs" else "")
        )
    path, known = tables / f"{name}.parquet", reference / f"{name}.parquet"
    if not path.is_file():
        return Finding(name, False, f"{plain(path)} is missing")
    if path.read_bytes() == known.read_bytes():
        return Finding(name, True, "identical bytes")
    here, there = (read_any(file, NEEDS.get(name, ())) for file in (path, known))
    if list(here) != list(there):
        return Finding(
            name, False, f"other columns: {', '.join(sorted({*here.columns} ^ {*there.columns})) or 'another order'}"
        )
    if here.equals(there):
        return Finding(name, True, f"identical values, {len(here)} rows")
    rule: Callable[[pd.DataFrame, pd.DataFrame], tuple[bool, str]] = RULES.get(name, _same_rows)
    agrees, text = rule(here, there)
    if expected == SAME and not name.startswith("ledger"):  # verdicts on costs rest on clocks
        return Finding(name, False, f"{expected}, but {text}")
    return Finding(name, agrees, text)


SAME = "same code, params and machine: identical bytes are expected"


def _same_machine(tables: Path, reference: Path) -> str:
    """What may be expected, in words: ``SAME``, or what differs."""
    if not all((folder / "jobs.parquet").exists() for folder in (tables, reference)):
        return "no jobs table: the machines are unknown, and statistics are compared"
    jobs = [read_any(folder / "jobs.parquet", ["run"]) for folder in (tables, reference)]
    here, there = (frame.reindex(columns=["run", *MACHINE]).set_index("run").sort_index() for frame in jobs)
    other = [column for column in MACHINE if here[column].isna().any() or not here[column].equals(there[column])]
    return f"other {', '.join(other)}: statistics are compared" if other else SAME


def _same_rows(here: pd.DataFrame, there: pd.DataFrame) -> tuple[bool, str]:
    """Texts and counts must be the same, numbers to a relative ``RELATIVE``."""
    if len(here) != len(there):
        return False, f"{len(here)} rows instead of {len(there)}"
    for column in here:
        if pd.api.types.is_float_dtype(here[column]):
            same = np.isclose(here[column], there[column], rtol=RELATIVE, atol=RELATIVE, equal_nan=True)
        else:
            same = ((here[column] == there[column]) | (here[column].isna() & there[column].isna())).to_numpy(bool)
        if not same.all():
            row = int(np.argmin(same))
            values = f"{here[column].iloc[row]!s} instead of {there[column].iloc[row]!s}"
            return False, f"column {column}: {(~same).sum()} of {len(same)} values differ; the first: {values}"
    return True, f"{len(here)} rows, numbers to a relative {RELATIVE:g}"


def _runs(here: pd.DataFrame, there: pd.DataFrame) -> tuple[bool, str]:
    if text := _other_runs(here, there):
        return False, text
    grid = there[["run", "learning_rate"]].drop_duplicates()
    grid = grid.assign(place=grid.groupby("run")["learning_rate"].rank())
    here, there = (evaluated(frame) for frame in (here, there))
    places = [
        _selected(frame).reset_index().merge(grid, how="left").set_index("run")["place"] for frame in (here, there)
    ]
    apart = (places[0] - places[1]).abs()
    same, near = (float((apart <= most).mean()) if len(apart) else 1.0 for most in (0, 1))
    agrees, text = _means(here, there, ["run"], ["test_accuracy"])
    return agrees and same >= SAME_RATE and near >= SHARE, (
        f"{same:.1%} of {len(apart)} runs select the same learning rate (at least {SAME_RATE:.0%}), {near:.1%} that or "
        f"its neighbour (at least {SHARE:.0%}); {text}"
    )


def _selected(evaluation: pd.DataFrame) -> pd.Series:
    """The learning rate that each run selected."""
    return evaluation.groupby("run")["learning_rate"].first()


def _of_replicas(keys: list[str]) -> Callable[[pd.DataFrame, pd.DataFrame], tuple[bool, str]]:
    """The rule of a table with several values per evaluation network: their means over the seeds, at the last step, at
    the learning rates of a run that count on both sides."""

    def rule(here: pd.DataFrame, there: pd.DataFrame) -> tuple[bool, str]:
        if text := _other_runs(here, there):
            return False, text
        here, there = (_last(frame[frame["role"] == "evaluation"]) for frame in (here, there))
        trained = ["run", "learning_rate"]
        rates = [pd.MultiIndex.from_frame(frame[trained]) for frame in (here, there)]
        shared = set(here["run"]) & set(there["run"])
        here = here[rates[0].isin(rates[1].unique()) | ~here["run"].isin(shared)]
        there = there[rates[1].isin(rates[0].unique()) | ~there["run"].isin(shared)]
        counted = ("replicate", "learning_rate", "step", "layer", "dose", "units", "samples")
        values = [name for name in here.columns if pd.api.types.is_float_dtype(here[name]) and name not in counted]
        return _means(here, there, [*trained, *keys], values)

    return rule


def _last(frame: pd.DataFrame) -> pd.DataFrame:
    """Each network's rows of its last step."""
    return frame[frame["step"] == frame.groupby(["run", "replicate", "learning_rate"])["step"].transform("max")]


def _other_runs(here: pd.DataFrame, there: pd.DataFrame) -> str:
    more, fewer = (len(set(a["run"]) - set(b["run"])) for a, b in ((here, there), (there, here)))
    return f"another study: {fewer} of the reference's runs are missing, {more} are new" if more or fewer else ""


def _means(here: pd.DataFrame, there: pd.DataFrame, keys: list[str], values: list[str]) -> tuple[bool, str]:
    """Means over seeds: their difference in standard errors of it, s² / n of both added.

    Where all seeds give one value, float32's last digits count as the error. A mean that one side lacks is outside.
    """
    parts: list[Any] = [
        frame.groupby(keys, dropna=False)[values].agg(["mean", "var", "count"]) for frame in (here, there)
    ]
    parts = [part.stack(level=0, future_stack=True) for part in parts]
    parts = [part[part["count"] > 0] for part in parts]
    both = parts[0].add_suffix("_a").join(parts[1].add_suffix("_b"), how="inner")
    if both.empty:
        return not (len(parts[0]) or len(parts[1])), "no value in common"
    squared = sum(both[f"var_{side}"].fillna(0) / both[f"count_{side}"] for side in "ab")
    least = 1e-5 * (1 + both["mean_b"].abs())
    off = (both["mean_a"] - both["mean_b"]).abs() / np.maximum(np.sqrt(squared), least)
    count = max(map(len, parts))
    within = float((off <= STANDARD_ERRORS).sum() / count)
    worst = off.idxmax()
    named = ", ".join(str(part) for part in (worst if isinstance(worst, tuple) else (worst,)))
    text = (
        f"{within:.1%} of {count} means within {STANDARD_ERRORS:g} standard errors (at least {SHARE:.0%}); "
        f"the largest difference: {off.max():.1f}, {named}"
    )
    return within >= SHARE, text


def _ledger(here: pd.DataFrame, there: pd.DataFrame) -> tuple[bool, str]:
    keys = ["family", "row"]
    both = there[[*keys, "verdict"]].merge(here[[*keys, "verdict"]], on=keys, how="left", suffixes=("_b", "_a"))
    missing = int(both["verdict_a"].isna().sum())
    if missing or len(here) != len(there):
        return False, f"another ledger: {missing} of the reference's {len(there)} rows are missing"
    changed = both[both["verdict_a"] != both["verdict_b"]]
    opposed = int((changed["verdict_a"] == changed["verdict_b"].map(OPPOSITE)).sum())
    same = 1 - len(changed) / max(len(both), 1)
    text = (
        f"{same:.1%} of {len(both)} verdicts are the same (at least {SAME_CHOICE:.0%}), {opposed} are opposite (none)"
    )
    if len(changed):
        first = changed.iloc[0]
        text += f"; the first: {first['row']} {first['verdict_a']} instead of {first['verdict_b']}"
    return same >= SAME_CHOICE and not opposed, text


def _cells(here: pd.DataFrame, there: pd.DataFrame) -> tuple[bool, str]:
    """The cells' intervals must overlap: two 95% intervals that do not differ by more than 2.8 standard errors.

    Those of a cost, which have no dataset, are the machine's.
    """
    here, there = (frame[frame["dataset"] != ""] for frame in (here, there))
    both = there.merge(here, on=["family", "row", "cell"], how="left", suffixes=("_b", "_a"))
    known = both.dropna(subset=["estimate_a", "estimate_b"])
    if len(both) != len(here) or len(both) != len(there):
        return False, f"{len(here)} cells instead of {len(there)}"
    overlap = ~((known["low_a"] > known["high_b"]) | (known["high_a"] < known["low_b"]))
    within = float(overlap.mean()) if len(known) else 1.0
    return within >= SAME_CHOICE, f"{within:.1%} of {len(known)} cells' intervals overlap (at least {SAME_CHOICE:.0%})"


_REPLICA = ("run", "role", "replicate", "learning_rate")
NEEDS = {
    "runs": (*_REPLICA, "selected", "status", "test_accuracy"),
    "curves": (*_REPLICA, "step"),
    "layers": (*_REPLICA, "step", "layer"),
    "measurements": (*_REPLICA, "step", "measurement", "layer", "dose"),
    "ledger": ("family", "row", "verdict"),
    "ledger_cells": ("family", "row", "cell", "dataset", "estimate", "low", "high"),
}
"""The columns that the rules rest on."""
RULES: dict[str, Callable[[pd.DataFrame, pd.DataFrame], tuple[bool, str]]] = {
    "runs": _runs,
    "curves": _of_replicas([]),
    "layers": _of_replicas(["layer"]),
    "measurements": _of_replicas(["measurement", "layer", "dose"]),
    "ledger": _ledger,
    "ledger_cells": _cells,
}
