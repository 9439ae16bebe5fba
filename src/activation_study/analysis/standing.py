"""Where activations stand: their mean score over all cells, and which are distinguishable from the best.

`scores` is a table as `ranks.score_table` gives it: a row per cell and replicate, whose seeds are paired, and a column
per activation. Cells have equal weight. An activation that lacks a cell is not compared: a mean over other cells would
be one of another quantity.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from activation_study.analysis.inference import ALPHA, Interval, difference_test, holm, stratified_interval
from activation_study.analysis.ranks import mean_ranks, score_table

CELL = ["dataset", "depth", "condition"]
"""What the replicas that are compared share."""


@dataclass(frozen=True)
class Standing:
    """An activation beside the one that all are compared with: its score minus that one's, and the p of the difference.

    `p` is that of the two-sided paired test after Holm's correction over the others; NaN for the one itself.
    """

    name: str
    difference: Interval
    p: float

    @property
    def tied(self) -> bool:
        """Not distinguishable from it."""
        return not self.p < ALPHA


def by_cell(scores: pd.Series) -> NDArray:
    """Scores as [cells, replicates], NaN where one is missing."""
    return scores.unstack("replicate").to_numpy(dtype=float)


def complete(scores: pd.DataFrame) -> pd.DataFrame:
    """The activations that have scores in every cell, best mean first; equal ones by name."""
    means = pd.Series(
        {name: stratified_interval(by_cell(scores[name])).estimate for name in scores}, dtype=float
    ).dropna()
    return scores[sorted(means.index, key=lambda name: (-means[name], name))]


def standings(scores: pd.DataFrame, name: str) -> list[Standing]:
    """All activations beside this one, by their mean difference from it; equal ones by name."""
    differences = {other: by_cell(scores[other] - scores[name]) for other in scores}
    others = [other for other in scores if other != name]
    p = dict(zip(others, holm([difference_test(differences[other], 0.0).p for other in others]), strict=True))
    found = [
        Standing(other, stratified_interval(values), float(p.get(other, np.nan)))
        for other, values in differences.items()
    ]
    return sorted(found, key=lambda one: (-one.difference.estimate, one.name))


def overall(evaluation: pd.DataFrame) -> pd.DataFrame:
    """One row per activation, best first: its test accuracy over all cells of equal weight, against the best's.

    Columns activation, cells, of (cells in all), n (replicas), diverged, accuracy (_low, _high), mean_rank,
    difference (from the best, ≤ 0; _low, _high), p (two-sided, stratified t, Holm over the others; NaN for the
    best) and tied (p ≥ 0.05, or the best itself). An activation that lacks a cell comes last without a comparison.
    """
    if evaluation.empty:
        columns = ["activation", "cells", "of", "n", "diverged", "mean_rank", "accuracy", "difference", "p", "tied"]
        return pd.DataFrame(columns=columns)
    scores = score_table(evaluation, "test_accuracy", tuple(CELL))
    whole = complete(scores)
    found = {one.name: one for one in standings(whole, whole.columns[0])} if len(whole.columns) else {}
    ranks = mean_ranks(whole)
    cells = scores.notna().groupby(CELL).any()
    diverged = (evaluation["status"] == "diverged").groupby(evaluation["activation"])
    rows = []
    for name in [*whole, *sorted(set(scores) - set(whole))]:
        one = found.get(name)
        accuracy = stratified_interval(by_cell(scores[name])).within(0, 1) if one else None
        row: dict[str, Any] = {
            "activation": name,
            "cells": int(cells[name].sum()),
            "of": len(cells),
            "n": len(diverged.get_group(name)),
            "diverged": int(diverged.get_group(name).sum()),
            "mean_rank": ranks.get(name, np.nan),
            **_columns("accuracy", accuracy),
            **_columns("difference", one.difference if one else None),
            "p": one.p if one else np.nan,
            "tied": one is not None and one.tied,
        }
        rows.append(row)
    return pd.DataFrame(rows)


def _columns(name: str, interval: Interval | None) -> dict[str, float]:
    ends = (interval.estimate, interval.low, interval.high) if interval else (np.nan,) * 3
    return dict(zip((name, f"{name}_low", f"{name}_high"), ends, strict=True))
