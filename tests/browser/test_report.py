"""The report in a real browser. Every check passes on it, and fails on a violation planted in it."""

from __future__ import annotations

import base64
import gzip
import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import checks
from activation_study.analysis import replicas
from activation_study.report.page import build
from activation_study.report.study_data import StudyData
from checks import Visit, planted
from synthetic import PROVENANCE, Shape, write_tables

pytestmark = pytest.mark.browser

BODY = '<main id="main">'
STYLE = "</style>"
HOSTILE = "<script>window.planted=1"


@pytest.fixture(scope="session")
def ranking(tables: Path) -> pd.DataFrame:
    return StudyData.read("small", tables, PROVENANCE).overall


def _wait(page: Any, seen: Callable[[], Any]) -> None:
    """Until it has been seen; a busy machine may take its time, and what never comes is the test's to notice."""
    for _ in range(300):
        if seen():
            return
        page.wait_for_timeout(100)


# Requests and errors


def test_nothing_is_requested_and_nothing_goes_wrong(visit: Visit, html: str):
    page = visit(html)
    page.get_by_role("button").first.click()
    assert visit.requests == []
    assert visit.errors == []


@pytest.mark.parametrize("address", ["http://127.0.0.1:9/x.png", "missing.png"])
def test_a_request_is_noticed(visit: Visit, html: str, address: str):
    page = visit(planted(html, BODY, f'{BODY}<img src="{address}" alt="">'))
    _wait(page, lambda: visit.requests and visit.errors)
    assert len(visit.requests) == 1
    assert visit.errors


def test_an_error_of_the_script_is_noticed(visit: Visit, html: str):
    visit(planted(html, '"use strict";', '"use strict"; throw new Error("planted");'))
    assert visit.errors == ["planted"]


# Readable without scripts and styles


def test_all_is_there_without_scripts(visit: Visit, html: str, ranking: pd.DataFrame):
    assert checks.unreadable(visit(html, java_script_enabled=False), ranking) == []


def test_all_is_there_under_a_strict_policy(visit: Visit, html: str, ranking: pd.DataFrame):
    page = visit(html, policy=checks.STRICT_POLICY)
    assert page.evaluate("getComputedStyle(document.querySelector('.masthead')).display") == "block"  # no style applies
    assert checks.unreadable(page, ranking) == []
    assert checks.styled_marks(page) == []


def test_content_that_needs_a_script_is_noticed(visit: Visit, html: str, ranking: pd.DataFrame):
    hidden = planted(html, BODY, '<main id="main" hidden>')
    faults = checks.unreadable(visit(hidden, java_script_enabled=False), ranking)
    assert any("not seen: H1" in fault for fault in faults)


def test_a_wrong_number_is_noticed(visit: Visit, html: str, ranking: pd.DataFrame):
    shown = f"{ranking['accuracy'].iloc[0] * 100:.2f}"
    wrong = html.replace(f">{shown}<", ">12.34<")
    assert wrong != html
    assert len(checks.unreadable(visit(wrong), ranking)) == 1


def test_headings_out_of_order_are_noticed(visit: Visit, html: str, ranking: pd.DataFrame):
    moved = planted(html, STYLE, "main { display: flex; flex-direction: column-reverse; }" + STYLE)
    assert any("out of order" in fault for fault in checks.unreadable(visit(moved), ranking))


def test_a_mark_with_an_inline_style_is_noticed(visit: Visit, html: str):
    styled = planted(html, 'fill="none"', 'style="fill: none"')
    assert len(checks.styled_marks(visit(styled))) == 1


# Inside another page, as Snakemake's own report does it


def _framed(html: str) -> str:
    address = "data:text/html;charset=utf-8;base64," + base64.b64encode(html.encode()).decode()
    return f'<!doctype html><title>outside</title><iframe src="{address}" width="1000" height="800"></iframe>'


def _inside(page: Any) -> Any:
    return page.frame_locator("iframe").locator("#table-overall")


def test_it_works_in_a_data_frame(visit: Visit, html: str):
    page = visit(_framed(html))
    _inside(page).get_by_role("button", name="Accuracy (%)").click()
    assert _inside(page).locator("th[aria-sort]").count() == 1
    assert visit.errors == []


def test_unguarded_storage_is_noticed_in_a_data_frame(visit: Visit, html: str):
    page = visit(
        _framed(planted(html, 'guarded(() => localStorage.getItem("theme"))', 'localStorage.getItem("theme")'))
    )
    _wait(page, lambda: visit.errors)
    assert any("localStorage" in error for error in visit.errors)


# Accessibility


@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(visit: Visit, html: str, width: int, scheme: str):
    page = visit(html, width=width, color_scheme=scheme)
    page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    assert checks.axe_violations(page) == []


