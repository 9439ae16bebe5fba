"""What must hold of what a report says. As in `checks`, every check returns the faults it finds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

import checks
from activation_study.claims.outcomes import Outcome
from activation_study.report.figures.theme import SERIES, VARIABLES

HEAVIEST = 4_000
"""Elements of a figure, beyond which it should have been rasterised."""


def missing_verdicts(page: Any, ledger: pd.DataFrame) -> list[str]:
    """Rows of the ledger that the page lacks, or shows with another verdict; claims that are not seen."""
    claims = page.evaluate(
        """() => [...document.querySelectorAll(".claim")].map((claim) => {
          const summary = claim.querySelector("summary");
          const rows = [...claim.querySelectorAll(".claim-row")];
          return {
            name: claim.id,
            seen: summary.checkVisibility() && summary.getBoundingClientRect().height > 0,
            badges: [...summary.querySelectorAll(".verdict")].map((one) => one.textContent.trim()),
            rows: rows.map((row) => [row.querySelector("b").textContent, row.querySelector(".verdict").textContent]),
          };
        })"""
    )
    faults = [f"not seen: {claim['name']}" for claim in claims if not claim["seen"] or not claim["badges"]]
    shown = {row: verdict.split(maxsplit=1)[-1].strip() for claim in claims for row, verdict in claim["rows"]}
    for row, verdict in ledger.set_index("row")["verdict"].map(lambda one: Outcome(one).said).items():
        if shown.get(row) != verdict:
            faults.append(f"{row} is {verdict}, shown: {shown.get(row)}")
    return faults


def first_screen_faults(page: Any) -> list[str]:
    """What of the answer, the situations with how sure each is, the price, how far to trust it and the claims is not
    seen at once."""
    return page.evaluate(
        """() => {
          const texts = [...document.querySelectorAll("#answer p")];
          const wanted = {
            question: document.querySelector("h1"),
            answer: document.querySelector("#answer .lead"),
            "which activation where": document.getElementById("table-situations"),
            "what is cheapest": texts.find((p) => /Cheapest/.test(p.textContent)),
            "how far to trust it": texts.find((p) => /trust/.test(p.textContent)),
            "what it says nothing of": texts.find((p) => /nothing of others/.test(p.textContent)),
            "the claims as a bar": document.querySelector("#answer .bar"),
            "link to the claims": document.querySelector("#answer a[href='#ledger']"),
          };
          return Object.entries(wanted)
            .filter(([, node]) => !node?.checkVisibility() || node.getBoundingClientRect().bottom > innerHeight)
            .map(([what]) => `not on the first screen: ${what}`);
        }"""
    )


def lone_colours(page: Any) -> list[str]:
    """Where colour alone tells things apart, or is not of the theme.

    A verdict needs its icon and its word. Series of a figure need different dashes or markers, or names in their
    colour; all marks have colours of the theme, which has five for series.
    """
    return page.evaluate(
        """([series, theme]) => {
          const faults = [];
          for (const badge of document.querySelectorAll(".verdict")) {
            const icon = badge.querySelector("[aria-hidden]")?.textContent.trim();
            const word = badge.textContent.replace(icon, "").trim();
            if (!icon || !word) faults.push(`verdict without icon or word: ${badge.textContent.trim()}`);
          }
          for (const figure of document.querySelectorAll("figure")) {
            const marks = [...figure.querySelectorAll("svg [stroke], svg [fill]")];
            const colours = (node) => [node.getAttribute("stroke"), node.getAttribute("fill")]
              .filter((value) => value?.startsWith("#"));
            const foreign = new Set(marks.flatMap(colours).filter((colour) => !theme.includes(colour)));
            if (foreign.size) {
              faults.push(`${figure.id}: not of the theme: ${[...foreign].join(" ")}`);
            }
            const looks = {};
            const named = new Set();
            for (const node of marks) {
              for (const colour of colours(node).filter((one) => series.includes(one))) {
                if (node.tagName === "text") { named.add(colour); continue; }
                const drawn = document.getElementById(node.getAttribute("href")?.slice(1));
                const shape = drawn?.getAttribute("d") ?? node.getAttribute("stroke-dasharray");
                (looks[colour] ??= new Set()).add(shape ?? "");
              }
            }
            const signature = (colour) => [...looks[colour]].sort().join("|");
            const used = Object.keys(looks).filter((colour) => !named.has(colour));
            for (const one of used) {
              const same = used.filter((other) => other !== one && signature(other) === signature(one));
              if (same.length) faults.push(`${figure.id}: only colour tells ${one} from ${same.join(" ")}`);
            }
          }
          return faults;
        }""",
        [list(SERIES), list(VARIABLES)],
    )


def heavy_figures(page: Any) -> list[str]:
    """Figures of too many elements, and images, which a strict policy blocks."""
    return page.evaluate(
        """(most) => {
          const faults = [];
          for (const figure of document.querySelectorAll("figure")) {
            const count = figure.querySelectorAll("svg *").length;
            if (count > most) faults.push(`${figure.id}: ${count} elements`);
          }
          for (const image of document.querySelectorAll("figure image, figure img")) {
            faults.push(`${image.closest("figure").id}: an image`);
          }
          return faults;
        }""",
        HEAVIEST,
    )


def unit_faults(page: Any) -> list[str]:
    """Columns that show a hundred times what they sort by, and do not say percent or points."""
    return page.evaluate(
        """() => {
          const faults = [];
          for (const table of document.querySelectorAll(".table")) {
            table.querySelectorAll("thead th").forEach((head, column) => {
              const scaled = [...table.querySelectorAll("tbody tr")].some((row) => {
                const cell = row.cells[column];
                const shown = parseFloat(cell.textContent.replace("−", "-").replace(",", ""));
                const value = Number(cell.dataset.sort ?? NaN);
                return Math.abs(value) > 0.002 && Math.abs(shown / value - 100) < 30;
              });
              if (scaled && !/%|points/.test(head.textContent)) faults.push(`${table.id}: ${head.textContent}`);
            });
          }
          return faults;
        }"""
    )


def sort_faults(page: Any) -> list[str]:
    """Numeric columns that a click on their button does not sort as numbers, upwards, missing ones last."""
    return page.evaluate(
        """() => {
          const faults = [];
          for (const table of document.querySelectorAll(".table:has(th button)")) {
            table.querySelectorAll("thead th.number").forEach((head) => {
              head.querySelector("button").click();
              const rows = [...table.querySelectorAll("tbody tr")];
              const keys = rows.map((row) => Number(row.cells[head.cellIndex].dataset.sort ?? Infinity));
              const wrong = keys.some((key, place) => place && key < keys[place - 1]);
              const said = head.getAttribute("aria-sort") === "ascending";
              if (wrong || !said) faults.push(`${table.id}: ${head.textContent}`);
            });
          }
          return faults;
        }"""
    )


def download_faults(page: Any, folder: Path) -> list[str]:
    """Figures and tables without a download, and downloads that are not what the file in `folder` says."""
    faults = page.evaluate(
        """() => [...document.querySelectorAll("figure, .table")]
          .filter((node) => !node.querySelector("a.csv")).map((node) => `no download: ${node.id}`)"""
    )
    for name, held in checks.downloads(page).items():
        faults += [f"differs: {name}" for _ in checks.differing(held, pd.read_csv(folder / f"{name}.csv"))]
    return faults


def claim_link_faults(page: Any) -> list[str]:
    """Claims and their tests that have no permalink."""
    return page.evaluate(
        """() => [...document.querySelectorAll(".claim, .claim-row")].filter((node) => {
          const own = node.matches(".claim-row") ? "" : `[href="#${node.id}"]`;
          return !node.id || !node.querySelector(`.permalink${own}`);
        }).map((node) => `no permalink: ${node.id}`)"""
    )


def shown_claims(page: Any) -> list[str]:
    """The ids of the claims that are not filtered out."""
    return page.evaluate("[...document.querySelectorAll('.claim:not([hidden])')].map((one) => one.id)")


def cut_words(page: Any) -> list[str]:
    """Words in figures that end outside of their drawing, by more than half a pixel."""
    return page.evaluate(
        """() => {
          const faults = [];
          for (const details of document.querySelectorAll("details")) details.open = true;
          for (const svg of document.querySelectorAll("figure svg")) {
            const [{ width, height }, across] = [svg.viewBox.baseVal, svg.getScreenCTM().inverse()];
            for (const word of [...svg.querySelectorAll("text")].filter((node) => node.textContent.trim())) {
              const box = word.getBoundingClientRect();
              const from = new DOMPoint(box.left, box.top).matrixTransform(across);
              const to = new DOMPoint(box.right, box.bottom).matrixTransform(across);
              const out = Math.max(-from.x, -from.y, to.x - width, to.y - height);
              if (out > 0.5) faults.push(`${svg.closest("[id]").id}: ${word.textContent} by ${out.toFixed(1)}`);
            }
          }
          return faults;
        }"""
    )
