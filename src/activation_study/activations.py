"""An activation from its entry in the config: what it is, and whether it can serve as one.

An entry is one of

- ``{class: LeakyReLU, negative_slope: 0.01}``: a class of torch.nn and its keyword arguments;
- ``{expression: "x * sigmoid(1.702 * x)"}``: a formula, see `activation_study.expressions`;
- ``{module: "package.module:Class", ...}``: an ``nn.Module`` of one's own and its keyword arguments.

A keyword argument ``width`` (the text) stands for the number of units of the layer, as in
``{class: PReLU, num_parameters: width}``: one slope per unit.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from activation_study import activation_entries, expressions, own_modules
from activation_study.errors import StudyError

WIDTH = "width"  # the value of an argument that stands for the layer's number of units
CHECK_RANGE = 30.0  # an activation must be finite for |x| up to here


class PaperRReLU(nn.Module):
    """Randomised leaky ReLU as its paper defines it: x/u with u ~ U(lower, upper) for x < 0.

    In evaluation mode the slope is 2/(lower + upper), so 2/11. PyTorch's RReLU draws the slope itself.

    Source: Xu, Wang, Chen and Li (2015), arXiv:1505.00853, section 2.4.
    """

    def __init__(self, lower: float = 3.0, upper: float = 8.0) -> None:
        super().__init__()
        self.lower = lower
        self.upper = upper

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            divisor = torch.empty_like(x).uniform_(self.lower, self.upper)
        else:
            divisor = x.new_tensor((self.lower + self.upper) / 2)
        return torch.where(x > 0, x, x / divisor)


@dataclass(frozen=True)
class SlopeDistribution:
    """The law of a random negative slope: U(lower, upper), or 1/U(lower, upper) if reciprocal."""

    lower: float
    upper: float
    reciprocal: bool

    def quantile(self, u: Any) -> Any:
        """The slope below which (above which, if reciprocal) a share u in [0, 1] of the draws falls."""
        value = self.lower + (self.upper - self.lower) * u
        return 1 / value if self.reciprocal else value

    @property
    def evaluation(self) -> float:
        """The fixed slope of evaluation mode."""
        return self.quantile(0.5)


def slope_distribution(module: nn.Module) -> SlopeDistribution | None:
    """The law of the negative slope of an RReLU or a PaperRReLU; None for any other module."""
    if type(module) not in (nn.RReLU, PaperRReLU):
        return None
    return SlopeDistribution(module.lower, module.upper, reciprocal=type(module) is PaperRReLU)


class _Formula(nn.Module):
    def __init__(self, expression: expressions.Expression) -> None:
        super().__init__()
        self.expression = expression

    def forward(self, x: Tensor) -> Tensor:
        return self.expression(x)


@dataclass(frozen=True)
class Activation:
    """One activation of the study.

    Attributes:
        name: its key in the config.
        entry: its value in the config.
        kind: "class", "expression" or "module".
        definition: one line that says what it is.
        learnable: it has parameters.
        stochastic: it draws random numbers in training mode.
    """

    name: str
    entry: dict[str, Any]
    kind: str
    definition: str
    learnable: bool
    stochastic: bool
    _build: Callable[[int], nn.Module]

    def module(self, width: int = 1) -> nn.Module:
        """A fresh module, in training mode, for a layer of `width` units (input [samples, width])."""
        return self._build(width)

    def evaluate(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """φ(x) and φ′(x) in float64, in evaluation mode, a learnable one at its initial parameters.

        Args:
            x: points, any shape.
        Returns:
            values and derivatives, the shape of x.
        """
        points = torch.tensor(np.asarray(x), dtype=torch.float64).reshape(-1, 1).requires_grad_()
        value = self.module().double().eval()(points)
        (derivative,) = torch.autograd.grad(value.sum(), points)
        shape = np.shape(x)
        return value.detach().numpy().reshape(shape), derivative.numpy().reshape(shape)


def from_entry(name: str, entry: dict[str, Any], allow_modules: bool = True) -> Activation:
    """Build an activation and check, by running it on a few numbers, that it is one.

    Args:
        name: its key in the config.
        entry: its value in the config.
        allow_modules: whether an entry may name code of the user's own.
    Raises:
        StudyError: the entry is ill-formed, or cannot be built, or is no differentiable elementwise function.
    """
    activation_entries.check(name, entry, allow_modules=allow_modules)
    kind = next(kind for kind in activation_entries.KINDS if kind in entry)
    target = entry[kind]
    arguments = {key: value for key, value in entry.items() if key != kind}
    if kind == "expression":
        factory: Callable[..., nn.Module] = partial(_Formula, expressions.parse(target))
        definition = target
    else:
        factory = _torch_class(name, target) if kind == "class" else _own_class(name, target)
        definition = target + "(" + ", ".join(f"{k}={v}" for k, v in arguments.items()) + ")"

    def build(width: int) -> nn.Module:
        filled = {key: width if value == WIDTH else value for key, value in arguments.items()}
        try:
            return factory(**filled)
        except Exception as error:
            raise StudyError(f"activations.{name}: {definition} cannot be built: {_line(error)}") from None

    try:
        learnable, stochastic = _examine(build)
    except _NotAnActivation as error:
        raise StudyError(f"activations.{name}: {definition} is not an activation: {error}") from None
    return Activation(name, dict(entry), kind, definition, learnable, stochastic, build)


def _torch_class(name: str, text: str) -> type[nn.Module]:
    found = getattr(nn, text, None)
    if not (isinstance(found, type) and issubclass(found, nn.Module)):
        raise StudyError(f"activations.{name}: torch.nn has no class {text!r} (upper and lower case matter)")
    return found


def _own_class(name: str, text: str) -> type[nn.Module]:
    try:
        found = own_modules.load(text)
    except StudyError as error:
        raise StudyError(f"activations.{name}: {error}") from None
    if not (isinstance(found, type) and issubclass(found, nn.Module)):
        raise StudyError(f"activations.{name}: {text!r} is not a class derived from torch.nn.Module")
    return found


def _line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:200]


class _NotAnActivation(Exception):
    """Says why."""


def _examine(build: Callable[[int], nn.Module]) -> tuple[bool, bool]:
    """Run it in both modes and precisions; say whether it is learnable and whether it is stochastic."""
    points = torch.linspace(-CHECK_RANGE, CHECK_RANGE, 121, dtype=torch.float64)  # 0 is one of them
    batch = torch.cat([points, points[torch.randperm(121, generator=torch.Generator().manual_seed(0))]])
    batch = batch.reshape(-1, 2)  # [samples, units]
    learnable = stochastic = False
    with torch.random.fork_rng(devices=[]):
        for dtype in (torch.float32, torch.float64):
            for training in (True, False):
                torch.manual_seed(0)
                module = build(2).to(dtype).train(training)
                x = batch.to(dtype)
                y = _run(module, x, seed=0)
                _check_elementwise(module, x, y)
                _check_gradient(module, x)
                learnable = any(p.requires_grad for p in module.parameters())
                differs = not torch.equal(y, _run(module, x, seed=1))
                if differs and not training:
                    raise _NotAnActivation("it is random in evaluation mode")
                stochastic = stochastic or differs
    return learnable, stochastic


def _run(module: nn.Module, x: Tensor, seed: int) -> Tensor:
    given = x.clone()
    torch.manual_seed(seed)
    try:
        with torch.no_grad():
            y = module(given)
    except Exception as error:
        raise _NotAnActivation(f"it fails on an input [samples, units]: {_line(error)}") from None
    if not isinstance(y, Tensor) or y.shape != x.shape:
        shape = list(y.shape) if isinstance(y, Tensor) else type(y).__name__
        raise _NotAnActivation(f"it turns an input of shape {list(x.shape)} into {shape}")
    if y.dtype != x.dtype:
        raise _NotAnActivation(f"it turns {x.dtype} into {y.dtype}")
    if not torch.equal(given, x):
        raise _NotAnActivation("it writes on its input (inplace)")
    _check_finite("value", x, y)
    return y


def _check_finite(what: str, x: Tensor, y: Tensor) -> None:
    wrong = ~y.isfinite()
    if wrong.any():
        raise _NotAnActivation(f"its {what} at x = {x[wrong][0].item():g} is {y[wrong][0].item()}")


def _check_elementwise(module: nn.Module, x: Tensor, y: Tensor) -> None:
    """Halving one element must leave the value of every other as it was.

    Halving keeps the sign: PyTorch's RReLU draws a number for each negative element only.
    """
    flat = x.flatten()
    for position in (flat.argmin(), flat.argmax()):
        changed = flat.clone()
        changed[position] /= 2
        moved = (_run(module, changed.view_as(x), seed=0) != y).flatten()
        moved[position] = False
        if moved.any():
            raise _NotAnActivation("its value at one element depends on other samples or units")


def _check_gradient(module: nn.Module, x: Tensor) -> None:
    leaf = x.clone().requires_grad_()
    try:
        (gradient,) = torch.autograd.grad(module(leaf).sum(), leaf)
    except Exception as error:
        raise _NotAnActivation(f"it cannot be differentiated: {_line(error)}") from None
    _check_finite("derivative", x, gradient)
    if not gradient.any():
        raise _NotAnActivation("its derivative is zero everywhere")
