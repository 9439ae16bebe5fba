"""What the report says, in a real browser. Every check passes on it, and fails on a violation planted in it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pandas as pd
import pytest
from PIL import Image

import checks
import content_checks
from activation_study.claims.outcomes import of_claim
from checks import Visit, planted

pytestmark = pytest.mark.browser

BODY = '<main id="main">'
STYLE = "</style>"
LINES = (
    '<figure id="planted"><svg><path stroke="#0a5cad" d="M0 0H9"/><path stroke="#b54708" d="M0 5H9"/></svg></figure>'
)


@pytest.fixture(scope="session")
def ledger(tables: Path) -> pd.DataFrame:
    return pd.read_parquet(tables / "ledger.parquet")


def test_the_first_screen_answers(visit: Visit, html: str):
    assert content_checks.first_screen_faults(visit(html)) == []


def test_an_answer_below_the_first_screen_is_noticed(visit: Visit, html: str):
    low = planted(html, STYLE, ".lead { margin-bottom: 900px; }" + STYLE)
    found = content_checks.first_screen_faults(visit(low))
    assert [fault.removeprefix("not on the first screen: ") for fault in found] == [
        "which activation where",
        "what is cheapest",
        "how far to trust it",
        "what it says nothing of",
        "the claims as a bar",
        "link to the claims",
    ]


def test_every_verdict_is_there_without_scripts_and_styles(visit: Visit, html: str, ledger: pd.DataFrame):
    assert content_checks.missing_verdicts(visit(html, java_script_enabled=False), ledger) == []
    assert content_checks.missing_verdicts(visit(html, policy=checks.STRICT_POLICY), ledger) == []


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ('<details class="claim"', '<details hidden class="claim"', "not seen: claim-c01"),
        ('<div class="claim-row"', '<div class="claim-raw"', "C01.1 is true, shown: None"),
    ],
)
def test_a_missing_verdict_is_noticed(visit: Visit, html: str, ledger: pd.DataFrame, old: str, new: str, fault: str):
    page = visit(planted(html, old, new), java_script_enabled=False)
    assert fault in content_checks.missing_verdicts(page, ledger)


def test_colour_is_never_alone(visit: Visit, html: str):
    assert content_checks.lone_colours(visit(html)) == []


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        (BODY, f'{BODY}<span class="verdict false">false</span>', "verdict without icon"),
        (BODY, BODY + LINES, "planted: only colour tells #0a5cad from #b54708"),
        (BODY, BODY + LINES.replace("#0a5cad", "#ff00ff"), "planted: not of the theme: #ff00ff"),
    ],
)
def test_colour_alone_is_noticed(visit: Visit, html: str, old: str, new: str, fault: str):
    assert any(found.startswith(fault) for found in content_checks.lone_colours(visit(planted(html, old, new))))


def test_figures_are_light(visit: Visit, html: str):
    assert content_checks.heavy_figures(visit(html)) == []


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        (BODY, f'{BODY}<figure id="planted"><svg>{"<g/>" * 5_000}</svg></figure>', "planted: 5000 elements"),
        (BODY, f'{BODY}<figure id="planted"><svg><image/></svg></figure>', "planted: an image"),
    ],
)
def test_a_heavy_figure_is_noticed(visit: Visit, html: str, old: str, new: str, fault: str):
    heavy = html.replace(old, new)
    assert heavy != html
    assert any(fault in found for found in content_checks.heavy_figures(visit(heavy)))


def test_units_stand_in_the_headers(visit: Visit, html: str):
    assert content_checks.unit_faults(visit(html)) == []


def test_a_header_without_its_unit_is_noticed(visit: Visit, html: str):
    page = visit(planted(html, ">Accuracy (%)<", ">Accuracy<"))
    assert [fault.split(":")[0] for fault in content_checks.unit_faults(page)] == ["table-overall"]


def test_numbers_sort_as_numbers(visit: Visit, html: str):
    assert content_checks.sort_faults(visit(html)) == []


def test_numbers_sorted_as_words_are_noticed(visit: Visit, html: str):
    assert content_checks.sort_faults(visit(planted(html, "return numbers ? a - b :", "return")))


def test_every_download_is_the_file_beside(visit: Visit, html: str, report: Path):
    assert content_checks.download_faults(visit(html), report.parent / "small/tables") == []


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("sigmoid,class,Sigmoid(),1.4,", "sigmoid,class,Sigmoid(),1.5,", "differs: activations"),
        ('class="csv"', 'class="cvs"', "no download: table-situations"),
    ],
)
def test_a_wrong_download_is_noticed(visit: Visit, html: str, report: Path, old: str, new: str, fault: str):
    page = visit(planted(html, old, new))
    assert fault in content_checks.download_faults(page, report.parent / "small/tables")


def test_every_claim_has_a_permalink(visit: Visit, html: str):
    assert content_checks.claim_link_faults(visit(html)) == []


def test_a_claim_without_a_permalink_is_noticed(visit: Visit, html: str):
    lost = planted(html, 'class="permalink" href="#claim-c01-2"', 'href="#claim-c01-2"')
    assert content_checks.claim_link_faults(visit(lost)) == ["no permalink: claim-c01-2"]


# The state in the address


def _picked(visit: Visit, html: str) -> tuple[list[str], list[str]]:
    """The claims that are left after a choice of verdict, and those that its address brings back."""
    page = visit(html)
    page.locator(".ledger .picks select[name=verdict]").select_option("false")
    before = content_checks.shown_claims(page)
    return before, content_checks.shown_claims(visit(html, hash=page.evaluate("location.hash")))


def test_the_address_brings_back_the_chosen_claims(visit: Visit, html: str, ledger: pd.DataFrame):
    before, after = _picked(visit, html)
    found = ledger.groupby("claim")["verdict"].agg(of_claim)
    assert before == after == [f"claim-{name.lower()}" for name in found.index[found == "false"]]


def test_the_bar_leads_to_the_claims_that_it_counts(visit: Visit, html: str):
    page = visit(html)
    keys = page.locator("#answer a.key").all_inner_texts()
    assert len(keys) == 5
    page.locator(".ledger .picks select[name=type]").select_option("policy")  # what was chosen before gives way
    for place, key in enumerate(keys):
        page.locator("#answer a.key").nth(place).click()
        assert len(content_checks.shown_claims(page)) == int(key.split()[0])


def test_a_lost_choice_of_claims_is_noticed(visit: Visit, html: str):
    before, after = _picked(visit, planted(html, 'query.append("pick"', 'query.append("pig"'))
    assert before != after


def _chosen(visit: Visit, html: str) -> tuple[list[str], list[str]]:
    page = visit(html)
    page.locator("#table-chooser .picks select").nth(0).select_option("9")
    before = checks.shown_rows(page, "table-chooser"), _depth(page)
    again = visit(html, hash=page.evaluate("location.hash"))
    return before, (checks.shown_rows(again, "table-chooser"), _depth(again))


def _depth(page: object) -> str:
    return page.evaluate("document.querySelector('#table-chooser tbody tr:not([hidden])').cells[0].textContent")


def test_the_address_brings_back_the_situation(visit: Visit, html: str):
    before, after = _chosen(visit, html)
    assert len(before[0]) == 1
    assert before[1] == "9"
    assert before == after


def test_a_lost_situation_is_noticed(visit: Visit, html: str):
    before, after = _chosen(visit, planted(html, 'query.append("choose"', 'query.append("chews"'))
    assert before != after


# The contents


def test_the_contents_name_every_section(visit: Visit, html: str):
    sections = "[...document.querySelectorAll('main > section')].map((one) => one.id)"
    linked = "[...document.querySelectorAll('nav ul a')].map((one) => one.hash.slice(1))"
    page = visit(html)
    assert page.evaluate(linked) == page.evaluate(sections)
    missing = planted(html, '<a href="#ranking">Ranking</a>', "")
    page = visit(missing)
    assert page.evaluate(linked) != page.evaluate(sections)


# One activation in all figures and tables, and figures as files


def _lit(page: Any) -> tuple[str, set[str], set[str]]:
    """The choice, the names of the marks that are not dimmed, and the heads of the rows that are lit."""
    return (
        page.evaluate("document.querySelector('select[name=highlight]').value"),
        set(
            page.evaluate(
                "[...document.querySelectorAll('svg [data-activation]')].filter((one) => "
                "getComputedStyle(one).opacity === '1').map((one) => one.dataset.activation)"
            )
        ),
        set(page.evaluate("[...document.querySelectorAll('tr.lit th')].map((one) => one.textContent)")),
    )


def test_a_highlighted_activation_stands_out_everywhere_and_in_the_address(visit: Visit, html: str):
    page = visit(html)
    assert len(_lit(page)[1]) > 3
    page.locator("select[name=highlight]").select_option("elu")
    assert _lit(page) == ("elu", {"elu"}, {"ELU"})
    again = visit(html, hash=page.evaluate("location.hash"))
    assert _lit(again) == ("elu", {"elu"}, {"ELU"})


def test_a_highlighted_grey_line_has_its_own_look_and_its_name(visit: Visit, html: str):
    """Here all lines have names: one is planted among the grey ones."""
    start = html.index('<figure id="figure-curves"')
    old = html[start : html.index("</figure>", start)]
    new = old.replace('<g data-activation="elu"><title>', '<g data-activation="elu" data-look="3"><title>')
    page = visit(planted(html, old, new.replace(">ELU</text>", "></text>")), hash="#figure-curves?lit=elu")
    names = page.evaluate("[...document.querySelectorAll('text.lit')].map((one) => one.textContent)")
    panels = len(set(re.findall(r'clip-path="url\(#([^)]+)\)"', new)))
    assert names
    assert set(names) == {"ELU"}
    assert page.locator("#figure-curves text.lit").count() >= panels
    look = page.evaluate(
        """() => {
          const path = getComputedStyle(document.querySelector(".lit[data-look] path"));
          const name = getComputedStyle(document.querySelector("text.lit"));
          const other = getComputedStyle(document.querySelector("#figure-curves [data-activation=sigmoid] path"));
          return [path.stroke === name.fill, path.stroke !== other.stroke, parseFloat(path.strokeWidth) > 1.5];
        }"""
    )
    assert look == [True, True, True]
    page.locator("select[name=highlight]").select_option("none")
    assert page.locator("text.lit").count() == 0


def test_the_bands_of_the_curves_fade_with_their_lines(visit: Visit, html: str):
    page = visit(html, hash="#figure-curves?lit=elu")
    bands = page.evaluate(
        """() => [...document.querySelectorAll("#figure-curves [fill-opacity]")].map((one) => [
          one.closest("[data-activation]")?.dataset.activation,
          getComputedStyle(one.closest("[data-activation]") ?? one).opacity,
        ])"""
    )
    assert {name for name, _ in bands} >= {"elu", "sigmoid"}
    assert all((opacity == "1") == (name == "elu") for name, opacity in bands)


def test_an_activation_that_is_not_there_is_not_highlighted(visit: Visit, html: str):
    name, marks, heads = _lit(visit(html, hash="#answer?lit=<b>"))
    assert (name, heads) == ("", set())
    assert len(marks) > 3


@pytest.mark.parametrize("kind", ["svg", "png"])
def test_a_figure_is_saved_as_it_stands(visit: Visit, html: str, tmp_path: Path, kind: str):
    page = visit(html)
    with page.expect_download() as found:
        page.locator("#figure-answer button.save", has_text=kind.upper()).click()
    found.value.save_as(tmp_path / found.value.suggested_filename)
    saved = tmp_path / f"figure-answer.{kind}"
    if kind == "svg":
        assert ElementTree.parse(saved).getroot().tag == "{http://www.w3.org/2000/svg}svg"
    else:
        with Image.open(saved) as picture:
            shown = page.evaluate("Number(document.querySelector('#figure-answer svg').getAttribute('width'))")
            assert picture.width == pytest.approx(2 * shown, abs=2)
            assert len(set(picture.convert("L").resize((64, 64)).get_flattened_data())) > 5
