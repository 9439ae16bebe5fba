"""What a claims file may say: its claims and, under each, the rows that test it."""

from __future__ import annotations

import functools
import itertools
import re
import textwrap
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import yaml
from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    TypeAdapter,
    ValidationError,
    WithJsonSchema,
)
from pydantic_core import CoreSchema, PydanticCustomError
from pydantic_core.core_schema import no_info_before_validator_function

from activation_study.core import models, yaml_files
from activation_study.core.errors import StudyError
from activation_study.core.factors import Factors
from activation_study.core.models import LISTED, NUMBER, TRUTH, Distinct, Model, matching, read_number
from activation_study.core.text import plain

if TYPE_CHECKING:
    from activation_study.analysis.policies import Step

ARTICLE = Path(__file__).resolve().parents[3] / "claims.yaml"
"""The article's own claims."""
STATISTICAL = ("difference", "equivalence", "trend", "threshold")
"""The types of rows that are judged, and so make up a family."""


def _scalar(value: Any) -> Any:
    if value is not None and not isinstance(value, str | int | float):
        raise PydanticCustomError("scalar", "must be text, a number, true, false or null")
    return value


def _finite(value: float) -> float:
    if not abs(value) < 1e18:
        raise PydanticCustomError("finite", "must be a finite number below 1e18")
    return value


def _levels(factors: dict[str, Any]) -> dict[str, tuple[Any, ...]]:
    return {name: tuple(level(name, value) for value in values) for name, values in factors.items()}


def level(factor: str, value: Any) -> Any:
    """A value of a factor as the config reads it: 1e-1 is a number where the factor is one."""
    try:
        return _kind(factor).validate_python(value)
    except (KeyError, ValidationError):  # no factor, or no run has it, which the check against the study says
        return value


@functools.cache
def _kind(factor: str) -> TypeAdapter[Any]:
    field = Factors.model_fields[factor]
    kind: Any = Annotated[field.annotation, Field(), *field.metadata]
    return TypeAdapter(kind, config=ConfigDict(strict=True))


@dataclass(frozen=True)
class _WordOr:
    """One of the words, or a whole number of at least `least`; in an `Annotated` Any."""

    words: tuple[str, ...]
    least: int

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return no_info_before_validator_function(self._read, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"anyOf": [{"enum": [*self.words]}, {"type": "integer", "minimum": self.least}]}

    def _read(self, value: Any) -> Any:
        value = read_number(value)
        if value in self.words:
            return value
        if type(value) in (int, float) and value == value // 1 and value >= self.least:
            return int(_finite(value))
        wanted = f"must be {', '.join(self.words)} or a whole number of at least {self.least}"
        raise PydanticCustomError("word_or_number", wanted)


def _filled(sentence: str) -> str:
    known = "{size}, {more}, {least}, {most}, {estimate}, {low} and {high}"
    if re.search("[{}]", re.sub("|".join(re.findall("{.*?}", known)), "", sentence)):
        raise PydanticCustomError("placeholder", f"may hold {known}, and no other braces")
    return sentence


Text = Annotated[str, Field(min_length=1)]
Sentence = Annotated[str, AfterValidator(_filled)]
Number = Annotated[float, AfterValidator(_finite), NUMBER]
Level = Annotated[Any, BeforeValidator(_scalar), WithJsonSchema({"type": ["string", "number", "boolean", "null"]})]
Levels = Annotated[dict[str, Distinct[Level]], Field(min_length=1), AfterValidator(_levels)]
"""Factor of the config to a value, or to a list of values."""


class Options(Model):
    """What a metric is asked for."""

    step: Annotated[Any, _WordOr(("first", "last", "mean"), 0)] = Field(
        default="last",
        description="Which probe - the first, the last that has a value, the mean over all, or the one at a step.",
    )
    layers: Annotated[Any, _WordOr(("all", "first", "inner", "last"), 1)] = Field(
        default="all", description="Which hidden layers are averaged over; inner leaves the first out."
    )
    batch: Annotated[Number, Field(gt=0)] = Field(default=64, description="Samples of the gradient.")
    quantity: str | None = Field(default=None, description="A quantity of the cost table.")

    @property
    def given(self) -> dict[str, Any]:
        return self.model_dump(exclude_unset=True)


