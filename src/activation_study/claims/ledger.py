"""The ledger: every row of a claims file with its verdict, from the tables of a study.

The contrast, its tests and the verdict rules are those of `verdicts`; here the arms are found, and the rows of one
file judged as one family.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd

from activation_study.analysis.choices import Choices
from activation_study.analysis.inference import trend_weights
from activation_study.analysis.policies import median_width, step_costs
from activation_study.analysis.situations import Cell, cells_of
from activation_study.claims.bounds import bound
from activation_study.claims.contrasts import Contrast, contrast
from activation_study.claims.costs import cost_contrast
from activation_study.claims.exact import COMPUTATIONS
from activation_study.claims.file import CELL, Claims
from activation_study.claims.metrics import COST, KEY, METRICS, SEED, Metric
from activation_study.claims.outcomes import Outcome
from activation_study.claims.rows import STATISTICAL, Row, told
from activation_study.claims.rules import Effect, p_values
from activation_study.claims.verdicts import ONE_SEED, Verdict, judge
from activation_study.core.errors import StudyError
from activation_study.core.text import plain
from activation_study.tables.of_study import Tables

NAN = float("nan")
LEDGER_COLUMNS = (
    "family", "article", "claim", "row", "quote", "section", "test", "type", "experiment", "metric", "unit", "verdict",
    "reason", "where", "estimate", "low", "high", "trained_estimate", "trained_low", "trained_high", "lowest",
    "lowest_without", "highest", "highest_without", "one_rate_estimate", "one_rate_low", "one_rate_high",
    "one_rate_cells", "random_low", "random_high", "new_low", "new_high", "informative_estimate", "standardised",
    "superiority_probability", "p_superior", "p_negligible", "p_reversed", "p_superior_raw", "same_verdict", "n",
    "cells", "informative_cells", "seeds", "tuning_seeds", "diverged", "networks", "threshold", "smallest",
    "smallest_reason", "minimum_detectable", "seeds_to_settle", "known", "source", "correction", "decided",
)  # fmt: skip
TEXTS = ("where", "lowest_without", "highest_without")
COUNTS = (
    "one_rate_cells", "n", "cells", "informative_cells", "seeds", "tuning_seeds", "diverged", "networks",
    "seeds_to_settle",
)  # fmt: skip
_ARM_COLUMNS = ["run", *CELL, *KEY[1:], "status", "classes", "reached", "test_accuracy"]
CELL_COLUMNS = ("family", "row", "cell", "dataset", "estimate", "low", "high", "n", "informative", "by_seed")


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
    """What the tables hold on a row: its effect, why there is nothing, or why the estimate is a bound."""

    effect: Effect
    missing: str = ""
    bound: str = ""


def evaluate(claims: Claims, tables: Mapping[str, pd.DataFrame]) -> Ledger:
    """The verdicts on one family.

    A row that the study has no runs for is open, and keeps its place in the family.

    Args:
        tables: runs, experiments, cost if a row is a policy, and whichever of curves, layers, measurements and cost
            the metrics need.

    Raises:
        StudyError: an arm that fits more than one run of a cell; arms with different numbers of seeds; it names the
            row.
    """
    source = Tables(tables)
    choices = Choices(source["runs"])
    found = {row.id: _find(row, source, choices) for row in claims.rows if row.type not in ("exact", "policy")}
    verdicts = judge(
        {row.id: found[row.id].effect for row in claims.rows if row.type in STATISTICAL},
        {row.id: (row.check, found[row.check].effect) for row in claims.rows if row.check},
    )
    rows, cells = [], []
    for row in claims.rows:
        if row.computation is not None:
            values = _exact(row.computation)
        elif row.type == "policy":
            values, of_cells = _policy(row, source)
            cells += [{"row": row.id} | cell for cell in of_cells]
        else:
            values = _statistical(row, found[row.id], verdicts.get(row.id))
            cells += [{"row": row.id} | cell for cell in _cells(found[row.id].effect.contrast)]
        rows.append(_about(row) | values)
    return Ledger(
        pd.DataFrame(rows)
        .reindex(columns=LEDGER_COLUMNS)
        .assign(family=claims.family, article=claims.article)
        .astype(dict.fromkeys(COUNTS, "Int64")),
        pd.DataFrame(cells, columns=CELL_COLUMNS).assign(family=claims.family),
        claims.sha256,
    )


def _about(row: Row) -> dict[str, Any]:
    unit = "log ratio" if row.metric == COST else METRICS[row.metric].unit if row.metric else ""
    about = {name: getattr(row.claim, name) for name in ("quote", "section", "known", "source", "correction")}
    return (
        about
        | dict.fromkeys(TEXTS, "")
        | {
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
            "decided": row.decided or "",
        }
    )


def _exact(computation: str) -> dict[str, Any]:
    exact = COMPUTATIONS[computation]()
    verdict = Outcome.HOLDS if exact.holds else Outcome.WRONG
    return {"verdict": verdict, "reason": exact.text, "estimate": exact.value, "unit": exact.unit}


def _statistical(row: Row, found: _Found, verdict: Verdict | None) -> dict[str, Any]:
    values = _numbers(found.effect.contrast)
    if verdict is None:
        described = {"verdict": Outcome.EXPLORATORY, "reason": _said("estimated, not judged", found.bound)}
        return values | ({"verdict": Outcome.NOT_TESTED, "reason": found.missing} if found.missing else described)
    raw = p_values(found.effect, found.effect.contrast.moments.several())
    return values | {
        "verdict": verdict.outcome,
        "reason": found.missing or _said(verdict.reason, found.bound),
        "where": ", ".join(verdict.where),
        "p_superior": verdict.p_superior,
        "p_negligible": verdict.p_negligible if found.effect.kind == "difference" else NAN,
        "p_reversed": verdict.p_reversed,
        "p_superior_raw": float(raw.superior[0, 0]),
        "same_verdict": verdict.same,
        "minimum_detectable": verdict.minimum_detectable,
        "seeds_to_settle": NAN if verdict.seeds_to_settle is None else verdict.seeds_to_settle,
    }


def _said(*parts: str) -> str:
    return "; ".join(filter(None, parts))


def _numbers(of: Contrast) -> dict[str, Any]:
    """The columns that describe a contrast."""
    usable = np.asarray(of.informative, dtype=bool)
    values: dict[str, Any] = {
        "lowest": of.lowest[0],
        "lowest_without": of.lowest[1],
        "highest": of.highest[0],
        "highest_without": of.highest[1],
        "one_rate_cells": int((~np.isnan(of.at_one_rate)).sum()),
        "informative_estimate": float(of.moments.mean(usable)[0]),
        "cells": len(of.cells),
        "informative_cells": int(usable.sum()),
        "seeds": of.seeds_each,
        "tuning_seeds": of.tuning,
        **{name: getattr(of, name) for name in ("n", "diverged", "networks", "standardised")},
        "superiority_probability": of.superiority_probability,
    }
    for name, interval in {"": of.of_all, "trained_": of.of_trained, "one_rate_": of.one_rate}.items():
        ends = {"estimate": interval.estimate, "low": interval.low, "high": interval.high}
        values |= {f"{name}{end}": value for end, value in ends.items()}
    for name, interval in {"random": of.random, "new": of.new}.items():
        values |= {f"{name}_low": interval.low, f"{name}_high": interval.high}
    return values


def _find(row: Row, tables: Tables, choices: Choices) -> _Found:
    made, missing, bounded = _compared(row, tables, choices)
    kind: Literal["difference", "equivalence"] = "equivalence" if row.type == "equivalence" else "difference"
    return _Found(Effect(made, row.smallest, kind), missing, bounded)


def _compared(row: Row, tables: Tables, choices: Choices) -> tuple[Contrast, str, str]:
    """A row's contrast, why it has none, and why its estimate is a bound, if so."""
    coefficients = [_weights(row)[index] * len(row.arms) / len(row.crossed()) for index, _ in row.crossed()]
    offset = _sign(row) * (row.threshold or 0.0)
    if row.metric == COST:
        names = [factors["activation"] for _, factors in row.crossed()]
        made = cost_contrast(names, coefficients, tables["cost"], str(row.options.quantity), offset)
        return made, "" if made.cells else "not in this study", ""
    assert row.metric  # only policies and computations have none
    metric = METRICS[row.metric]
    replicas, missing = _replicas(row, tables, metric.role)
    if metric.role == "evaluation" and not metric.every_rate:
        replicas = replicas[replicas["selected"].eq(True)]
    arms = []
    for _, factors in row.crossed():
        chosen = _chosen(row, replicas, factors)
        if chosen.empty and not missing:
            missing = f"not in this study: no runs of {told(factors)}"
        arms.append(chosen)
    arms = _valued(row, metric, tables, replicas, arms)
    try:
        made = contrast(
            arms,
            coefficients,
            choices if metric.every_rate else None,
            offset=offset,
            uninformative=metric.uninformative,
            one_rate=row.one_rate and metric.role == "evaluation",
        )
    except StudyError as error:
        raise StudyError(f"claim {row.id}.arms: {error}") from error
    bounded = bound(arms, coefficients) if metric.uninformative == "target" else ""
    return made, missing or ("" if made.cells else "no data"), bounded


