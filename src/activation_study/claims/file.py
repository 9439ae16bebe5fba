"""Claims as data: reading a claims file, and holding it against the metrics and against a study.

A file is one family: Holm's correction is over its rows, so claims that are added in another file change no
verdict. Pure Python but for the list of metrics, so reading a config without claims costs nothing.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from activation_study.claims.rows import ARTICLE, STATISTICAL, Row, parsed, told
from activation_study.core.errors import StudyError
from activation_study.core.factors import Factors
from activation_study.core.text import listed, plain, shown
from activation_study.study.config import Config, family

CELL = ("dataset", "depth")
MAX_CROSSED = 5_000
"""Arms × levels of `over`, of all rows of a file together: the article's claims have 238."""
_ONLY = {
    "computation": ("exact",),
    "stages": ("policy",),
    "step": ("policy",),
    "threshold": ("threshold", "equivalence", "exploratory"),
    "metric": (*STATISTICAL, "exploratory"),
    "arms": (*STATISTICAL, "exploratory"),
    "check": STATISTICAL,
    "guide": (*STATISTICAL, "exploratory", "policy"),
}
"""Keys that have a place in these types of rows alone."""
_REQUIRED = {
    "difference": ("metric", "arms", "smallest", "reason"),
    "equivalence": ("metric", "smallest", "reason"),
    "trend": ("metric", "arms", "smallest", "reason"),
    "threshold": ("metric", "threshold", "smallest", "reason"),
    "exploratory": ("metric",),
    "exact": ("computation",),
    "policy": ("experiment", "smallest", "reason"),
}


@dataclass(frozen=True)
class Claims:
    """A claims file: its rows in order, the SHA-256 of its bytes, and whether they are the article's claims."""

    family: str
    rows: tuple[Row, ...]
    sha256: str
    article: bool = False


def read(path: str | Path = ARTICLE) -> Claims:
    """A claims file; the family is called as the file.

    Raises:
        StudyError: one line per fault that names the claim, the key and what would be right.
    """
    called, where = family(path), plain(path)
    file, rows = parsed(path)
    crossed = sum(len(row.arms) * math.prod(map(len, row.over.values())) for row in rows)
    if crossed > MAX_CROSSED:
        raise StudyError(
            f"{where}: claims: ask for {plain(crossed, 40)} arms, one for every level of their over; the limit is "
            f"{MAX_CROSSED}"
        )
    for row in rows:
        for key, fault in _faults(row):
            raise StudyError(f"{where}: claim {'.'.join(filter(None, [row.id, key]))}: {fault}")
    checks = {row.id for row in rows if row.type in (*STATISTICAL, "exploratory")}
    for row in rows:
        if row.check is not None and (row.check not in checks or row.check == row.id):
            fault = f"{shown(row.check)} is not another row of this file that has an interval"
            raise StudyError(f"{where}: claim {row.id}.check: {fault}")
    return Claims(called, rows, hashlib.sha256(Path(path).read_bytes()).hexdigest(), file.article)


def check(claims: Claims, config: Config) -> None:
    """Hold claims against a validated config (`Study.config`): the runs that they compare must be in it.

    Raises:
        StudyError: an experiment, arm or measurement that the study does not have; one line, naming claim and key.
    """
    levels = {
        name: [{factor: frozenset(values) for factor, values in grid} for grid in grids]
        for name, grids in config.experiments.items()
    }
    for row in claims.rows:
        for key, fault in _gaps(row, config, levels):
            raise StudyError(f"{claims.family}: claim {row.id}.{key}: {fault}")


def of_study(config: Config) -> list[Claims]:
    """The claims files of a validated config, in its order, each held against it; at most one is the article's.

    Raises:
        StudyError: as :func:`read` and :func:`check` do; two files of the article's claims that are not the same.
    """
    files = [read(path) for path in config.claims]
    names = [claims.family for claims in files]
    for name in names:
        if names.count(name) > 1:
            raise StudyError(f"claims: two files are called {shown(name)}: a family needs a name of its own")
    for claims in files:
        check(claims, config)
    return _one_article(files)


def _one_article(files: Sequence[Claims]) -> list[Claims]:
    """Of copies of the article's claims the first counts; between two that differ nothing decides."""
    articles = [claims for claims in files if claims.article]
    for claims in articles:
        if claims.rows != articles[0].rows:
            raise StudyError(
                f"claims: {shown(articles[0].family)} and {shown(claims.family)} both say article: true and are not "
                "the same; say it in the one whose verdicts the guide is to cite"
            )
    return [replace(claims, article=claims.article and claims is articles[0]) for claims in files]


