"""Folded sections: a link into one opens it, in the address as by a click, and paper shows what is folded."""

from __future__ import annotations

import pytest

from checks import Visit, planted

pytestmark = pytest.mark.browser

OPEN = "document.querySelector('#activation-relu > details').open"


def test_folded_at_first(visit: Visit, html: str):
    assert visit(html).evaluate(OPEN) is False


@pytest.mark.parametrize("anchor", ["activation-relu", "table-activation-relu"])
def test_an_address_opens_what_it_points_into(visit: Visit, html: str, anchor: str):
    page = visit(html, hash=f"#{anchor}")
    assert page.evaluate(OPEN) is True
    assert page.evaluate("document.querySelectorAll('section > details[open]').length") == 1


def test_a_click_opens_it_as_well(visit: Visit, html: str):
    page = visit(html)
    page.locator("#activations a[href='#activation-relu']").first.click()
    page.wait_for_function(OPEN)


def test_a_link_that_opens_nothing_is_noticed(visit: Visit, html: str):
    page = visit(planted(html, "node.open = true", "node.open = false"), hash="#activation-relu")
    assert page.evaluate(OPEN) is False