@pytest.mark.parametrize(
    ("violation", "rule"),
    [
        ('<img src="data:image/gif;base64,R0lGODlhAQABAAAAACw=">', "image-alt"),
        ('<p style="color: #999; background: #fff">faint</p>', "color-contrast"),
    ],
)
def test_axe_notices(visit: Visit, html: str, violation: str, rule: str):
    start, end = html.index(BODY), html.index("</main>")  # the page without its content, to be quick
    found = checks.axe_violations(visit(checks.unguarded(html[:start] + BODY + violation + html[end:])))
    assert any(fault.startswith(f"{rule}:") for fault in found)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_colours_stand_out(visit: Visit, html: str, scheme: str):
    assert checks.faint_colours(visit(html, color_scheme=scheme)) == []


def test_a_faint_colour_is_noticed(visit: Visit, html: str):
    faint = planted(html, STYLE, ":root { --series-2: #f0c0a0; }" + STYLE)
    assert [fault.split(":")[0] for fault in checks.faint_colours(visit(faint, color_scheme="light"))] == ["series-2"]


def test_the_theme_button_turns_figures_dark(visit: Visit, html: str):
    page = visit(html, color_scheme="light")
    colour = "getComputedStyle(document.querySelector('#figure-answer svg text')).fill"
    light = page.evaluate(colour)
    page.get_by_role("button", name="Dark theme").click()
    assert page.evaluate(colour) != light
    page.reload()
    assert page.get_by_role("button", name="Light theme").is_visible()


def _vnu() -> list[str]:
    roots = [
        Path(__file__).parents[2] / ".ci" / "node_modules",
        Path("/usr/lib/node_modules"),
        Path("/usr/local/lib/node_modules"),
    ]
    found = [Path(os.environ["VNU_JAR"])] if "VNU_JAR" in os.environ else []
    found += [root / "vnu-jar/build/dist/vnu.jar" for root in roots]
    jar = next((path for path in found if path.exists()), None)
    if jar is None or shutil.which("java") is None:
        missing = "needs Java and vnu.jar (npm ci --prefix .ci --ignore-scripts, or its path in VNU_JAR)"
        if os.environ.get("CI") == "true":
            pytest.fail(missing)
        pytest.skip(missing)
    return ["java", "-Xss4m", "-jar", str(jar), "--errors-only", "--format", "json"]


def _invalid(html: str, folder: Path) -> list[str]:
    file = folder / "page.html"
    file.write_text(html, encoding="utf-8")
    done = subprocess.run([*_vnu(), str(file)], capture_output=True, text=True, check=False)
    return [message["message"] for message in json.loads(done.stderr)["messages"]]


def test_the_html_is_valid(html: str, tmp_path: Path):
    assert _invalid(html, tmp_path) == []


def test_invalid_html_is_noticed(html: str, tmp_path: Path):
    head = html[: html.index(BODY)]
    assert _invalid(f'{head}{BODY}<h2 id="a">x</h2><p id="a">twice</p></main></div></body></html>', tmp_path)


def test_the_structure_is_sound(visit: Visit, html: str):
    assert checks.structure_faults(visit(html)) == []


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        (BODY, f"{BODY}<h1>another</h1>", "not one h1"),
        ("<h2", "<h4", "h4 after h1"),
        ('<html lang="en">', "<html>", "no lang"),
        ('href="#main"', 'href="#answer"', "the first link does not skip to main"),
        ("<title>Which", "<title></title><title>Which", "no title"),
        (BODY, '<div id="main">', "not one main"),
        ('<nav aria-label="Contents">', '<div aria-label="Contents">', "not one nav"),
        ('role="img" aria-labelledby', "aria-labelledby", "figure without role"),
        ("<caption", "<caption hidden></caption><caption", "table without caption"),
        ('scope="col"', "", "th without scope"),
    ],
)
def test_an_unsound_structure_is_noticed(visit: Visit, html: str, old: str, new: str, fault: str):
    assert any(found.startswith(fault) for found in checks.structure_faults(visit(planted(html, old, new))))


def test_every_link_leads_somewhere(visit: Visit, html: str):
    assert checks.anchor_faults(visit(html)) == []


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ('id="gradients"', 'id="gradient"', "dangling: gradients"),
        ('id="units"', 'id="rates"', "twice: rates"),
        ('class="permalink" href="#ranking"', 'class="permalink" href="#answer"', "no permalink: SECTION ranking"),
    ],
)
def test_a_broken_link_is_noticed(visit: Visit, html: str, old: str, new: str, fault: str):
    assert fault in checks.anchor_faults(visit(planted(html, old, new)))


# The data


def _expected(tables: Path) -> dict[str, pd.DataFrame]:
    whole = ("activations", "portraits", "datasets", "ledger", "ledger_cells", "cost")
    read = {name: pd.read_parquet(tables / f"{name}.parquet") for name in (*whole, "runs")}
    return {name: read[name] for name in whole} | {"ranking": replicas.ranking(read["runs"])}


def test_downloads_are_the_tables(visit: Visit, html: str, tables: Path):
    held = checks.downloads(visit(html, java_script_enabled=True))
    for name, expected in _expected(tables).items():
        assert checks.differing(held[name], expected) == [], name


