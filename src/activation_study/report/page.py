"""Tables → one HTML file, with the figures and tables beside it."""

from __future__ import annotations

import gc
import json
import multiprocessing
import re
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from types import ModuleType
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from activation_study.core.errors import StudyError
from activation_study.core.files import replacing
from activation_study.core.text import one_line
from activation_study.report.blocks import Figure, Ledger, Paragraph, Section, identifiers, walk
from activation_study.report.evidence import linked
from activation_study.report.figures.theme import themed
from activation_study.report.markup import policy, slug
from activation_study.report.names import naming, relabelled
from activation_study.report.sections import discover
from activation_study.report.source import Source
from activation_study.report.study_data import StudyData
from activation_study.report.tables import Table, csv_text

FIRST, *SECTIONS = discover()
"""The first screen, and the page's other sections in reading order."""
STYLES = ("style.css", "reading.css", "play.css")
SCRIPTS = ("formula.js", "play.js", "script.js", "reading.js")
"""What a page holds of each, in this order."""
LARGEST = 5_000_000
LARGEST_SMALL = 1_500_000
SMALL_STUDY = 40
"""Runs up to which a study counts as small."""


def build(
    study: str,
    tables: Path,
    out: Path,
    provenance: Mapping[str, Any],
    *,
    claims: Sequence[str] = (),
    made_by: Mapping[str, Any] | None = None,
    state: str = "",
    processes: int = 1,
    now: datetime | None = None,
) -> str:
    """Write the report.

    Args:
        study: the study's name; `out`'s folder gets a folder of this name with figures/*.svg and tables/*.csv.
        tables: folder with the study's Parquet tables; all but runs may be absent, and the report marks the gaps.
        out: the HTML file, written as a whole or not at all.
        provenance: code version, hashes, packages, hardware: plain values and mappings of them.
        claims: the study's claims files; the guide gives the sentences of the one that says ``article: true``.
        made_by: the page's receipt, see ``receipts``.
        state: how far a study has come that is not finished.
        processes: how many make sections at the same time.
        now: the one timestamp in the page.

    Returns:
        One line with the file's size.

    Raises:
        StudyError: no runs table, or a file larger than 5 MB (1.5 MB for a study of at most 40 runs).
    """
    data = replace(StudyData.read(study, Path(tables), provenance, claims, threads=processes), state=state)
    gc.freeze()  # statsmodels collects garbage at every correction, and would search all tables and modules
    with naming(data.tables["activations"]):
        made, csv = _made(data, processes)
        made = linked(made)
        sections = list(made.values())
        _hold_to_slugs(sections)
        html = _render(
            data.name,
            sections,
            _contents(made),
            now,
            made_by=made_by,
            summary=_summary(data),
            version=Source.of(data.provenance).version(data.provenance.get("code", "unknown")),
        )
    out = Path(out)
    _hold_to_size(html, data)
    _write_beside(sections, csv, out.parent / study)
    _write(html, out)
    return f"{out}: {len(html.encode()) / 1e6:.2f} MB"


_forked: list[Any] = []
"""What a forked process makes its parts from, and the parts; empty in the process that forks."""


def _named(text: str) -> str:
    """A text for people; what has markup was named where it was made."""
    return text if isinstance(text, Markup) else relabelled(text)


def _made(data: StudyData, processes: int) -> tuple[dict[ModuleType, Section], dict[str, str]]:
    """The sections in which there is something to say, in reading order, and the study's own tables as CSV, by name."""
    first = _section_of(FIRST, data)  # before the fork: it makes most of the summaries that the others share
    # The first sections are short, and so the last to be begun.
    parts: list[str | ModuleType] = [*data.as_csv, *reversed(SECTIONS)]
    if processes > 1 and sys.platform == "linux":  # elsewhere a fork is unsafe, and a fresh process costs what it saves
        fork = multiprocessing.get_context("fork")
        try:
            with ProcessPoolExecutor(processes, fork, initializer=_forked.extend, initargs=((data, parts),)) as pool:
                found = list(pool.map(_part, range(len(parts))))
        except BrokenProcessPool:
            raise StudyError(
                "report: a process that made sections was killed, as happens when memory runs out; give the same "
                "command again, with --cores 1 if it happens again"
            ) from None
    else:
        found = [_part_of(part, data) for part in parts]
    made = dict(zip(parts, found, strict=True))
    sections = {module: made[module] for module in SECTIONS}
    csv = {name: text for name, text in made.items() if isinstance(name, str)}
    return {module: one for module, one in ({FIRST: first} | sections).items() if one is not None}, csv


def _part(index: int) -> Any:
    data, parts = _forked
    return _part_of(parts[index], data)


def _part_of(part: ModuleType | str, data: StudyData) -> Any:
    """A section, or None; the text of a table."""
    return csv_text(data.tables[part]) if isinstance(part, str) else _section_of(part, data)


def _section_of(module: ModuleType, data: StudyData) -> Section | None:
    """What a section cannot cope with is one line, whoever made the tables; the error itself is its cause."""
    try:
        return _folded(module, data) if getattr(module, "FOLDS", False) else module.section(data)
    except (StudyError, MemoryError):
        raise
    except Exception as error:
        name = module.__name__.rpartition(".")[2]
        raise StudyError(
            f"report: the section {name} cannot be made of these tables ({type(error).__name__}: "
            f"{one_line(error, 200)}); if a study wrote them as they are, this is a fault of the program: tell us"
        ) from error


