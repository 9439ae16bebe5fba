"""The first screen says how far to trust the study: what it misses first, with the figure, and what is not known."""

import json
import re

import pytest

from activation_study.core import files
from activation_study.report import page
from activation_study.report.blocks import Paragraph, Section
from activation_study.report.evidence import linked
from activation_study.report.trust import rests_on, trust
from synthetic import PROVENANCE, VALIDITY

MISSES = "misses what it asks of itself"


def _said(text):
    """Without its links."""
    return re.sub("</?a[^>]*>", "", str(text))


def test_a_check_leads_to_its_section_if_there_is_one():
    led = r'<a href="#([a-z-]+)">'
    said = trust(VALIDITY)
    assert re.findall(led, said) == ["validity", "second-study"]
    section = Section("answer", "title", [Paragraph(said)])
    (without,) = linked({page.FIRST: section})[page.FIRST].blocks
    assert re.findall(led, without.text) == []
    assert _said(without.text) == _said(said)


def test_a_study_that_keeps_all_says_so_with_its_figures():
    said = _said(trust(VALIDITY))
    assert MISSES not in said
    assert "Not known" not in said
    for figures in (
        "9 of 160 tests",
        "99% of cases in accuracy and 97% in steps",
        "93% of the tested rows",
    ):
        assert figures in said
    further = rests_on(VALIDITY)
    for figures in ("two rows", "5,400", "12 diverged"):
        assert figures in further
    assert "No verdict" not in rests_on(VALIDITY | {"rows_undone_by_one_seed": None})


@pytest.mark.parametrize(
    ("change", "first"),
    [
        ({"aa_alarms": 16}, "A function compared with itself .* in 16 of 160 tests, where 8 are due"),
        ({"aa_alarms": 2}, "A function .* 2 of .*, where 8 are due: intervals are wider than they need be"),
        (
            {"power_at_1_5_smallest": 0.81, "power_of_time": None, "power_of_accuracy": 0.81},
            "Simulated studies .* 1.5 times .* in 81% of cases; 95% was the aim",
        ),
        (
            {"power_at_1_5_smallest": 0.03, "power_of_time": 0.03, "power_of_accuracy": 0.81},
            "Simulated studies .* in 81% of cases in accuracy and 3% in steps .*; 95% was the aim",
        ),
        ({"verdicts_same_share": 0.82}, "With other seeds 82% .*; 90% and none was the aim"),
        ({"verdicts_reversed": 1}, "With other seeds 93% .* one row is reversed; 90% and none was the aim"),
    ],
)
def test_what_is_missed_comes_first(change, first):
    said = _said(trust(VALIDITY | change))
    assert re.search(rf"{MISSES}\.</strong> {first}", said)
    assert re.match("<strong>How far to trust it.</strong> <strong>It misses", said)


def test_what_cannot_be_known_is_neither_missed_nor_kept():
    known = ("diverged", "networks")
    said = str(trust({key: value if key in known else None for key, value in VALIDITY.items()}))
    assert MISSES not in said
    assert said.count(";") == 2
    assert re.search("Not known: .*two names; .* second study to compare with[.]$", said)


@pytest.mark.slow
def test_the_page_reads_the_file(tables, tmp_path, monkeypatch):
    monkeypatch.setattr(page, "SECTIONS", [])  # the first screen alone
    for file in tables.iterdir():
        if file.suffix == ".parquet":
            (tmp_path / file.name).symlink_to(file)
    pages = {}
    for name, alarms in (("kept", 9), ("missed", 40)):
        files.write_json(VALIDITY | {"aa_alarms": alarms, files.MADE_BY: {"code": "c"}}, tmp_path / "validity.json")
        page.build(name, tmp_path, tmp_path / f"{name}.html", PROVENANCE)
        pages[name] = (tmp_path / f"{name}.html").read_text(encoding="utf-8")
    assert MISSES in pages["missed"]
    assert MISSES not in pages["kept"]
    (summary,) = re.findall(r'<script type="application/json"[^>]*>(.*?)</script>', pages["kept"], re.DOTALL)[:1]
    assert json.loads(summary)["validity"] == VALIDITY
