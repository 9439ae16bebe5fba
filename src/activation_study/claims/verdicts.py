"""From effects to verdicts, the same way for every statistical claim.

A claim's type only decides the weights of its contrast (difference, trend, threshold) or its pair of tests
(equivalence); the rules are then one (`rules`), and a verdict is one of four: true, partly, false, open. Until the
learning rate's choice was in the intervals there were others: "reversed" and "negligible" are both false now, the first
whatever its size, the second only where every dataset's interval lies within the margin.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from activation_study.analysis.inference import ALPHA, MIN_CELLS, MIN_SEEDS, MIN_TUNING, POWER, Interval, holm
from activation_study.analysis.tuned import Moments
from activation_study.claims.outcomes import Outcome
from activation_study.claims.rules import ORDER, Effect, Found, PValues, bounds, holding, informed, p_values, redrawn

MAX_SEEDS = 10_000
DRAWS = 400
"""Of the parametric bootstrap."""
ONE_SEED = "one seed decides"
NO_SEEDS_SETTLE = ("cells disagree", "rates confound", "no informative cell", "too few cells")
"""First words of the reasons which more seeds do not change."""


@dataclass(frozen=True)
class Verdict:
    """The outcome, why, Holm's p-values, and what it would take.

    `where` names the depths and datasets of a claim that is partly true. `minimum_detectable` is the true effect found
    with 80% power at the family's strictest level, and `seeds_to_settle` the evaluation seeds per cell, with tuning
    seeds in proportion, that bring it down to the smallest effect of interest (None: unknown, beyond 10,000, or no
    matter of seeds). `same` is the probability of the same outcome with fresh seeds, NaN where too little was run.
    """

    outcome: Outcome
    reason: str
    where: tuple[str, ...] = ()
    p_superior: float = field(kw_only=True)
    p_negligible: float = field(kw_only=True)
    p_reversed: float = field(kw_only=True)
    minimum_detectable: float = field(kw_only=True)
    seeds_to_settle: int | None = field(kw_only=True)
    same: float = field(kw_only=True)


class Family:
    """The rows that Holm's correction is over, each with the tests of all its parts."""

    def __init__(self, effects: Sequence[Effect]) -> None:
        self._effects = effects
        self._raw = [p_values(effect, effect.contrast.moments.several()) for effect in effects]
        ends = np.cumsum([0, *(len(effect.parts) for effect in effects)])
        self._columns = [slice(start, end) for start, end in pairwise(ends)]

    @property
    def size(self) -> int:
        """How many there are of Δ ≤ 0."""
        return self._columns[-1].stop if self._columns else 0

    def observed(self, place: int) -> PValues:
        """The adjusted p-values of a row of the study."""
        return self.adjusted(place, {place: self._raw[place]})

    def adjusted(self, place: int, others: Mapping[int, PValues]) -> PValues:
        """The adjusted p-values of one row in N studies, in which these rows have other p-values."""
        raw = [others.get(number, own) for number, own in enumerate(self._raw)]
        studies = max(len(one.small) for one in raw)
        superior = np.concatenate([_rows(one.superior, studies) for one in raw], axis=1)
        small, backwards = (
            np.stack([_rows(p, studies) for p in ps], axis=1)
            for ps in ([one.small for one in raw], [one.reversed for one in raw])
        )
        return PValues(holm(superior)[:, self._columns[place]], holm(small)[:, place], holm(backwards)[:, place])


def _rows(p: NDArray[np.float64], studies: int) -> NDArray[np.float64]:
    return np.broadcast_to(p, (studies, *p.shape[1:])) if len(p) < studies else p


def judge(family: Mapping[str, Effect], checks: Mapping[str, tuple[str, Effect]] | None = None) -> dict[str, Verdict]:
    """The verdict on every claim of one family: Holm's correction is over all their tests, of every kind apart.

    Give the article's statistical rows as one family, all of them, with an effect of no cells for a row that
    has no data (it keeps its place); claims that a user adds are a family, and a call, of their own.

    Args:
        checks: of some rows the name and the effect of what must be above zero, lest they be open.
    """
    effects, checks = list(family.values()), checks or {}
    judged, rng = Family(effects), np.random.default_rng(0)
    draws = [redrawn(effect.contrast.moments, DRAWS, rng) for effect in effects]
    fresh = {place: p_values(effect, draws[place]) for place, effect in enumerate(effects)}
    verdicts = {}
    for place, (name, effect) in enumerate(family.items()):
        verdict, code = _verdict(effect, judged, place)
        if code is not None:
            codes = holding(effect, draws[place], judged.adjusted(place, fresh)).codes
            check = checks.get(name)
            if check is not None:
                verdict, holds = _checked(verdict, *check), _holds_again(check[1], rng)
                codes, code = np.where(holds, codes, 3), code if _holds(check[1]) else 3
            verdict = replace(verdict, same=float(np.mean(codes == code)))
        verdicts[name] = verdict
    return verdicts


