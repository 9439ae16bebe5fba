"""Where activations stand: their mean score over all cells, and which are distinguishable from the best.

`scores` is a table as `tuned_table` gives it: a column per activation, and for each cell a row per replicate, whose
seeds are paired, over the rates that all tuning seeds select (`left_out` is WHOLE), and once more without each tuning
seed. So the intervals of a column, and of the difference of two, hold the choice of the learning rate, see `tuned`.
Cells have equal weight. An activation that lacks a cell is not compared: a mean over other cells would be one of
another quantity.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from activation_study.analysis.inference import ALPHA, Interval, holm
from activation_study.analysis.ranks import mean_ranks
from activation_study.analysis.replicas import left_out_columns
from activation_study.analysis.tuned import tuned_interval, two_sided
from activation_study.core.tuning import Replicates

CELL = ["dataset", "depth", "condition"]
"""What the replicas that are compared share."""
WHOLE = -1
"""In the place of the tuning seed that is left out: none."""


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


def tuned_table(replicas: pd.DataFrame, metric: str, cell: Sequence[str]) -> pd.DataFrame:
    """The metric of `replicas.tuned` rows: index [*cell, left_out, replicate], a column per activation."""
    columns = {metric: WHOLE} | {name: place for place, name in enumerate(left_out_columns(replicas, metric))}
    long = replicas.rename(columns=columns).melt([*cell, "replicate", "activation"], columns.values(), "left_out")
    table = long.pivot(index=[*cell, "left_out", "replicate"], columns="activation", values="value")
    return table.astype(float)


def whole(scores: pd.DataFrame) -> pd.DataFrame:
    """The replicates over the rates that all tuning seeds select."""
    return scores.xs(WHOLE, level="left_out")


def by_cell(scores: pd.Series) -> list[Replicates]:
    """Of each cell, from a column of the table, or the difference of two."""
    wide = scores.unstack("replicate")
    cells = wide.index.droplevel("left_out")
    values, chosen = wide.to_numpy(), wide.index.get_level_values("left_out") == WHOLE
    found = []
    for rows in pd.Series(range(len(wide))).groupby(cells, sort=False).indices.values():
        left_out = values[rows][~chosen[rows]]
        known = ~np.isnan(left_out).all(axis=1)
        found.append(Replicates(values[rows][chosen[rows]][0], left_out[known]))
    return found


def complete(scores: pd.DataFrame) -> pd.DataFrame:
    """The activations that have scores in every cell, best mean first; equal ones by name."""
    cells = [name for name in scores.index.names if name not in ("left_out", "replicate")]
    means = whole(scores).groupby(level=cells).mean().mean(skipna=False).dropna()
    return scores[sorted(means.index, key=lambda name: (-means[name], name))]


def standings(scores: pd.DataFrame, name: str) -> list[Standing]:
    """All activations beside this one, by their mean difference from it; equal ones by name."""
    differences = {other: by_cell(scores[other] - scores[name]) for other in scores}
    others = [other for other in scores if other != name]
    p = dict(zip(others, holm([two_sided(differences[other]) for other in others]), strict=True))
    found = [
        Standing(other, tuned_interval(cells), float(p.get(other, np.nan))) for other, cells in differences.items()
    ]
    return sorted(found, key=lambda one: (-one.difference.estimate, one.name))


def overall(replicas: pd.DataFrame) -> pd.DataFrame:
    """One row per activation, best first: its test accuracy over all cells of equal weight, against the best's.

    `replicas` are rows of `replicas.tuned` with `condition`.

    Columns activation, cells, of (cells in all), n (replicas), diverged, accuracy (_low, _high), mean_rank,
    difference (from the best, ≤ 0; _low, _high), p (two-sided, of `tuned`, Holm over the others; NaN for the
    best) and tied (p ≥ 0.05, or the best itself). An activation that lacks a cell comes last without a comparison.
    """
    if replicas.empty:
        columns = ["activation", "cells", "of", "n", "diverged", "mean_rank", "accuracy", "difference", "p", "tied"]
        return pd.DataFrame(columns=columns)
    scores = tuned_table(replicas, "test_accuracy", CELL)
    compared = complete(scores)
    found = {one.name: one for one in standings(compared, compared.columns[0])} if len(compared.columns) else {}
    ranks = mean_ranks(whole(compared))
    cells = whole(scores).notna().groupby(CELL).any()
    diverged = (replicas["status"] == "diverged").groupby(replicas["activation"])
    rows = []
    for name in [*compared, *sorted(set(scores) - set(compared))]:
        one = found.get(name)
        accuracy = tuned_interval(by_cell(scores[name])).within(0, 1) if one else None
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