class Arm(Model):
    """Some runs: those with these factors, which are its other keys."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Level] = Field(init=False)
    weight: Number | None = Field(default=None, description="Weights sum to zero.")
    dose: Number | None = Field(default=None, description="Of a trend.")

    @property
    def factors(self) -> dict[str, Any]:
        return {name: level(name, value) for name, value in self.__pydantic_extra__.items()}


class Guide(Model):
    """What the guide says of a row: a sentence for each verdict (of an exploratory row the open one is enough), or what
    a policy is called in its sentence.

    The metric is a fraction or a log ratio. A sentence may hold {estimate}, {low} and {high}, in points, or in percent
    where it is a log ratio, or {size} (the absolute estimate), {more} (more or less, by its sign), {least} and {most}
    (the interval in that direction); one without a test reads as the open one, and says so.
    """

    step: Literal["relu_first", "then_another", "with_time", "beyond"] = Field(
        description="The step of the article's guide that it bears on, or beyond them."
    )
    about: Text = Field(description="What there is no evidence on where there is none; a policy in words.")
    supported: Sentence = Field(default="", description="Where the claim is true.")
    reversed: Sentence = Field(
        default="",
        description="Where it is false as the opposite holds, whose numbers are those of a sentence with {size}.",
    )
    negligible: Sentence = Field(default="", description="Where it is false as the effect is too small to matter.")
    open: Sentence = Field(
        default="",
        description="Where the row is open, or the claim true at some depths or datasets only, which are added.",
    )


class Entry(Model):
    """One test of a claim, or a part of it."""

    test: Text = Field(description="What is compared with what, in plain words.")
    type: Literal["difference", "equivalence", "trend", "threshold", "exact", "exploratory", "policy"] = Field(
        description="difference: the arms' weighted sum is above zero. equivalence: it is within the smallest effect "
        "of zero (or their mean of the threshold). trend: it rises with the arms' doses. threshold: the arms' mean is "
        "beyond the threshold. exact: a computation, without statistics. exploratory: estimated, not judged. policy: "
        "the regret of a way to choose an activation, which is little if it is at most the smallest that matters on "
        "every dataset."
    )
    experiment: str | None = Field(default=None, description="The experiment of the config whose runs are compared.")
    metric: str | None = Field(default=None, description="One value per replica; claims/metrics.py lists them.")
    options: Options = Field(default=Options(), description="Of the metric.")
    where: Levels = Field(default={}, description="What all arms have in common.")
    over: Levels = Field(default={}, description="Every arm is averaged over these.")
    arms: Annotated[tuple[Arm, ...], Field(min_length=1), LISTED] = Field(
        default=(Arm(),),
        description="Runs that are compared, by their factors. Two arms are subtracted, the second from the first; "
        "more have weights. The arms of a trend have doses; those of a threshold are averaged.",
    )
    direction: Literal["greater", "less"] = Field(
        default="greater",
        description="Whether the claim says that the weighted sum is greater or less than zero, or the threshold.",
    )
    threshold: Number | None = Field(default=None, description="In the metric's unit.")
    smallest: Annotated[Number, Field(ge=0)] = Field(
        default=0.0, description="The smallest effect that matters, in the metric's unit; of an equivalence above 0."
    )
    reason: Text | None = Field(default=None, description="Why this smallest effect.")
    check: str | None = Field(
        default=None,
        description="Another row of the file, by its id, that says whether the runs differ in what the claim is "
        "about. Unless its 95% interval lies above zero, this row is open.",
    )
    one_rate: Annotated[bool, TRUTH] = Field(
        default=True,
        description="Whether the arms of a cell are compared at one learning rate as well, and the row is open where "
        "that says otherwise; false where the claim is about learning rates.",
    )
    computation: str | None = Field(default=None, description="Of an exact row; claims/exact.py lists them.")
    stages: Annotated[tuple[Distinct[str], ...], Field(min_length=1), LISTED] | None = Field(
        default=None,
        description="Of a policy: activations to try, in turn. The next are tried while the best so far, on tuning "
        "seeds, is below the dataset's target.",
    )
    step: Literal["first", "second", "second_low", "second_target", "third"] | None = Field(
        default=None,
        description="Of a policy, in the place of stages: a step of the article's guide, as analysis/policies.py "
        "defines it. second_low is the second under a low budget, second_target goes on below the dataset's target.",
    )
    decided: Text | None = Field(
        default=None, description="What was fixed before results were seen, and what was changed after them."
    )
    guide: Guide | None = Field(default=None, description="What the page's guide says of the row; else it is silent.")
    cited: Distinct[str] = Field(
        default=(),
        description="Activations: a recommendation of one of them, from this row's experiment, cites the row.",
    )


class Claim(Model):
    """A claim and its tests."""

    id: Annotated[
        str,
        matching(
            "[A-Za-z][A-Za-z0-9_-]{0,31}",
            "must be a letter, and then letters, digits, '_' and '-' only, at most 32 in all",
        ),
    ] = Field(
        description="Short, of letters, digits, '_' and '-'. Where it has several rows, they are called id.1, id.2 ..."
    )
    quote: Text = Field(description="What is claimed.")
    section: str = Field(default="", description="Where it is claimed.")
    known: str = Field(default="", description="What is known of it already.")
    source: str = Field(default="", description="Where that is from.")
    correction: str = Field(default="", description="What is wrong with the claim as it is worded.")
    rows: Annotated[tuple[Entry, ...], Field(min_length=1), LISTED] = Field(description="One test each.")


class File(Model):
    """Claims and what tests each. One file is one family of tests. A claim whose metric exists needs no code."""

    article: Annotated[bool, TRUTH] = Field(
        default=False,
        description="Whether these are the article's claims, under their names there (C01 ... G3), which the guide, "
        "the chooser and the first screen cite. Of several files that say so the first counts, and the others must "
        "hold the same claims.",
    )
    claims: Annotated[tuple[Claim, ...], Field(min_length=1), LISTED] = Field(description="In the order of the ledger.")


def told(factors: Mapping[str, Any]) -> str:
    """The factors of some runs in a line."""
    return ", ".join(f"{name}={value}" for name, value in factors.items()) or "all"


def row_id(claim: str, number: int, of: int) -> str:
    """The claim's id, with the row's number, from 1, behind it where the claim has several rows."""
    return claim if of == 1 else f"{claim}.{number}"


class Row(Entry):
    """One test with its id and its claim; `arms` are as in the file, not yet crossed with `over`."""

    id: str
    claim: Claim

    @classmethod
    def of(cls, claim: Claim, number: int) -> Row:
        """The claim's row of that number, from 0."""
        entry, name = claim.rows[number], row_id(claim.id, number + 1, len(claim.rows))
        return cls.model_construct({*entry.model_fields_set}, id=name, claim=claim, **dict(entry))

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
        from activation_study.analysis.policies import ARTICLE, Step, fixed

        return ARTICLE[self.step] if self.step else Step(self.id, "any", lambda _: self.stages or (), promising=fixed)

    def crossed(self) -> list[tuple[int, dict[str, Any]]]:
        """The runs to look for: (which arm, its factors with one value of every `over`)."""
        levels = [dict(zip(self.over, values, strict=True)) for values in itertools.product(*self.over.values())]
        return [(index, {**arm.factors, **chosen}) for index, arm in enumerate(self.arms) for chosen in levels]


