"""Effects from numbers that a test gives, without tables."""

from __future__ import annotations

import numpy as np
import pytest

from activation_study.analysis.tuned import moments, tuned_interval, without_each
from activation_study.claims.contrasts import Contrast
from activation_study.claims.rules import Effect
from activation_study.core.tuning import Replicates

DATASETS = ("digits", "mnist1d", "fashion_mnist")


def alone(values) -> list[Replicates]:
    """A cell for each row of values [C, S], without a choice of a rate."""
    return [Replicates(row, np.empty((0, len(row)))) for row in np.asarray(values, dtype=float)]


def of_cells(cells, datasets=DATASETS, depths=None, informative=None, at_one_rate=None) -> Contrast:
    counts = tuple(int((~np.isnan(cell.evaluation)).sum()) for cell in cells)
    names = tuple(f"{dataset}/{place}" for place, dataset in enumerate(datasets))
    without, roles = without_each(cells), [("tuning", 0), ("evaluation", 1)]
    return Contrast(
        cells=names,
        datasets=tuple(datasets),
        depths=tuple(depths or ("5 layers",) * len(names)),
        counts=counts,
        informative=np.ones(len(names), dtype=bool) if informative is None else np.array(informative),
        moments=moments(cells),
        without=without,
        seeds=tuple(
            f"{role} seed {seed} of {name}"
            for name, cell in zip(names, cells, strict=True)
            for role, axis in roles
            for seed in range(cell.left_out.shape[axis])
        ),
        at_one_rate=np.full(len(names), np.nan) if at_one_rate is None else np.array(at_one_rate, dtype=float),
        of_all=tuned_interval(cells),
        tuning=cells[0].left_out.shape[0],
        seeds_each=min(counts),
    )


def effect_of(values, smallest=1.0, kind="difference", **kwargs) -> Effect:
    return Effect(of_cells(alone(values), **kwargs), smallest, kind)


def hold_seeds_to_estimates(cells):
    """A cell's estimate is the mean of its paired values, but for a cost, whose timed pairs are not kept."""
    for cell in cells[cells["dataset"] != ""].itertuples():
        values = [float(value) for value in cell.by_seed.split()]
        assert np.nanmean(values) == pytest.approx(cell.estimate, rel=1e-5, abs=1e-9)
        assert np.sum(~np.isnan(values)) == cell.n
