"""Faults of a model are said in lines; values are read as they were meant."""

from typing import Annotated, Literal

import pytest
from pydantic import Field

from activation_study.core.errors import StudyError
from activation_study.core.models import LISTED, NUMBER, TRUTH, WHOLE, Distinct, Model, matching, read


class _Digits(Model):
    kind: Literal["digits"]


class _Npz(Model):
    kind: Literal["npz"]
    path: str = Field(min_length=1)


class _Inside(Model):
    whole: Annotated[int, Field(ge=1, le=9), WHOLE] = 1
    part: Annotated[float, Field(gt=0, lt=1), NUMBER] = 0.5
    truth: Annotated[bool, TRUTH] = True
    choice: Literal["one", "other"] = "one"


class _Outside(Model):
    inside: _Inside = _Inside()
    several: Distinct[Annotated[int, WHOLE]] = (1,)
    some: Annotated[tuple[str, ...], Field(max_length=2), LISTED] = ()
    named: Annotated[dict[Annotated[str, matching("[a-z]+", "must be small letters")], _Inside], Field(min_length=1)]
    entries: dict[str, Annotated[_Digits | _Npz, Field(discriminator="kind")]] = Field(default={})


def test_values_are_read_as_they_were_meant():
    value = {"inside": {"whole": "1e0", "part": "5e-1", "truth": "false"}, "several": 2.0, "some": "a"}
    found = read(_Outside, value | {"named": {"a": {}}})
    assert (found.inside.whole, found.inside.part, found.inside.truth) == (1, 0.5, False)
    assert (found.several, found.some) == ((2,), ("a",))
    assert isinstance(found.several[0], int)


@pytest.mark.parametrize(
    ("value", "line"),
    [
        ({"inside": 3}, "inside: 3 must be an object"),
        ({"inside": {"whole": 0}}, "inside.whole: 0 must be at least 1"),
        ({"inside": {"whole": True}}, "inside.whole: true must be an integer"),
        ({"inside": {"whole": 1.5}}, "inside.whole: 1.5 must be an integer"),
        ({"inside": {"part": "x"}}, 'inside.part: "x" must be a number'),
        ({"inside": {"part": 1}}, "inside.part: 1 must be below 1"),
        ({"inside": {"truth": "yes"}}, 'inside.truth: "yes" must be a boolean, true or false'),
        ({"inside": {"choice": "both"}}, 'inside.choice: "both" must be one of one, other'),
        ({"inside": {"b": 1, "a": 2}}, "inside: unknown key a, b; known: choice, part, truth, whole"),
        ({"several": [1, "x"]}, 'several.1: "x" must be an integer'),
        ({"several": []}, "several: [] must not be empty"),
        ({"several": [1, 1.0]}, "several: [1, 1.0] must not hold a value twice"),
        ({"some": ["a", "b", "c"]}, 'some: ["a", "b", "c"] must have at most 2 items'),
        ({"named": {}}, "named: {} must not be empty"),
        ({"named": {"A": {}}}, 'named: "A" must be small letters'),
        ({"named": {"a\n": {}}}, r'named: "a\n" must be small letters'),
        ({"entries": {"npz": {"kind": "npz"}}}, "entries.npz.path: the key is missing"),
        (
            {"entries": {"npz": {"kind": "npz", "path": "b", "a": 1}}},
            "entries.npz.a: unknown key; known: kind, path",
        ),
        ({"entries": {"a": {"kind": "csv"}}}, 'entries.a.kind: "csv" must be one of digits, npz'),
        ({"entries": {"a": {}}}, "entries.a.kind: the key is missing"),
        ({"entries": {"a": None}}, "entries.a: null must be an object"),
    ],
)
def test_a_fault_is_a_line(value, line):
    with pytest.raises(StudyError) as caught:
        read(_Outside, {"named": {"a": {}}} | value)
    assert str(caught.value).splitlines()[0] == line


def test_every_fault_is_said_and_of_many_the_first():
    with pytest.raises(StudyError) as caught:
        read(_Outside, {"several": [0.5] * 20, "inside": {"whole": 0, "part": 0}})
    lines = str(caught.value).splitlines()
    assert [line.split(":")[0] for line in lines[:3]] == ["config", "inside.part", "inside.whole"]
    assert lines[0] == "config: the key named is missing"
    assert (len(lines), lines[-1]) == (11, "and 13 more")
