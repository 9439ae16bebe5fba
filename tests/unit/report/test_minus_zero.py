"""A number that rounds to zero has no sign, wherever it is printed: page, ledger, answer, CSV."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest

from activation_study.analysis.inference import Interval
from activation_study.analysis.standing import Standing
from activation_study.claims import ledger
from activation_study.core.numbers import decimals, figures, percent, points
from activation_study.guide import chooser
from activation_study.report import words
from activation_study.report.figures.drawing import log_steps, panels, plain_log, power_of_ten
from activation_study.report.figures.svg import svg
from activation_study.report.sections.ledger import Scale
from activation_study.report.tables import csv_text, download, interval, number, part, significant
from activation_study.study.config import ROOT

SIGNED_ZERO = re.compile(r"[-−⁻][0⁰](?![.,]?0*[1-9])")
TINY = (-0.0, -1e-300, -1e-12, -4.9e-6)
"""Each rounds to zero in a hundredth of a point; the first does at any number of digits."""


def cells(value: float) -> list[str]:
    row = {"x": value, "x_low": value, "x_high": value, "of": 3}
    columns = [number("x", "x", 1, 100), number("x", "x", signed=True), interval("x", "x"), part("x", "x", "of")]
    columns += [interval("x", "x", 2, 1, signed=True)]
    return [column.cell(row).text for column in columns]


def failed(value: float) -> list[str]:
    """What the chooser says of a pick that is just behind, by what rounds to nothing."""
    others = [Standing("relu", Interval(0.0, value, float("nan")), p=1.0)]
    means = pd.DataFrame({"elu": [0.5], "relu": [0.5 + value]}, index=["digits"])
    return chooser._failed([], 9, 9, means, "elu", others)


FORMATTERS = {
    "decimals": lambda x: decimals(100 * x),
    "decimals, signed": lambda x: decimals(100 * x, signed=True),
    "columns": lambda x: " ".join(cells(x)),
    "percent": percent,
    "points": points,
    "bounds": lambda x: words.bounds(pd.Series({"x_low": x, "x_high": -x}), "x", signed=True),
    "the ledger": lambda x: ledger._policy_verdict(pd.Series({"digits": x}), 0.01, "")["reason"],
    "the ledger on the page": lambda x: Scale("fraction").long(x, x),
    "a factor": lambda x: Scale("log steps").long(x, x),
    "a raised exponent": power_of_ten,
    "the chooser": lambda x: " ".join(failed(x)),
}


@pytest.mark.parametrize("value", TINY)
@pytest.mark.parametrize("name", FORMATTERS)
def test_what_rounds_to_zero_has_no_sign(name: str, value: float):
    assert not SIGNED_ZERO.search(FORMATTERS[name](value))
    assert not SIGNED_ZERO.search(FORMATTERS[name](np.float64(value)))


@pytest.mark.parametrize("name", [n for n in FORMATTERS if n not in ("the chooser", "a factor", "a raised exponent")])
def test_what_does_not_keeps_it(name: str):
    assert re.search(r"[-−]\d", FORMATTERS[name](-1.2))


@pytest.mark.parametrize("digits", range(1, 8))
def test_significant_digits_of_zero_have_no_sign(digits: int):
    """Here a tiny number is no zero: it keeps its sign and its digits."""
    assert figures(-0.0, digits) == "0"
    assert significant("x", "x", digits).cell({"x": -0.0}).text == "0"
    assert figures(-1e-12, digits) == "−1e−12"
    assert Scale("decades per layer").long(-0.0) == "0 decades per layer"


def test_an_infinity_has_its_sign():
    assert [decimals(np.inf), decimals(-np.inf), figures(np.inf), figures(-np.inf)] == ["∞", "−∞", "∞", "−∞"]


def test_csv_has_no_negative_zero():
    frame = pd.DataFrame({"a": [-0.0, -1e-12, np.nan, -1.5], "b": np.float32([-0.0, 1, 2, 3]), "n": [0, -1, 2, 3]})
    expected = "a,b,n\n0.0,0.0,0\n-1e-12,1.0,-1\n,2.0,2\n-1.5,3.0,3\n"
    assert csv_text(frame) == expected
    assert download("x", frame).csv == expected.replace(".0,", ",")
    assert np.signbit(frame.loc[0, "a"])  # the caller's frame is as it was


def test_csv_of_a_column_of_several_types_has_no_negative_zero():
    mixed = [-0.0, np.float64(-0.0), np.float32(-0.0), "-0.5", None, -1.5, True]
    frame = pd.DataFrame({"a": pd.Series(mixed, dtype=object), "n": 1})
    assert csv_text(frame) == "a,n\n0.0,1\n0.0,1\n0.0,1\n-0.5,1\n,1\n-1.5,1\nTrue,1\n"
    assert np.signbit(frame.loc[0, "a"])


def test_nothing_sorts_by_a_negative_zero():
    assert str(number("x", "x").cell({"x": -0.0}).sort) == "0.0"


def test_labels_and_places_of_a_figure():
    with panels(1, 1, 1.5) as (figure, (axis,)):
        axis.plot([-0.0, -1e-9, 1], [-1e-9, -0.0, 1])
        axis.set_xticks([-0.0, -1e-17, 0.5, 1])
        axis.text(0.5, -0.0, decimals(-0.004))
        drawn = svg(figure, "a", "title", "message")
    root = ElementTree.fromstring(drawn)
    texts = [element.text or "" for element in root.iter() if element.tag.endswith("}text")]
    assert "0.0" in texts
    assert not [said for said in texts if re.search(r"[-−]0(?:[.,]0*)?$", said)]
    assert not re.search(r'(?<![\w.])-0(?:\.0*)?(?=[\s",])', drawn)


def test_ticks_have_no_negative_zero():
    with panels(1, 1, 1.5) as (_, (axis,)):
        log_steps(axis, 1000)
        plain_log(axis.yaxis)
        assert [one.get_major_formatter()(-0.0) for one in (axis.xaxis, axis.yaxis)] == ["0", "0"]


SIGNED = ("core/numbers", "guide/*", "claims/ledger", "claims/exact", "report/**/*")
"""Modules that print numbers which may be negative."""
SIZES = ("report/page.py",)
"""Prints megabytes only."""


def formats(path: Path) -> list[tuple[str, str]]:
    """(the value, its format) of every number with a fractional part in the f-strings of a module, but constants'."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FormattedValue) and node.format_spec is not None:
            spec = "".join(
                str(getattr(part, "value", "")) for part in node.format_spec.values if type(part) is ast.Constant
            )
            names = {inner.id for inner in ast.walk(node.value) if isinstance(inner, ast.Name)}
            if spec[-1:] in tuple("feEgG%") and any(not name.isupper() for name in names):
                found.append((ast.unparse(node.value), spec))
    return found


def test_every_number_is_formatted_without_a_negative_zero():
    """Python's own option for it, z, stands in each format; what is added will be held to it as well."""
    package = ROOT / "src" / "activation_study"
    paths = {path for name in SIGNED for path in package.glob(f"{name}.py")} - {package / name for name in SIZES}
    assert len(paths) > 30
    without = {f"{path.name}: {value}:{spec}" for path in paths for value, spec in formats(path) if "z" not in spec}
    assert without == {f"svg.py: {size} * PIXELS_PER_POINT:.0f" for size in ("width", "height")}
