"""The contrast of a row on costs, whose cells are widths and whose seeds are timed pairs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from activation_study.analysis.inference import Interval
from activation_study.analysis.tuned import Moments
from activation_study.claims.contrasts import Contrast
from activation_study.cost.measure import BESIDE

RATIOS = ["ratio_to_relu", "ratio_low", "ratio_high"]


def cost_contrast(
    activations: Sequence[str], coefficients: Sequence[float], cost: pd.DataFrame, quantity: str, offset: float = 0.0
) -> Contrast:
    """Σ coefficient · log of an activation's cost over ReLU's − offset, width by width, from the table `cost`.

    ReLU beside itself differs by timing noise only: it is the unit, not a measurement, but where a quantity is held
    against another one of ReLU's.
    """
    cost = cost[cost["quantity"] == quantity]
    parts = []
    for name, coefficient in zip(activations, coefficients, strict=True):
        rows = cost[cost["activation"] == name].set_index("width")
        logs = np.log(rows[RATIOS].astype(float))
        se = (logs["ratio_high"] - logs["ratio_low"]) / (2 * stats.norm.ppf(0.975))
        share = 0.0 if name == "relu" and quantity not in BESIDE else coefficient
        moments = {"estimate": share * logs["ratio_to_relu"], "variance": (share * se) ** 2, "pairs": rows["pairs"]}
        parts.append(pd.DataFrame(moments))
    widths = sorted(set.intersection(*(set(part.index) for part in parts)))
    if not widths:
        return Contrast()
    parts = [part.loc[widths] for part in parts]
    estimate, variance = (
        np.sum([part[name].to_numpy(dtype=float) for part in parts], axis=0) for name in ("estimate", "variance")
    )
    pairs = np.min([part["pairs"] for part in parts], axis=0)
    return timed([f"width={width}" for width in widths], estimate - offset, variance, pairs)


def timed(
    names: Sequence[str], estimate: NDArray[np.float64], variance: NDArray[np.float64], pairs: NDArray[np.float64]
) -> Contrast:
    """Of log ratios of costs [C], whose variances come from the ratios' intervals.

    The timings are no networks, so it has no seeds of its own: n counts timed pairs, no seed is left out, and the
    standardised effect and P(A > B) are unknown. Satterthwaite's degrees of freedom, pairs - 1 per width.
    """
    moments = Moments(estimate, variance[:, None], np.asarray(pairs - 1, dtype=float)[:, None])
    mean, se, df = (float(moment) for moment in moments.mean())
    half = float(stats.t.ppf(0.975, df) * se)
    halves = stats.norm.ppf(0.975) * np.sqrt(variance)
    whole = Interval(mean, mean - half, mean + half, se, df)
    return Contrast(
        cells=tuple(names),
        datasets=tuple(names),
        depths=("",) * len(names),
        intervals=tuple(Interval(float(e), float(e - h), float(e + h)) for e, h in zip(estimate, halves, strict=True)),
        counts=tuple(int(count) for count in pairs),
        by_seed=(np.empty(0),) * len(names),
        informative=np.ones(len(names), dtype=bool),
        moments=moments,
        at_one_rate=np.full(len(names), np.nan),
        of_all=whole,
        seeds_each=int(pairs.min()),
    )