def _verdict(effect: Effect, family: Family, place: int) -> tuple[Verdict, int | None]:
    """A row's verdict, and its outcome's code before a seed is left out; None where too little was run."""
    contrast, adjusted = effect.contrast, family.observed(place)
    power = (1 + POWER) / 2 if effect.kind == "equivalence" else POWER  # at zero, both tests of a TOST must pass
    level = ALPHA / family.size
    numbers = {
        "p_superior": float(adjusted.superior[0, 0]),
        "p_negligible": float(adjusted.small[0]),
        "p_reversed": float(adjusted.reversed[0]),
        "minimum_detectable": minimum_detectable_effect(contrast.of_all, level, power),
        "same": float("nan"),
    }
    code, where = None, tuple[str, ...]()
    if reason := _too_little(effect):
        outcome = Outcome.OPEN
    else:
        found = holding(effect, contrast.moments.several(), adjusted)
        code = int(found.codes[0])
        outcome, reason, where = _outcome(effect, found, family, place)
    seeds = None if reason.startswith(NO_SEEDS_SETTLE) else seeds_to_settle(effect, level, power)
    return Verdict(outcome, reason, where, seeds_to_settle=seeds, **numbers), code


def _too_little(effect: Effect) -> str:
    """Why nothing can be judged, if so."""
    contrast = effect.contrast
    informative = int(np.sum(contrast.informative))
    if informative < MIN_CELLS:
        return f"too few cells: {informative} of {len(contrast.cells)} are informative, {MIN_CELLS} are needed"
    if contrast.seeds_each < MIN_SEEDS:
        return f"too few seeds: {contrast.seeds_each} in some cell, {MIN_SEEDS} are the least"
    if 0 < contrast.tuning < MIN_TUNING:
        return f"too few seeds: {contrast.tuning} chose the learning rate, {MIN_TUNING} are the least"
    return ""


def _outcome(effect: Effect, found: Found, family: Family, place: int) -> tuple[Outcome, str, tuple[str, ...]]:
    code, contrast = int(found.codes[0]), effect.contrast
    outcome = ORDER[code]
    if outcome is Outcome.OPEN:
        return outcome, _why_open(effect, found, family.observed(place)), ()
    kept = found.true[0]
    if contrast.seeds:
        without = family.adjusted(place, {place: p_values(effect, contrast.without)})
        left = holding(effect, contrast.without, without)
        if (left.codes != code).any():
            seed = int((left.codes != code).argmax())
            said = f"{ONE_SEED}: {outcome}, but {ORDER[left.codes[seed]]} without {contrast.seeds[seed]}"
            return Outcome.OPEN, said, ()
        kept = kept & left.true.all(axis=0)
    names = tuple(name for (name, _), true in zip(effect.parts, kept, strict=True) if name and true)
    if outcome is Outcome.PARTLY:
        if not names:
            return Outcome.OPEN, f"{ONE_SEED}: where it is true changes with a seed", ()
        return outcome, f"true {', '.join(names)}, and {_elsewhere(effect, names)}", names
    if outcome is Outcome.TRUE:
        return outcome, "equivalent within the margin" if effect.kind == "equivalence" else "as claimed", ()
    adjusted = family.observed(place)
    if adjusted.reversed[0] < ALPHA:
        return outcome, "outside the margin" if effect.kind == "equivalence" else "the opposite holds", ()
    return outcome, "smaller than the smallest effect of interest, on every dataset", ()


def _elsewhere(effect: Effect, names: Sequence[str]) -> str:
    """What a claim that is partly true is at the depths and on the datasets where it is not: by their own intervals."""
    others = {name: bounds(effect.contrast.moments, cells) for name, cells in effect.parts[1:] if name not in names}
    opposite = [
        name for name, (estimate, half) in others.items() if effect.kind == "difference" and estimate + half < 0
    ]
    said = f"the other way {', '.join(opposite)}"
    if len(opposite) == len(others):
        return said
    return f"{said}; not shown elsewhere" if opposite else "not shown elsewhere"


