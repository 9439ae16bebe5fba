"""What a job says of what it made, read with every check: somebody else may have written the file."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from activation_study.core import files
from activation_study.core.errors import StudyError
from activation_study.core.text import plain, shown

MOST = 2**40
"""Samples or features; no disk holds more."""
TYPES: Mapping[str, Callable[[Any], bool]] = {
    "str": lambda value: isinstance(value, str),
    "bool": lambda value: isinstance(value, bool),
    "float": lambda value: type(value) in (int, float) and math.isfinite(value),
    "int": lambda value: type(value) is int and 0 <= value <= MOST,
}


def dataset(path: str | Path) -> dict[str, Any]:
    """The manifest of a data set, as `prepare.prepare` writes it.

    Raises:
        StudyError: the file is damaged, or is not a manifest.
    """
    texts, counts = dict.fromkeys(("source", "sha256"), "str"), dict.fromkeys(("samples", "features", "classes"), "int")
    return read(path, ("available", "unavailable", "refused"), texts | counts | {"official_test": "bool"})


def read(path: str | Path, statuses: tuple[str, ...], types: Mapping[str, str]) -> dict[str, Any]:
    found = files.read_json(path)
    if found.get("status") not in statuses:
        raise damaged(path, f"its status is {shown(found.get('status'))}")
    for name, kind in {"message": "str", **types}.items():
        hold(path, name, found.get(name, ...), kind)
    return found


def hold(path: str | Path, name: str, value: Any, kind: str, *, nullable: bool = False) -> None:
    if not (value is None and nullable) and (value is ... or not TYPES[kind](value)):
        raise damaged(path, f"{name} is {'missing' if value is ... else shown(value)}")


def damaged(path: str | Path, reason: str) -> StudyError:
    return StudyError(f"{plain(path)} is damaged ({reason}); delete it and run the study again")
