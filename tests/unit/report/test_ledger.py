"""The ledger's page: every row with its verdict, its cells drawn where its numbers are."""

import hashlib
import math
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pandas as pd
import pytest
import yaml
from markupsafe import Markup

from activation_study.claims.outcomes import Outcome, counted_claims, of_claim
from activation_study.report.blocks import Figure, Items, Paragraph, Section
from activation_study.report.evidence import linked
from activation_study.report.figures.forest import LABEL, NUMBER, WIDTH, Mark, forest
from activation_study.report.sections import answer, ledger, ranking, validity
from activation_study.report.sections.ledger import Scale
from activation_study.report.study_data import StudyData
from synthetic import CLAIMS, PROVENANCE

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture
def data(tables):
    return StudyData.read("small", tables, {})


def _claims(section):
    (block,) = [block for block in section.blocks if hasattr(block, "groups")]
    return [claim for _, claims in block.groups for claim in claims], block


def test_every_row_is_there_once_with_its_verdict(data):
    claims, block = _claims(ledger.section(data))
    rows = {row.row: row.verdict for claim in claims for row in claim.rows}
    assert rows == data.tables["ledger"].set_index("row")["verdict"].map(lambda one: Outcome(one).said).to_dict()
    assert {word for word, _, _ in block.legend} == set(rows.values()) == {outcome.said for outcome in Outcome}
    ids = [row.id for claim in claims for row in claim.rows]
    assert len(set(ids)) == len(ids)


def test_a_claim_wears_one_word(data):
    claims, _ = _claims(ledger.section(data))
    words = {claim.name: (claim.word, claim.verdict, claim.icon) for claim in claims}
    assert words["C01"] == ("partly", "partly", "◐"), "a row is true, another false"
    assert words["C05"] == ("true", "true, computed", "✓")
    assert words["C06"] == ("not judged", "not judged", "○")


@pytest.mark.parametrize(
    ("rows", "word"),
    [
        (["true", "holds as stated", "exploratory"], "true"),
        (["true", "open"], "partly"),
        (["partly"], "partly"),
        (["false", "true"], "partly"),
        (["wrong as stated", "open"], "false"),
        (["costly"], "false"),
        (["open", "exploratory"], "open"),
        (["exploratory", "not tested"], "not judged"),
    ],
)
def test_a_claim_as_a_whole(rows, word):
    assert of_claim(rows) == word


def test_one_total_is_on_the_first_screen_and_above_the_claims(data):
    count = counted_claims(data.tables["ledger"])
    said = ", ".join(f"{many} {word}" for word, many in count.items())
    assert said in str(ledger.section(data).blocks[0].text)
    assert sum(count.values()) == data.tables["ledger"]["claim"].nunique()
    claims, _ = _claims(ledger.section(data))
    assert Counter(claim.word for claim in claims) == count


@pytest.mark.slow
def test_the_page_holds_the_ledger(report):
    html = report.read_text(encoding="utf-8")
    for name in ("claim-c01", "claim-c01-1", "claim-c01-2", "claim-c04"):
        assert len(re.findall(f'id="{re.escape(name)}"', html)) == 1, name
    assert "e" * 64 in html, "the hash of the claims file"
    assert "40 seeds would settle it" in html
    assert "It is a quarter." in html
    assert "Beyond the threshold (+50.00 points) by" in html, "not an effect of that size"


def test_a_row_says_what_was_decided_when(data):
    decided = data.tables["ledger"].assign(decided=lambda rows: "Fixed before the results: " + rows["row"])
    told = StudyData("small", data.tables | {"ledger": decided}, {})
    for claim in _claims(ledger.section(told))[0]:
        for row in claim.rows:
            assert dict(row.facts)["Decided"] == f"Fixed before the results: {row.row}"
    assert not any("Decided" in dict(row.facts) for claim in _claims(ledger.section(data))[0] for row in claim.rows)