def _faults(row: Row) -> Iterator[tuple[str, str]]:
    """(key, what is wrong) of a row by itself."""
    given = {key for key in row.model_fields_set if getattr(row, key) is not None}
    if missing := [key for key in _REQUIRED[row.type] if key not in given]:
        yield "", f"the key {', '.join(missing)} is missing"
    for key, types in _ONLY.items():
        if key in given and row.type not in types:
            yield key, f"has no place in a row of type {row.type}"
    if row.type == "equivalence" and not row.smallest:
        yield "smallest", "0 must be above 0"
    if row.guide and row.type != "policy":  # whose sentence is the same for all
        wanted = ("open",) if row.type == "exploratory" else ("supported", "reversed", "negligible", "open")
        if missing := [name for name in wanted if not getattr(row.guide, name)]:
            yield "guide", f"the sentence {listed(missing)} is missing: any verdict may come"
    if row.type == "exact":
        from activation_study.claims.exact import COMPUTATIONS  # imports PyTorch

        if row.computation not in COMPUTATIONS:
            yield "computation", f"{shown(row.computation)} is none of {', '.join(sorted(COMPUTATIONS))}"
        return
    for name in {**row.where, **row.over, **{k: v for arm in row.arms for k, v in arm.factors.items()}}:
        if name not in Factors.model_fields:
            yield "arms", f"{shown(name)} is not a factor; there are {', '.join(sorted(Factors.model_fields))}"
    if row.type == "policy":
        if ("stages" in given) == ("step" in given):
            yield "stages", "a policy has either stages or a step of the article's"
        return
    yield from _metric_faults(row)


def _metric_faults(row: Row) -> Iterator[tuple[str, str]]:
    from activation_study.claims.metrics import COST, METRICS

    if row.metric not in METRICS and row.metric != COST:
        yield "metric", f"{shown(row.metric)} is none of {', '.join(sorted([*METRICS, COST]))}"
        return
    if row.guide and row.metric != COST and not METRICS[row.metric].unit.startswith(("fraction", "log ")):
        unit = METRICS[row.metric].unit
        yield "guide", f"{row.metric} is in {unit}; sentences give percents, of a fraction or a log ratio alone"
    known = ("quantity",) if row.metric == COST else METRICS[row.metric].options
    for name in row.options.given:
        if name not in known:
            yield "options", f"{row.metric} has no option {shown(name)}; it has {', '.join(known) or 'none'}"
    if (row.experiment is None) != (row.metric == COST):
        yield "experiment", "has no place here" if row.metric == COST else "is missing"
    if row.metric == COST and (row.form == "trend" or row.type == "equivalence"):
        yield "type", f"a cost is compared by a difference or with a threshold, not by {row.type}"
    if row.metric == COST and row.options.quantity is None:
        yield "options.quantity", "is missing"
    yield from _arm_faults(row)


def _arm_faults(row: Row) -> Iterator[tuple[str, str]]:
    doses = [arm.dose for arm in row.arms]
    weights = [arm.weight for arm in row.arms if arm.weight is not None]
    for name in CELL:
        if any(name in arm.factors for arm in row.arms) or name in row.over:
            yield "arms", f"{name} tells cells apart, not arms: it belongs into where"
    if row.form == "trend":
        if None in doses or len(set(doses)) < 2:
            yield "arms", "a trend needs a dose in every arm, and two different ones"
        if weights:
            yield "arms", "a trend has doses, no weights"
        return
    if any(dose is not None for dose in doses):
        yield "arms", f"doses belong to a trend, and this is of type {row.type}"
    if row.form == "threshold":
        if weights:
            yield "arms", "the arms of a threshold are averaged, and have no weights"
    elif not weights:
        if len(row.arms) != 2:
            yield "arms", f"two arms need no weights, but {len(row.arms)} do"
    elif len(weights) < len(row.arms) or abs(sum(weights)) > 1e-9:
        yield "arms", "either every arm has a weight and they sum to zero, or none has"


def _gaps(
    row: Row, config: Config, levels: Mapping[str, Sequence[Mapping[str, frozenset[Any]]]]
) -> Iterator[tuple[str, str]]:
    """(key, what is missing) of a row in a validated config, whose sub-grids have these levels."""
    from activation_study.claims.metrics import COST, METRICS

    if row.type == "exact":
        return
    if row.metric == COST:
        timed = config.cost.activation if config.cost.measure else ()
        for _, factors in row.crossed():
            if factors.get("activation") not in timed:
                yield "arms", f"the cost of activation={plain(factors.get('activation'), 64)} is not measured"
        return
    if row.experiment not in config.experiments:
        yield "experiment", f"{shown(row.experiment)} is none of {listed(config.experiments)}"
        return
    grids = levels[row.experiment]
    for factor, values in row.where.items():
        for value in values:
            if not any(value in grid[factor] for grid in grids):
                yield "where", f"no run of {row.experiment} has {factor}={plain(value, 64)}"
    tried = row.policy.names if row.type == "policy" else []
    wanted = [{"activation": name} for name in tried] or [f for _, f in row.crossed()]
    for factors in wanted:
        fixed = factors | {name: values for name, values in row.where.items() if name not in factors}
        if not any(all(_meets(grid[name], value) for name, value in fixed.items()) for grid in grids):
            yield "arms", f"no run of {row.experiment} has {plain(told(factors))}"
    needed = METRICS[row.metric].measure if row.metric else None
    if needed and not any(needed in grid["measure"] for grid in grids):
        yield "metric", f"{row.metric} needs measure: {needed} in experiment {row.experiment}"


def _meets(levels: frozenset[Any], wanted: Any) -> bool:
    return not levels.isdisjoint(wanted) if isinstance(wanted, tuple) else wanted in levels
