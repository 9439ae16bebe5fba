"""What cells say and sort by, and the CSV that the page holds."""

import base64
import gzip
import io
from urllib.parse import unquote

import numpy as np
import pandas as pd
import pytest

from activation_study.core.numbers import decimals, figures
from activation_study.report.tables import LARGEST_PLAIN, Download, download, interval, number


def _decoded(data: Download) -> str:
    head, _, body = data.href.partition(",")
    return gzip.decompress(base64.b64decode(body)).decode() if "gzip" in head else unquote(body)


@pytest.mark.parametrize("rows", [3, 20_000])
def test_the_address_holds_the_frame(rows: int):
    random = np.random.default_rng(0)
    frame = pd.DataFrame(
        {"name": ["a,b", 'say "x"', "<script>é\n"] * (rows // 3), "value": random.normal(size=rows // 3 * 3)}
    )
    data = download("frame", frame)
    assert data.file.endswith(".gz") == (len(data.csv) > LARGEST_PLAIN)
    read = pd.read_csv(io.StringIO(_decoded(data)))
    pd.testing.assert_frame_equal(read, frame, rtol=5e-7)


def test_a_missing_value_is_an_empty_field():
    assert download("x", pd.DataFrame({"a": [1.5, np.nan], "b": ["", "y"]})).csv == "a,b\n1.5,\n,y\n"


def test_the_same_frame_has_the_same_address():
    frame = pd.DataFrame({"a": np.arange(20_000.0)})
    assert download("x", frame).href == download("x", frame).href


@pytest.mark.parametrize(
    ("value", "said"),
    [(-1.25, "−1.2"), (0.04, "0.0"), (-0.04, "0.0"), (np.nan, "–"), (np.inf, "∞"), (1234.5, "1,234.5")],
)
def test_decimals(value: float, said: str):
    assert decimals(value) == said


def test_signs_stand_where_they_are_asked_for():
    assert [decimals(x, 2, signed=True) for x in (0.5, -0.5, 0.001)] == ["+0.50", "−0.50", "0.00"]


def test_figures_keep_significant_digits():
    assert [figures(x) for x in (0.0003, 12345.0, -1.4142)] == ["0.0003", "1.23e+04", "−1.41"]


def test_a_number_sorts_by_its_value_and_a_missing_one_by_none():
    column = number("Share (%)", "share", 1, 100)
    cells = [column.cell(row) for _, row in pd.DataFrame({"share": [0.123456, np.nan]}).iterrows()]
    assert [(cell.text, cell.sort) for cell in cells] == [("12.3", 0.123456), ("–", None)]


def test_an_interval_shows_both_bounds():
    row = pd.Series({"x_low": -0.01, "x_high": 0.02})
    cell = interval("95% interval", "x", signed=True).cell(row)
    assert (cell.text, cell.sort) == ("−1.0 to +2.0", -0.01)