def _valued(
    row: Row, metric: Metric, tables: Tables, replicas: pd.DataFrame, arms: Sequence[pd.DataFrame]
) -> list[pd.DataFrame]:
    """The arms with the metric's values; one network stands for a tuning seed, whose values are over all rates."""
    wanted = replicas[replicas["run"].isin(pd.concat([arm["run"] for arm in arms]))]
    values = metric.values(tables, wanted, row.options.given).astype({"run": wanted["run"].dtype, "replicate": "int64"})
    keys = SEED if metric.role == "tuning" else KEY
    if metric.role == "tuning":
        by_status = [arm.sort_values("status", key=lambda status: status != "diverged", kind="stable") for arm in arms]
        arms = [arm.drop_duplicates(SEED).sort_index().assign(learning_rate=0.0) for arm in by_status]
    known = [name for name in values if name not in KEY]
    return [arm.drop(columns=known, errors="ignore").merge(values, on=keys, how="left") for arm in arms]


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
    """The networks of the row's experiment with the factors of `where`, and why there are none, if so."""
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
    """The networks of an arm, of one run per cell."""
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
    return replicas


def _cells(made: Contrast) -> list[dict[str, Any]]:
    columns = (made.cells, made.datasets, made.intervals, made.counts, made.informative, made.by_seed)
    return [
        {
            "cell": name,
            "dataset": "" if dataset == name else dataset,
            "estimate": interval.estimate,
            "low": interval.low,
            "high": interval.high,
            "n": count,
            "informative": bool(informative),
            "by_seed": _listed(values),
        }
        for name, dataset, interval, count, informative, values in zip(*columns, strict=True)
    ]


