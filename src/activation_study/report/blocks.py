"""What a report is made of: sections that hold text, tables and figures in reading order.

Text is `markupsafe.Markup`, or a plain string that the template escapes. An id is made of slugs, and stands once in a
page; what belongs to it has its id with a dot and a word.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from markupsafe import Markup

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
class Verbatim:
    """Text to copy as it is."""

    id: str
    text: str


@dataclass(frozen=True)
class Figure:
    """A drawing with what it shows: `title` names it, `message` says in words what a reader sees in it."""

    id: str
    title: str
    message: str
    svg: Markup
    data: Download


@dataclass(frozen=True)
class Data:
    """What a script of the page reads, as JSON; nothing shows."""

    id: str
    value: Any


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
class CellNumbers:
    """A cell of a claim's row as it is read: its estimate, 95% interval, paired values, and each seed's."""

    name: str
    estimate: str
    interval: str
    n: int
    seeds: str


@dataclass(frozen=True)
class ClaimRow:
    """One test of a claim: its verdict with an icon, why, its numbers, and its cells as SVG ("" without any).

    `topic` is the experiment and the metric that it is about, with a dot; `unit` that of the cells' numbers; `entry`
    its text in the claims file ("" where that is not the one that was judged).
    """

    id: str
    row: str
    test: str
    type: str
    verdict: str
    icon: str
    reason: str
    facts: Sequence[tuple[str, str]]
    picture: Markup
    topic: str
    unit: str
    cells: Sequence[CellNumbers]
    entry: str


@dataclass(frozen=True)
class Claim:
    """A claim of a claims file, with its rows; `word` is one of ``claims.outcomes.WORDS``, `verdict` that with what it
    rests on where all of it is computed, and `icon` its sign."""

    id: str
    name: str
    quote: str
    notes: Sequence[tuple[str, str]]
    file: str
    word: str
    verdict: str
    icon: str
    rows: Sequence[ClaimRow]


@dataclass(frozen=True)
class Ledger:
    """Claims that fold open, under the article's headings; `legend` has (verdict, icon, meaning), `data` the cells, and
    `code` the (id, place, text) of the functions that decide."""

    id: str
    groups: Sequence[tuple[str, Sequence[Claim]]]
    legend: Sequence[tuple[str, str, str]]
    data: Download
    code: Sequence[tuple[str, Markup, str]] = ()


Block = Paragraph | Items | Facts | Verbatim | Figure | Table | Ledger | Data | Section


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


def identifiers(blocks: Sequence[Block]) -> list[str]:
    """The ids of all blocks, claims and their rows included, in reading order."""
    found: list[str] = []
    for block in walk(blocks):
        if isinstance(block, Section | Figure | Table | Ledger | Verbatim | Data):
            found.append(block.id)
        if isinstance(block, Ledger):
            found += [name for name, _, _ in block.code]
            for claim in (claim for _, claims in block.groups for claim in claims):
                found += [claim.id, *(row.id for row in claim.rows if row.id != claim.id)]
    return found
