"""From replicas to a verdict: contrast → effect → verdict, the same way for every statistical claim.

A claim's type only decides the weights of its contrast (difference, trend, threshold) or its pair of tests
(equivalence); the rules are then one. The verdicts exclude each other, and `judge` asserts that they do.
That "reversed" asks for a size and one sign, as "supported" does, was decided after the first results; before, any
significant opposite was enough.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from activation_study.analysis.inference import (
    ALPHA,
    CHANCE_MARGIN,
    MIN_CELLS,
    MIN_SEEDS,
    POWER,
    Interval,
    Test,
    clustered_interval,
    difference_test,
    equivalence_test,
    holm,
    mean_test,
    pooled_sd,
    probability_of_superiority,
    stratified_interval,
)
from activation_study.core.errors import StudyError
from activation_study.core.text import plain, shown

MAX_SEEDS = 10_000
HETEROGENEOUS = "heterogeneous"
"""The reason's first word where datasets differ in sign, which more seeds do not change."""

Side = Literal["for", "against", "small", "open"]
Uninformative = Literal["chance", "target"]


class Outcome(StrEnum):
    """A row's verdict: its icon, whether it speaks for the claim (None: nothing was judged), and its meaning."""

    icon: str
    side: Side | None
    meaning: str

    def __new__(cls, label: str, icon: str = "", side: Side | None = None, meaning: str = "") -> Self:
        # The defaults are for type checkers, which take the look-up Outcome(label) for a call of this.
        member = str.__new__(cls, label)
        member._value_ = label
        member.icon, member.side, member.meaning = icon, side, meaning
        return member

    SUPPORTED = (
        "supported",
        "✓",
        "for",
        "shown in the claimed direction, at least as large as the smallest effect that matters, of the same sign on "
        "every dataset (a rule about the estimate, no proof that the true effect is so large); an equivalence: shown "
        "to lie within that margin",
    )
    HOLDS = "holds as stated", "✓", "for", "follows by computation, whatever the seeds"
    LITTLE_REGRET = (
        "little regret",
        "✓",
        "for",
        "a way to choose that loses no more than the smallest loss that matters, on every dataset",
    )
    REVERSED = "reversed", "✗", "against", "the opposite is shown, by the same rules"
    WRONG = "wrong as stated", "✗", "against", "refuted by computation; the correct statement is given"
    COSTLY = "costly", "✗", "against", "a way to choose that loses more than that, on some dataset"
    NEGLIGIBLE = (
        "negligible",
        "≈",
        "small",
        "what is claimed is shown to be smaller than the smallest effect that matters, if not the other way",
    )
    INCONCLUSIVE = (
        "inconclusive",
        "?",
        "open",
        "neither is shown; what could have been found, and how many seeds would settle it, is given",
    )
    EXPLORATORY = "exploratory", "○", None, "estimated and shown, not judged"
    NOT_TESTED = "not tested", "–", None, "this study has no runs for it"


@dataclass(frozen=True)
class Contrast:
    """One number per cell and seed: `values` [C, S], NaN where a seed is missing.

    `cells` [C] are readable names, `datasets` [C] the dataset of each, `informative` [C] whether its arms can
    tell anything, `diverged` how many of the arms' replicas diverged.
    """

    cells: tuple[str, ...]
    datasets: tuple[str, ...]
    values: NDArray[np.float64]
    informative: NDArray[np.bool_]
    diverged: int


@dataclass(frozen=True)
class Effect:
    """What the ledger prints of a contrast.

    `interval` is the primary one; `clustered` and `informative` (over informative cells only) are sensitivity
    checks. `by_dataset` holds the mean over each dataset's informative cells, NaN where it has none.
    `standardised` is the estimate in seed standard deviations. Tests: `superiority` of Δ ≤ 0, `negligibility`
    of Δ ≥ `smallest` and `reversal` of Δ ≥ 0; for an equivalence TOST, none, and |Δ| ≤ `smallest`.
    """

    kind: Literal["difference", "equivalence"]
    smallest: float
    interval: Interval
    clustered: Interval
    informative: Interval
    by_dataset: Mapping[str, float]
    standardised: float
    superiority_probability: float
    superiority: Test
    negligibility: Test | None
    reversal: Test
    n: int
    cells: int
    informative_cells: int
    seeds: int
    diverged: int


@dataclass(frozen=True)
class Verdict:
    """The outcome, why, Holm's p-values, and what it would take.

    `minimum_detectable` is the true effect found with 80% power at the family's strictest level, and
    `seeds_to_settle` the seeds per cell that bring it down to the smallest effect of interest (None: unknown,
    beyond 10,000, or no matter of seeds).
    """

    outcome: Outcome
    reason: str
    p_superior: float
    p_negligible: float
    p_reversed: float
    minimum_detectable: float
    seeds_to_settle: int | None


