"""What readers call an activation: "Leaky ReLU 0.18" for very_leaky_relu, from its definition.

The tables, the claims and the command line keep the config's names; only what the page shows is named here.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

import pandas as pd

SPELT = {
    "relu": "ReLU", "rrelu": "RReLU", "prelu": "PReLU", "elu": "ELU", "selu": "SELU", "celu": "CELU", "gelu": "GELU",
    "silu": "SiLU", "glu": "GLU", "mish": "Mish", "leakyrelu": "Leaky ReLU", "identity": "none (linear)",
    "hardtanh": "hard tanh", "hardsigmoid": "hard sigmoid", "hardswish": "hard swish", "logsigmoid": "log-sigmoid",
}  # fmt: skip
"""Words of names as the literature has them; others are as they are, in lower case."""
CALL = re.compile(r"(\w+)\((.*)\)")
NOTHING = re.compile(r"(?!)")
_shown: ContextVar[Mapping[str, str]] = ContextVar("shown", default={})  # noqa: B039  never changed in place
_defined: ContextVar[Mapping[str, str]] = ContextVar("defined", default={})  # noqa: B039  the same
_words: ContextVar[re.Pattern[str]] = ContextVar("words", default=NOTHING)
"""Finds the names, where they stand as words of their own."""


@contextmanager
def naming(activations: pd.DataFrame) -> Iterator[None]:
    """Within it, `label`, `relabelled` and `defined` know the names of this table."""
    names = labels(activations)
    definitions = dict(activations[["activation", "definition"]].itertuples(index=False, name=None))
    longest_first = "|".join(sorted(map(re.escape, names), key=len, reverse=True))
    words = re.compile(rf"(?<![\w./=:-])(?:{longest_first})(?![\w/=:-])") if names else NOTHING
    shown, found, defined_ = _shown.set(names), _words.set(words), _defined.set(definitions)
    try:
        yield
    finally:
        _shown.reset(shown)
        _words.reset(found)
        _defined.reset(defined_)


def label(name: str) -> str:
    """What the page calls it; any other text is itself."""
    return _shown.get().get(name, name)


def defined(name: str) -> str:
    """An activation by its name in the config and its definition there."""
    return f"{name}: {_defined.get()[name]}"


def known() -> tuple[str, ...]:
    """The names, in alphabetical order."""
    return tuple(sorted(_shown.get()))


def is_activation(name: str) -> bool:
    return name in _shown.get()


def relabelled(text: str) -> str:
    """A text for people, with the names that stand in it as words of their own replaced."""
    names = _shown.get()
    return _words.get().sub(lambda found: names[found[0]], text)


def labels(activations: pd.DataFrame) -> dict[str, str]:
    """Name → label, each label once, from the table of activations (columns activation, kind, definition).

    Arguments have two significant digits, or more where that would give two activations one label.
    """
    rows = activations[["activation", "kind", "definition"]].itertuples(index=False)
    definitions = {name: definition if kind == "class" else "" for name, kind, definition in rows}
    made = {name: _label(name, definition, 2) for name, definition in definitions.items()}
    for digits in (3, 4):
        count = Counter(made.values())
        made |= {name: _label(name, definitions[name], digits) for name, said in made.items() if count[said] > 1}
    count = Counter(made.values())
    return {name: said if count[said] == 1 else f"{said} ({name})" for name, said in made.items()}


def _label(name: str, definition: str, digits: int) -> str:
    """Of a class of torch.nn by its arguments, as `LeakyReLU(negative_slope=0.01)`; else of the words of its name."""
    found = CALL.fullmatch(definition)
    if not re.fullmatch(r"\w+", name):
        return name
    if not found:
        words = (word if word == "identity" else SPELT.get(word.lower(), word) for word in name.split("_"))
        return SPELT.get(name.lower(), " ".join(words))
    arguments = dict(re.findall(r"(\w+)=([^,]+)", found[2]))
    values = [_short(value, digits) for value in arguments.values()]
    said = SPELT.get(found[1].lower(), found[1] if found[1].isupper() else found[1].lower())
    if arguments.keys() == {"lower", "upper"}:
        return f"{said} {values[0]} to {values[1]}"
    return " ".join([said, *values])


def _short(value: str, digits: int) -> str:
    try:
        return f"{float(value):z.{digits}g}"
    except ValueError:
        return "per unit" if value == "width" else value
