"""The report in every window, on paper, by keyboard. Every check passes on it, and fails on a planted violation."""

from __future__ import annotations

from typing import Any

import pytest

import checks
import content_checks
from checks import Visit, planted
from chrome import sheets

pytestmark = pytest.mark.browser

BODY = '<main id="main">'
STYLE = "</style>"
EVERYTHING = "#everything"
"""Where all of the page is printed, and not the summary alone."""


@pytest.mark.parametrize("width", [360, 1280])
def test_nothing_sticks_out(visit: Visit, html: str, width: int):
    assert checks.overflowing(visit(html, width=width)) == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (BODY, f'{BODY}<div style="width: 500px">wide</div>'),
        ('role="region" tabindex="0"', 'role="region"'),
        (".scroll {", ".scrol {"),
    ],
)
def test_overflow_is_noticed(visit: Visit, html: str, old: str, new: str):
    assert checks.overflowing(visit(planted(html, old, new), width=360))


def test_no_word_of_a_figure_lies_on_another(visit: Visit, html: str):
    assert checks.crowded(visit(html)) == []


def test_a_crowded_figure_is_noticed(visit: Visit, html: str):
    large = planted(html, "svg { display: block;", "svg text { font-size: 30px; } svg { display: block;")
    assert checks.crowded(visit(large))


def test_the_first_figure_begins_with_its_best_on_a_phone(visit: Visit, html: str):
    page = visit(html, width=360)
    seen = page.evaluate(
        """() => {
          const box = document.querySelector("#figure-answer .scroll").getBoundingClientRect();
          const name = document.querySelector("#table-overall tbody th").textContent.trim();
          const marks = [...document.querySelectorAll("#figure-answer [data-activation]")].filter((one) =>
            one.querySelector("use") && one.querySelector("title").textContent.startsWith(name));
          return marks.map((one) => one.getBoundingClientRect().right < box.right);
        }"""
    )
    assert seen == [True]


def test_a_figure_fills_a_full_screen(visit: Visit, html: str):
    page = visit(html)
    page.locator("#figure-unit-history").evaluate("(one) => { one.closest('details')?.setAttribute('open', ''); }")
    page.locator("#figure-unit-history").get_by_role("button", name="in full screen").click()
    page.wait_for_function("document.fullscreenElement")
    page.wait_for_timeout(300)
    wide, above, below = page.evaluate(
        """() => {
          const [svg, caption] = ["svg", "figcaption"].map((one) =>
            document.fullscreenElement.querySelector(one).getBoundingClientRect());
          return [svg.width / innerWidth, svg.top, innerHeight - caption.bottom];
        }"""
    )
    assert wide > 0.9
    assert abs(above - below) < 40
    assert above >= 0


def test_no_word_of_a_figure_is_cut(visit: Visit, html: str):
    assert content_checks.cut_words(visit(html)) == []


def test_a_cut_word_is_noticed(visit: Visit, html: str):
    large = planted(html, "svg { display: block;", "svg text { font-size: 30px; } svg { display: block;")
    assert content_checks.cut_words(visit(large))


@pytest.mark.parametrize(("width", "least"), [(1280, 11), (360, 10)])
def test_words_in_figures_can_be_read(visit: Visit, html: str, width: int, least: float):
    page = visit(html, width=width)
    assert page.locator("figure svg text").count() > 100
    assert checks.small_words(page, least) == []


def test_small_words_are_noticed(visit: Visit, html: str):
    small = planted(html, "svg { display: block;", "svg text { font-size: 8px; } svg { display: block;")
    assert checks.small_words(visit(small), 11)


def not_laid_out(page: Any) -> list[str]:
    return page.evaluate(
        """() => [...document.querySelectorAll("figure svg")]
          .filter((node) => node.checkVisibility() && !node.checkVisibility({ contentVisibilityAuto: true }))
          .map((node) => node.closest("figure").id)"""
    )


