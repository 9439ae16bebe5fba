"""The report of the whole default study, on invented numbers: small enough, and with every figure."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import whole_study
from activation_study.report import page as building
from activation_study.report.page import build
from activation_study.report.words import MOST_WORDS
from chrome import sheets
from synthetic import CLAIMS, PROVENANCE

FIGURES = (
    "answer", "regret", "ranking", "ranks", "profile", "curves", "times", "rates-", "cost", "cost-parts", "trade-off",
    "gradients-", "gradient-map-", "play", "decay", "decay-layers", "two-inputs", "units-", "unit-history", "bias",
    "preactivations", "preactivations-time", "centredness", "centring", "noise", "data-size", "portraits", "validity",
)  # fmt: skip
"""By their ids; those with a hyphen at the end there are several of."""

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = whole_study.write(tmp_path_factory.mktemp("tables"))
    out = tmp_path_factory.mktemp("reports") / "default.html"
    build("default", folder, out, PROVENANCE, claims=CLAIMS)
    return out


@pytest.mark.browser
def test_its_summary_prints_on_twelve_pages(built: Path, chromium: Any):
    page = chromium.new_page()
    page.goto(built.as_uri())
    assert 3 <= sheets(page) <= 12
    page.close()


def test_it_is_small(built: Path):
    assert built.stat().st_size < building.LARGEST


def test_every_figure_is_there(built: Path):
    found = re.findall(r'<figure id="figure-([^"]+)"', built.read_text(encoding="utf-8"))
    lacking = [one for one in FIGURES if not any(id == one or (one[-1] == "-" and id.startswith(one)) for id in found)]
    assert lacking == []


def test_every_title_is_short(built: Path):
    titles = re.findall(r"<b>Figure \d+\. (.+?)\.</b>", built.read_text(encoding="utf-8"))
    assert len(titles) >= len(FIGURES)
    assert [title for title in titles if len(title.split()) > MOST_WORDS] == []


def test_every_section_and_activation_has_an_address(built: Path):
    html = built.read_text(encoding="utf-8")
    contents = html[html.index("<nav") : html.index('<p><a href="#everything"')]
    linked = re.findall(r'<a href="#([^"]+)"', contents)
    assert len(linked) >= 22
    names = {*linked, "activation-relu", "activation-rrelu-paper", "activation-leaky-0-25"}
    assert {name for name in names if f'<section id="{name}"' not in html} == set()
