"""The ledger: every row of a claims file with its verdict, from the tables of a study.

The contrast, its tests and the verdict rules are those of `verdicts`; here the arms are found, and the rows of one
file judged as one family.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from activation_study.analysis.inference import Interval, Test, stratified_interval, trend_weights
from activation_study.analysis.policies import cells_of, median_width, step_costs
from activation_study.claims.bounds import bound
from activation_study.claims.exact import COMPUTATIONS
from activation_study.claims.file import CELL, Claims
from activation_study.claims.metrics import COST, KEY, METRICS
from activation_study.claims.rows import STATISTICAL, Row, told
from activation_study.claims.verdicts import Contrast, Effect, Outcome, Verdict, contrast, effect, judge
from activation_study.core.errors import StudyError
from activation_study.core.text import plain
from activation_study.cost.measure import BESIDE
from activation_study.tables.of_study import Tables

NAN = float("nan")
LEDGER_COLUMNS = (
    "family", "article", "claim", "row", "quote", "section", "test", "type", "experiment", "metric", "unit", "verdict",
    "reason", "estimate", "low", "high", "clustered_low", "clustered_high", "informative_estimate", "standardised",
    "superiority_probability", "p_superior", "p_negligible", "p_reversed", "p_superior_raw", "n", "cells",
    "informative_cells", "seeds", "diverged", "threshold", "smallest", "smallest_reason", "minimum_detectable",
    "seeds_to_settle", "known", "source", "correction",
)  # fmt: skip
COUNTS = ("n", "cells", "informative_cells", "seeds", "diverged", "seeds_to_settle")
_ARM_COLUMNS = ["run", *CELL, "replicate", "status", "classes", "reached", "test_accuracy"]
CELL_COLUMNS = ("family", "row", "cell", "dataset", "estimate", "low", "high", "n", "informative")


@dataclasses.dataclass(frozen=True)
class Ledger:
    """`rows`: LEDGER_COLUMNS, one per row of the file; `cells`: CELL_COLUMNS, one per row and cell.

    Estimates and intervals are positive in the direction that the claim says, and in the metric's unit; those of a
    threshold are distances from it, that of an exact row is the computed number. p-values are Holm's, but for
    `p_superior_raw`. The cells of a cost are widths.
    """

    rows: pd.DataFrame
    cells: pd.DataFrame
    sha256: str


@dataclasses.dataclass(frozen=True)
class _Found:
    """What the tables hold on a row: its effect, its cells, why there is nothing, or why the estimate is a bound."""

    effect: Effect
    cells: Sequence[dict[str, Any]]
    missing: str = ""
    bound: str = ""


def evaluate(claims: Claims, tables: Mapping[str, pd.DataFrame]) -> Ledger:
    """The verdicts on one family.

    A row that the study has no runs for is inconclusive, and keeps its place in the family.

    Args:
        tables: runs, experiments, cost if a row is a policy, and whichever of curves, layers, measurements and cost
            the metrics need.

    Raises:
        StudyError: an arm that fits more than one run of a cell; it names the row.
    """
    source = Tables(tables)
    found = {row.id: _find(row, source) for row in claims.rows if row.type not in ("exact", "policy")}
    verdicts = judge({row.id: found[row.id].effect for row in claims.rows if row.type in STATISTICAL})
    for row in claims.rows:
        if row.check:
            verdicts[row.id] = _checked(verdicts[row.id], row.check, found[row.check].effect.interval)
    rows, cells = [], []
    for row in claims.rows:
        if row.computation is not None:
            values = _exact(row.computation)
        elif row.type == "policy":
            values, of_cells = _policy(row, source)
            cells += [{"row": row.id} | cell for cell in of_cells]
        else:
            values = _statistical(row, found[row.id], verdicts.get(row.id))
            cells += [{"row": row.id} | cell for cell in found[row.id].cells]
        rows.append(_about(row) | values)
    return Ledger(
        pd.DataFrame(rows)
        .reindex(columns=LEDGER_COLUMNS)
        .assign(family=claims.family, article=claims.article)
        .astype(dict.fromkeys(COUNTS, "Int64")),
        pd.DataFrame(cells, columns=CELL_COLUMNS).assign(family=claims.family),
        claims.sha256,
    )


def _checked(verdict: Verdict, check: str, interval: Interval) -> Verdict:
    """Without a verdict where the runs do not differ in what the claim is about, whatever else differs between them."""
    if verdict.outcome is Outcome.INCONCLUSIVE:
        return verdict
    if interval.low > 0:
        return dataclasses.replace(verdict, reason=f"{verdict.reason}; its check, {check}, holds")
    reason = f"its check, {check}, does not hold: the runs are not shown to differ in what the claim is about"
    return dataclasses.replace(verdict, outcome=Outcome.INCONCLUSIVE, reason=reason, seeds_to_settle=None)


def _about(row: Row) -> dict[str, Any]:
    unit = "log ratio" if row.metric == COST else METRICS[row.metric].unit if row.metric else ""
    about = {name: getattr(row.claim, name) for name in ("quote", "section", "known", "source", "correction")}
    return about | {
        "claim": row.claim.id,
        "row": row.id,
        "test": row.test,
        "type": row.type,
        "experiment": row.experiment or "",
        "metric": row.metric or row.computation or "",
        "unit": unit,
        "threshold": NAN if row.threshold is None else row.threshold,
        "smallest": row.smallest if row.type in (*STATISTICAL, "policy") else NAN,
        "smallest_reason": row.reason or "",
    }


def _exact(computation: str) -> dict[str, Any]:
    exact = COMPUTATIONS[computation]()
    verdict = Outcome.HOLDS if exact.holds else Outcome.WRONG
    return {"verdict": verdict, "reason": exact.text, "estimate": exact.value, "unit": exact.unit}


def _statistical(row: Row, found: _Found, verdict: Verdict | None) -> dict[str, Any]:
    of = found.effect
    values = {
        "estimate": of.interval.estimate,
        "low": of.interval.low,
        "high": of.interval.high,
        "clustered_low": of.clustered.low,
        "clustered_high": of.clustered.high,
        "informative_estimate": of.informative.estimate,
        "standardised": of.standardised,
        "superiority_probability": of.superiority_probability,
        **{name: getattr(of, name) for name in ("n", "cells", "informative_cells", "seeds", "diverged")},
    }
    if verdict is None:
        described = {"verdict": Outcome.EXPLORATORY, "reason": _said("estimated, not judged", found.bound)}
        return values | ({"verdict": Outcome.NOT_TESTED, "reason": found.missing} if found.missing else described)
    return values | {
        "verdict": verdict.outcome,
        "reason": found.missing or _said(verdict.reason, found.bound),
        "p_superior": verdict.p_superior,
        "p_negligible": verdict.p_negligible if of.negligibility else NAN,
        "p_reversed": verdict.p_reversed,
        "p_superior_raw": of.superiority.p,
        "minimum_detectable": verdict.minimum_detectable,
        "seeds_to_settle": NAN if verdict.seeds_to_settle is None else verdict.seeds_to_settle,
    }


def _said(*parts: str) -> str:
    return "; ".join(filter(None, parts))


def _find(row: Row, tables: Tables) -> _Found:
    if row.metric == COST:
        return _find_cost(row, tables["cost"])
    assert row.metric  # only policies and computations have none
    metric = METRICS[row.metric]
    replicas, missing = _replicas(row, tables, metric.role)
    weights, arms = [], []
    for index, factors in row.crossed():
        chosen = _chosen(row, replicas, factors)
        if chosen.empty and not missing:
            missing = f"not in this study: no runs of {told(factors)}"
        arms.append(chosen)
        weights.append(_weights(row)[index] * len(row.arms) / len(row.crossed()))
    wanted = replicas[replicas["run"].isin(pd.concat([arm["run"] for arm in arms]))]
    values = metric.values(tables, wanted, row.options.given).astype({"run": wanted["run"].dtype, "replicate": "int64"})
    known = [name for name in values if name not in KEY]
    arms = [arm.drop(columns=known, errors="ignore").merge(values, on=KEY, how="left") for arm in arms]
    made = contrast(
        arms,
        "value",
        weights=weights,
        offset=_sign(row) * (row.threshold or 0.0),
        cell=CELL,
        uninformative=metric.uninformative,
    )
    if not missing and not made.cells:
        missing = "no data"
    judged = effect(made, row.smallest, "equivalence" if row.type == "equivalence" else "difference")
    return _Found(judged, _cells(made), missing, bound(arms, weights) if metric.uninformative == "target" else "")


def _weights(row: Row) -> list[float]:
    sign = _sign(row)
    if row.form == "trend":
        return [sign * weight for weight in trend_weights([arm.dose for arm in row.arms if arm.dose is not None])]
    if row.form == "threshold":
        return [sign / len(row.arms)] * len(row.arms)
    return [sign * arm.weight for arm in row.arms if arm.weight is not None] or [sign, -sign]


def _sign(row: Row) -> float:
    return 1.0 if row.direction == "greater" else -1.0


def _replicas(row: Row, tables: Tables, role: str) -> tuple[pd.DataFrame, str]:
    """The replicas of the row's experiment with the factors of `where`, and why there are none, if so.

    Tuning replicas at all their learning rates, evaluation replicas at the selected one.
    """
    experiments, runs = tables["experiments"], tables["runs"]
    names = experiments.loc[experiments["experiment"] == row.experiment, "run"]
    if names.empty:
        return runs.iloc[:0], "not in this study"
    here = [runs["run"].isin(names), *(_matching(runs, name, values) for name, values in row.where.items())]
    asked = runs[np.logical_and.reduce(here)]
    lost = asked["status"].isin(["no_data"] if role == "tuning" else ["no_data", "pruned"])
    replicas = asked[~lost & (asked["role"] == role)]
    if asked.empty:
        return replicas, "not in this study"
    return replicas, "" if len(replicas) else "no data"


def _matching(runs: pd.DataFrame, factor: str, values: Sequence[Any]) -> pd.Series:
    found = runs[factor].isin([value for value in values if value is not None])
    return found | runs[factor].isna() if None in values else found


def _chosen(row: Row, replicas: pd.DataFrame, factors: Mapping[str, Any]) -> pd.DataFrame:
    """An arm, one row per cell and replicate; of tuning replicas, with many rates, one that diverged if any did."""
    here = [_matching(replicas, factor, [value]) for factor, value in factors.items()]
    replicas = replicas.loc[np.logical_and.reduce(here), _ARM_COLUMNS] if here else replicas[_ARM_COLUMNS]
    runs = replicas.drop_duplicates("run")
    twice = runs[runs.duplicated(list(CELL), keep=False)]
    if len(twice):
        raise StudyError(
            f"claim {row.id}.arms: {plain(told(factors))} fits several runs of one cell: "
            f"{plain(', '.join(twice['run'].head(2)))}; "
            f"another factor must tell them apart"
        )
    by_status = replicas.sort_values("status", key=lambda status: status != "diverged", kind="stable")
    return by_status.drop_duplicates(KEY).sort_index()


def _cells(made: Contrast) -> list[dict[str, Any]]:
    rows = []
    for name, dataset, values, informative in zip(
        made.cells, made.datasets, made.values, made.informative, strict=True
    ):
        interval = stratified_interval(values[None])
        rows.append(
            {
                "cell": name,
                "dataset": dataset,
                "estimate": interval.estimate,
                "low": interval.low,
                "high": interval.high,
                "n": int((~np.isnan(values)).sum()),
                "informative": bool(informative),
            }
        )
    return rows


def _find_cost(row: Row, cost: pd.DataFrame) -> _Found:
    cost = cost[cost["quantity"] == row.options.quantity]
    weights = _weights(row)
    parts = []
    for index, factors in row.crossed():
        rows = cost[cost["activation"] == factors["activation"]].set_index("width")
        logs = np.log(rows[["ratio_to_relu", "ratio_low", "ratio_high"]].astype(float))
        se = (logs["ratio_high"] - logs["ratio_low"]) / (2 * stats.norm.ppf(0.975))
        share = weights[index] * len(row.arms) / len(row.crossed())
        # ReLU beside itself differs by timing noise only: it is the unit, not a measurement.
        itself = factors["activation"] == "relu" and row.options.quantity not in BESIDE
        known = 0.0 if itself else 1.0
        moments = {"estimate": share * known * logs["ratio_to_relu"], "variance": (share * known * se) ** 2}
        parts.append(pd.DataFrame(moments | {"pairs": rows["pairs"]}))
    widths = sorted(set.intersection(*(set(part.index) for part in parts)))
    missing = "" if widths else "not in this study"
    parts = [part.loc[widths] for part in parts]
    estimate = sum(part["estimate"] for part in parts).to_numpy(dtype=float) - _sign(row) * (row.threshold or 0.0)
    variance = sum(part["variance"] for part in parts).to_numpy(dtype=float)
    pairs = np.min([part["pairs"] for part in parts], axis=0) if widths else np.zeros(0)
    names = [f"width={width}" for width in widths]
    cells = [
        {"cell": name, "dataset": "", "estimate": e, "low": e - h, "high": e + h, "n": int(n), "informative": True}
        for name, e, h, n in zip(names, estimate, stats.norm.ppf(0.975) * np.sqrt(variance), pairs, strict=True)
    ]
    return _Found(cost_effect(names, estimate, variance, pairs, row.smallest), cells, missing)


def cost_effect(
    names: Sequence[str], estimate: np.ndarray, variance: np.ndarray, pairs: np.ndarray, smallest: float
) -> Effect:
    """The effect of a log ratio of costs: cells are widths [C], and their variances come from the ratios' intervals.

    The timings are no replicas, so it has no seeds of its own: n counts timed pairs, and the clustered interval,
    the standardised effect and P(A > B) are unknown. Satterthwaite's degrees of freedom, pairs - 1 per width.
    """
    count = len(names)
    mean = float(estimate.mean()) if count else NAN
    total = variance.sum()
    se = float(np.sqrt(total)) / count if count else NAN
    df = float(total**2 / (variance**2 / (pairs - 1)).sum()) if count and total > 0 else NAN
    half = float(stats.t.ppf(0.975, df) * se)
    interval = Interval(mean, mean - half, mean + half, se, df)

    def test(null: float, alternative: str) -> Test:
        t = (mean - null) / se if se > 0 else NAN
        return Test(float(stats.t.sf(t, df) if alternative == "greater" else stats.t.cdf(t, df)), "t", t, df)

    return Effect(
        kind="difference",
        smallest=smallest,
        interval=interval,
        clustered=Interval(NAN, NAN, NAN),
        informative=interval,
        by_dataset=dict(zip(names, estimate.tolist(), strict=True)),
        standardised=NAN,
        superiority_probability=NAN,
        superiority=test(0.0, "greater"),
        negligibility=test(smallest, "less"),
        reversal=test(0.0, "less"),
        n=int(pairs.sum()),
        cells=count,
        informative_cells=count,
        seeds=int(pairs.min(initial=10**9)) if count else 0,
        diverged=0,
    )


def _policy(row: Row, tables: Tables) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Regret of the policy in each cell: test accuracy of the activation that is best on tuning seeds, minus its own.

    The policies, their costs and their regret are those of `policies`, so that the ledger and the page's regrets have
    one set of numbers.
    """
    tuning, missing = _replicas(row, tables, "tuning")
    scored, _ = _replicas(row, tables, "evaluation")
    runs = pd.concat([tuning, scored])
    found = sorted(cells_of(runs), key=lambda cell: (cell.dataset, cell.depth, cell.name))
    several = len({(cell.dataset, cell.depth) for cell in found}) < len(found)
    costs = step_costs(tables["cost"], median_width(runs))["ratio_to_relu"].to_dict()
    cells: list[dict[str, Any]] = []
    for cell in found:
        if names := row.policy.tries(cell, costs):
            name = cell.name if several else f"{cell.dataset}/depth={cell.depth}"
            about = {"cell": name, "dataset": cell.dataset, "n": cell.n, "informative": True}
            cells.append(about | {"estimate": cell.regret(names), "low": NAN, "high": NAN})
    by_dataset = pd.DataFrame(cells, columns=["dataset", "estimate"]).groupby("dataset")["estimate"].mean()
    values = {"estimate": float(by_dataset.mean()), "n": sum(cell["n"] for cell in cells), "cells": len(cells)}
    return values | _policy_verdict(by_dataset, row.smallest, missing) | {"unit": "fraction"}, cells


def _policy_verdict(regret: pd.Series, smallest: float, missing: str) -> dict[str, str]:
    """Every dataset decides by itself: no interval and no test over a few of them.

    Args:
        regret: mean over a dataset's cells, by dataset.
    """
    if regret.empty:
        return {"verdict": Outcome.NOT_TESTED, "reason": missing or "no data"}
    shown = ", ".join(f"{100 * value:z.1f} points on {name}" for name, value in regret.items())
    costly = bool((regret > smallest).any())
    return {"verdict": Outcome.COSTLY if costly else Outcome.LITTLE_REGRET, "reason": f"without a test: {shown}"}
