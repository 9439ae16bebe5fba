"""The page's second wall: its policy stops what is planted in it, and nothing of its own."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from activation_study.report.page import build
from activation_study.tables import columns as schemas
from activation_study.tables import parquet
from checks import POLICY, Visit, unguarded
from synthetic import PROVENANCE, SMALL, Shape, write_tables

pytestmark = pytest.mark.browser

BODY = '<main id="main">'
PLANTS = {
    "script": "<script>window.planted = 1</script>",
    "handler": '<img src="data:," onerror="window.planted = 1" alt="">',
    "svg": '<svg onload="window.planted = 1"><title>x</title></svg>',
    "module": '<script type="module" src="data:text/javascript,window.planted%20=%201"></script>',
    "frame": '<iframe srcdoc="<script>parent.planted = 1</script>"></iframe>',
    "link": '<a href="javascript:void(window.planted = 1)" id="bait">x</a>',
    "form": '<form action="javascript:void(window.planted = 1)"><button id="bait">x</button></form>',
}
REQUESTS = {
    "image": '<img src="{}/x.png" alt="">',
    "style": '<link rel="stylesheet" href="{}/x.css">',
    "frame": '<iframe src="{}/"></iframe>',
    "sound": '<audio src="{}/x.mp3" preload="auto"></audio>',
    "object": '<object data="{}/x"></object>',
}
HOSTILE = """</script><script>window.planted=1</script>"><img src=x onerror="window.planted=1">' x<y & ${"$"}\\frac{$"""
STEM = 'a"><img src=x onerror=window.planted=1>'


def _planted(visit: Visit, html: str, plant: str) -> Any:
    page = visit(html.replace(BODY, BODY + plant, 1))
    if page.locator("#bait").count():
        page.evaluate("document.querySelector('#bait').click()")
    page.wait_for_timeout(200)
    return page.evaluate("window.planted ?? null")


def test_the_policy_comes_first_and_allows_nothing_but_the_page_s_own(html: str):
    assert html.partition("<head>")[2].lstrip().startswith(POLICY)
    policy = html.partition(f'{POLICY} content="')[2].partition('"')[0].replace("&#39;", "'")
    given = dict(part.strip().split(" ", 1) for part in policy.split(";"))
    assert set(given) == {"default-src", "script-src", "style-src", "img-src", "base-uri", "form-action"}
    assert given["default-src"] == given["base-uri"] == given["form-action"] == "'none'"
    assert given["img-src"] == "data:"
    assert "unsafe" not in policy
    assert all(given[kind].startswith("'sha256-") and " " not in given[kind] for kind in ("script-src", "style-src"))


@pytest.mark.parametrize("plant", PLANTS)
def test_what_is_planted_does_not_run(visit: Visit, html: str, plant: str):
    assert _planted(visit, html, PLANTS[plant]) is None
    assert visit.errors, "and the browser says so"
    assert _planted(visit, unguarded(html), PLANTS[plant]) == 1, "without the policy it does"


