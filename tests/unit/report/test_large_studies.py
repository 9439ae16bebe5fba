"""Where a page shows a part of a study: from how many activations, cells and rows, and that it says so."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from activation_study.report import page, study_data
from activation_study.report.page import build
from activation_study.report.study_data import MOST_CELLS, MOST_SHOWN, StudyData
from activation_study.report.tables import MOST_EMBEDDED, MOST_ROWS, Download, Table, download, text
from activation_study.report.words import LONGEST_LIST, listed, plain_list
from synthetic import PROVENANCE, Shape, write_tables

LEAST = Shape(("relu",), ("digits",), (2,), seeds=2, rates=(0.001, 0.01, 0.1), unavailable=(), evaluations_per_decade=2)


def _data(shape: Shape, folder: Path) -> StudyData:
    return StudyData.read("large", write_tables(folder, shape), PROVENANCE)


def _named(count: int) -> Shape:
    return replace(LEAST, activations=("relu", "sigmoid", *(f"a{i}" for i in range(count - 2))))


def test_as_many_activations_as_can_be_read_are_all_shown(tmp_path: Path):
    data = _data(_named(MOST_SHOWN), tmp_path)
    assert data.few is data
    assert data.folded == ""


def test_from_one_more_on_the_first_are_shown_and_those_that_are_emphasised(tmp_path: Path):
    data = _data(_named(MOST_SHOWN + 1), tmp_path)
    assert data.order[-1] == "sigmoid"  # which fails and yet is emphasised
    assert data.few.order == [name for name in data.order if name != data.order[-2]]
    assert data.folded == f"{MOST_SHOWN} of {MOST_SHOWN + 1} activations"
    for name in ("runs", "portraits", "cost", "activations"):
        assert data.few.tables[name]["activation"].nunique() == MOST_SHOWN
    assert set(data.few.tables["layers"]["run"]) <= set(data.few.tables["runs"]["run"])


@pytest.mark.parametrize("more", [0, 1])
def test_cells_are_spread_evenly(more: int, tmp_path: Path):
    data = _data(replace(LEAST, depths=tuple(range(2, 2 + MOST_CELLS + more))), tmp_path)
    assert len(data.few.cells) == MOST_CELLS
    assert (data.few.cells[0], data.few.cells[-1]) == (data.cells[0], data.cells[-1])
    said = f"{MOST_CELLS} of {MOST_CELLS + 1} combinations of dataset, depth and condition"
    assert data.folded == (said if more else "")


@pytest.mark.slow
@pytest.mark.parametrize("most", [3, 4])
def test_the_page_says_what_it_leaves_out(most: int, tables: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Of the small study's four activations."""
    monkeypatch.setattr(study_data, "MOST_SHOWN", most)
    build("small", tables, tmp_path / "small.html", PROVENANCE)
    html = (tmp_path / "small.html").read_text(encoding="utf-8")
    folding = sum(getattr(module, "FOLDS", False) for module in page.SECTIONS)
    notes = html.count('<p class="note">Shown here: 3 of 4 activations.')
    assert 0 < notes <= folding if most == 3 else notes == 0
    assert (" Drawn: 3 of 4 activations." in html) == (most == 3)
    assert all(f'<section id="activation-{name}"' in html for name in ("relu", "elu", "sigmoid", "tanh"))


def _table(rows: int) -> Table:
    frame = pd.DataFrame({"a": range(rows)})
    return Table("table-a", "A", [text("A", "a")], frame, download("a", frame))


def test_a_table_shows_its_first_rows_and_its_data_have_all():
    assert len(_table(MOST_ROWS).rows) == MOST_ROWS
    assert _table(MOST_ROWS).extent == f"{MOST_ROWS} rows"
    longer = _table(MOST_ROWS + 1)
    assert len(longer.rows) == MOST_ROWS
    assert longer.extent == f"the first {MOST_ROWS} of {MOST_ROWS + 1} rows"
    assert longer.data.csv.count("\n") == MOST_ROWS + 2


def test_data_that_are_too_long_for_a_page_lie_beside_it():
    assert Download("a", "x" * MOST_EMBEDDED).embedded
    assert not Download("a", "x" * (MOST_EMBEDDED + 1)).embedded


def test_a_sentence_does_not_hold_a_hundred_names():
    names = [f"a{i}" for i in range(LONGEST_LIST)]
    assert plain_list(names).endswith(f" and a{LONGEST_LIST - 1}")
    assert listed(names).count("<code>") == LONGEST_LIST
    longer = [*names, "b"]
    assert plain_list(longer) == f"a0, a1, a2, a3, a4, a5, a6, a7 and {LONGEST_LIST - 7} others"
    assert listed(longer).endswith(f"<code>a7</code> and {LONGEST_LIST - 7} others")


def test_an_unfinished_study_says_so_first(tables: Path, tmp_path: Path):
    build("small", tables, tmp_path / "small.html", PROVENANCE, state="Of 9 runs 3 done, 1 running.")
    html = (tmp_path / "small.html").read_text(encoding="utf-8")
    said = html.index("<strong>Not finished.</strong> Of 9 runs 3 done, 1 running.")
    assert said < html.index('class="lead"')
