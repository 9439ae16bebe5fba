"""Numbers as people read them, on the page and the command line: a true minus sign, none at zero, a dash for none."""

from __future__ import annotations

import math

ABSENT = "–"


def decimals(value: float | None, digits: int = 1, *, signed: bool = False) -> str:
    """At `digits` decimals, with thousands apart; signed: with a plus as well."""
    if value is None or not math.isfinite(value):
        return _without_digits(value)
    rounded = round(float(value), digits)
    return _minus(f"{rounded:+z,.{digits}f}" if signed and rounded else f"{rounded:z,.{digits}f}")


def figures(value: float | None, digits: int = 3) -> str:
    """At `digits` significant figures, without exponents where they do not help."""
    if value is None or not math.isfinite(value):
        return _without_digits(value)
    return _minus(f"{float(value):z.{digits}g}")


def percent(share: float, digits: int = 1) -> str:
    """A share in percent, with the sign."""
    shown = decimals(100 * share, digits)
    return shown if shown == ABSENT else f"{shown}%"


def points(difference: float, digits: int = 1) -> str:
    """A difference of shares in percentage points, signed."""
    return decimals(100 * difference, digits, signed=True)


def _without_digits(value: float | None) -> str:
    if value is None or math.isnan(value):
        return ABSENT
    return "∞" if value > 0 else "−∞"


def _minus(number: str) -> str:
    return number.replace("-", "−")
