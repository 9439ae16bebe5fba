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
from typing import TYPE_CHECKING, Any

from activation_study.errors import StudyError

if TYPE_CHECKING:
    from torch import Tensor

MAX_LENGTH = 400  # characters
MAX_DEPTH = 32  # levels of nesting
MAX_EXPONENT = 16  # largest absolute exponent of **

CONSTANTS = {"pi": math.pi}

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
    "tanh": ("tanh", 1),
    "erf": ("erf", 1),
    "sigmoid": ("sigmoid", 1),
    "relu": ("relu", 1),
    "softplus": ("nn.functional.softplus", 1),
    "minimum": ("minimum", 2),
    "maximum": ("maximum", 2),
    "clamp": ("nn.functional.hardtanh", 3),
}

OPERATORS: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
}

# A parsed piece is a number or a function of x.
Piece = float | Callable[["Tensor"], "Tensor"]


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

    It may hold numbers, ``x``, ``pi``, ``+ - * / **`` (a constant exponent of at most 16 in size), the unary
    signs and the functions abs, exp, expm1, log, log1p, sqrt, sign, sin, cos, tanh, erf, sigmoid, relu,
    softplus, minimum, maximum and clamp(value, low, high), its bounds being numbers. At a
    numeric bound of the last three the derivative is 0.

    Raises:
        StudyError: anything else, more than 400 characters, more than 32 levels, or no ``x``.
    """
    if not isinstance(text, str):
        raise StudyError(f"expression must be text, such as 'x * sigmoid(x)', not {text!r}")
    if len(text) > MAX_LENGTH:
        raise StudyError(f"expression has {len(text)} characters, more than the {MAX_LENGTH} allowed")
    source = text.strip()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # "1(x)" warns before it is refused here
            tree = ast.parse(source, mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise StudyError(f"expression {text!r} is not a formula in x") from None
    evaluate = _Builder(source).build(tree.body)
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    if isinstance(evaluate, float) or "x" not in names:
        raise StudyError(f"expression {text!r} does not depend on x")
    return Expression(source, evaluate)


class _Builder:
    """Turns the nodes of one parsed text into pieces; numbers are combined on the way."""

    def __init__(self, text: str) -> None:
        self.text = text

    def refuse(self, reason: str) -> StudyError:
        return StudyError(f"expression {self.text!r}: {reason}")

    def source(self, node: ast.expr) -> str:
        return repr(ast.get_source_segment(self.text, node))

    def build(self, node: ast.expr, depth: int = 1) -> Piece:
        if depth > MAX_DEPTH:
            raise self.refuse(f"nested more than {MAX_DEPTH} levels deep")
        match node:
            case ast.Constant(value=int() | float() as value) if not isinstance(value, bool):
                return self.number(node, float, value)
            case ast.Name(id="x"):
                return lambda x: x
            case ast.Name(id=name) if name in CONSTANTS:
                return CONSTANTS[name]
            case ast.Name(id=name):
                raise self.refuse(f"unknown name {name!r}; the variable is x")
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                piece = self.build(operand, depth + 1)
                return -piece if isinstance(piece, float) else lambda x: -piece(x)
            case ast.UnaryOp(op=ast.UAdd(), operand=operand):
                return self.build(operand, depth + 1)
            case ast.BinOp(op=op) if type(op) in OPERATORS:
                return self.binary(node, depth)
            case ast.Call(func=ast.Name(id=name), args=args, keywords=[]):
                if name not in FUNCTIONS:
                    raise self.refuse(f"unknown function {name!r}; known are {', '.join(sorted(FUNCTIONS))}")
                path, count = FUNCTIONS[name]
                if len(args) != count:
                    raise self.refuse(f"{name} takes {count} argument{'s' * (count > 1)}, not {len(args)}")
                pieces = [self.build(arg, depth + 1) for arg in args]
                return self.bounded(name, pieces) or _call(path, *pieces)
        raise self.refuse(f"{self.source(node)} is not allowed")

    def binary(self, node: ast.BinOp, depth: int) -> Piece:
        function = OPERATORS[type(node.op)]
        a, b = self.build(node.left, depth + 1), self.build(node.right, depth + 1)
        if isinstance(node.op, ast.Pow) and not (isinstance(b, float) and abs(b) <= MAX_EXPONENT):
            raise self.refuse(f"the exponent of ** must be a number from -{MAX_EXPONENT} to {MAX_EXPONENT}")
        match a, b:
            case float(), float():
                return self.number(node, function, a, b)
            case float(), _:
                return lambda x: function(a, b(x))
            case _, float():
                return lambda x: function(a(x), b)
        return lambda x: function(a(x), b(x))

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

    def number(self, node: ast.expr, function: Callable[..., Any], *arguments: float) -> float:
        try:
            value = function(*arguments)
        except ArithmeticError:
            value = math.nan
        if not (isinstance(value, float) and math.isfinite(value)):  # (-8) ** 0.5 is complex
            raise self.refuse(f"{self.source(node)} is not a finite number")
        return value


def _call(path: str, *pieces: Piece, **options: float) -> Callable[[Tensor], Tensor]:
    def evaluate(x: Tensor) -> Tensor:
        import torch

        function = operator.attrgetter(path)(torch)
        return function(*(x.new_tensor(p) if isinstance(p, float) else p(x) for p in pieces), **options)

    return evaluate