@pytest.fixture
def server() -> Iterator[tuple[str, list[str]]]:
    """A server's address, and what it was asked for."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_error(404)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        threading.Thread(target=listening.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{listening.server_port}", asked
        listening.shutdown()


@pytest.mark.parametrize("plant", REQUESTS)
def test_what_is_planted_asks_for_nothing(visit: Visit, html: str, plant: str, server: tuple[str, list[str]]):
    address, asked = server
    bait = BODY + REQUESTS[plant].format(address)
    visit(html.replace(BODY, bait, 1)).wait_for_timeout(300)
    assert asked == []
    visit(unguarded(html).replace(BODY, bait, 1)).wait_for_timeout(300)
    assert asked != [], "without the policy it does"


def test_a_changed_script_or_style_does_not_count(visit: Visit, html: str):
    changed = html.replace('"use strict";', '"use strict"; window.planted = 1;', 1)
    assert visit(changed).evaluate("window.planted ?? null") is None
    page = visit(html.replace("</style>", "main { outline: 3px solid red; }</style>", 1))
    assert page.evaluate("getComputedStyle(document.querySelector('main')).outlineStyle") == "none"
    assert page.evaluate("getComputedStyle(document.body).fontFamily") != visit(html).evaluate(
        "getComputedStyle(document.body).fontFamily"
    )


def test_the_page_itself_breaks_no_rule(visit: Visit, html: str):
    """All that it can do: folds, sorts, filters, choices, themes, downloads, print."""
    page = visit(html, color_scheme="light")
    page.evaluate(
        "document.addEventListener('securitypolicyviolation', (e) => { window.broken = e.violatedDirective; })"
    )
    page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    for button in page.locator("#table-ranking thead button").all()[:3]:
        button.click()
    page.locator("#table-ranking .filter input").fill("relu")
    page.locator("#table-chooser .picks select").nth(0).select_option("9")
    page.locator(".ledger .picks select[name=verdict]").select_option("false")
    page.get_by_role("button", name="Dark theme").click()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(18, 22, 27)"
    for ending in ("'.csv'", "'.gz'"):
        with page.expect_download() as event:
            page.evaluate(f'document.querySelector("a.csv[download$={ending}]").click()')
        assert Path(event.value.path()).read_text(encoding="utf-8").count("\n") > 1
    page.emulate_media(media="print")
    assert page.evaluate("window.broken ?? null") is None
    assert visit.errors == []


def test_it_is_allowed_where_another_policy_stands_above(visit: Visit, html: str):
    """As on a web server that sends one of its own: the stricter of the two counts."""
    page = visit(
        html, policy="default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:"
    )
    assert page.locator(".theme").count() == 1
    assert [error for error in visit.errors if "favicon" not in error] == []


def _everywhere(folder: Path) -> Path:
    """The tables with hostile words in every free text, under a second claims file of a hostile name."""
    for name, columns in schemas.TABLES.items():
        path = folder / f"{name}.parquet"
        table = parquet.read(name, path)
        if name in ("ledger", "ledger_cells"):
            place = table.column_names.index("family")
            other = table.set_column(place, table.schema.field("family"), pa.array([STEM] * len(table)))
            table = pa.concat_tables([table, other])
        for place, (column, spec) in enumerate(columns.items()):
            if spec.type == "str" and spec.pattern is None and column not in ("unit", "metric"):
                texts = [f"{text}{HOSTILE}" for text in table[column].to_pylist()]
                table = table.set_column(place, table.schema.field(column), pa.array(texts, pa.string()))
        parquet.write_parquet(table, path)
    return folder


@pytest.mark.parametrize("walls", ["both", "escaping alone"])
def test_hostile_words_everywhere_are_text(visit: Visit, tmp_path: Path, unchecked: None, walls: str):
    hostile = {"code": HOSTILE, "packages": {HOSTILE: HOSTILE}, "config_sha256": HOSTILE, HOSTILE: HOSTILE}
    folder = _everywhere(write_tables(tmp_path, SMALL))
    build(f"small{HOSTILE.replace('/', '')}", folder, tmp_path / "page.html", PROVENANCE | hostile)
    html = (tmp_path / "page.html").read_text(encoding="utf-8")
    page = visit(html if walls == "both" else unguarded(html))
    page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    page.wait_for_timeout(200)
    assert page.evaluate("window.planted ?? null") is None
    assert visit.requests == visit.errors == []
    assert page.locator('main img, main script:not([type="application/json"]), main iframe').count() == 0
    for place in ("#ledger", "#gaps", "#table-datasets", "#table-activations", "#provenance"):
        assert HOSTILE in page.locator(place).first.text_content(), place
    assert HOSTILE.replace("/", "") in page.locator("header").text_content()
    assert f"{STEM}.yaml" in page.locator("#ledger").text_content()
    odd = "[...document.querySelectorAll('[id]')].map((one) => one.id).filter((id) => !/^[a-z][a-z0-9.-]*$/.test(id))"
    assert page.evaluate(odd) == []


def test_hostile_names_in_figures_are_text(visit: Visit, tmp_path: Path, unchecked: None):
    names = (r"$\frac{$", "<b>&amp;", '"><svg onload=window.planted=1>')
    shape = Shape(("relu", *names), ("digits", r"$x^{$"), (2, 5), seeds=5, unavailable=())
    build("names", write_tables(tmp_path, shape), tmp_path / "page.html", PROVENANCE)
    page = visit((tmp_path / "page.html").read_text(encoding="utf-8"))
    assert page.evaluate("window.planted ?? null") is None
    assert visit.requests == visit.errors == []
    drawn = page.locator("#figure-portraits svg").text_content()
    assert all(name[:20] in drawn for name in names)
    assert all(path.stem == path.stem.lower() for path in (tmp_path / "names/figures").iterdir())


def test_a_claim_s_old_address_still_leads_to_it(visit: Visit, html: str):
    page = visit(html, hash="#claim-C01.2")
    assert page.evaluate("document.getElementById('claim-c01').open") is True
    for _ in range(100):  # the page scrolls smoothly: not at once; its policy forbids that it waits for an expression
        if page.evaluate("scrollY > 0"):
            return
        page.wait_for_timeout(100)
    pytest.fail("the page did not scroll")
