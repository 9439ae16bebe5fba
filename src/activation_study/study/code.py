"""Which files of this package a step's result depends on, so that editing one of them reruns the step."""

from __future__ import annotations

import ast
import functools
import hashlib
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]
STEPS = {
    "activation": ("activations.portrait",),
    "dataset": ("data.prepare",),
    "train": ("training.run", "training.device"),
    "cost": ("cost.measure",),
    "tables": ("jobs.collect",),
    "ledger": ("jobs.judge",),
    "report": ("report.page",),
}
"""The modules that do the work of each rule."""


def sources(*modules: str) -> tuple[str, ...]:
    """The files of these modules of the package and of all that they import from it, sorted.

    Imports are read from the source, wherever they stand; nothing is run.
    """
    return tuple(relative(file) for file in sorted({file for module in modules for file in _closure(module)}))


def relative(file: str | Path) -> str:
    """Relative to the working directory, where the file lies in it: a project that moves keeps its results."""
    path = Path(file)
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


@functools.cache
def _closure(module: str) -> tuple[Path, ...]:
    found: set[Path] = set()
    waiting = [_file(module)]
    while waiting:
        file = waiting.pop()
        if file not in found:
            found.add(file)
            waiting += _imported(file)
    return tuple(sorted(found))


def sources_digest(*modules: str) -> str:
    """SHA-256 over those files, names and contents."""
    digest = hashlib.sha256()
    for file in sorted({file for module in modules for file in _closure(module)}):
        digest.update(file.name.encode())
        digest.update(file.read_bytes())
    return digest.hexdigest()


def _file(module: str) -> Path:
    path = PACKAGE.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def _imported(file: Path) -> list[Path]:
    names: list[str] = []
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == PACKAGE.name:
            inside = node.module.split(".")[1:]
            names += [".".join(inside)] * bool(inside) + [".".join([*inside, alias.name]) for alias in node.names]
        elif isinstance(node, ast.Import):
            names += [a.name.partition(".")[2] for a in node.names if a.name.startswith(f"{PACKAGE.name}.")]
    return [_file(name) for name in names if _file(name).exists()]  # a name may be a function, not a module
