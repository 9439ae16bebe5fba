"""What the jobs say of activations and data sets, read with every check: somebody else may have written the file."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from activation_study.core import files
from activation_study.core.columns import TABLES
from activation_study.core.errors import StudyError
from activation_study.core.text import plain, shown

PORTRAIT = ("x", "value", "derivative")
MOST = 2**40
"""Samples or features; no disk holds more."""
_TYPES: Mapping[str, Callable[[Any], bool]] = {
    "str": lambda value: isinstance(value, str),
    "bool": lambda value: isinstance(value, bool),
    "float": lambda value: type(value) in (int, float) and math.isfinite(value),
    "int": lambda value: type(value) is int and 0 <= value <= MOST,
}


def activation(path: str | Path) -> dict[str, Any]:
    """The description of an activation: `status` (available or refused), `message`, `constants`, `portrait`.

    Raises:
        StudyError: the file is damaged, or is not such a description.
    """
    found = _read(path, ("available", "refused"), {})
    if found["status"] == "available":
        constants, portrait = found.get("constants"), found.get("portrait")
        for name, column in TABLES["activations"].items():
            value = constants.get(name, ...) if isinstance(constants, dict) else ...
            _hold(path, f"constants.{name}", value, column.type, nullable=column.nullable)
        points = [portrait.get(name) if isinstance(portrait, dict) else None for name in PORTRAIT]
        if not all(isinstance(values, list) and all(map(_TYPES["float"], values)) for values in points):
            raise _damaged(path, "its portrait is not lists of numbers")
        if len({*map(len, points)}) != 1:
            raise _damaged(path, "the lists of its portrait are of unequal lengths")
        found["portrait"] = dict(zip(PORTRAIT, points, strict=True))
    return found


def dataset(path: str | Path) -> dict[str, Any]:
    """The manifest of a data set, as `prepare.prepare` writes it.

    Raises:
        StudyError: the file is damaged, or is not a manifest.
    """
    texts, counts = dict.fromkeys(("source", "sha256"), "str"), dict.fromkeys(("samples", "features", "classes"), "int")
    return _read(path, ("available", "unavailable", "refused"), texts | counts | {"official_test": "bool"})


def _read(path: str | Path, statuses: tuple[str, ...], types: Mapping[str, str]) -> dict[str, Any]:
    found = files.read_json(path)
    if found.get("status") not in statuses:
        raise _damaged(path, f"its status is {shown(found.get('status'))}")
    for name, kind in {"message": "str", **types}.items():
        _hold(path, name, found.get(name, ...), kind)
    return found


def _hold(path: str | Path, name: str, value: Any, kind: str, *, nullable: bool = False) -> None:
    if not (value is None and nullable) and (value is ... or not _TYPES[kind](value)):
        raise _damaged(path, f"{name} is {'missing' if value is ... else shown(value)}")


def _damaged(path: str | Path, reason: str) -> StudyError:
    return StudyError(f"{plain(path)} is damaged ({reason}); delete it and run the study again")
