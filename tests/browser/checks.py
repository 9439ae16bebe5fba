"""What must hold of a report in a browser. Every check returns the faults it finds: none on a good page.

A test plants a violation by changing the HTML, to see that its check can fail.
"""

from __future__ import annotations

import base64
import gzip
import io
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pandas as pd

AXE_TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
POLICY = '<meta http-equiv="Content-Security-Policy"'
STRICT_POLICY = "sandbox; default-src 'none'; img-src 'self'; style-src 'self'"
A4_WIDTH = 688
"""Pixels between the margins of a printed page."""


def planted(html: str, old: str, new: str) -> str:
    """`html` with a violation in the place of `old`, which must be there.

    Without its policy, which would keep some violations from the check that is to notice them.
    """
    assert old in html
    return unguarded(html).replace(old, new, 1)


def unguarded(html: str) -> str:
    """The page without its content-security policy, which must be there."""
    assert html.count(POLICY) == 1
    start = html.index(POLICY)
    return html[:start] + html[html.index(">", start) + 1 :]


@dataclass
class Visit:
    """Opens HTML in the browser and notes every request and error."""

    browser: Any
    folder: Path
    requests: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    contexts: list[Any] = field(default_factory=list)

    def __call__(self, html: str, *, hash: str = "", policy: str = "", width: int = 1280, **context: Any) -> Any:
        """The page: from a file, or where a content-security policy is given from a server that sends it."""
        opened = self.browser.new_context(viewport={"width": width, "height": 900}, **context)
        self.contexts.append(opened)
        page = opened.new_page()
        page.on("console", lambda message: self.errors.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.requests.clear()
        self.errors.clear()
        if policy:
            headers = {"Content-Security-Policy": policy, "Content-Type": "text/html; charset=utf-8"}
            page.route("**/*", lambda route: route.fulfill(body=html, headers=headers))
            page.goto(f"http://report.test/{hash}")
            return page
        file = self.folder / f"page{len(self.contexts)}.html"
        file.write_text(html, encoding="utf-8")
        address = file.as_uri()
        page.on("request", lambda request: self.requests.append(request.url))
        page.goto(address + hash)
        self.requests[:] = [url for url in self.requests if url.partition("#")[0] != address]
        return page

    def close(self) -> None:
        for context in self.contexts:
            context.close()


def unreadable(page: Any, ranking: pd.DataFrame) -> list[str]:
    """What a reader should see and does not: headings in order, figures, captions, and the ranking's numbers.

    What is folded away counts by its summary. `ranking` has activation and accuracy.
    """
    faults = page.evaluate(
        """() => {
          const faults = [];
          const shown = (node) => node.checkVisibility() && node.getBoundingClientRect().height > 0;
          const fold = (node) => node.parentElement?.closest("details:not([open])");
          const seen = (node) => (fold(node) ? seen(fold(node)) : shown(node));
          let last = -Infinity;
          for (const node of document.querySelectorAll("h1, h2, figure, figure svg, figcaption, .table")) {
            const name = node.id || node.textContent.trim().slice(0, 40);
            if (!seen(node)) faults.push(`not seen: ${node.tagName} ${name}`);
            const top = node.getBoundingClientRect().top;
            if (/^H\\d$/.test(node.tagName)) {
              if (top <= last) faults.push(`out of order: ${name}`);
              last = top;
            }
          }
          if (document.querySelectorAll("figure svg").length < 5) faults.push("fewer than five figures");
          return faults;
        }"""
    )
    known = dict(
        page.evaluate(
            "[...document.querySelectorAll('.activation')].map((one) => [one.title.split(':')[0], one.textContent])"
        )
    )
    text = page.locator("#table-overall").inner_text() if page.locator("#table-overall").count() else ""
    for row in ranking.itertuples():
        shown = f"{row.accuracy * 100:.2f}" if row.accuracy == row.accuracy else "–"
        if known.get(row.activation, row.activation) not in text or shown not in text:
            faults.append(f"ranking lacks {row.activation} at {shown}")
    return faults


def styled_marks(page: Any) -> list[str]:
    """Marks of figures that would turn black where inline styles are forbidden."""
    return page.evaluate(
        """() => [...document.querySelectorAll("figure svg [style], figure svg style")]
          .map((node) => node.outerHTML.slice(0, 80))"""
    )


def axe_violations(page: Any) -> list[str]:
    from axe_playwright_python.sync_playwright import Axe

    options = {"runOnly": {"type": "tag", "values": AXE_TAGS}, "resultTypes": ["violations"]}
    found = Axe().run(page, options=options).response["violations"]
    return [f"{one['id']}: {one['nodes'][0]['html'][:120]}" for one in found]


def structure_faults(page: Any) -> list[str]:
    """Headings, landmarks, language, title, skip link."""
    return page.evaluate(
        """() => {
          const faults = [];
          const levels = [...document.querySelectorAll("h1,h2,h3,h4,h5,h6")].map((h) => Number(h.tagName[1]));
          if (levels.filter((level) => level === 1).length !== 1) faults.push("not one h1");
          if (levels[0] !== 1) faults.push("does not begin with h1");
          levels.forEach((level, i) => {
            if (i && level > levels[i - 1] + 1) faults.push(`h${level} after h${levels[i - 1]}`);
          });
          for (const name of ["main", "nav"]) {
            if (document.querySelectorAll(name).length !== 1) faults.push(`not one ${name}`);
          }
          if (!document.documentElement.lang) faults.push("no lang");
          if (!document.title.trim()) faults.push("no title");
          const first = document.querySelector("a, button, input, [tabindex]");
          if (first?.getAttribute("href") !== "#main") faults.push("the first link does not skip to main");
          for (const svg of document.querySelectorAll("figure svg")) {
            const [title, description] = (svg.getAttribute("aria-labelledby") ?? "").split(" ");
            const text = (id) => document.getElementById(id)?.textContent ?? "";
            if (svg.getAttribute("role") !== "img" || !text(title) || text(description).length < 40) {
              faults.push(`figure without role, title or description: ${title}`);
            }
          }
          for (const table of document.querySelectorAll("table")) {
            if (!table.caption?.textContent.trim()) faults.push("table without caption");
            const unscoped = table.querySelector("thead th:not([scope=col]), tbody th:not([scope=row])");
            if (unscoped) faults.push("th without scope");
            if ([...table.tBodies[0].rows].some((row) => !row.querySelector("th"))) faults.push("row without header");
          }
          return faults;
        }"""
    )


def anchor_faults(page: Any) -> list[str]:
    """Links to nowhere, ids that occur twice, and what has no permalink."""
    return page.evaluate(
        """() => {
          const faults = [];
          const ids = [...document.querySelectorAll("[id]")].map((node) => node.id);
          ids.forEach((id, i) => { if (ids.indexOf(id) !== i) faults.push(`twice: ${id}`); });
          const targets = new Set();
          for (const link of document.querySelectorAll("a[href^='#']")) {
            const id = decodeURIComponent(link.getAttribute("href").slice(1));
            if (link.classList.contains("permalink")) targets.add(id);
            if (!ids.includes(id)) faults.push(`dangling: ${id}`);
          }
          for (const node of document.querySelectorAll("section, figure, .table")) {
            if (!node.id || !targets.has(node.id)) faults.push(`no permalink: ${node.tagName} ${node.id}`);
          }
          return faults;
        }"""
    )


def downloads(page: Any) -> dict[str, pd.DataFrame]:
    """Every CSV that the page holds, by name. Fails where one name stands for two tables."""
    found: dict[str, str] = {}
    links = page.evaluate(
        "() => [...document.querySelectorAll('a.csv')].map((a) => [a.download, a.getAttribute('href')])"
    )
    for file, address in links:
        head, _, body = address.partition(",")
        csv = gzip.decompress(base64.b64decode(body)).decode() if "gzip" in head else unquote(body)
        name = file.removesuffix(".gz").removesuffix(".csv")
        assert found.setdefault(name, csv) == csv, name
    return {name: pd.read_csv(io.StringIO(csv)) for name, csv in found.items()}


def differing(downloaded: pd.DataFrame, expected: pd.DataFrame) -> list[str]:
    """Where a download is not the table it should be, to seven significant digits. An empty text reads as missing."""
    expected = expected.reset_index(drop=True)
    texts = expected.select_dtypes(["str", "object"]).columns
    expected[texts] = expected[texts].replace("", None)
    downloaded[texts] = downloaded[texts].astype(expected[texts].dtypes)
    try:
        pd.testing.assert_frame_equal(downloaded, expected, check_dtype=False, rtol=5e-7, atol=0)
    except AssertionError as error:
        return [str(error)]
    return []


def overflowing(page: Any) -> list[str]:
    """What sticks out of the window and does not scroll in a region that keyboard and screen reader reach.

    What folds is opened first.
    """
    page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    return page.evaluate(
        """() => {
          const faults = [];
          const width = document.documentElement.clientWidth;
          const needed = document.documentElement.scrollWidth;
          if (needed > width) faults.push(`page is ${needed} px wide`);
          for (const node of document.querySelectorAll("main *, header *, footer *")) {
            if (node.closest(".scroll") || !node.checkVisibility()) continue;
            const right = node.getBoundingClientRect().right;
            if (right > width + 1) faults.push(`sticks out: ${node.tagName} ${node.className}`);
          }
          for (const region of document.querySelectorAll(".scroll")) {
            const named = region.getAttribute("role") === "region" && region.getAttribute("aria-label");
            if (region.tabIndex !== 0 || !named) faults.push("a region that scrolls cannot be reached or has no name");
          }
          return faults;
        }"""
    )


def crowded(page: Any) -> list[str]:
    """Words in figures that lie on other words, by more than half a line."""
    return page.evaluate(
        """() => {
          const faults = [];
          for (const details of document.querySelectorAll("details")) details.open = true;
          for (const svg of document.querySelectorAll("figure svg, .claim svg")) {
            const words = [...svg.querySelectorAll("text")].filter((node) => node.textContent.trim());
            const boxes = words.map((node) => node.getBoundingClientRect());
            boxes.forEach((a, i) => boxes.slice(0, i).forEach((b, j) => {
              const across = Math.min(a.right, b.right) - Math.max(a.left, b.left);
              const down = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
              if (across > 1 && down > 6) {
                faults.push(`${svg.closest("[id]").id}: ${words[i].textContent} on ${words[j].textContent}`);
              }
            }));
          }
          return faults;
        }"""
    )


def small_words(page: Any, least: float) -> list[str]:
    """Words in figures that are smaller than `least` pixels as shown."""
    return page.evaluate(
        """(least) => {
          const faults = [];
          for (const details of document.querySelectorAll("details")) details.open = true;
          for (const svg of document.querySelectorAll("figure svg, .claim svg")) {
            const scale = svg.getScreenCTM().a;
            for (const node of svg.querySelectorAll("text")) {
              const size = scale * parseFloat(getComputedStyle(node).fontSize);
              if (size < least) faults.push(`${svg.closest("[id]").id}: ${node.textContent} ${size.toFixed(2)}`);
            }
          }
          return faults;
        }""",
        least,
    )


def print_faults(page: Any) -> list[str]:
    """On paper: tables and figures that are cut or hidden."""
    page.emulate_media(media="print")
    page.set_viewport_size({"width": A4_WIDTH, "height": 1000})
    return page.evaluate(
        """() => {
          const faults = [];
          const width = document.documentElement.clientWidth;
          for (const node of document.querySelectorAll("table, figure svg, .claim svg")) {
            const box = node.getBoundingClientRect();
            const name = node.closest("[id]").id;
            const seen = node.checkVisibility({ contentVisibilityAuto: true });
            if (box.height === 0 || !seen) faults.push(`hidden: ${name}`);
            if (box.right > width + 1) faults.push(`cut off: ${name} at ${box.right}`);
          }
          const chosen = document.querySelectorAll("#table-chooser tbody tr");
          if ([...chosen].some((row) => !row.checkVisibility())) faults.push("a situation is not printed");
          if ([...document.querySelectorAll(".links")].some((node) => node.checkVisibility())) {
            faults.push("a link's words are printed");
          }
          for (const node of document.querySelectorAll("th button")) {
            if (getComputedStyle(node).display !== "contents") faults.push("a header is on its first page alone");
          }
          for (const node of document.querySelectorAll(".scroll")) {
            if (getComputedStyle(node).overflowX !== "visible") faults.push("a region still scrolls");
          }
          for (const node of document.querySelectorAll("figure")) {
            if (getComputedStyle(node).breakInside !== "avoid") faults.push(`may break: ${node.id}`);
          }
          return faults;
        }"""
    )


def keyboard_faults(page: Any) -> list[str]:
    """Controls that the tab key does not reach, or that do not show that they have the focus."""
    wanted = page.evaluate(
        """() => {
          const all = [...document.querySelectorAll("a[href], button, input, select, summary, .scroll")];
          const seen = all.filter((node) => node.checkVisibility({ contentVisibilityAuto: true }));
          seen.forEach((node, i) => { node.dataset.stop = i; });
          return document.querySelectorAll("[data-stop]").length;
        }"""
    )
    reached, faults = set(), []
    for _ in range(wanted + 5):
        page.keyboard.press("Tab")
        stop, outline = page.evaluate(
            """() => {
              const style = getComputedStyle(document.activeElement);
              const outlined = style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2;
              return [document.activeElement.dataset.stop, outlined];
            }"""
        )
        if stop is not None and stop not in reached and not outline:
            faults.append(f"focus not seen: {page.evaluate('document.activeElement.outerHTML.slice(0, 80)')}")
        reached.add(stop)
    missed = page.evaluate(
        """(reached) => [...document.querySelectorAll("[data-stop]")]
          .filter((node) => !reached.includes(node.dataset.stop))
          .map((node) => `not reached: ${node.outerHTML.slice(0, 80)}`)""",
        sorted(filter(None, reached)),
    )
    return faults + missed


def motion_faults(page: Any) -> list[str]:
    """Movement that someone who asked for none would see."""
    return page.evaluate(
        """() => {
          const faults = document.getAnimations().map((one) => `runs: ${one.animationName ?? "a transition"}`);
          if (getComputedStyle(document.documentElement).scrollBehavior !== "auto") faults.push("scrolls smoothly");
          return faults;
        }"""
    )


def faint_colours(page: Any) -> list[str]:
    """Colours of the theme too close to the page's: text below 4.5, marks below 3 (WCAG 1.4.3 and 1.4.11)."""
    return page.evaluate(
        """() => {
          const probe = document.body.appendChild(document.createElement("i"));
          const channel = (value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4);
          const luminance = (name) => {
            probe.style.color = `var(--${name})`;
            const [r, g, b] = getComputedStyle(probe).color.match(/[\\d.]+/g).map((v) => channel(v / 255));
            return 0.2126 * r + 0.7152 * g + 0.0722 * b;
          };
          const wanted = { ink: 4.5, muted: 4.5, link: 4.5, warm: 4.5, others: 3 };
          for (let i = 1; i <= 7; i += 1) wanted[`series-${i}`] = 4.5; // they also colour labels
          const paper = luminance("paper");
          const faults = [];
          for (const [name, least] of Object.entries(wanted)) {
            const mark = luminance(name);
            const ratio = (Math.max(mark, paper) + 0.05) / (Math.min(mark, paper) + 0.05);
            if (!(ratio >= least)) faults.push(`${name}: ${ratio.toFixed(2)}`);
          }
          probe.remove();
          return faults;
        }"""
    )


def shown_rows(page: Any, table: str) -> list[str]:
    """The row headers of a table that are shown, in order."""
    return page.locator(f"#{table} tbody tr:not([hidden]) th").all_inner_texts()
