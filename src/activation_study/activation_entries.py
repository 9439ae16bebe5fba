"""What can be said of an activation's config entry without PyTorch: the config is checked before anything starts."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from activation_study import expressions
from activation_study.errors import StudyError

KINDS = ("class", "expression", "module")


def check(name: str, entry: Mapping[str, Any], *, allow_modules: bool = True) -> None:
    """Its keys, its types, its formula.

    Raises:
        StudyError: the entry is not one of the three kinds, is ill-formed, or is code where code is not allowed.
    """
    prefix = f"activations.{name}"
    if not isinstance(entry, Mapping) or sum(kind in entry for kind in KINDS) != 1:
        raise StudyError(f"{prefix}: needs exactly one of the keys class, expression and module, not {entry!r}")
    kind = next(kind for kind in KINDS if kind in entry)
    text = entry[kind]
    if not isinstance(text, str):
        raise StudyError(f"{prefix}: {kind} must be text, not {text!r}")
    for key, value in entry.items():
        if not isinstance(key, str) or not isinstance(value, str | int | float):
            raise StudyError(f"{prefix}: argument {key!r} must be a number, a truth value or text, not {value!r}")
    if kind == "expression":
        if len(entry) > 1:
            raise StudyError(f"{prefix}: an expression takes no arguments, got {sorted(set(entry) - {kind})}")
        try:
            expressions.parse(text)
        except StudyError as error:
            raise StudyError(f"{prefix}: {error}") from None
    elif kind == "class" and not re.fullmatch(r"[A-Za-z]\w*", text):
        raise StudyError(f"{prefix}: class must be the name of a class of torch.nn, such as ReLU, not {text!r}")
    elif kind == "module" and not re.fullmatch(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*", text):
        raise StudyError(f"{prefix}: module must have the form 'package.module:Class', not {text!r}")
    elif kind == "module" and not allow_modules:
        raise StudyError(f"{prefix}: module {text!r} would run code, and allow_modules is false")
