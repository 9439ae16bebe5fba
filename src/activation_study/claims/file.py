"""Claims as data: reading a claims file, and holding it against the metrics and against a study.

A file is one family: Holm's correction is over its rows, so claims that are added in another file change no
verdict. Pure Python but for the list of metrics, so reading a config without claims costs nothing.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from activation_study.core import yaml_files, yaml_schemas
from activation_study.core.errors import StudyError
from activation_study.core.text import plain, shown
from activation_study.core.yaml_schemas import listed
from activation_study.study.config import ROOT, factor_defaults, factor_level, family

if TYPE_CHECKING:
    from activation_study.analysis.policies import Step

ARTICLE = ROOT / "claims.yaml"
"""The article's own claims."""
SCHEMA_FILE = Path(__file__).with_name("claims.schema.yaml")
STATISTICAL = ("difference", "equivalence", "trend", "threshold")
"""The types of rows that are judged, and so make up a family."""
CELL = ("dataset", "depth")
OWN = ("weight", "dose")
"""Keys of an arm that are not factors."""
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
}


@dataclass(frozen=True)
class Arm:
    """Some runs: those with these factors. `weight` and `dose` are None where the file does not say."""

    factors: Mapping[str, Any]
    weight: float | None = None
    dose: float | None = None

    def __str__(self) -> str:
        return ", ".join(f"{name}={value}" for name, value in self.factors.items()) or "all"


@dataclass(frozen=True)
class Row:
    """One test. Its id is the claim's, with a number behind it where the claim has several rows.

    `where` and `over` hold lists of values; `arms` are as in the file, not yet crossed with `over`.
    """

    id: str
    claim: Mapping[str, Any]
    test: str
    type: str
    experiment: str | None = None
    metric: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    where: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    over: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    arms: Sequence[Arm] = (Arm({}),)
    direction: str = "greater"
    threshold: float | None = None
    smallest: float = 0.0
    reason: str = ""
    check: str | None = None
    computation: str | None = None
    stages: Sequence[Sequence[str]] = ()
    step: str | None = None

    @property
    def form(self) -> str:
        """The contrast's form: an exploratory row or an equivalence has that of what it gives."""
        if self.threshold is not None:
            return "threshold"
        doses = self.type == "exploratory" and self.arms[0].dose is not None
        return "trend" if self.type == "trend" or doses else "difference"

    @property
    def policy(self) -> Step:
        """What a policy tries: the article's step, or its own stages whatever the situation and the budget."""
        from activation_study.analysis.policies import ARTICLE, Step

        return Step(self.id, "any", lambda _: self.stages) if self.step is None else ARTICLE[self.step]

    def crossed(self) -> list[tuple[int, Mapping[str, Any]]]:
        """The runs to look for: (which arm, its factors with one value of every `over`)."""
        levels = [dict(zip(self.over, values, strict=True)) for values in itertools.product(*self.over.values())]
        return [(index, {**arm.factors, **level}) for index, arm in enumerate(self.arms) for level in levels]


@dataclass(frozen=True)
class Claims:
    """A claims file: its rows in order, the SHA-256 of its bytes, and whether they are the article's claims."""

    family: str
    rows: tuple[Row, ...]
    sha256: str
    article: bool = False


@functools.cache
def schema() -> dict[str, Any]:
    """The JSON schema of a claims file."""
    return yaml_schemas.load(SCHEMA_FILE)


