"""Which code a step's result depends on, as a digest: a change of what it computes makes the result again.

What is hashed is the syntax tree of the modules that do the work and of all that they import: no comment, docstring or
layout counts.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import re
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from activation_study.core.errors import StudyError
from activation_study.core.files import read_regular, replacing
from activation_study.tables.columns import SCHEMA_VERSION, TABLES

if TYPE_CHECKING:
    from grimp import ImportGraph

PACKAGE = Path(__file__).resolve().parents[1]
DECLARATIONS = ("networks.architectures", "quantities.measures")
"""Packages whose modules are found by their place, which no import shows."""
NOTES = Path(".snakemake") / "code"
COLUMNS, DOWNLOADS = "tables.columns", "data.downloads"
"""Of the first, a step that takes long knows the form of its tables alone; what the second fetches has a checksum."""


class Step(NamedTuple):
    """The modules (of a package: all of its modules) that do a rule's work, and the tables whose columns' names and
    types it knows.

    A rule without such tables rests on all that is said of columns, as the data dictionary does.
    """

    modules: tuple[str, ...]
    tables: tuple[str, ...] = ()


STEPS = {
    "activation": Step(("activations.portrait",)),
    "dataset": Step(("data.prepare",), ("activations", "datasets")),
    "train": Step(
        ("training.run", "training.together", "training.device", *DECLARATIONS),
        ("runs", "curves", "layers", "measurements", "timings", "jobs"),
    ),
    "cost": Step(("cost.measure",), ("cost",)),
    "tables": Step(("jobs.collect", *DECLARATIONS)),
    "ledger": Step(("jobs.judge", *DECLARATIONS)),
    "report": Step(("report", *DECLARATIONS)),
}


@functools.cache
def digest(step: str) -> str:
    """SHA-256 of the code of a rule and of the form of its tables.

    To read all imports takes a second, which no job has to spare: one that finds the same files takes the digest that
    another has noted in Snakemake's folder.
    """
    note = NOTES / f"{files_digest()}.{step}"
    try:
        noted = read_regular(note, 64).decode()
        if re.fullmatch("[0-9a-f]{64}", noted):
            return noted
    except (OSError, StudyError, UnicodeDecodeError):
        pass
    found = _digest(step)
    with suppress(OSError):
        if NOTES.parent.is_dir():
            with replacing(note) as temporary:
                temporary.write_text(found, encoding="utf-8")
    return found


@functools.cache
def files_digest() -> str:
    """SHA-256 over the package's Python files, names and contents."""
    found = hashlib.sha256()
    for file in sorted(PACKAGE.rglob("*.py")):
        found.update(str(file.relative_to(PACKAGE)).encode())
        found.update(file.read_bytes())
    return found.hexdigest()


def _digest(step: str) -> str:
    found = hashlib.sha256()
    for module in modules_of(step):
        text = _meaning_of(_file(module), described=not STEPS[step].tables)
        found.update(f"{module}\n{text}\n".encode())
    for table in STEPS[step].tables:
        form = [(name, column.type) for name, column in TABLES[table].items()]
        found.update(repr((SCHEMA_VERSION, table, form)).encode())
    return found.hexdigest()


def modules_of(step: str) -> tuple[str, ...]:
    """The modules whose code counts for a rule: those that do its work, and all that they import; sorted."""
    modules, tables = STEPS[step]
    apart = {DOWNLOADS, COLUMNS} if tables else {DOWNLOADS}
    return tuple(sorted(imported(*modules) - apart))


def imported(*modules: str) -> set[str]:
    """These modules of the package, with what lies in them, and all that they import from it, wherever that stands."""
    graph = _imports(PACKAGE.name)
    named = [f"{PACKAGE.name}.{module}" for module in modules]
    whole = {*named}.union(*map(graph.find_descendants, named))
    found = whole.union(*map(graph.find_upstream_modules, whole))
    return {name.partition(".")[2] for name in found}


@functools.cache
def _imports(package: str) -> ImportGraph:
    import grimp

    return grimp.build_graph(package, cache_dir=None)


@functools.cache
def _meaning_of(file: Path, *, described: bool) -> str:
    return meaning(file.read_text(encoding="utf-8"), described=described)


def meaning(source: str, *, described: bool = True) -> str:
    """The source without comments, docstrings and layout; if not `described`, without any call's ``description``."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and not described:
            node.keywords = [given for given in node.keywords if given.arg != "description"]
        if isinstance(body := getattr(node, "body", None), list):
            body[:] = [part for part in body if not _is_text(part)] or [ast.Pass()]
    return ast.unparse(tree)


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def relative(file: str | Path) -> str:
    """Relative to the working directory, where the file lies in it: a project that moves keeps its results."""
    path = Path(file)
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def _file(module: str) -> Path:
    path = PACKAGE.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
