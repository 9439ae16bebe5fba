"""What the job says of an activation, read with every check: somebody else may have written the file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from activation_study.core import descriptions
from activation_study.tables.columns import TABLES

PORTRAIT = ("x", "value", "derivative")


def activation(path: str | Path) -> dict[str, Any]:
    """The description of an activation: `status` (available or refused), `message`, `constants`, `portrait`.

    Raises:
        StudyError: the file is damaged, or is not such a description.
    """
    found = descriptions.read(path, ("available", "refused"), {})
    if found["status"] == "available":
        constants, portrait = found.get("constants"), found.get("portrait")
        for name, column in TABLES["activations"].items():
            value = constants.get(name, ...) if isinstance(constants, dict) else ...
            descriptions.hold(path, f"constants.{name}", value, column.type, nullable=column.nullable)
        points: list[Any] = [portrait.get(name) if isinstance(portrait, dict) else None for name in PORTRAIT]
        if not all(isinstance(values, list) and all(map(descriptions.TYPES["float"], values)) for values in points):
            raise descriptions.damaged(path, "its portrait is not lists of numbers")
        if len({*map(len, points)}) != 1:
            raise descriptions.damaged(path, "the lists of its portrait are of unequal lengths")
        found["portrait"] = dict(zip(PORTRAIT, points, strict=True))
    return found
