"""Finding the way in the report: from a verdict to its numbers, in the contents, in a long table."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from checks import Visit

pytestmark = pytest.mark.browser

CURRENT = "[...document.querySelectorAll('nav [aria-current]')].map((one) => one.hash)"


@pytest.mark.parametrize("scripts", [True, False])
def test_three_clicks_lead_from_the_verdicts_to_each_seed(visit: Visit, html: str, tables: Any, scripts: bool):
    page = visit(html, java_script_enabled=scripts)
    page.locator("#answer a[href='#ledger']").first.click()
    page.locator("#claim-c01 > summary").click()
    row = page.locator("#claim-c01-1")
    row.locator(".cells summary").click()
    cells = pd.read_parquet(tables / "ledger_cells.parquet").query("row == 'C01.1'")
    for shown, cell in zip(row.locator(".cells tbody tr").all(), cells.itertuples(), strict=True):
        numbers = [f"{100 * value:+.2f}" if value else "0.00" for value in (cell.estimate, cell.low, cell.high)]
        assert shown.is_visible()
        assert shown.locator("td").all_inner_texts()[:3] == [numbers[0], " to ".join(numbers[1:]), str(cell.n)]
        seeds = [float(value) for value in cell.by_seed.split()]
        said = " ".join("–" if value != value else f"{100 * value:+.2f}" for value in seeds)
        assert shown.locator("td").last.inner_text() == said


def test_the_figure_of_a_claim_leads_back(visit: Visit, html: str):
    page = visit(html, hash="#claim-c01-1")
    page.locator("#claim-c01-1 dd a[href='#figure-ranking']").click()
    assert page.locator("#figure-ranking").is_visible()
    page.locator("#ranking a[href='#claim-c01-1']").click()
    assert page.evaluate("location.hash") == "#claim-c01-1"


def test_the_menu_closes_on_a_choice_and_on_escape(visit: Visit, html: str):
    page = visit(html, width=360)
    menu, entry = page.locator("nav summary"), page.locator("nav a[href='#ranking']")
    assert not entry.is_visible()
    menu.focus()
    page.keyboard.press("Enter")
    assert entry.is_visible()
    page.keyboard.press("Escape")
    assert not entry.is_visible()
    assert page.evaluate("document.activeElement.tagName") == "SUMMARY"
    menu.click()
    entry.click()
    assert not entry.is_visible()
    top = page.evaluate("document.getElementById('ranking').getBoundingClientRect().top")
    assert 0 <= top < 200, "below the menu's bar, at once"


def test_the_contents_say_where_the_reader_is(visit: Visit, html: str):
    page = visit(html)
    for section in ("ranking", "provenance", "answer"):
        page.evaluate(f"document.getElementById('{section}').scrollIntoView()")
        page.wait_for_selector(f"nav a[href='#{section}'][aria-current]", state="attached")
        assert page.evaluate(CURRENT) == [f"#{section}"]


def test_the_header_and_the_names_of_rows_stay_in_a_table(visit: Visit, html: str):
    page = visit(html, width=360)
    page.locator("#table-ranking").evaluate("(node) => { node.open = true; }")
    left, top = page.evaluate(
        """() => {
          const box = document.querySelector("#table-ranking .scroll");
          box.style.maxHeight = "200px";
          box.scrollTo(400, 300);
          const [frame, head, name] = [box, box.querySelector("thead th"), box.querySelector("tbody tr:last-child th")]
            .map((node) => node.getBoundingClientRect());
          return [name.left - frame.left, head.top - frame.top];
        }"""
    )
    assert abs(left) <= 1
    assert abs(top) <= 1


def test_the_citation_is_copied(visit: Visit, html: str):
    page = visit(html, permissions=["clipboard-read", "clipboard-write"])
    page.locator("#cite").get_by_role("button", name="Copy").click()
    page.get_by_role("button", name="Copied").wait_for()
    assert page.evaluate("navigator.clipboard.readText()") == page.locator("#citation").inner_text()
