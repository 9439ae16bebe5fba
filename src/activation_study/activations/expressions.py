"""Activations as text, like ``"x * sigmoid(1.702 * x)"``: parsed against an allow-list, never run as Python.

Parsing needs no torch, so that a config is validated in milliseconds; only evaluation imports it.
"""

from __future__ import annotations

import ast
import math
import operator
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import reduce
from typing import TYPE_CHECKING, Any

from activation_study.activations import notation
from activation_study.core.errors import StudyError
from activation_study.core.text import shown

if TYPE_CHECKING:
    from torch import Tensor

MAX_LENGTH = 400  # characters
MAX_DEPTH = 32  # levels of nesting
MAX_EXPONENT = 16  # largest absolute exponent of **

CONSTANTS = {"pi": math.pi, "e": math.e}

# name -> (dotted name under torch, number of arguments)
FUNCTIONS = {
    "abs": ("abs", 1),
    "exp": ("exp", 1),
    "expm1": ("expm1", 1),
    "log": ("log", 1),
    "log1p": ("log1p", 1),
    "sqrt": ("sqrt", 1),
    "sign": ("sign", 1),
    "sin": ("sin", 1),
    "cos": ("cos", 1),
    "sinh": ("sinh", 1),
    "cosh": ("cosh", 1),
    "tanh": ("tanh", 1),
    "atan": ("atan", 1),
    "asinh": ("asinh", 1),
    "erf": ("erf", 1),
    "sigmoid": ("sigmoid", 1),
    "relu": ("relu", 1),
    "softplus": ("nn.functional.softplus", 1),
    "elu": ("nn.functional.elu", 1),
    "selu": ("nn.functional.selu", 1),
    "gelu": ("nn.functional.gelu", 1),
    "silu": ("nn.functional.silu", 1),
    "mish": ("nn.functional.mish", 1),
    "softsign": ("nn.functional.softsign", 1),
    "logsigmoid": ("nn.functional.logsigmoid", 1),
    "minimum": ("minimum", 2),
    "maximum": ("maximum", 2),
    "clamp": ("nn.functional.hardtanh", 3),
}
SPECIAL = {"where": 3, "pow": 2}
"""Further functions, which are not one of torch's: name -> number of arguments."""

OPERATORS: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
}
COMPARISONS: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}
_BOUNDS = {"min": 1, "a_min": 1, "max": 2, "a_max": 2}  # keywords of clamp and clip -> their places

# A parsed piece is a number or a function of x; a condition is a function of x to truth values.
Piece = float | Callable[["Tensor"], "Tensor"]
Condition = Callable[["Tensor"], "Tensor"]


@dataclass(frozen=True)
class Expression:
    """A function of one variable, x, applied to each element.

    Attributes:
        text: the expression as the user wrote it, without the blanks around it.
    """

    text: str
    _evaluate: Callable[[Tensor], Tensor] = field(repr=False, compare=False)

    def __call__(self, x: Tensor) -> Tensor:
        """The value at each element of x: same shape, dtype and device; differentiable by autograd."""
        return self._evaluate(x)