def _listed(values: Iterable[float]) -> str:
    """In the order of the seeds, to the seven significant digits that single precision holds."""
    return " ".join(f"{value:z.7g}" for value in values)


def _policy(row: Row, tables: Tables) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Regret of the policy in each cell: test accuracy of the activation that is best on tuning seeds, minus its own.

    The policies, their costs and their regret are those of `policies`, so that the ledger and the page's regrets have
    one set of numbers: also without each seed, and of what trained.
    """
    tuning, missing = _replicas(row, tables, "tuning")
    scored, _ = _replicas(row, tables, "evaluation")
    runs = pd.concat([tuning, scored])
    every: list[Cell] = sorted(cells_of(runs), key=lambda cell: (cell.dataset, cell.depth, cell.name))
    several = len({(cell.dataset, cell.depth) for cell in every}) < len(every)
    costs = step_costs(tables["cost"], median_width(runs))["ratio_to_relu"].to_dict()
    found = [(cell, names) for cell in every if (names := row.policy.tries(cell, costs))]
    cells = [
        {
            "cell": cell.name if several else f"{cell.dataset}/depth={cell.depth}",
            "dataset": cell.dataset,
            "estimate": cell.regret(names),
            "low": NAN,
            "high": NAN,
            "n": cell.n,
            "informative": True,
            "by_seed": _listed(cell.regret_by_seed(names)),
        }
        for cell, names in found
    ]
    by_dataset = pd.DataFrame(cells, columns=["dataset", "estimate"]).groupby("dataset")["estimate"].mean()
    values: dict[str, Any] = {"estimate": float(by_dataset.mean()), "n": sum(cell.n for cell, _ in found)}
    values |= {"cells": len(cells), "unit": "fraction"} | _policy_verdict(by_dataset, row.smallest, missing)
    return (_policy_robust(row, found, costs, by_dataset, values) if found else values), cells


def _policy_robust(
    row: Row,
    found: Sequence[tuple[Cell, Sequence[str]]],
    costs: Mapping[str, float],
    by_dataset: pd.Series,
    values: Mapping[str, Any],
) -> dict[str, Any]:
    """The values with the regret's range without one seed, the regret of what trained, and how many networks of pick
    and reference did not; open where one seed decides."""
    cells = pd.Series([cell.dataset for cell, _ in found]).value_counts()
    moved, trained, judged = [], by_dataset * 0, {name: values[name] for name in ("verdict", "reason")}
    for cell, names in found:
        share, regret = 1 / cells[cell.dataset], cell.regret(names)
        trained[cell.dataset] += share * cell.of_trained.regret(names)
        for seed, other in cell.without_each().items():
            left = by_dataset.copy()
            left[cell.dataset] += share * (other.regret(row.policy.tries(other, costs)) - regret)
            moved.append((float(left.mean()), seed))
            verdict = _policy_verdict(left, row.smallest, "")["verdict"]
            if verdict != values["verdict"] and judged["verdict"] is not Outcome.OPEN:
                reason = f"{ONE_SEED}: {values['verdict']}, but {verdict} without {seed}; {values['reason']}"
                judged = {"verdict": Outcome.OPEN, "reason": reason}
    ends = {"lowest": min(moved), "highest": max(moved)} if moved else {}
    return (
        {**values, **judged, "trained_estimate": float(trained.mean(skipna=False))}
        | {"diverged": sum(cell.lost(names) for cell, names in found)}
        | {name: estimate for name, (estimate, _) in ends.items()}
        | {f"{name}_without": seed for name, (_, seed) in ends.items()}
    )


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
