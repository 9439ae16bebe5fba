"""From each verdict to the figure that shows what it is about and back, and from a table's name to its download."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace
from fnmatch import fnmatchcase
from types import ModuleType

import pandas as pd
from markupsafe import Markup

from activation_study.report.blocks import Block, ClaimRow, Figure, Items, Ledger, Paragraph, Section, identifiers, walk
from activation_study.report.tables import Table

FILES = "table-files"
LINK = re.compile(r'<a href="#([^"?]+)"[^>]*>(.*?)</a>')


def linked(made: Mapping[ModuleType, Section]) -> dict[ModuleType, Section]:
    """The sections with a link from each row of a ledger to the figure of what it is about, and from there back.

    A section's SHOWS are patterns of topics, as "core.test_accuracy" or "data_size.*"; its first figure shows them.
    """
    figures: dict[str, Figure] = {}
    for module, section in made.items():
        first = next((block for block in section.blocks if isinstance(block, Figure)), None)
        figures |= {pattern: first for pattern in getattr(module, "SHOWS", ()) if first}

    def shows(row: ClaimRow) -> Figure | None:
        return next((figure for pattern, figure in figures.items() if fnmatchcase(row.topic, pattern)), None)

    back: dict[str, list[ClaimRow]] = {}
    for section in made.values():
        for row in (row for block in section.blocks if isinstance(block, Ledger) for row in _rows(block)):
            if figure := shows(row):
                back.setdefault(figure.id, []).append(row)
    held = {one.data.name: one.id for one in walk(list(made.values())) if isinstance(one, Figure | Table | Ledger)}
    found, ids = {}, set(identifiers(list(made.values())))
    for module, section in made.items():
        blocks = [part for block in section.blocks for part in _linked(_with_targets(block, ids), shows, back, held)]
        found[module] = replace(section, blocks=blocks)
    return found


def _with_targets(block: Block, ids: AbstractSet[str]) -> Block:
    """A sentence that links to a part of the page which this study does not have, without that link."""
    if isinstance(block, Paragraph):
        return replace(block, text=_reaching(block.text, ids))
    return replace(block, items=[_reaching(one, ids) for one in block.items]) if isinstance(block, Items) else block


def _reaching(text: str, ids: AbstractSet[str]) -> str:
    if not isinstance(text, Markup):
        return text
    return Markup(LINK.sub(lambda link: link[0] if link[1] in ids else link[2], text))


def _rows(ledger: Ledger) -> list[ClaimRow]:
    return [row for _, claims in ledger.groups for claim in claims for row in claim.rows]


def _linked(
    block: Block,
    shows: Callable[[ClaimRow], Figure | None],
    back: Mapping[str, Sequence[ClaimRow]],
    held: Mapping[str, str],
) -> list[Block]:
    if isinstance(block, Ledger):
        return [_with_figures(block, shows)]
    if isinstance(block, Table) and block.id == FILES:
        link, rows = Markup('<a href="#{}">in this page</a>'), block.frame
        pairs = zip(rows["table"], rows["file"], strict=True)
        places = [link.format(held[name]) if name in held else file for name, file in pairs]
        return [replace(block, frame=rows.assign(file=pd.Series(places, dtype=object)))]
    if not isinstance(block, Figure) or block.id not in back:
        return [block]
    links = (Markup('<a href="#{}">{}</a> ({})').format(row.id, row.row, row.verdict) for row in back[block.id])
    return [block, Paragraph(Markup("Claims that this bears on: {}.").format(Markup(", ").join(links)), "links")]


def _with_figures(ledger: Ledger, shows: Callable[[ClaimRow], Figure | None]) -> Ledger:
    groups = [
        (heading, [replace(claim, rows=[_with_figure(row, shows(row)) for row in claim.rows]) for claim in claims])
        for heading, claims in ledger.groups
    ]
    return replace(ledger, groups=groups)


def _with_figure(row: ClaimRow, figure: Figure | None) -> ClaimRow:
    if figure is None:
        return row
    return replace(row, facts=[*row.facts, ("Figure", Markup('<a href="#{}">{}</a>').format(figure.id, figure.title))])