def _why_open(effect: Effect, found: Found, adjusted: PValues) -> str:
    """The first of the rules' conditions that fails."""
    whole, moments = effect.parts[0][1], effect.contrast.moments.several()
    shown, large, alike = (bool(column[0, 0]) for column in found[:3])
    if found.confounded[0]:
        return "rates confound: with all arms of a cell at one learning rate it is otherwise"
    means = {name: float(mean[0]) for name, mean in informed(effect, moments, whole)}
    if unknown := [name for name, mean in means.items() if np.isnan(mean)]:
        return f"no informative cell {', '.join(unknown)}"
    if (shown and effect.kind == "equivalence") or adjusted.small[0] < ALPHA:
        return _not_small_everywhere(effect, moments)
    if shown and not alike:
        return f"cells disagree: not the same sign {', '.join(name for name, mean in means.items() if mean <= 0)}"
    if shown and not large:
        return "below δ: the effect is there, but not shown to be large or small"
    return "too wide: neither an effect nor its absence is shown"


def _not_small_everywhere(effect: Effect, moments: Moments) -> str:
    """Why what is small over all cells is not shown to be so on every dataset."""
    found = {name: bounds(moments, cells) for name, cells in effect.datasets(effect.parts[0][1])}
    if beyond := [name for name, (estimate, _) in found.items() if abs(estimate[0]) >= effect.smallest]:
        return f"cells disagree: small over all, but not {', '.join(beyond)}"
    wide = [name for name, (estimate, half) in found.items() if not abs(estimate[0]) + half[0] < effect.smallest]
    return f"too wide: small over all, but not shown to be so {', '.join(wide)}"


def _holds(check: Effect) -> bool:
    return check.contrast.of_all.low > 0


def _holds_again(check: Effect, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Whether a check holds, in DRAWS studies with fresh seeds."""
    if not check.contrast.cells:
        return np.zeros(DRAWS, dtype=bool)
    estimate, half = bounds(redrawn(check.contrast.moments, DRAWS, rng))
    return np.asarray(estimate - half > 0)


def _checked(verdict: Verdict, name: str, check: Effect) -> Verdict:
    """Open where the runs are not shown to differ in what the claim is about, whatever else differs between them.

    The manipulation has failed where the check's interval lies below zero, or below its smallest effect of interest if
    it has one; otherwise the check is too wide.
    """
    interval = check.contrast.of_all
    if _holds(check):
        return replace(verdict, reason=f"{verdict.reason}; its check, {name}, holds")
    if interval.high < max(check.smallest, np.finfo(float).tiny):
        reason = f"the manipulation failed: its check, {name}, shows that the runs do not differ in what is claimed"
        return replace(verdict, outcome=Outcome.OPEN, where=(), reason=reason, seeds_to_settle=None)
    reason = f"want of power: its check, {name}, is too wide to show whether the runs differ in what is claimed"
    seeds = seeds_to_settle(check, ALPHA / 2)
    return replace(verdict, outcome=Outcome.OPEN, where=(), reason=reason, seeds_to_settle=seeds)


def minimum_detectable_effect(interval: Interval, level: float, power: float = POWER) -> float:
    """The effect that a one-sided test at `level` finds with that power, at the interval's SE and df."""
    return float((stats.t.isf(level, interval.df) + stats.t.ppf(power, interval.df)) * interval.se)


def seeds_to_settle(effect: Effect, level: float, power: float = POWER) -> int | None:
    """Evaluation seeds per cell that bring the minimum detectable effect down to the smallest effect of interest.

    Then a true effect of that size is told from none, and none from that size, with that power each. Tuning seeds grow
    in proportion, and variances are taken as they are; None where they are unknown or 10,000 seeds do not suffice.
    """
    interval, contrast = effect.contrast.of_all, effect.contrast
    if not (interval.se > 0 and effect.smallest > 0 and contrast.seeds_each > 1):
        return None
    seeds = np.arange(2, MAX_SEEDS + 1)
    average = contrast.n / len(contrast.cells)
    df = interval.df * (seeds - 1) / (average - 1)
    se = interval.se * np.sqrt(average / seeds)
    enough = (stats.t.isf(level, df) + stats.t.ppf(power, df)) * se <= effect.smallest
    return int(seeds[enough.argmax()]) if enough.any() else None
