"""Which code a step's result depends on, as a digest: a change of what it computes makes the result again.

What is hashed is the syntax tree of the modules that do the work and of all that they import: no comment, docstring or
layout counts. Of the tables it is the columns' names and types, not what they are said to mean.
"""

from __future__ import annotations

import ast
import functools
import hashlib
from pathlib import Path
from typing import NamedTuple

import grimp

from activation_study.core.columns import TABLES

PACKAGE = Path(__file__).resolve().parents[1]
APART = {"core.columns", "data.downloads"}
"""Modules that do not count: the tables' columns do by themselves, and downloads are held to their checksums."""


class Step(NamedTuple):
    """The modules that do the work of a rule, and the tables that it writes."""

    modules: tuple[str, ...]
    tables: tuple[str, ...] = ()


STEPS = {
    "activation": Step(("activations.portrait",)),
    "dataset": Step(("data.prepare",)),
    "train": Step(("training.run", "training.device"), ("runs", "curves", "layers", "measurements", "timings", "jobs")),
    "cost": Step(("cost.measure",), ("cost",)),
    "tables": Step(("jobs.collect",), ("experiments", "activations", "portraits", "datasets", "gaps")),
    "ledger": Step(("jobs.judge",), ("ledger", "ledger_cells")),
    "report": Step(("report.page",)),
}


@functools.cache
def digest(step: str) -> str:
    """SHA-256 of the code of a rule and of the form of its tables."""
    modules, tables = STEPS[step]
    found = hashlib.sha256()
    for module in modules_of(*modules):
        found.update(f"{module}\n{_meaning_of(_file(module))}\n".encode())
    for table in tables:
        found.update(repr((table, [(name, column.type) for name, column in TABLES[table].items()])).encode())
    return found.hexdigest()


def modules_of(*modules: str) -> tuple[str, ...]:
    """These modules of the package and all that they import from it wherever that stands, but those apart; sorted."""
    graph = _imports(PACKAGE.name)
    whole = [f"{PACKAGE.name}.{module}" for module in modules]
    found = {*whole}.union(*map(graph.find_upstream_modules, whole))
    return tuple(sorted({name.partition(".")[2] for name in found} - APART))


@functools.cache
def _imports(package: str) -> grimp.ImportGraph:
    return grimp.build_graph(package, cache_dir=None)


@functools.cache
def _meaning_of(file: Path) -> str:
    return meaning(file.read_text(encoding="utf-8"))


def meaning(source: str) -> str:
    """The source without comments, docstrings and layout."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(body := getattr(node, "body", None), list):
            node.body = [part for part in body if not _is_text(part)] or [ast.Pass()]
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
