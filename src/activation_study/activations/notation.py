"""Formulas as people write them, brought to the notation of `expressions`, or told what to write instead.

Text only: signs of other keyboards (−, ×, π, ², 𝑥), ``^`` for a power, formulas over several lines.
"""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Iterable

from activation_study.core.text import shown

PREFIXES = {
    *("np", "numpy", "jnp", "jax.numpy", "math", "torch", "torch.special", "scipy.special", "tf", "tf.math", "tf.nn"),
    *("F", "nn.functional", "torch.nn.functional", "jax.nn"),
}
"""Modules whose functions and constants are meant by their own names."""
ALIASES = {
    "max": "maximum",
    "min": "minimum",
    "clip": "clamp",
    "arctan": "atan",
    "arcsinh": "asinh",
    "power": "pow",
    "absolute": "abs",
    "fabs": "abs",
    "expit": "sigmoid",
}
"""Other names of functions, and the names they have here."""
NOT_ELEMENTWISE = {
    *("softmax", "softmin", "log_softmax", "logsumexp", "normalize", "layer_norm", "batch_norm", "norm", "glu"),
    *("mean", "sum", "std", "var", "prod", "median", "amax", "amin", "cumsum"),
}
RANDOM = {"rand", "randn", "random", "rand_like", "randn_like", "normal", "uniform", "dropout", "rrelu", "bernoulli"}
INSTEAD = {
    "swish": "silu(x)",
    "ln": "log(x)",
    "tg": "tanh(x)",
    "heaviside": "where(x > 0, 1, 0)",
    "step": "where(x > 0, 1, 0)",
    "square": "x**2",
    "log2": "log(x)/log(2)",
    "log10": "log(x)/log(10)",
    "cbrt": "sign(x)*abs(x)**(1/3), whose slope at 0 is infinite",
}
"""What to write instead of a name that is often tried."""

_SIGNS = str.maketrans(
    {"−": "-", "–": "-", "×": "*", "·": "*", "⋅": "*", "∙": "*", "∗": "*", "÷": "/", "∕": "/"}
    | {"π": "pi", "≤": "<=", "≥": ">=", "≠": "!="}
)
_RAISED = {c: unicodedata.normalize("NFKC", c).replace("−", "-") for c in "⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺"}
_VALUES = ("x", "pi", "e")
_STYLED = ("<font>", "<wide>", "<small>")  # 𝑥, ｘ and ﹢ are x, x and + in another type


def plain_text(text: str) -> tuple[str, str | None]:
    """The formula in ASCII, on one line; and, where a character has no meaning in it, what is wrong with it."""
    line = re.sub(f"[{''.join(_RAISED)}]+", lambda m: f"**({''.join(_RAISED[c] for c in m[0])})", text.strip())
    line = " ".join(line.translate(_SIGNS).split())
    line = "".join(
        unicodedata.normalize("NFKC", c) if unicodedata.decomposition(c).startswith(_STYLED) else c for c in line
    )
    line = line.replace("^", "**")
    strange = next((c for c in line if not c.isascii()), None)
    if strange is None:
        return line, None
    named = f"{shown(strange)} (it is {unicodedata.name(strange, f'U+{ord(strange):04X}')})"
    if strange.isalpha():
        return line, f"the letter {named} is not x, nor one of its functions; write it in Latin letters"
    return line, f"the character {named} has no meaning here; leave it out or write it in words, such as sqrt(x)"


def syntax_hint(text: str) -> str:
    """What to write instead of a text that does not parse: begins with '; ', or is empty."""
    if "#" in text:
        return "; it may not hold a comment"
    if "?" in text:
        return "; a choice is written where(x > 0, x, 0)"
    if "|" in text:
        return "; the absolute value is written abs(x)"
    if re.search(r"(?<![<>=!:])=(?!=)", text):
        return "; write only what stands to the right of ="
    return comma_hint(text) or product_hint(text)


def comma_hint(text: str) -> str:
    """For a decimal comma, as in 0,01*x."""
    found = re.search(r"(?<![\d.])\d+,\d+", text)
    return f"; if {found[0]} is a number, write {found[0].replace(',', '.')}" if found else ""


def product_hint(text: str) -> str:
    """For a product without its sign, as in 2x, 2(x + 1), (x)(x), x x; and for sin x."""
    if any(word in text.split() for word in ("if", "for", "lambda", "def", "return", "import")):
        return ""
    number, name = r"(?<![\w.])(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?", r"[A-Za-z_]\w*(?![\w.])"
    found = re.search(rf"({number}|\)|\b{name}(?=\s))\s*({name}|\()", text)
    if not found:
        return ""
    left, right = found[1].replace(")", "(…)"), found[2].replace("(", "(…)")
    if left in _VALUES or not left.isidentifier():
        called = right not in _VALUES and text[found.end() :].lstrip().startswith("(")
        return f"; write {left}*{right}{'(…)' if called else ''} for the product"
    return f"; write {left}({right})"


def unknown_name(name: str, constants: Iterable[str], others: bool) -> str:
    """What to say of a name that is no function's.

    Args:
        constants: the names that have a value.
        others: whether x stands in the formula as well.
    """
    if name.lower() in (*constants, "x") and not name.islower():
        return f"unknown name {name!r}; write {name.lower()}"
    value = "; write its value in its place" if others else ""
    return f"unknown name {shown(name)}; the variable is x{value}"


def unknown_function(name: str, known: Iterable[str]) -> str:
    known = sorted(known)
    if name in NOT_ELEMENTWISE:
        return f"{name} is not elementwise: its value at one unit depends on others"
    if name in RANDOM:
        return f"{name} draws random numbers, and an expression draws none; a class or a module may"
    unknown = f"unknown function {shown(name)}"
    if name in INSTEAD:
        return f"{unknown}; write {INSTEAD[name]}"
    if name in _VALUES:
        return f"{name} is not a function; a product is written {name}*(…)"
    close = difflib.get_close_matches(name.lower().replace("_", ""), known, 1, 0.75)
    return f"{unknown}; did you mean {close[0]}?" if close else f"{unknown}; known are {', '.join(known)}"
