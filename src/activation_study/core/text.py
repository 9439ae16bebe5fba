"""Values that somebody else chose, as they may stand in a message: short, on one line, and safe to print."""

from __future__ import annotations

import reprlib
from collections.abc import Collection
from typing import Any

MOST = 60
"""Characters of a value in a message."""


class _Short(reprlib.Repr):
    """Python's own text of a value, cut while it is made: an integer may have more digits than Python will print."""

    def __init__(self) -> None:
        super().__init__()
        self.maxlevel, self.maxdict, self.maxlist, self.maxtuple, self.maxset = 3, 4, 6, 6, 6
        self.maxstring = self.maxlong = self.maxother = MOST

    def repr_int(self, x: int, level: int) -> str:
        return super().repr_int(x, level) if abs(x) < 10**MOST else f"an integer of {x.bit_length()} bits"

    def repr_str(self, x: str, level: int) -> str:
        text = repr(x[: self.maxstring])  # escapes all that does not print: C0, C1, bidirectional overrides, surrogates
        return text if len(x) <= self.maxstring else f"{text[:-1]}…{text[-1]}"


_SHORT = _Short()


def shown(value: Any, most: int = MOST) -> str:
    """The value as Python writes it, in at most `most` characters that print. Never fails."""
    try:
        text = _SHORT.repr(value)
    except Exception:
        text = f"a {type(value).__name__}"
    return plain(text, most)


def plain(text: object, most: int = 200) -> str:
    """A text or a path without quotes: what does not print is escaped, blanks are one space. Never fails."""
    try:
        words = " ".join(str(text)[: 4 * most].split())
    except Exception:
        words = f"a {type(text).__name__}"
    safe = "".join(c if c.isprintable() else c.encode("unicode_escape", "backslashreplace").decode() for c in words)
    return safe if len(safe) <= most else safe[: most - 1] + "…"


def one_line(error: BaseException, most: int = 300) -> str:
    """An error's message, or its type where it has none."""
    return plain(error, most) or type(error).__name__


def listed(names: Collection[object], most: int = 20) -> str:
    """Names in a row; of many the first ones."""
    first = ", ".join(plain(name, 64) for name in [*names][:most])
    return first + (f" and {len(names) - most} more" if len(names) > most else "")
