"""The published pages, as their readers meet them: what the first screen answers without a search."""

from pathlib import Path
from typing import Any

import pytest

import content_checks
from checks import Visit

pytestmark = pytest.mark.browser
REFERENCE = Path(__file__).resolve().parents[2] / "reports" / "reference"
WANTED = "#table-situations tbody tr:has(td:text-is('residual multilayer perceptrons'))"


@pytest.fixture(scope="module")
def families() -> str:
    return (REFERENCE / "families.html").read_text(encoding="utf-8")


def _cells(page: Any) -> list[str]:
    return page.locator(f"{WANTED} > *").all_inner_texts()


def test_the_first_screen_of_the_published_study_has_the_whole_answer(visit: Visit):
    page = visit((REFERENCE / "report.html").read_text(encoding="utf-8"))
    page.set_viewport_size({"width": 1280, "height": 800})
    assert content_checks.first_screen_faults(page) == []
    assert visit.errors == []


def test_what_to_use_in_a_residual_network_of_twenty_layers_is_seen_without_scrolling(visit: Visit, families: str):
    page = visit(families)
    page.set_viewport_size({"width": 1280, "height": 800})
    network, layers, use, _, scores, reference, *times, sure = _cells(page)
    assert (network, layers) == ("residual multilayer perceptrons", "20")
    assert use
    assert float(scores) > float(reference) > 50
    assert all(0.5 < float(time) < 3 for time in times)
    assert sure.split(":")[0] in ("high", "moderate", "low")
    for cell in page.locator(f"{WANTED} > *").all():
        box = cell.bounding_box()
        assert box["y"] + box["height"] <= 800
        assert 0 <= box["x"] <= box["x"] + box["width"] <= 1280


def test_on_a_phone_it_is_seen_after_one_scroll(visit: Visit, families: str):
    page = visit(families, width=360)
    page.set_viewport_size({"width": 360, "height": 740})
    box = page.locator(f"{WANTED} > th").bounding_box()
    assert box["y"] + box["height"] <= 2 * 740
    assert box["x"] + box["width"] <= 360, "what to use stands in the first screen's width"