def read(path: str | Path = ARTICLE) -> Claims:
    """A claims file; the family is called as the file.

    Raises:
        StudyError: one line per fault that names the claim, the key and what would be right.
    """
    called, where = family(path), plain(path)
    content = yaml_schemas.filled(yaml_files.read(path), schema())
    if faults := yaml_schemas.faults(content, schema(), lambda keys: f"{where}: {_key(content, keys)}"):
        raise StudyError("\n".join(faults))
    try:
        yaml_files.check_plain(content, 10 * yaml_files.MAX_VALUES)  # what came as text may be a number by now
    except StudyError as error:
        raise StudyError(f"{where}: {error}") from None
    rows: list[Row] = []
    ids: set[str] = set()
    for claim in content["claims"]:
        if claim["id"] in ids:
            raise StudyError(f"{where}: claim {claim['id']}.id: stands there twice")
        ids.add(claim["id"])
        about = {name: claim.get(name, "") for name in ("id", "quote", "section", "known", "source", "correction")}
        for number, entry in enumerate(claim["rows"], 1):
            rows.append(_row(_row_id(claim, number), about, entry))
    crossed = sum(len(row.arms) * math.prod(map(len, row.over.values())) for row in rows)
    if crossed > MAX_CROSSED:
        raise StudyError(
            f"{where}: claims: ask for {plain(crossed, 40)} arms, one for every level of their over; at most "
            f"{MAX_CROSSED} can be had"
        )
    for row, entry in zip(rows, (entry for claim in content["claims"] for entry in claim["rows"]), strict=True):
        for key, fault in _faults(row, entry):
            raise StudyError(f"{where}: claim {row.id}.{key}: {fault}")
    checks = {row.id for row in rows if row.type in (*STATISTICAL, "exploratory")}
    for row in rows:
        if row.check is not None and (row.check not in checks or row.check == row.id):
            raise StudyError(
                f"{where}: claim {row.id}.check: {shown(row.check)} is no other row of this file that has an interval"
            )
    sha256 = hashlib.sha256(Path(path).read_bytes()).hexdigest()
    return Claims(called, tuple(rows), sha256, content.get("article", False))


def check(claims: Claims, config: Mapping[str, Any]) -> None:
    """Hold claims against a validated config (`Study.config`): the runs that they compare must be in it.

    Raises:
        StudyError: an experiment, arm or measurement that the study does not have; one line, naming claim and key.
    """
    levels = {
        name: [{factor: frozenset(values) for factor, values in grid.items()} for grid in grids]
        for name, grids in config["experiments"].items()
    }
    for row in claims.rows:
        for key, fault in _gaps(row, config, levels):
            raise StudyError(f"{claims.family}: claim {row.id}.{key}: {fault}")


def of_study(config: Mapping[str, Any]) -> list[Claims]:
    """The claims files of a validated config, in its order, each held against it; at most one is the article's.

    Raises:
        StudyError: as :func:`read` and :func:`check` do; two files of the article's claims that are not the same.
    """
    files = [read(path) for path in config["claims"]]
    names = [claims.family for claims in files]
    for name in names:
        if names.count(name) > 1:
            raise StudyError(f"claims: two files are called {shown(name)}: a family needs a name of its own")
    for claims in files:
        check(claims, config)
    return _one_article(files)


def _one_article(files: Sequence[Claims]) -> list[Claims]:
    """Of copies of the article's claims the first counts; between two that differ nothing decides."""
    first = next((claims for claims in files if claims.article), None)
    for claims in files:
        if claims.article and claims.rows != first.rows:
            raise StudyError(
                f"claims: {shown(first.family)} and {shown(claims.family)} both say article: true and are not the "
                "same; say it in the one whose verdicts the guide is to cite"
            )
    return [replace(claims, article=claims is first) for claims in files]


def _row_id(claim: Mapping[str, Any], number: int) -> str:
    return claim["id"] if len(claim["rows"]) == 1 else f"{claim['id']}.{number}"


def _row(name: str, claim: Mapping[str, Any], entry: Mapping[str, Any]) -> Row:
    values = dict(entry)
    for key in ("where", "over"):
        factors = {name: v if isinstance(v, list) else [v] for name, v in entry.get(key, {}).items()}
        values[key] = {name: [factor_level(name, v) for v in levels] for name, levels in factors.items()}
    if "arms" in entry:
        values["arms"] = tuple(
            Arm({k: factor_level(k, v) for k, v in arm.items() if k not in OWN}, arm.get("weight"), arm.get("dose"))
            for arm in entry["arms"]
        )
    return Row(id=name, claim=claim, **values)


def _key(content: Mapping[str, Any], keys: list[Any]) -> str:
    """The words for a place in the file, with the row's id in the place of its numbers."""
    where = ""
    if keys[:1] == ["claims"] and len(keys) > 1:
        claim = content["claims"][keys[1]]
        named = claim if isinstance(claim, dict) and "id" in claim else {"id": f"number {keys[1] + 1}", "rows": [{}]}
        several = keys[2:3] == ["rows"] and len(keys) > 3 and isinstance(named.get("rows"), list)
        where = f"claim {plain(_row_id(named, keys[3] + 1) if several else named['id'], 40)}"
        keys = keys[4:] if several else keys[2:]
    return plain(".".join([*filter(None, [where]), *map(str, keys)]) or "file", 200)