def test_what_is_far_is_laid_out_when_it_comes_near(visit: Visit, html: str):
    page = visit(html)
    far = not_laid_out(page)
    assert len(far) > 5
    page = visit(html, hash=f"#{far[-1]}")
    for _ in range(100):  # the page scrolls smoothly: not at once
        if far[-1] not in not_laid_out(page) and 0 <= page.locator(f"#{far[-1]} svg").bounding_box()["y"] < 100:
            return
        page.wait_for_timeout(100)
    pytest.fail(f"{far[-1]} was not come to")


def test_it_prints_whole(visit: Visit, html: str):
    assert checks.print_faults(visit(html, hash=EVERYTHING)) == []
    assert checks.print_faults(visit(html, hash=EVERYTHING, java_script_enabled=False)) == []


def test_the_summary_prints_alone_until_all_is_asked_for(visit: Visit, html: str):
    page = visit(html)
    page.emulate_media(media="print")
    seen = (
        "[...document.querySelectorAll('main > section')].filter((one) => one.checkVisibility()).map((one) => one.id)"
    )
    assert page.evaluate(seen) == ["answer", "guide", "ledger"]
    short = sheets(page)
    page.evaluate("window.print = () => { window.printed = true; }")
    page.emulate_media(media="screen")
    page.get_by_role("link", name="Print everything").click()
    page.wait_for_function("window.printed")
    page.emulate_media(media="print")
    assert page.evaluate(seen) == page.evaluate("[...document.querySelectorAll('main > section')].map((one) => one.id)")
    assert 2 * short < sheets(page)


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        (":target) details::details-content,", ":target) details::nothing,", "hidden"),
        ("th button { display: contents; }", "", "a header is on its first page alone"),
        ("svg { min-width: 0; max-width: 100%; }", "svg { min-width: 60rem; }", "cut off"),
        ("figure, dl, tr,", "dl, tr,", "may break"),
        (".chosen tr[hidden] { display: table-row; }", "", "a situation is not printed"),
        (".links, figcaption .links,", "", "a link's words are printed"),
    ],
)
def test_a_cut_print_is_noticed(visit: Visit, html: str, old: str, new: str, fault: str):
    assert any(
        found.startswith(fault) for found in checks.print_faults(visit(planted(html, old, new), hash=EVERYTHING))
    )


def test_the_keyboard_reaches_everything(visit: Visit, html: str):
    assert checks.keyboard_faults(visit(html)) == []


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("<summary><b>Table", '<summary tabindex="-1"><b>Table', "not reached"),
        (STYLE, "* { outline: none !important; }" + STYLE, "focus not seen"),
    ],
)
def test_a_control_out_of_reach_is_noticed(visit: Visit, html: str, old: str, new: str, fault: str):
    assert any(found.startswith(fault) for found in checks.keyboard_faults(visit(planted(html, old, new))))


def test_the_keyboard_skips_sorts_and_unfolds(visit: Visit, html: str):
    page = visit(html)
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert page.evaluate("location.hash") == "#main"
    head = page.locator("#table-overall thead th").nth(1)
    for direction in ("ascending", "descending"):
        head.get_by_role("button").focus()
        page.keyboard.press("Enter")
        assert head.get_attribute("aria-sort") == direction
    details = page.locator("details.table").first
    details.locator("summary").focus()
    page.keyboard.press("Enter")
    assert details.get_attribute("open") is not None


def test_stillness_is_kept_where_it_is_asked_for(visit: Visit, html: str):
    assert checks.motion_faults(visit(html, reduced_motion="reduce")) == []


def test_motion_is_noticed(visit: Visit, html: str):
    moving = planted(
        html, STYLE, "@keyframes spin { to { rotate: 1turn } } h1 { animation: spin 1s infinite !important; }" + STYLE
    )
    assert checks.motion_faults(visit(moving, reduced_motion="reduce")) == ["runs: spin"]
    smooth = planted(html, STYLE, "html { scroll-behavior: smooth; }" + STYLE)
    assert checks.motion_faults(visit(smooth, reduced_motion="reduce")) == ["scrolls smoothly"]