def parsed(path: str | Path) -> tuple[File, tuple[Row, ...]]:
    """A claims file and its rows, which are not yet held against the metrics and a study.

    Raises:
        StudyError: one line per fault that names the claim, the key and what would be right.
    """
    where, content = plain(path), yaml_files.read(path)
    file = models.read(File, content, lambda keys: f"{where}: {_key(content, keys)}")
    names = [claim.id for claim in file.claims]
    if twice := [name for name in names if names.count(name) > 1]:
        raise StudyError(f"{where}: claim {twice[0]}.id: is given twice; remove one")
    return file, tuple(Row.of(claim, number) for claim in file.claims for number in range(len(claim.rows)))


def entries(path: str | Path) -> dict[str, tuple[int, str]]:
    """The line, from 1, at which each row begins of a claims file that `parsed` has accepted, and its text as it is
    written there, by the row's id."""
    text, found = Path(path).read_text(encoding="utf-8"), {}
    for claim in _items(yaml.compose(text, yaml_files.Loader), "claims"):
        (name,) = (value.value for key, value in claim.value if key.value == "id")
        rows = _items(claim, "rows")
        for number, row in enumerate(rows, 1):
            start = row.start_mark
            written = " " * start.column + text[start.index : row.end_mark.index]
            written = re.sub(r"(\s*\n *#.*)*\s*\Z", "", written)  # a comment after it is on what comes next
            found[row_id(name, number, len(rows))] = start.line + 1, textwrap.dedent(written)
    return found


def _items(node: Any, key: str) -> list[Any]:
    """The nodes of a mapping's list; a lone value is a list of one."""
    (value,) = (value for name, value in node.value if name.value == key)
    return value.value if value.id == "sequence" else [value]


def guide_rows(paths: Iterable[str | Path]) -> tuple[Row, ...]:
    """The rows that the guide and a recommendation speak of: those of the first file that says article: true.

    Raises:
        StudyError: as `parsed` does.
    """
    return next((rows for file, rows in map(parsed, paths) if file.article), ())


def _key(content: Mapping[str, Any], keys: models.Path) -> str:
    """The words for a place in the file, with the row's id in the place of its numbers."""
    where = ""
    if keys[:1] == ("claims",) and len(keys) > 1:
        claim = _item(content["claims"], keys[1])
        rows = claim.get("rows") if isinstance(claim, dict) else None
        of = len(rows) if isinstance(rows, list) else 1
        where = str(claim["id"]) if isinstance(claim, dict) and "id" in claim else f"number {int(keys[1]) + 1}"
        inside = keys[2:3] == ("rows",) and len(keys) > 3
        where = f"claim {plain(row_id(where, int(keys[3]) + 1, of) if inside else where, 40)}"
        keys = keys[4:] if inside else keys[2:]
    return plain(".".join([*filter(None, [where]), *map(str, keys)]) or "file", 200)


def _item(values: Any, index: Any) -> Any:
    """A lone value is a list of one."""
    return values[index] if isinstance(values, list) else values