def _folded(module: ModuleType, data: StudyData) -> Section | None:
    """Of a study with more activations or cells than can be read, a part that says so."""
    section = module.section(data.few)
    if section is None or not data.folded:
        return section
    said = f"Shown here: {data.folded}. All stand in the ranking and one by one, their numbers in the study's tables."
    return replace(section, blocks=[Paragraph(said, "note"), *section.blocks])


Contents = Mapping[str, Sequence[tuple[str, str]]]
"""The page's parts, each with the ids and names of its sections."""


def _contents(made: Mapping[ModuleType, Section]) -> Contents:
    contents: dict[str, list[tuple[str, str]]] = {}
    for module, section in made.items():
        contents.setdefault(module.PART, []).append((section.id, module.NAME))
    return contents


def write(name: str, parts: Mapping[str, Section], out: Path) -> str:
    """A page of these sections alone, each under a part of the contents of its own.

    Returns:
        One line with the file's size.
    """
    sections = list(parts.values())
    _hold_to_slugs(sections)
    html = _render(name, sections, {part: [(section.id, section.title)] for part, section in parts.items()})
    _write(html, Path(out))
    return f"{out}: {len(html.encode()) / 1e6:.2f} MB"


def _render(
    name: str,
    sections: Sequence[Section],
    contents: Contents,
    now: datetime | None = None,
    *,
    made_by: Mapping[str, Any] | None = None,
    summary: Mapping[str, Any] | None = None,
    version: str = "",
) -> str:
    package = PackageLoader("activation_study.report", "templates")
    environment = Environment(
        loader=package, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["named"] = _named
    environment.globals.update(kind=lambda block: type(block).__name__, numbers=_numbered(sections), study=name)
    style, script = _joined(STYLES) + themed() + "\n" + _heights(sections), _joined(SCRIPTS)
    return environment.get_template("page.html.j2").render(
        study=name,
        first=sections[0],
        sections=sections[1:],
        contents=contents,
        style=Markup(style),
        script=Markup(script),
        policy=policy(script, style),
        receipt=made_by and json.dumps(made_by, sort_keys=True),
        summary=summary or {},
        built=(now or datetime.now(UTC)).strftime("%Y-%m-%d %H:%MZ"),
        version=version,
    )


def _joined(names: Sequence[str]) -> str:
    folder = resources.files("activation_study.report")
    return "\n" + re.sub(r"(?m)^ +", "", "\n".join(folder.joinpath(name).read_text(encoding="utf-8") for name in names))


def _heights(sections: Sequence[Section]) -> str:
    """Each figure's height in a style sheet: a browser that has not yet laid one out leaves that much room."""
    figures = [block for block in walk(sections) if isinstance(block, Figure)]
    tall = {figure.id: re.search(r'<svg[^>]* height="([0-9.]+)"', figure.svg) for figure in figures}
    return "".join(f"#{name} .scroll {{ --tall: {found[1]}px; }}\n" for name, found in tall.items() if found)


def _summary(data: StudyData) -> dict[str, Any]:
    """What a program that reads the page finds in it."""
    overall = data.overall.astype(object).where(data.overall.notna(), None)
    about = {"study": data.name, "provenance": dict(data.provenance), "validity": data.validity}
    return about | {"overall": overall.to_dict("records")}


def _numbered(sections: Sequence[Section]) -> dict[str, int]:
    """Id of a figure or table → its number, counted apart and in reading order."""
    numbers: dict[str, int] = {}
    for kind in (Figure, Table):
        blocks = [block for block in walk(sections) if isinstance(block, kind)]
        numbers |= {block.id: number for number, block in enumerate(blocks, 1)}
    return numbers


def _hold_to_slugs(sections: Sequence[Section]) -> None:
    """Every id, and every file's name, is made of slugs; no id is used twice. Raises ValueError, for a bug."""
    ids = identifiers(sections)
    files = [block.data.name for block in walk(sections) if isinstance(block, Figure | Table | Ledger)]
    wrong = {one for one in ids if one != slug(one) or ids.count(one) > 1}
    wrong |= {name for name in files if name.replace("_", "-") != slug(name)}
    if wrong:
        raise ValueError(f"ids or names of files that are not slugs, or are used twice: {sorted(wrong)}")


def _hold_to_size(html: str, data: StudyData) -> None:
    size = len(html.encode())
    runs = data.tables["runs"]["run"].nunique()
    limit = LARGEST_SMALL if runs <= SMALL_STUDY else LARGEST
    if size > limit:
        raise StudyError(
            f"report: {size / 1e6:.2f} MB for {runs} runs is more than {limit / 1e6:.1f} MB; fewer activations or "
            "datasets in the core experiment make it smaller"
        )


def _write_beside(sections: Sequence[Section], csv: Mapping[str, str], folder: Path) -> None:
    """Figures as SVG; the data behind figures and tables, and the study's own tables, as CSV. Nothing older stays."""
    contents: dict[Path, str] = {}
    for block in walk(sections):
        if isinstance(block, Figure):
            contents[folder / "figures" / f"{block.id}.svg"] = block.svg
        if isinstance(block, Figure | Table | Ledger):
            contents[folder / "tables" / f"{block.data.name}.csv"] = block.data.csv
    for name, text in csv.items():
        contents[folder / "tables" / f"{name}.csv"] = text
    for path, text in contents.items():
        _write(text, path)
    for old in {*folder.glob("figures/*.svg"), *folder.glob("tables/*.csv")} - set(contents):
        old.unlink()


def _write(text: str, path: Path) -> None:
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")
