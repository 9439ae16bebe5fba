"""Markup is made in one place, which escapes; ids are slugs; CSV runs in no spreadsheet."""

from __future__ import annotations

import ast
import io
import re
from pathlib import Path
from xml.etree import ElementTree

import pandas as pd
import pytest

from activation_study.report import markup
from activation_study.report import page as building
from activation_study.report.blocks import Section
from activation_study.report.figures.forest import Mark, forest
from activation_study.report.page import build
from activation_study.report.sections import guide, ledger, profiles
from activation_study.report.study_data import StudyData
from activation_study.report.tables import csv_text, download
from activation_study.study import receipts
from activation_study.tables import parquet as stored
from synthetic import CLAIMS, PROVENANCE, SMALL, Shape, write_tables

SOURCES = sorted(Path(building.__file__).parent.rglob("*.py"))
MAKERS = {"markup.py": 0, "svg.py": 1, "page.py": 2, "evidence.py": 1}
"""Files that may call something Markup that is not a constant, and how often: an SVG that ElementTree wrote, the page's
own style sheet and script, and markup without some of its links."""
HOSTILE = '"><img src=x onerror=alert(1)>'


def _made_by_hand(source: str) -> list[str]:
    """Calls of Markup with what is not a constant, and texts with a tag in them that are put together."""
    tree = ast.parse(source)
    constants = {
        target.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and getattr(node.func, "id", getattr(node.func, "attr", "")) == "Markup":
            given = node.args[0] if node.args else None
            named = isinstance(given, ast.Name) and given.id in constants
            if not (named or isinstance(given, ast.Constant)):
                found.append(ast.unparse(node))
        if isinstance(node, ast.JoinedStr):
            parts = [part.value for part in node.values if isinstance(part, ast.Constant)]
            if any(re.search(r"</?[a-zA-Z]", part) for part in parts):
                found.append(ast.unparse(node))
    return found


@pytest.mark.parametrize("file", SOURCES, ids=lambda file: file.stem)
def test_no_markup_is_made_by_hand(file: Path):
    found = _made_by_hand(file.read_text(encoding="utf-8"))
    assert len(found) == MAKERS.get(file.name, 0), found


@pytest.mark.parametrize("line", ["Markup(f'{x}')", "Markup('<b>' + x)", "f'<i id=\"{x}\">'", "y = x\nMarkup(y)"])
def test_markup_made_by_hand_is_noticed(line: str):
    assert _made_by_hand(line)
    assert not _made_by_hand("Markup('<b>{}</b>').format(x)")


def test_templates_escape_everything():
    for file in Path(building.__file__).parent.joinpath("templates").iterdir():
        text = file.read_text(encoding="utf-8")
        assert not re.search(r"\|\s*safe\b|safe\(|autoescape", text), file.name
        bare = re.findall(r"=\s*\{\{", text)
        assert not bare, "every attribute's value stands in quotes"


def test_an_element_escapes_its_attributes_and_its_content():
    made = markup.element("text", HOSTILE, fill=HOSTILE, text_anchor="end", class_="x")
    root = ElementTree.fromstring(made)
    assert (root.text, root.attrib) == (HOSTILE, {"fill": HOSTILE, "text-anchor": "end", "class": "x"})
    assert markup.element("path", d="M0 0") == '<path d="M0 0"/>'
    assert markup.element("g", made).count("<text") == 1


def test_a_forest_is_text_wherever_words_stand():
    marks = [Mark(HOSTILE, 0.0, -1.0, 1.0), Mark("all", 0.0, -1.0, 1.0, whole=True)]
    drawn = forest(marks, HOSTILE, HOSTILE, HOSTILE, lambda value: HOSTILE, HOSTILE, [0.0])
    root = ElementTree.fromstring(drawn)
    assert {element.tag.rpartition("}")[2] for element in root.iter()} == {
        *("svg", "title", "desc", "text", "path", "circle")
    }
    assert root[0].get("id") == f"{HOSTILE}.title"


# Ids


def test_slugs_are_stable_and_unlike():
    names = ["a b", "a-b", "A", "a", "A-2", "é", "ü", "", "x" * 300, "x" * 300 + "y"]
    found = markup.slugs(names)
    assert len(set(found.values())) == len(names)
    assert all(re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", one) and len(one) <= 90 for one in found.values())
    assert found["A"] == "a"
    assert markup.slugs([*names, "another"]).items() >= found.items()
    for count in range(2, 6):  # however the counting of before would have met a name that ends on a number
        mixed = markup.slugs(["A", "a", *(f"a-{number}" for number in range(count))])
        assert len(set(mixed.values())) == count + 2


@pytest.mark.slow
def test_every_id_of_a_page_is_a_slug_and_stands_there_once(report: Path):
    ids = re.findall(r'\sid="([^"]*)"', report.read_text(encoding="utf-8"))
    assert len(ids) > 100
    assert len(set(ids)) == len(ids)
    assert [one for one in ids if not re.fullmatch(r"[a-z][a-z0-9-]*(\.[a-z0-9]+)*", one)] == []


@pytest.mark.slow
def test_an_activation_called_like_another_one_s_table_has_ids_of_its_own(tmp_path: Path):
    names = ("relu", "relu-elsewhere", "Relu", "s")
    shape = Shape(names, ("digits",), (2, 5), seeds=2, unavailable=())
    folder = write_tables(tmp_path / "tables", shape)
    path = folder / "experiments.parquet"
    experiments = pd.read_parquet(path)
    other = experiments.assign(
        experiment=experiments["run"].str.contains("depth=5").map({True: "other", False: "core"})
    )
    stored.write_parquet(stored.from_rows("experiments", other.to_dict("records")), path)
    build("x", folder, tmp_path / "x.html", PROVENANCE)
    ids = re.findall(r'\sid="([^"]*)"', (tmp_path / "x.html").read_text(encoding="utf-8"))
    assert len(set(ids)) == len(ids)
    assert {"table-activation-relu-elsewhere", "table-elsewhere-activation-relu"} <= set(ids)
    data = StudyData.read("x", folder, PROVENANCE)
    assert len(set(profiles.identifiers(data).values())) == len(names)


@pytest.mark.parametrize("ident", ['a"b', "A", "a.b", "a b", "answer"])
def test_an_id_that_is_no_slug_is_a_bug(ident: str):
    with pytest.raises(ValueError, match="not slugs, or are used twice"):
        building._hold_to_slugs([Section("answer", "x"), Section(ident, "y")])


@pytest.mark.slow
def test_two_claims_files_share_no_id_and_the_guide_links_to_the_rows(tables: Path):
    data = StudyData.read("small", tables, PROVENANCE)
    rows = data.tables["ledger"]
    both = pd.concat([rows, rows.assign(family="mine")], ignore_index=True)
    ids = ledger.identifiers(both)
    assert len(set(ids.values())) == len(ids) == 2 * len(ledger.identifiers(rows))
    assert ids["mine", "C01.2"] == "claim-mine-c01-2"
    assert ledger.identifiers(rows)["claims", "C01.2"] == "claim-c01-2"
    made = guide.section(StudyData("small", data.tables | {"ledger": both}, PROVENANCE, CLAIMS))
    links = re.findall(
        r'href="#(claim-[^"]+)"', str([str(one) for block in made.blocks for one in getattr(block, "items", ())])
    )
    assert set(links) <= set(ids.values())


# Spreadsheets


@pytest.mark.parametrize(
    "text", ["=1+1", "+1+1", "-x * 2", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "=cmd|' /C calc'!A0", "--1"]
)
def test_a_formula_becomes_text(text: str):
    csv = csv_text(pd.DataFrame({"a": [text, "x"], "n": [-0.5, 1.0]}))
    read = pd.read_csv(io.StringIO(csv), lineterminator="\n" if "\r" in text else None)
    assert read["a"].iloc[0] == f"'{text}"
    assert read["n"].tolist() == [-0.5, 1.0]


@pytest.mark.parametrize("text", ["-0.5", "+1e-05", "-3", "a=b", "x - y", "", "'quoted", "–", "−1.2"])
def test_other_text_stays_as_it_is(text: str):
    assert csv_text(pd.DataFrame({"a": ["x", text]})) == pd.DataFrame({"a": ["x", text]}).to_csv(index=False)


def test_a_header_is_text_too_and_missing_values_stay_missing():
    frame = pd.DataFrame({"=a": ["=b", None], "whole": pd.array([1, None], dtype="Int64"), "yes": [True, None]})
    assert csv_text(frame) == "'=a,whole,yes\n'=b,1,True\n,,\n"


@pytest.mark.slow
def test_every_csv_of_a_report_goes_through_it(tmp_path: Path):
    folder = write_tables(tmp_path / "tables", SMALL)
    path = folder / "activations.parquet"
    frame = pd.read_parquet(path).assign(definition="=HYPERLINK(1)")
    stored.write_parquet(stored.from_rows("activations", frame.to_dict("records")), path)
    build("x", folder, tmp_path / "x.html", PROVENANCE)
    texts = [file.read_text(encoding="utf-8") for file in (tmp_path / "x/tables").iterdir()]
    assert any("'=HYPERLINK" in text for text in texts)
    assert not any(re.search(r'(?m)(^|,)"?[=@]', text) for text in texts)
    assert download("x", frame).csv.count("'=HYPERLINK") == len(frame)
    assert not re.search(r"to_csv\(", "".join(file.read_text() for file in SOURCES if file.name != "tables.py"))


# The head


@pytest.mark.slow
def test_the_receipt_stands_in_the_head(tables: Path, tmp_path: Path, monkeypatch):
    monkeypatch.setattr(building, "SECTIONS", ())
    receipt = {"params": {"config": '">\u2028<script>'}, "code": "c" * 64, "results": "r" * 64}
    build("noted", tables, tmp_path / "noted.html", PROVENANCE, made_by=receipt)
    assert receipts.found(tmp_path / "noted.html") == receipt
    build("small", tables, tmp_path / "small.html", {})
    assert "activation-study-receipt" not in (tmp_path / "small.html").read_text(encoding="utf-8")
    assert receipts.found(tmp_path / "small.html") == {}