def test_no_ledger_no_section(data):
    empty = data.tables | {"ledger": data.tables["ledger"].iloc[:0]}
    assert ledger.section(StudyData("small", empty, {})) is None


@pytest.mark.parametrize(
    ("unit", "value", "short", "long"),
    [
        ("fraction", 0.0123, "+1.23", "+1.23 points"),
        ("log steps (differences are log ratios)", math.log(2), "× 2", "× 2"),
        ("log ratio", -math.log(4), "× 0.25", "× 0.25"),
        ("decades per layer", 0.05, "0.05", "0.05 decades per layer"),
        ("log10 of the product", 3.0, "× 20.1", None),
    ],
)
def test_units(unit, value, short, long):
    scale = Scale.of(pd.Series({"type": "difference", "unit": unit}))
    if long is None:  # a decimal logarithm is no natural one
        assert scale.short(value) != short
    else:
        assert (scale.short(value), scale.long(value)) == (short, long)


def test_a_forest_stands_where_its_numbers_are():
    marks = [Mark("a", 0.0, -1.0, 1.0), Mark("b <i>", 2.0, 1.5, 2.5), Mark("all", 1.0, 0.5, 1.5, whole=True)]
    drawn = forest(marks, "x", "title", "message", "{:g}".format, "points", [0.0, 0.5])
    root = ElementTree.fromstring(drawn)
    first, second = (float(circle.get("cx")) for circle in root.iter(f"{SVG}circle"))
    bars = [
        [float(x) for x in re.fullmatch(r"M([\d.]+) [\d.]+H([\d.]+)", path.get("d")).groups()]
        for path in root.iter(f"{SVG}path")
        if path.get("stroke-width") == "2"
    ]
    lines = [path for path in root.iter(f"{SVG}path") if "V" in path.get("d")]
    zero, smallest = (float(re.match(r"M([\d.]+)", line.get("d"))[1]) for line in lines)
    assert zero == pytest.approx(first, abs=0.15)  # a's estimate is zero
    unit = (second - zero) / 2
    for (low, high), mark in zip(bars, marks, strict=True):
        assert [low, high] == pytest.approx([zero + unit * mark.low, zero + unit * mark.high], abs=0.2)
    assert smallest == pytest.approx(zero + unit / 2, abs=0.2)
    assert all(LABEL <= x <= WIDTH - NUMBER for bar in bars for x in bar)
    assert "b <i>" in [text.text for text in root.iter(f"{SVG}text")]


def test_a_forest_leaves_room_for_its_words():
    """Of long numbers and names: no line or mark stands where words do, at 7 pixels a letter."""
    marks = [
        Mark("fashion_mnist, 20 layers (no information)", 1e-3, 1e-4, 2e-3),
        Mark("all", 0.05, -0.05, 0.1, whole=True),
    ]
    drawn = forest(marks, "x", "title", "message", "{:+.6f}".format, "points", [0.0, 0.1])
    root = ElementTree.fromstring(drawn)
    words = [text for text in root.iter(f"{SVG}text") if " " in text.text and text.text != "points"]
    left = max(7 * len(text.text) for text in words if text.get("text-anchor") == "start")
    right = WIDTH - max(7 * len(text.text) for text in words if text.get("text-anchor") == "end")
    ruled = [path.get("d") for path in root.iter(f"{SVG}path") if not path.get("d").startswith("M0 ")]
    starts = [float(re.match(r"M([\d.]+)", path)[1]) for path in ruled]
    assert len(starts) >= 4
    assert all(left < x < right for x in starts)


def test_the_first_screen_counts_the_claims(data):
    """By hand: C01 is mixed and C02 partly true; C04 is wrong, C09 costly; C05 and C08 hold; C03 stays open."""
    said = str(answer._claims(data.tables["ledger"]))
    assert 'aria-label="2 true, 2 partly, 2 false, 1 open' in said
    assert re.findall(r'x="(\d+)" y="0" width="(\d+)"', said)[:4] == [("0", "2"), ("2", "2"), ("4", "2"), ("6", "1")]