def contrast(
    arms: Sequence[pd.DataFrame],
    metric: str,
    *,
    weights: Sequence[float] = (1.0, -1.0),
    offset: float = 0.0,
    cell: Sequence[str] = ("dataset", "depth"),
    uninformative: Uninformative | None = None,
) -> Contrast:
    """Σ_k weights_k · metric(arm k) − offset, per cell and replicate.

    Each arm is a table of evaluation replicas with the columns of `cell` (the dataset first), replicate,
    status and `metric`, one row per cell and replicate. Difference: two arms; trend: an arm per dose and
    `trend_weights`; threshold: one arm, weight 1 and the threshold as `offset`. Negative weights turn the
    claimed direction to positive.

    A cell or replicate that an arm lacks, or whose metric is NaN, is a gap. A cell is uninformative by
    "chance" when all arms' mean test accuracy sits at 1/K (needs test_accuracy, classes), by "target" when no
    replica of any arm reaches it (needs reached).

    Raises:
        StudyError: an arm without the metric, or with two rows for one replica.
    """
    if len(arms) != len(weights):
        raise StudyError(f"contrast of {metric}: {len(arms)} arms, but {len(weights)} weights")
    index = [*cell, "replicate"]
    for arm in arms:
        if metric not in arm:
            raise StudyError(f"contrast: no column {shown(metric)}; there are {plain(', '.join(map(str, arm)), 400)}")
        if arm.duplicated(index).any():
            raise StudyError(f"contrast of {metric}: an arm has two rows for one {' × '.join(index)}")
    indexed = [arm.set_index(index) for arm in arms]
    joined = pd.concat([arm[metric] for arm in indexed], axis=1, join="inner").dropna()
    combined = joined.to_numpy(dtype=float) @ np.asarray(weights, dtype=float) - offset
    table = pd.Series(combined, index=joined.index, dtype=float).unstack("replicate").sort_index()
    keys = [key if isinstance(key, tuple) else (key,) for key in table.index]
    informative = np.ones(len(table), dtype=bool)
    if uninformative is not None:
        usable = [_usable(arm, list(cell), uninformative) for arm in indexed]
        informative = np.any([arm.reindex(table.index).to_numpy() for arm in usable], axis=0)
    return Contrast(
        cells=tuple(_cell_name(key, cell) for key in keys),
        datasets=tuple(str(key[0]) for key in keys),
        values=table.to_numpy(),
        informative=informative,
        diverged=int(sum((arm.loc[joined.index, "status"] == "diverged").sum() for arm in indexed)),
    )


def _usable(arm: pd.DataFrame, cell: list[str], uninformative: Uninformative) -> pd.Series:
    by_cell = arm.groupby(level=cell)
    if uninformative == "target":
        return by_cell["reached"].any().astype(bool)
    return by_cell["test_accuracy"].mean() > 1 / by_cell["classes"].first() + CHANCE_MARGIN


def _cell_name(key: Sequence[object], cell: Sequence[str]) -> str:
    return "/".join([str(key[0]), *(f"{name}={value}" for name, value in zip(cell[1:], key[1:], strict=True))])


def effect(contrast: Contrast, smallest: float, kind: Literal["difference", "equivalence"] = "difference") -> Effect:
    """Estimate and test a contrast against the smallest effect of interest, ≥ 0 (> 0 for an equivalence)."""
    if smallest < 0:
        raise StudyError(f"smallest effect of interest: {smallest} must not be negative")
    values = contrast.values
    known = ~np.isnan(values)
    interval = stratified_interval(values)
    if kind == "equivalence":
        superiority, reversal = equivalence_test(values, smallest), difference_test(values, smallest)
        negligibility = None
    else:
        superiority, reversal = mean_test(values, 0, "greater"), mean_test(values, 0, "less")
        negligibility = mean_test(values, smallest, "less")
    sd = pooled_sd(values)
    return Effect(
        kind=kind,
        smallest=smallest,
        interval=interval,
        clustered=clustered_interval(values),
        informative=stratified_interval(values[contrast.informative]),
        by_dataset=_by_dataset(contrast),
        standardised=interval.estimate / sd if sd > 0 else float("nan"),
        superiority_probability=probability_of_superiority(values),
        superiority=superiority,
        negligibility=negligibility,
        reversal=reversal,
        n=int(known.sum()),
        cells=len(contrast.cells),
        informative_cells=int(contrast.informative.sum()),
        seeds=int(known.sum(axis=1).min(initial=values.shape[1])) if len(values) else 0,
        diverged=contrast.diverged,
    )


def _by_dataset(contrast: Contrast) -> dict[str, float]:
    datasets = np.array(contrast.datasets)
    means = {}
    for dataset in dict.fromkeys(contrast.datasets):
        chosen = (datasets == dataset) & contrast.informative
        means[dataset] = stratified_interval(contrast.values[chosen]).estimate
    return means


