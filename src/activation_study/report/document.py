"""What a report is made of: sections that hold text, tables and figures in reading order.

Text is `markupsafe.Markup`, or a plain string that the template escapes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from activation_study.report.tables import Download, Table


@dataclass(frozen=True)
class Paragraph:
    """A paragraph; `kind` is "" or one of "lead", "note" (a limit to mind) and "gap" (something that is missing)."""

    text: str
    kind: str = ""


@dataclass(frozen=True)
class Items:
    """A list of short texts, numbered or not."""

    items: Sequence[str]
    numbered: bool = False


@dataclass(frozen=True)
class Facts:
    """Pairs of a term and what there is to know of it."""

    facts: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Figure:
    """A drawing with what it shows: `title` names it, `message` says in words what a reader sees in it."""

    id: str
    title: str
    message: str
    svg: str
    data: Download


@dataclass(frozen=True)
class Section:
    """A heading with an id, and its blocks; sections nest.

    One with a `brief` starts folded, for looking things up: its title and brief show.
    """

    id: str
    title: str
    blocks: Sequence[Block] = field(default_factory=tuple)
    brief: str = ""


@dataclass(frozen=True)
class ClaimRow:
    """One test of a claim: its verdict with an icon, why, its numbers, and its cells as SVG ("" without any)."""

    id: str
    row: str
    test: str
    type: str
    verdict: str
    icon: str
    reason: str
    facts: Sequence[tuple[str, str]]
    picture: str


@dataclass(frozen=True)
class Claim:
    """A claim with its rows; `badges` are the distinct (verdict, icon) of those that are judged."""

    id: str
    name: str
    quote: str
    notes: Sequence[tuple[str, str]]
    badges: Sequence[tuple[str, str]]
    rows: Sequence[ClaimRow]


@dataclass(frozen=True)
class Ledger:
    """Claims that fold open, under the article's headings; `legend` has (verdict, icon, meaning)."""

    id: str
    groups: Sequence[tuple[str, Sequence[Claim]]]
    legend: Sequence[tuple[str, str, str]]


Block = Paragraph | Items | Facts | Figure | Table | Ledger | Section


def slugs(names: Iterable[str]) -> dict[str, str]:
    """A stable part of an id for each name: letters, digits and hyphens, with a number where two would be the same."""
    found: dict[str, str] = {}
    for name in sorted(set(names)):
        stem = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "unnamed"
        found[name] = stem if stem not in found.values() else f"{stem}-{len(found)}"
    return found


def one_open(ident: str, drawn: Sequence[tuple[str, Figure]]) -> list[Block]:
    """The same figure of several datasets: those of the first are open, the others in a section that folds."""
    open_ = [figure for dataset, figure in drawn if dataset == drawn[0][0]]
    others = [(dataset, figure) for dataset, figure in drawn if dataset != drawn[0][0]]
    if not others:
        return list(open_)
    brief = ", ".join(dict.fromkeys(dataset for dataset, _ in others))
    folded = [figure for _, figure in others]
    return [*open_, Section(f"{ident}-others", "The same on the other datasets", folded, brief)]


def walk(blocks: Sequence[Block]) -> Iterator[Block]:
    """All blocks in reading order, a section before what it holds."""
    for block in blocks:
        yield block
        if isinstance(block, Section):
            yield from walk(block.blocks)