def test_a_wide_interval_is_not_called_as_good():
    tied = pd.DataFrame({"activation": ["a", "b"], "difference_low": [-0.004, -0.08], "n": 60, "diverged": [0, 3]})
    said = str(answer._not_distinguishable(tied))
    assert "<code>a</code> is as good, within a point" in said
    assert "<code>b</code> cannot be distinguished" in said
    assert "8.0 points" in said
    assert "as the interval is too wide (3 of these 60 networks diverged)" in said


def test_without_twins_there_is_no_validity_section(data):
    assert validity.section(data) is None


def _links(section):
    """Each row's facts that are links or places, by the row's name."""
    claims, _ = _claims(section)
    return {row.row: dict(row.facts) for claim in claims for row in claim.rows}


def test_a_row_says_on_which_line_it_is_written_down_and_what_decides_it(tables):
    file = Path(CLAIMS[0])
    read = StudyData.read("small", tables, PROVENANCE | {"repository": "https://example.org/you/study"}, CLAIMS)
    rows = read.tables["ledger"].assign(claims_sha256=hashlib.sha256(file.read_bytes()).hexdigest())
    found = _links(ledger.section(replace(read, tables=read.tables | {"ledger": rows})))
    written = file.read_text(encoding="utf-8").splitlines()
    for row, claim, place in (("C01.1", "C01", 0), ("C01.2", "C01", 1), ("C05", "C05", 0)):
        address = "https://example.org/you/study/blob/0123456789ab/claims.yaml#L"
        line = int(re.search(rf'href="{address}(\d+)"', found[row]["Written down in"])[1])
        (begins,) = (i for i, text in enumerate(written) if text.strip() == f"- id: {claim}")
        tests = [i + 1 for i, text in enumerate(written) if i > begins and text.strip().startswith("- test:")]
        assert line == tests[place], row
    section = ledger.section(replace(read, tables=read.tables | {"ledger": rows}))
    claims, block = _claims(section)
    code = {name: (str(place), text) for name, place, text in block.code}
    places = {"C01.1": "rules.py", "C08": "ledger.py", "C06": "contrasts.py"}
    for row, module in places.items():
        name = re.search(r'href="#([^"]+)"', found[row]["Computed by" if row == "C06" else "Decided by"])[1]
        assert f"/{module}" in code[name][0]
        assert code[name][1].startswith("def ")
    entry = next(row.entry for claim in claims for row in claim.rows if row.row == "C01.1")
    assert yaml.safe_load(re.sub(r"\*\w+", "0", entry))["test"].startswith("steps")
    assert "Written down in" not in _links(ledger.section(read))["C01.1"], "another file was judged"


def test_a_verdict_leads_to_its_figure_and_back(data):
    made = linked({ranking: ranking.section(data), ledger: ledger.section(data)})
    (figure,) = [block for block in made[ranking].blocks if isinstance(block, Figure)]
    facts = _links(made[ledger])
    shown = {row for row in facts if f'href="#{figure.id}"' in facts[row].get("Figure", "")}
    assert shown == set(data.tables["ledger"].query("type != 'policy'")["row"])
    claims, _ = _claims(made[ledger])
    ids = {row.id for claim in claims for row in claim.rows if row.row in shown}
    back = "".join(block.text for block in made[ranking].blocks if getattr(block, "kind", "") == "links")
    assert set(re.findall('href="#([^"]+)"', back)) == ids


def test_a_sentence_links_only_to_what_the_page_has():
    link = '<a href="#{}">{}</a>'
    text = Markup(link.format("answer", "here") + ", " + link.format("regret", "<b>there</b>") + ' <a href="x">x</a>')
    plain = '<a href="#regret">no markup</a>'
    section = Section("answer", "title", [Paragraph(text), Items([text, plain])])
    first, second = linked({answer: section})[answer].blocks
    said = link.format("answer", "here") + ', <b>there</b> <a href="x">x</a>'
    assert first.text == said
    assert second.items == [said, plain]
