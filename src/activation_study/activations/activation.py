"""An activation from its entry in the config: what it is, and whether it can serve as one.

An entry is one of

- ``{class: LeakyReLU, negative_slope: 0.01}``: a class of torch.nn and its keyword arguments;
- ``{expression: "x * sigmoid(1.702 * x)"}``: a formula, see `activation_study.activations.expressions`;
- ``{module: "package.module:Class", ...}``: an ``nn.Module`` of one's own and its keyword arguments.

A keyword argument ``width`` (the text) stands for the number of units of the layer, as in
``{class: PReLU, num_parameters: width}``: one slope per unit.

Initial parameters may be random: they are drawn from a seed of the replica and the layer. Its constants and its graph
are then averages over `DRAWS` draws, and over its units where these differ.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from activation_study.activations import entries, examination, expressions
from activation_study.activations.entries import WIDTH
from activation_study.core import own_modules
from activation_study.core.errors import StudyError
from activation_study.core.seeds import seed_of
from activation_study.core.text import one_line

DRAWS = 128  # of random initial parameters, over which constants are averaged
ELEMENTS = 2**20  # at most so many values are computed at once


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
    if type(module) is PaperRReLU:
        return SlopeDistribution(module.lower, module.upper, reciprocal=True)
    return SlopeDistribution(module.lower, module.upper, reciprocal=False) if type(module) is nn.RReLU else None


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
        drawn: it draws random numbers when it is built: its initial parameters, or whatever else differs from one to
            the next.
        units: the width at which its constants are computed: 1, unless it needs more or its units differ.
    """

    name: str
    entry: dict[str, Any]
    kind: str
    definition: str
    learnable: bool
    stochastic: bool
    drawn: bool
    units: int
    _build: Callable[[int], nn.Module]

    def module(self, width: int = 1, seed: int = 0) -> nn.Module:
        """A fresh module, in training mode, for a layer of `width` units (input [samples, width]).

        Args:
            seed: of its initial parameters, if they are random.
        """
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return self._build(width)

    @functools.cached_property
    def _evaluated(self) -> list[nn.Module]:
        seeds = [seed_of("activation constants", draw) for draw in range(DRAWS)] if self.drawn else [0]
        return [self.module(self.units, seed).double().eval() for seed in seeds]

    def evaluate(self, x: np.ndarray, power: int = 1) -> tuple[np.ndarray, np.ndarray]:
        """φ(x)^power and φ′(x)^power in float64, in evaluation mode, a learnable one at its initial parameters.

        They are averages over these if they are random, and over units that differ.

        Args:
            x: points, any shape.
        Returns:
            values and derivatives, the shape of x.
        """
        points = torch.tensor(np.asarray(x), dtype=torch.float64).reshape(-1, 1)
        parts = []
        for some in points.split(max(1, ELEMENTS // self.units)):
            leaf = some.repeat(1, self.units).requires_grad_()
            sums: list[np.ndarray] = []
            for module in self._evaluated:
                value = module(leaf)
                both = value.detach(), torch.autograd.grad(value.sum(), leaf)[0]
                powers = [one.numpy() ** power for one in both]
                means = [one[:, 0] if self.units == 1 else one.mean(1) for one in powers]
                sums = [a + b for a, b in zip(sums, means, strict=True)] if sums else means
            parts.append([one / len(self._evaluated) for one in sums])
        value, derivative = (np.concatenate(one).reshape(np.shape(x)) for one in zip(*parts, strict=True))
        return value, derivative


def from_entry(name: str, entry: dict[str, Any], allow_modules: bool = True, widths: Sequence[int] = ()) -> Activation:
    """Build an activation and check, by running it on a few numbers, that it is one.

    Args:
        name: its key in the config.
        entry: its value in the config.
        allow_modules: whether an entry may name code of the user's own.
        widths: the numbers of units of the layers that it is for; none if any will do.
    Raises:
        StudyError: the entry is ill-formed, or cannot be built, or is not a differentiable elementwise function.
    """
    parsed = entries.parsed(name, entry, allow_modules=allow_modules)
    kind, target, arguments = parsed.kind, parsed.target, parsed.arguments
    if kind == "expression":
        factory: Callable[..., nn.Module] = partial(_Formula, expressions.parse(target))
        definition = " ".join(target.split())
    else:
        factory = getattr(nn, target) if kind == "class" else _own_class(name, target)
        definition = target + "(" + ", ".join(f"{k}={v}" for k, v in arguments.items()) + ")"

    def build(width: int, *also: str) -> nn.Module:
        """Args: also: arguments that are taken for the width, whatever they are."""
        filled = {key: width if value == WIDTH or key in also else value for key, value in arguments.items()}
        try:
            return factory(**filled)
        except Exception as error:
            raise StudyError(f"activations.{name}: {definition} cannot be built: {_line(error)}") from None

    widths = tuple(widths) if widths and parsed.widths_matter else (2,)
    whole = {key: value for key, value in arguments.items() if type(value) is int}
    per_unit = WIDTH in arguments.values() or {*widths} in [{value} for value in whole.values()]

    def examined(at: Sequence[int], *also: str) -> examination.Found:
        own, units_differ = kind == "module", per_unit or bool(also)
        return examination.examine(lambda width: build(width, *also), at, per_unit=units_differ, own=own)

    try:
        found = examined(widths)
    except examination.NotAnActivation as error:
        reason = str(error)
        for key, value in whole.items():  # a number that fits layers of as many units alone?
            with suppress(examination.NotAnActivation, StudyError):
                if value > 0 and {value} != {*widths} and parsed.widths_matter:
                    examined([value])
                    examined(widths, key)
                    units = " and ".join(map(str, widths))
                    reason = f"{key}: {value} is not the number of units, which is {units}; write {key}: {WIDTH}"
        raise StudyError(f"activations.{name}: {definition} is not an activation: {reason}") from None
    return Activation(
        name, parsed.model_dump(), kind, definition, found.learnable, found.stochastic, found.drawn, found.units, build
    )


def _own_class(name: str, text: str) -> type[nn.Module]:
    try:
        found = own_modules.load(text)
    except StudyError as error:
        raise StudyError(f"activations.{name}: {error}") from None
    if not (isinstance(found, type) and issubclass(found, nn.Module)):
        raise StudyError(f"activations.{name}: {text!r} is not a class derived from torch.nn.Module")
    return found


def _line(error: Exception) -> str:
    return f"{type(error).__name__}: {one_line(error, 200)}"
