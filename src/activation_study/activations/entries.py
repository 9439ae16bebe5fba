"""What can be said of an activation's config entry without PyTorch: the config is checked before anything starts."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from typing import Any

from activation_study.activations import expressions
from activation_study.core.errors import StudyError
from activation_study.core.text import shown

KINDS = ("class", "expression", "module")
CLASSES = (
    *(
        "AlphaDropout",
        "CELU",
        "Dropout",
        "Dropout1d",
        "Dropout2d",
        "Dropout3d",
        "ELU",
        "FeatureAlphaDropout",
        "Flatten",
    ),
    *("GELU", "Hardshrink", "Hardsigmoid", "Hardswish", "Hardtanh", "Identity", "LeakyReLU", "LogSigmoid", "Mish"),
    *("PReLU", "RReLU", "ReLU", "ReLU6", "SELU", "Sequential", "SiLU", "Sigmoid", "Softplus", "Softshrink", "Softsign"),
    *("Tanh", "Tanhshrink", "Threshold"),
)
"""The classes of torch.nn that can serve as an activation."""
WIDTH = "width"
"""The value of an argument that stands for the layer's number of units."""
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?", re.ASCII)
_MODULE = re.compile(r"[A-Za-z_][\w.]{0,199}:[A-Za-z_]\w{0,99}", re.ASCII)


def completed(name: str, entry: Any) -> Any:
    """The entry as a mapping: ``ReLU`` alone is a class; an argument like 1e-2, which YAML reads as text, is a number.

    What is neither text nor a mapping is left for `check`.

    Raises:
        StudyError: a text that is not the name of such a class.
    """
    if isinstance(entry, str):
        if entry in CLASSES:
            return {"class": entry}
        raise StudyError(f"activations.{name}: {shown(entry)} {_instead(entry)}")
    if not isinstance(entry, Mapping):
        return entry
    return {key: value if key in KINDS else _number(value) for key, value in entry.items()}


def _number(value: Any) -> Any:
    if not (isinstance(value, str) and _NUMBER.fullmatch(value.strip())):
        return value
    return int(value) if re.fullmatch(r"[-+]?\d+", value.strip()) else float(value)


def _instead(text: str) -> str:
    """What to write for a text that is not a class."""
    if _MODULE.fullmatch(text):
        return f"is not a class of torch.nn; a module is written {{module: {shown(text)}}}"
    try:
        expressions.parse(text)
    except StudyError:
        return _not_a_class(text)
    return f"is not a class of torch.nn; an expression is written {{expression: {shown(text)}}}"


def _not_a_class(text: str) -> str:
    close = {known.lower(): known for known in CLASSES}
    alike = difflib.get_close_matches(text.removeprefix("nn.").lower().replace("_", ""), close, 1, 0.75)
    if alike:
        return f"is not an activation class of torch.nn; did you mean {close[alike[0]]}?"
    known = [known for known in CLASSES if "Dropout" not in known and known not in ("Flatten", "Sequential")]
    return (
        f"is not an activation class of torch.nn; known are {', '.join(known)}; any other class goes by "
        "{module: 'package.module:Class'}"
    )


def widths_matter(entry: Mapping[str, Any]) -> bool:
    """Whether what it is may depend on the layer's number of units."""
    return "module" in entry or entry.get("class") == "PReLU"


def check(name: str, entry: Mapping[str, Any], *, allow_modules: bool = True) -> None:
    """Its keys, its types, its formula.

    Raises:
        StudyError: the entry is not one of the three kinds, is ill-formed, or is code where code is not allowed.
    """
    prefix = f"activations.{name}"
    if not isinstance(entry, Mapping) or sum(kind in entry for kind in KINDS) != 1:
        raise StudyError(f"{prefix}: needs exactly one of the keys class, expression and module, not {shown(entry)}")
    kind = next(kind for kind in KINDS if kind in entry)
    text = entry[kind]
    if not isinstance(text, str):
        raise StudyError(f"{prefix}: {kind} must be text, not {shown(text)}")
    for key, value in entry.items():
        if not isinstance(key, str) or not isinstance(value, str | int | float):
            raise StudyError(
                f"{prefix}: argument {shown(key)} must be a number, a truth value or text, not {shown(value)}"
            )
    if kind == "expression":
        if len(entry) > 1:
            given = shown(sorted(set(entry) - {kind}))
            raise StudyError(f"{prefix}: an expression takes no arguments, got {given}; write their values in it")
        try:
            expressions.parse(text)
        except StudyError as error:
            raise StudyError(f"{prefix}: {error}") from None
    elif kind == "class" and text not in CLASSES:
        raise StudyError(f"{prefix}: class {shown(text)} {_not_a_class(text)}")
    elif kind == "module" and not _MODULE.fullmatch(text):
        raise StudyError(f"{prefix}: module must have the form 'package.module:Class', not {shown(text)}")
    elif kind == "module" and not allow_modules:
        raise StudyError(f"{prefix}: module {shown(text)} would run code, and allow_modules is false")