def judge(family: Mapping[str, Effect]) -> dict[str, Verdict]:
    """The verdict on every claim of one family: Holm's correction is over these rows, and within each test.

    Give the article's statistical rows as one family, all of them, with an effect of no cells for a row that
    has no data (it keeps its place); claims that a user adds are a family, and a call, of their own.
    """
    effects = list(family.values())
    superior = holm([effect.superiority.p for effect in effects]).tolist()
    negligible = holm([effect.negligibility.p if effect.negligibility else np.nan for effect in effects]).tolist()
    reversed_ = holm([effect.reversal.p for effect in effects]).tolist()
    level = ALPHA / max(len(effects), 1)
    rows = zip(family, effects, superior, negligible, reversed_, strict=True)
    return {name: _verdict(effect, above, small, below, level) for name, effect, above, small, below in rows}


def _verdict(effect: Effect, superior: float, negligible: float, reversed_: float, level: float) -> Verdict:
    outcome, reason = _outcome(effect, superior, negligible, reversed_)
    power = (1 + POWER) / 2 if effect.kind == "equivalence" else POWER  # at zero, both tests of a TOST must pass
    return Verdict(
        outcome=outcome,
        reason=reason,
        p_superior=superior,
        p_negligible=negligible,
        p_reversed=reversed_,
        minimum_detectable=minimum_detectable_effect(effect.interval, level, power),
        seeds_to_settle=None if reason.startswith(HETEROGENEOUS) else seeds_to_settle(effect, level, power),
    )


def _outcome(effect: Effect, p_superior: float, p_negligible: float, p_reversed: float) -> tuple[Outcome, str]:
    estimate, smallest = effect.interval.estimate, effect.smallest
    shown, backwards, small = p_superior < ALPHA, p_reversed < ALPHA, p_negligible < ALPHA
    ahead, behind = (all(sign * mean > 0 for mean in effect.by_dataset.values()) for sign in (1, -1))
    tost = effect.kind == "equivalence"
    supported = shown and (tost or (estimate >= smallest and ahead))
    reversed_ = backwards and (tost or (estimate <= -smallest and behind))
    negligible = small and not reversed_ and (behind or not backwards)
    assert supported + reversed_ + negligible <= 1, f"verdicts overlap: {effect}"

    if effect.informative_cells < MIN_CELLS:
        counted = f"{effect.informative_cells} of {effect.cells}"
        return Outcome.INCONCLUSIVE, f"too few cells: {counted} are informative, {MIN_CELLS} are needed"
    if effect.seeds < MIN_SEEDS:
        return Outcome.INCONCLUSIVE, f"too few seeds: {effect.seeds} in some cell, {MIN_SEEDS} are the least"
    if supported:
        return Outcome.SUPPORTED, "equivalent within the margin" if tost else "as claimed"
    if reversed_:
        return Outcome.REVERSED, "outside the margin" if tost else "the opposite holds"
    if negligible:
        return Outcome.NEGLIGIBLE, "smaller than the smallest effect of interest" + ", and the other way" * backwards
    if shown and estimate < smallest:
        return Outcome.INCONCLUSIVE, "below δ: the effect is there, but not shown to be large or small"
    if shown or backwards:
        sign = 1 if shown else -1
        against = [name for name, mean in effect.by_dataset.items() if sign * mean <= 0]
        unknown = [name for name, mean in effect.by_dataset.items() if np.isnan(mean)]
        if against:
            return Outcome.INCONCLUSIVE, f"{HETEROGENEOUS}: not the same sign in {', '.join(against)}"
        return Outcome.INCONCLUSIVE, f"no informative cell of {', '.join(unknown)}"
    return Outcome.INCONCLUSIVE, "too wide: neither an effect nor its absence is shown"


def minimum_detectable_effect(interval: Interval, level: float, power: float = POWER) -> float:
    """The effect that a one-sided test at `level` finds with that power, at the interval's SE and df."""
    return float((stats.t.isf(level, interval.df) + stats.t.ppf(power, interval.df)) * interval.se)


def seeds_to_settle(effect: Effect, level: float, power: float = POWER) -> int | None:
    """Seeds per cell that bring the minimum detectable effect down to the smallest effect of interest.

    Then a true effect of that size is told from none, and none from that size, with that power each. The seed
    variance is taken as it is; None where it is unknown or 10,000 seeds do not suffice.
    """
    interval = effect.interval
    if not (interval.se > 0 and effect.smallest > 0 and effect.seeds > 1):
        return None
    seeds = np.arange(2, MAX_SEEDS + 1)
    average = effect.n / effect.cells
    df = interval.df * (seeds - 1) / (average - 1)
    se = interval.se * np.sqrt(average / seeds)
    enough = (stats.t.isf(level, df) + stats.t.ppf(power, df)) * se <= effect.smallest
    return int(seeds[enough.argmax()]) if enough.any() else None