def _faults(row: Row, entry: Mapping[str, Any]):
    """(key, what is wrong) of a row by itself."""
    for key, types in _ONLY.items():
        if key in entry and row.type not in types:
            yield key, f"has no place in a row of type {row.type}"
    from activation_study.claims.metrics import COST, METRICS

    if row.type == "exact":
        from activation_study.claims.exact import COMPUTATIONS  # imports PyTorch

        if row.computation not in COMPUTATIONS:
            yield "computation", f"{shown(row.computation)} is none of {', '.join(sorted(COMPUTATIONS))}"
        return
    for name in {**row.where, **row.over, **{k: v for arm in row.arms for k, v in arm.factors.items()}}:
        if name not in factor_defaults():
            yield "arms", f"{shown(name)} is no factor; there are {', '.join(sorted(factor_defaults()))}"
    if row.type == "policy":
        if ("stages" in entry) == ("step" in entry):
            yield "stages", "a policy has either stages or a step of the article's"
        return
    if row.metric not in METRICS and row.metric != COST:
        yield "metric", f"{shown(row.metric)} is none of {', '.join(sorted([*METRICS, COST]))}"
        return
    known = ("quantity",) if row.metric == COST else METRICS[row.metric].options
    for name in row.options:
        if name not in known:
            yield "options", f"{row.metric} has no option {shown(name)}; it has {', '.join(known) or 'none'}"
    if (row.experiment is None) != (row.metric == COST):
        yield "experiment", "has no place here" if row.metric == COST else "is missing"
    if row.metric == COST and (row.form != "difference" or row.type == "equivalence"):
        yield "type", f"a cost is compared by a difference, not by {row.type}"
    if row.metric == COST and "quantity" not in row.options:
        yield "options.quantity", "is missing"
    yield from _arm_faults(row)


def _arm_faults(row: Row):
    doses = [arm.dose for arm in row.arms]
    weights = [arm.weight for arm in row.arms]
    for name in CELL:
        if any(name in arm.factors for arm in row.arms) or name in row.over:
            yield "arms", f"{name} tells cells apart, not arms: it belongs into where"
    if row.form == "trend":
        if None in doses or len(set(doses)) < 2:
            yield "arms", "a trend needs a dose in every arm, and two different ones"
        if weights != [None] * len(weights):
            yield "arms", "a trend has doses, no weights"
        return
    if any(dose is not None for dose in doses):
        yield "arms", f"doses belong to a trend, and this is of type {row.type}"
    if row.form == "threshold":
        if weights != [None] * len(weights):
            yield "arms", "the arms of a threshold are averaged, and have no weights"
    elif weights == [None] * len(weights):
        if len(weights) != 2:
            yield "arms", f"two arms need no weights, but {len(weights)} do"
    elif None in weights or abs(sum(weights)) > 1e-9:
        yield "arms", "either every arm has a weight and they sum to zero, or none has"


def _gaps(row: Row, config: Mapping[str, Any], levels: Mapping[str, Sequence[Mapping[str, frozenset[Any]]]]):
    """(key, what is missing) of a row in a validated config, whose sub-grids have these levels."""
    from activation_study.claims.metrics import COST, METRICS

    if row.type == "exact":
        return
    if row.metric == COST:
        timed = config["cost"]["activation"] if config["cost"]["measure"] else []
        for _, factors in row.crossed():
            if factors.get("activation") not in timed:
                yield "arms", f"the cost of activation={plain(factors.get('activation'), 64)} is not measured"
        return
    if row.experiment not in config["experiments"]:
        yield "experiment", f"{shown(row.experiment)} is none of {listed(config['experiments'])}"
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
            yield "arms", f"no run of {row.experiment} has {plain(Arm(factors))}"
    needed = METRICS[row.metric].measure if row.metric else None
    if needed and not any(needed in grid["measure"] for grid in grids):
        yield "metric", f"{row.metric} needs measure: {needed} in experiment {row.experiment}"


def _meets(levels: frozenset[Any], wanted: Any) -> bool:
    return not levels.isdisjoint(wanted) if isinstance(wanted, list) else wanted in levels