def test_a_changed_digit_is_noticed(visit: Visit, html: str, tables: Path):
    expected = _expected(tables)["activations"]
    held = checks.downloads(visit(planted(html, "sigmoid,class,Sigmoid(),1.4,", "sigmoid,class,Sigmoid(),1.40001,")))[
        "activations"
    ]
    assert checks.differing(held, expected)


def test_a_click_downloads_the_csv_unzipped(visit: Visit, html: str):
    page = visit(html)
    for zipped in (False, True):
        link = page.locator("a.csv[download$='.gz']" if zipped else "a.csv[download$='.csv']").first
        with page.expect_download() as event:
            link.click()
        address = link.get_attribute("href")
        content = Path(event.value.path()).read_text(encoding="utf-8")
        assert event.value.suggested_filename == link.get_attribute("download").removesuffix(".gz")
        assert not zipped or content == gzip.decompress(base64.b64decode(address.partition(",")[2])).decode()
        assert "," in content.splitlines()[0]


# Sorting, filtering, and the address


def _sorted_and_filtered(page: Any) -> str:
    """Sorts the accuracies downwards, keeps the rows with the word "elu", and returns the address's hash."""
    button = page.locator("#table-ranking thead th", has_text="Test accuracy").get_by_role("button")
    page.locator("#table-ranking").evaluate("(node) => { node.open = true; }")
    button.click()
    button.click()
    page.locator("#table-ranking .filter input").fill("elu")
    return page.evaluate("location.hash")


def _round_trip(visit: Visit, html: str) -> tuple[list[str], list[str]]:
    page = visit(html)
    address = _sorted_and_filtered(page)
    before = checks.shown_rows(page, "table-ranking")
    return before, checks.shown_rows(visit(html, hash=address), "table-ranking")


def test_the_address_brings_back_what_was_sorted_and_filtered(visit: Visit, html: str, tables: Path):
    before, after = _round_trip(visit, html)
    scores = replicas.ranking(pd.read_parquet(tables / "runs.parquet"))
    scores = scores[scores["activation"] == "elu"].sort_values("test_accuracy", ascending=False)
    assert [name.lower() for name in before] == scores["activation"].tolist()
    assert after == before


def test_a_beginning_counts_until_it_is_a_word(visit: Visit, html: str):
    page = visit(html)
    page.locator("#table-ranking").evaluate("(node) => { node.open = true; }")
    for typed, found in (("sig", {"sigmoid"}), ("el", {"ELU"}), ("lu", set()), ("sigmoid 2", {"sigmoid"})):
        page.locator("#table-ranking .filter input").fill(typed)
        assert set(checks.shown_rows(page, "table-ranking")) == found, typed


def test_one_activation_s_rows_are_shown_and_come_back(visit: Visit, html: str):
    page = visit(html)
    page.locator("#table-ranking").evaluate("(node) => { node.open = true; }")
    page.locator("#table-ranking .filter select").select_option("ReLU")
    again = visit(html, hash=page.evaluate("location.hash"))
    for one in (page, again):
        assert checks.shown_rows(one, "table-ranking") == ["ReLU"] * 5


def test_a_lost_state_is_noticed(visit: Visit, html: str):
    before, after = _round_trip(visit, planted(html, "`#${state.anchor}${suffix}`", "`#${state.anchor}`"))
    assert before != after


def test_missing_numbers_stay_last_in_both_directions(visit: Visit, html: str):
    page = visit(html)
    button = page.locator("#table-overall thead th", has_text="Accuracy (%)").get_by_role("button")
    for _ in range(2):
        button.click()
        assert checks.shown_rows(page, "table-overall")[-1] == "tanh"  # lacks a cell, so it has no mean


def test_a_foolish_address_does_no_harm(visit: Visit, html: str):
    visit(html, hash="#nowhere?sort=table-overall:99:up&sort=x:y&filter=nothing:%3Cscript%3E&sort=%5B")
    assert visit.errors == []


# Names


def test_hostile_names_are_text(visit: Visit, tmp_path: Path, unchecked: None):
    shape = Shape(("relu", HOSTILE), ('"><img src=x onerror=window.planted=1>',), (2,), seeds=2, unavailable=())
    build(
        "hostile",
        write_tables(tmp_path, shape),
        tmp_path / "hostile.html",
        PROVENANCE | {"note": "</script><script>window.planted=1"},
    )
    page = visit((tmp_path / "hostile.html").read_text(encoding="utf-8"))
    assert page.evaluate("window.planted") is None
    assert HOSTILE in page.locator("#table-overall").inner_text()
    summary = json.loads(page.locator("#summary").text_content())
    assert HOSTILE in [row["activation"] for row in summary["overall"]]
    assert visit.requests == visit.errors == []


def test_a_name_that_becomes_markup_is_noticed(visit: Visit, html: str):
    page = visit(planted(html, BODY, f"{BODY}{HOSTILE}</script>"))
    assert page.evaluate("window.planted") == 1
