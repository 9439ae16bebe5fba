"""Rules for all that the page shows: what an aggregate rests on stands beside it, and ids outlive a larger study."""

from __future__ import annotations

import dataclasses
import io
from pathlib import Path

import pandas as pd
import pytest

from activation_study.report import blocks
from activation_study.report.blocks import Figure, walk
from activation_study.report.markup import slugs
from activation_study.report.page import FIRST, SECTIONS
from activation_study.report.sections import rates
from activation_study.report.study_data import StudyData
from activation_study.report.tables import Download, Table
from synthetic import PROVENANCE, Shape, write_tables

COUNTS = {"n", "seeds", "pairs", "networks", "reached_raw"}
"""Columns that say how many values an interval rests on."""
TIMED = {"cost", "cost_figure", "cost_parts_figure", "cost_and_accuracy", "false_alarms"}
"""Their intervals are of timed pairs, or of comparisons: nothing diverges."""


def _aggregates(data: StudyData) -> list[Download]:
    """Whatever is downloaded with an interval in it."""
    made = [section for module in (FIRST, *SECTIONS) if (section := module.section(data)) is not None]
    held = [block.data for block in walk(made) if isinstance(block, Figure | Table)]
    return [one for one in held if one.csv.partition("\n")[0].find("_low") > 0]


def _unfounded(held: Download) -> list[str]:
    """What an aggregate's rows lack: how many values, and how many of them diverged."""
    columns = set(pd.read_csv(io.StringIO(held.csv), nrows=1).columns)
    faults = [] if columns & COUNTS else [f"{held.name}: without a count"]
    return faults + [f"{held.name}: without diverged"] * ("diverged" not in columns and held.name not in TIMED)


@pytest.fixture(scope="module")
def aggregates(tables: Path) -> list[Download]:
    return _aggregates(StudyData.read("small", tables, PROVENANCE))


@pytest.mark.slow
def test_every_aggregate_says_what_it_rests_on(aggregates: list[Download]):
    assert len(aggregates) > 10
    assert [fault for held in aggregates for fault in _unfounded(held)] == []


@pytest.mark.slow
@pytest.mark.parametrize(("column", "fault"), [("n", "without a count"), ("diverged", "without diverged")])
def test_an_aggregate_without_its_counts_is_noticed(aggregates: list[Download], column: str, fault: str):
    held = next(one for one in aggregates if one.name == "overall")
    lacking = dataclasses.replace(held, csv=held.csv.replace(f",{column},", ",x,", 1))
    assert _unfounded(lacking) == [f"overall: {fault}"]


def _ids(folder: Path, datasets: tuple[str, ...]) -> set[str]:
    """Of the figures that a study has one of per dataset."""
    shape = Shape(("relu", "elu"), datasets, (5,), seeds=2, unavailable=())
    data = StudyData.read("ids", write_tables(folder, shape), PROVENANCE)
    made = [rates.section(data)]
    return {block.id for block in walk(made) if isinstance(block, Figure)}


@pytest.mark.slow
def test_a_dataset_more_changes_no_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    before = _ids(tmp_path / "one", ("digits",))
    assert before == {"figure-rates-digits"}
    assert before < _ids(tmp_path / "two", ("a", "digits"))
    # numbered, as they must not be
    monkeypatch.setattr(rates, "slugs", lambda names: {name: str(place) for place, name in enumerate(names)})
    assert "figure-rates-digits" not in _ids(tmp_path / "two", ("a", "digits"))


def test_slugs_are_told_apart():
    found = slugs(["a b", "a-b", "A", "é"])
    assert sorted(found) == ["A", "a b", "a-b", "é"]
    assert len(set(found.values())) == 4
    assert found["A"] == "a"


def test_figures_of_other_datasets_fold():
    figure = Figure("x", "t", "m", "", Download("x", ""))
    assert blocks.one_open("x", []) == []
    assert blocks.one_open("x", [("a", figure), ("a", figure)]) == [figure, figure]
    shown = blocks.one_open("x", [("a", figure), ("b", figure), ("c", figure)])
    assert shown[0] is figure
    assert (shown[1].id, shown[1].brief, len(shown[1].blocks)) == ("x-others", "b, c", 2)
