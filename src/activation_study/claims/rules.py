"""The rules by which a verdict follows from the moments of cells, for many studies at once.

The same rules are put to the study itself, to the study without each of its seeds, and to studies with fresh ones.
Axes: N studies, C cells, P parts: the whole, then each depth and each dataset where there are several.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import special

from activation_study.analysis.inference import ALPHA
from activation_study.analysis.tuned import Moments
from activation_study.claims.contrasts import Contrast
from activation_study.claims.outcomes import Outcome

Codes = NDArray[np.int_]
Numbers = NDArray[np.float64]
Truth = NDArray[np.bool_]
ORDER = (Outcome.TRUE, Outcome.PARTLY, Outcome.FALSE, Outcome.OPEN)
"""What the codes stand for."""
STILL = 1e-12
"""A relative spread below which nothing varies."""


@dataclass(frozen=True)
class Effect:
    """A contrast with the smallest effect of interest, ≥ 0 (> 0 for an equivalence)."""

    contrast: Contrast
    smallest: float
    kind: Literal["difference", "equivalence"] = "difference"

    @cached_property
    def parts(self) -> list[tuple[str, Truth]]:
        """Names and cells [C] of the parts; the whole has no name."""
        of = self.contrast
        found = [("", np.ones(len(of.cells), dtype=bool))]
        for word, levels in (("at", of.depths), ("on", of.datasets)):
            found += _levels(word, levels) if len(set(levels)) > 1 else []
        return found

    def within(self, cells: Truth) -> Iterator[tuple[str, Truth]]:
        """Names and cells [C] of the datasets and of the depths of a part."""
        for word, levels in (("on", self.contrast.datasets), ("at", self.contrast.depths)):
            for name, chosen in _levels(word, levels):
                if (chosen & cells).any():
                    yield name, chosen & cells

    def datasets(self, cells: Truth) -> Iterator[tuple[str, Truth]]:
        """Names and cells [C] of the datasets of a part."""
        return (one for one in self.within(cells) if one[0].startswith("on "))


def _levels(word: str, levels: tuple[str, ...]) -> list[tuple[str, Truth]]:
    return [(f"{word} {level}", np.array(levels) == level) for level in dict.fromkeys(levels)]


class PValues(NamedTuple):
    """p-values: `superior` [N, P] of Δ ≤ 0 in each part, and of the whole `small` [N] of Δ ≥ δ (NaN for an
    equivalence) and `reversed` [N] of Δ ≥ 0. For an equivalence: TOST, and |Δ| ≤ δ, two-sided."""

    superior: Numbers
    small: Numbers
    reversed: Numbers


class Found(NamedTuple):
    """What holds in N studies: in each part [N, P] that it is `shown`, `large` enough, the same `alike` in all of its
    datasets and depths, and not otherwise at one rate (`agrees`); of the whole [N] that it is `false`, and that it
    would be true or false but for what it is at one rate (`confounded`)."""

    shown: Truth
    large: Truth
    alike: Truth
    agrees: Truth
    false: Truth
    confounded: Truth

    @property
    def true(self) -> Truth:
        return self.shown & self.large & self.alike & self.agrees

    @property
    def codes(self) -> Codes:
        true = self.true
        return np.select([self.confounded, true[:, 0], true[:, 1:].any(axis=1), self.false], [3, 0, 1, 2], 3)


def p_values(effect: Effect, moments: Moments) -> PValues:
    """The p-values of N studies, from their moments [N, C]; NaN without cells or a standard error."""
    delta, equivalence = effect.smallest, effect.kind == "equivalence"
    superior = []
    for _, cells in effect.parts:
        if equivalence:
            superior.append(np.maximum(_p(effect, moments, cells, -delta)[0], _p(effect, moments, cells, delta)[1]))
        else:
            superior.append(_p(effect, moments, cells, 0.0)[0])
    _, whole = effect.parts[0]
    if equivalence:
        outside = np.minimum(_p(effect, moments, whole, delta)[0], _p(effect, moments, whole, -delta)[1])
        return PValues(np.stack(superior, axis=-1), np.full(len(outside), np.nan), np.minimum(2 * outside, 1))
    small, reversed_ = (_p(effect, moments, whole, null)[1] for null in (delta, 0.0))
    return PValues(np.stack(superior, axis=-1), small, reversed_)


def _p(effect: Effect, moments: Moments, cells: Truth, null: float) -> tuple[Numbers, Numbers]:
    """p [N] of a mean above, and below `null`: t, or the sign test that is left where nothing varies over the seeds."""
    estimate, se, df = moments.mean(cells)
    gap = estimate - null
    with np.errstate(invalid="ignore", divide="ignore"):
        t = gap / se
        still = se <= STILL * np.maximum(np.abs(estimate), abs(null))
    n = sum(count for count, chosen in zip(effect.contrast.counts, cells, strict=True) if chosen)
    above, below = (
        np.where(still, np.where(sign * gap > 0, 0.5**n, 1.0), special.stdtr(df, -sign * t)) for sign in (1, -1)
    )
    return above, below


def holding(effect: Effect, moments: Moments, adjusted: PValues) -> Found:
    """What holds in N studies, by their moments [N, C] and adjusted p-values."""
    parts = [_part(effect, moments, cells) for _, cells in effect.parts]
    shown = adjusted.superior < ALPHA
    large, alike, agrees = (np.stack([part[place] for part in parts], axis=-1) for place in range(3))
    _, whole = effect.parts[0]
    own, at_one = _at_one_rate(effect.contrast, moments, whole)
    beyond = np.abs(at_one) >= effect.smallest
    if effect.kind == "equivalence":
        small, opposed = np.zeros(len(own), dtype=bool), ~beyond & ~np.isnan(at_one)
    else:
        small, opposed = (adjusted.small < ALPHA) & inside(effect, moments, whole), own * at_one < 0
    backwards = adjusted.reversed < ALPHA
    false = (backwards & ~opposed) | (small & ~beyond)
    confounded = (backwards & opposed) | (small & beyond) | (shown & large & alike & ~agrees)[:, 0]
    return Found(shown, large, alike, agrees, false, confounded & ~false)


def _part(effect: Effect, moments: Moments, cells: Truth) -> tuple[Truth, Truth, Truth]:
    """Whether a part is large enough, alike in all it holds, and not otherwise at one rate, in N studies."""
    own, at_one = _at_one_rate(effect.contrast, moments, cells)
    if effect.kind == "equivalence":
        return np.ones(len(own), dtype=bool), inside(effect, moments, cells), ~(np.abs(at_one) >= effect.smallest)
    means = [mean for _, mean in informed(effect, moments, cells)]
    return (
        moments.mean(cells)[0] >= effect.smallest,
        np.all([mean > 0 for mean in means], axis=0),
        ~(own * at_one < 0),
    )


def informed(effect: Effect, moments: Moments, cells: Truth) -> Iterator[tuple[str, Numbers]]:
    """The means [N] over the informative cells of each dataset and each depth of a part; NaN over none."""
    usable = np.asarray(effect.contrast.informative, dtype=bool)
    return ((name, moments.mean(chosen & usable)[0]) for name, chosen in effect.within(cells))


def _at_one_rate(contrast: Contrast, moments: Moments, cells: Truth) -> tuple[Numbers, Numbers]:
    """Means [N] over the part's cells that were compared at one rate: as they are, and at that rate.

    The seeds of both are the same, so in other studies both move alike.
    """
    known = cells & ~np.isnan(contrast.at_one_rate)
    own = moments.mean(known)[0]
    return own, own + np.mean((contrast.at_one_rate - contrast.moments.estimates)[known]) if known.any() else own


def inside(effect: Effect, moments: Moments, cells: Truth) -> Truth:
    """Whether the 95% interval of every dataset of the part lies within ±δ, in N studies."""
    found = (bounds(moments, chosen) for _, chosen in effect.datasets(cells))
    within: Truth = np.all([np.abs(estimate) + half < effect.smallest for estimate, half in found], axis=0)
    return within


def bounds(moments: Moments, cells: Truth | slice = slice(None)) -> tuple[Numbers, Numbers]:
    """The mean over cells and half its 95% interval."""
    estimate, se, df = moments.mean(cells)
    return estimate, np.where(se > 0, special.stdtrit(df, 0.975) * se, se)


def redrawn(moments: Moments, draws: int, rng: np.random.Generator) -> Moments:
    """A parametric bootstrap [draws, C]: fresh estimates around these, with fresh estimates of their variances."""
    estimates, variances, freedoms = moments
    shape = (draws, *variances.shape)
    noise = rng.normal(size=shape) * np.sqrt(variances)
    spread = rng.chisquare(np.broadcast_to(np.maximum(freedoms, 1), shape)) / np.maximum(freedoms, 1)
    return Moments(estimates + noise.sum(axis=-1), variances * spread, np.broadcast_to(freedoms, shape))