def parse(text: str) -> Expression:
    """Parse an expression in x.

    It may hold numbers, ``x``, ``pi``, ``e``, ``+ - * /``, ``**`` or ``^`` (a constant exponent of at most 16 in size,
    or the base e), the unary signs, the functions of `FUNCTIONS`, pow, and choices: ``where(x > 0, a, b)``,
    ``a if x > 0 else b``, ``(x > 0) * a``, of which only the chosen side is evaluated, so that the other one spoils no
    gradient. The bounds of clamp (or clip) are numbers; at a numeric bound of minimum, maximum and clamp the derivative
    is 0. A prefix such as ``np.`` or ``torch.`` and signs such as ``π``, ``−`` and ``²`` are understood.

    Raises:
        StudyError: anything else, more than 400 characters, more than 32 levels, or no ``x``.
    """
    if not isinstance(text, str):
        raise StudyError(f"expression must be text, such as 'x * sigmoid(x)', not {shown(text)}")
    if len(text) > MAX_LENGTH:
        raise StudyError(f"expression has {len(text)} characters, more than the {MAX_LENGTH} allowed")
    source, strange = notation.plain_text(text)
    if strange:
        raise StudyError(f"expression {shown(text)}: {strange}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # "1(x)" warns before it is refused here
            tree = ast.parse(source, mode="eval")
        if "#" in source:  # a comment, which would swallow the lines that follow
            raise SyntaxError
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise StudyError(f"expression {shown(text)} is not a formula in x{notation.syntax_hint(source)}") from None
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    evaluate = _Builder(source, shown(text), names).build(tree.body)
    if isinstance(evaluate, float) or "x" not in names:
        raise StudyError(f"expression {shown(text)} does not depend on x")
    return Expression(text.strip(), evaluate)


class _Builder:
    """Turns the nodes of one parsed text into pieces; numbers are combined on the way."""

    def __init__(self, text: str, shown_text: str, names: set[str]) -> None:
        self.text, self.shown_text, self.names = text, shown_text, names

    def refuse(self, reason: str) -> StudyError:
        return StudyError(f"expression {self.shown_text}: {reason}")

    def source(self, node: ast.expr) -> str:
        return shown(ast.get_source_segment(self.text, node))

    def build(self, node: ast.expr, depth: int = 1) -> Piece:
        if depth > MAX_DEPTH:
            raise self.refuse(f"nested more than {MAX_DEPTH} levels deep")
        match node:
            case ast.Constant(value=int() | float() as value) if not isinstance(value, bool):
                return self.number(node, float, value)
            case ast.Name(id="x"):
                return lambda x: x
            case ast.Name() | ast.Attribute() if (name := _name(node)) in CONSTANTS:
                return CONSTANTS[name]
            case ast.Name(id=name):
                raise self.refuse(notation.unknown_name(name, CONSTANTS, "x" in self.names))
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                piece = self.build(operand, depth + 1)
                return -piece if isinstance(piece, float) else lambda x: -piece(x)
            case ast.UnaryOp(op=ast.UAdd(), operand=operand):
                return self.build(operand, depth + 1)
            case ast.BinOp(op=ast.Mult()) if (masked := self.masked(node, depth)) is not None:
                return masked
            case ast.BinOp(op=op) if type(op) in OPERATORS:
                return self.binary(node, depth)
            case ast.IfExp(test=test, body=a, orelse=b):
                return _where(self.condition(test, depth + 1), self.build(a, depth + 1), self.build(b, depth + 1))
            case ast.Call(func=ast.Name() | ast.Attribute() as function) if (name := _name(function)) is not None:
                return self.call(node, name, isinstance(function, ast.Name), depth)
        raise self.misuse(node, depth)

    def misuse(self, node: ast.expr, depth: int) -> StudyError:
        """Refused, with the way to write what was meant."""
        match node:
            case ast.Call(func=ast.Call(func=ast.Name(id=n) | ast.Attribute(attr=n)) as made) if n[0].isupper():
                if n.lower() in FUNCTIONS and not (made.args or made.keywords):  # nn.ReLU()(x)
                    return self.instead(node, n.lower(), node.args, node.keywords, depth)
                return self.refuse(f"{self.source(made)} makes a module: its entry is class: {shown(n)[1:-1]}")
            case ast.Call(func=ast.Constant() | ast.BinOp() | ast.Call()):
                return self.refuse(f"{self.source(node)} is not allowed{notation.product_hint(self.text)}")
            case ast.Call(func=ast.Attribute(value=ast.Name(id="x") as value, attr=name)):
                return self.instead(node, name.removesuffix("_"), [value, *node.args], node.keywords, depth)
            case ast.Compare() | ast.BoolOp() | ast.BinOp(op=ast.BitAnd() | ast.BitOr()):
                return self.refuse(
                    f"{self.source(node)} is not allowed there: a comparison stands in where(x > 0, …, …), "
                    "before 'else', or as a factor, (x > 0) * …"
                )
        return self.refuse(f"{self.source(node)} is not allowed{notation.comma_hint(self.text)}")

    def instead(
        self, node: ast.Call, name: str, args: list[ast.expr], keywords: list[ast.keyword], depth: int
    ) -> StudyError:
        """Refused, with the call to write in its place; or for what is wrong with that one as well."""
        if notation.ALIASES.get(name, name) == "clamp" and len(args) == 2 and not keywords:
            args, keywords = args[:1], [ast.keyword(arg="min", value=args[1])]
        better = ast.copy_location(ast.Call(func=ast.Name(id=name), args=args, keywords=keywords), node)
        self.call(better, name, True, depth)
        return self.refuse(f"{self.source(node)} is not allowed; write {shown(ast.unparse(better))[1:-1]}")

    def binary(self, node: ast.BinOp, depth: int) -> Piece:
        a, b = self.build(node.left, depth + 1), self.build(node.right, depth + 1)
        if isinstance(node.op, ast.Pow):
            return self.power(node, a, b)
        return self.combined(node, OPERATORS[type(node.op)], a, b)

    def combined(self, node: ast.expr, function: Callable[[Any, Any], Any], a: Piece, b: Piece) -> Piece:
        if isinstance(a, float):
            return self.number(node, function, a, b) if isinstance(b, float) else lambda x: function(a, b(x))
        if isinstance(b, float):
            return lambda x: function(a(x), b)
        return lambda x: function(a(x), b(x))

    def power(self, node: ast.expr, a: Piece, b: Piece) -> Piece:
        if isinstance(b, float) and abs(b) <= MAX_EXPONENT:
            return self.combined(node, operator.pow, a, b)
        if a == math.e and not isinstance(b, float):
            return _call("exp", b)
        positive = isinstance(a, float) and a > 0 and not isinstance(b, float)
        instead = f"; write exp(log({a:g}) * (…))" if positive else ""
        raise self.refuse(f"the exponent of ** must be a number from -{MAX_EXPONENT} to {MAX_EXPONENT}{instead}")

    def call(self, node: ast.Call, written: str, bare: bool, depth: int) -> Piece:
        name = notation.ALIASES.get(written, written)
        if written in ("max", "min") and not bare:  # NumPy's and PyTorch's take the largest of all elements
            raise self.refuse(f"{self.source(node)} is not elementwise; write {name}(a, b)")
        if name not in FUNCTIONS and name not in SPECIAL:
            raise self.refuse(notation.unknown_function(name, {*FUNCTIONS, *SPECIAL}))
        args = [*node.args]
        if name == "clamp":
            args = self.bounds(node)
        elif node.keywords:
            raise self.refuse(f"{self.source(node)} is not allowed; arguments are given without a name")
        count = SPECIAL[name] if name in SPECIAL else FUNCTIONS[name][1]
        if len(args) != count:
            several = f"{'2 or ' * (name == 'clamp')}{count} argument{'s' * (count > 1)}"
            takes = f"{written} takes {several}, not {len(args)}"
            raise self.refuse(takes + notation.comma_hint(self.text))
        if name == "where":
            choice = self.condition(args[0], depth + 1)
            return _where(choice, *(self.build(arg, depth + 1) for arg in args[1:]))
        free = {1: -math.inf, 2: math.inf} if name == "clamp" else {}
        missing = [isinstance(arg, ast.Constant) and arg.value is None for arg in args]
        pieces = [free[i] if i in free and missing[i] else self.build(arg, depth + 1) for i, arg in enumerate(args)]
        if name == "pow":
            return self.power(node, *pieces)
        if len(pieces) == 1 and isinstance(pieces[0], float) and hasattr(math, "fabs" if name == "abs" else name):
            return self.number(node, getattr(math, "fabs" if name == "abs" else name), pieces[0])
        return self.bounded(name, pieces) or _call(FUNCTIONS[name][0], *pieces)

    def bounds(self, node: ast.Call) -> list[ast.expr]:
        """clamp's arguments in order; one bound may be missing, or None."""
        args: list[ast.expr | None] = [*node.args, *[None] * (3 - len(node.args))]
        for keyword in node.keywords:
            place = _BOUNDS.get(keyword.arg or "")
            if place is None or args[place] is not None:
                raise self.refuse(f"{self.source(node)} is not allowed; write clamp(value, low, high)")
            args[place] = keyword.value
        if len(args) != 3 or len(node.args) + len(node.keywords) < 2:
            return [*node.args, *(word.value for word in node.keywords)]  # too many or too few: the caller says so
        infinite = ast.Constant(value=None)
        return [arg if arg is not None else infinite for arg in args]

    def bounded(self, name: str, pieces: list[Piece]) -> Piece | None:
        """minimum, maximum and clamp with numeric bounds, as hardtanh: its backward is the fastest by far."""
        match name, pieces:
            case "clamp", [_, float() as low, float() as high] if low < high:
                pass
            case "clamp", _:
                raise self.refuse("the bounds of clamp must be two numbers, the lower one first")
            case "maximum", [_, float() as low] | [float() as low, _]:
                high = math.inf
            case "minimum", [_, float() as high] | [float() as high, _]:
                low = -math.inf
            case _:
                return None
        argument = next((piece for piece in pieces if callable(piece)), pieces[0])
        return _call("nn.functional.hardtanh", argument, min_val=low, max_val=high)

    def condition(self, node: ast.expr, depth: int) -> Condition:
        """A comparison, or several joined by and, or, not (& and | in parentheses)."""
        if depth > MAX_DEPTH:
            raise self.refuse(f"nested more than {MAX_DEPTH} levels deep")
        match node:
            case ast.Compare(left=left, ops=ops, comparators=rights) if all(type(op) in COMPARISONS for op in ops):
                sides = [self.build(side, depth + 1) for side in (left, *rights)]
                if all(isinstance(side, float) for side in sides):
                    raise self.refuse(f"{self.source(node)} does not depend on x")
                pairs = zip(ops, sides, sides[1:], strict=False)
                parts = [_compared(COMPARISONS[type(op)], a, b) for op, a, b in pairs]
                return lambda x: reduce(operator.and_, (part(x) for part in parts))
            case ast.BoolOp(op=op, values=values):
                both = operator.and_ if isinstance(op, ast.And) else operator.or_
                parts = [self.condition(value, depth + 1) for value in values]
                return lambda x: reduce(both, (part(x) for part in parts))
            case ast.BinOp(op=ast.BitAnd() | ast.BitOr() as op, left=left, right=right):
                both = operator.and_ if isinstance(op, ast.BitAnd) else operator.or_
                a, b = self.condition(left, depth + 1), self.condition(right, depth + 1)
                return lambda x: both(a(x), b(x))
            case ast.UnaryOp(op=ast.Not() | ast.Invert(), operand=operand):
                inner = self.condition(operand, depth + 1)
                return lambda x: ~inner(x)
        raise self.refuse(f"{self.source(node)} is not allowed as a condition; write a comparison, such as x > 0")

    def masked(self, node: ast.BinOp, depth: int) -> Piece | None:
        """A product some factors of which are comparisons, (x > 0) * x: the others where all hold, else 0."""
        factors: list[ast.expr] = []
        inner: ast.expr = node
        while isinstance(inner, ast.BinOp) and isinstance(inner.op, ast.Mult):
            factors.insert(0, inner.right)
            inner = inner.left
        factors.insert(0, inner)
        found = [self.mask(one, depth) for one in factors]
        choices = [one[0] for one in found if one is not None]
        if not choices:
            return None
        pairs = zip(factors, found, strict=True)
        pieces = [self.build(factor, depth + 1) if one is None else one[1] for factor, one in pairs]
        value = reduce(lambda a, b: self.combined(node, operator.mul, a, b), [1.0, *pieces])
        # Not the number 0: what is not a number stays so, as in the product.
        return _where(lambda x: reduce(operator.and_, (choice(x) for choice in choices)), value, lambda x: x * 0)

    def mask(self, node: ast.expr, depth: int) -> tuple[Condition, Piece] | None:
        """A factor that is a comparison, negated or divided perhaps, -(x > 0) / 2, and what it is where that holds."""
        match node:
            case ast.UnaryOp(op=ast.USub(), operand=inner) if (one := self.mask(inner, depth)) is not None:
                return one[0], self.combined(node, operator.mul, -1.0, one[1])
            case ast.BinOp(op=ast.Div(), left=inner, right=right) if (one := self.mask(inner, depth)) is not None:
                return one[0], self.combined(node, operator.truediv, one[1], self.build(right, depth + 1))
        return (self.condition(node, depth + 1), 1.0) if _is_condition(node) else None

    def number(self, node: ast.expr, function: Callable[..., Any], *arguments: float) -> float:
        try:
            value = function(*arguments)
        except (ArithmeticError, ValueError):
            value = math.nan
        if not (isinstance(value, float) and math.isfinite(value)):  # (-8) ** 0.5 is complex
            raise self.refuse(f"{self.source(node)} is not a finite number")
        return value


def _name(node: ast.expr) -> str | None:
    """The name of a function or constant, without the module that it is taken from; None for any other attribute."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and ast.unparse(node.value) in notation.PREFIXES:
        return node.attr
    return None


def _is_condition(node: ast.expr) -> bool:
    match node:
        case ast.Compare() | ast.BoolOp() | ast.BinOp(op=ast.BitAnd() | ast.BitOr()) | ast.UnaryOp(op=ast.Not()):
            return True
    return False


def _call(path: str, *pieces: Piece, **options: float) -> Callable[[Tensor], Tensor]:
    def evaluate(x: Tensor) -> Tensor:
        import torch

        function = operator.attrgetter(path)(torch)
        return function(*(x.new_tensor(p) if isinstance(p, float) else p(x) for p in pieces), **options)

    return evaluate


def _compared(function: Callable[[Any, Any], Any], a: Piece, b: Piece) -> Condition:
    return lambda x: function(a if isinstance(a, float) else a(x), b if isinstance(b, float) else b(x))


def _where(condition: Condition, a: Piece, b: Piece) -> Callable[[Tensor], Tensor]:
    """a where the condition holds, else b, and the gradient of the chosen one.

    Each is evaluated only at points where it is chosen: exp(x) in where(x > 0, x, exp(x)) is infinite at large
    x, and its gradient, nought times infinity, would be NaN.
    """

    def value(piece: Piece, x: Tensor) -> Tensor:
        return x.new_full(x.shape, piece) if isinstance(piece, float) else piece(x)

    def evaluate(x: Tensor) -> Tensor:
        import torch

        holds = condition(x)
        fails = ~holds
        if not fails.any() or not holds.any():
            chosen = value(b if fails.any() else a, x)
        else:
            inside, outside = x[holds][0].detach(), x[fails][0].detach()
            first, second = torch.where(holds, x, inside), torch.where(holds, outside, x)
            chosen = torch.where(holds, value(a, first), value(b, second))
        if x.requires_grad and not chosen.requires_grad:  # numbers alone: a derivative of 0, not none
            return torch.where(holds & fails, x, chosen)
        return chosen

    return evaluate
