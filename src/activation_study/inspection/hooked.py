"""A model of PyTorch as a network of one replica, whose activations stay where they are."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from activation_study.activations.activation import PaperRReLU
from activation_study.activations.entries import CLASSES
from activation_study.activations.theory import SLOPE_RANGE
from activation_study.core.errors import StudyError, lacks_memory
from activation_study.core.text import one_line
from activation_study.networks.base import Visit
from activation_study.networks.sites import flat
from activation_study.networks.traced import Traced, matrix

NO_SITES = ("AlphaDropout", "Dropout", "Dropout1d", "Dropout2d", "Dropout3d", "FeatureAlphaDropout", "Flatten",
            "Identity", "Sequential")  # fmt: skip
SITES = (*(getattr(nn, name) for name in CLASSES if name not in NO_SITES), PaperRReLU)
"""The classes whose modules are taken for activations."""
SWAPPED = "_put_by_activation_study"
"""Marks a module that ``swap`` has put where an activation stood, whatever its class."""
Loss = Callable[[Tensor, Tensor], Tensor]
At = Callable[[int, nn.Module, Tensor], Tensor]
"""``at(number, part, h)``: what the activation of that number, from 1, is given instead of h."""


class HookedModel:
    """What probes and initialisation ask of a ``base.Network``, of one model.

    Its slopes are parts of the largest that the activation has, as activations may differ from site to site.

    Args:
        model: is changed by ``divide`` alone, but its own batch statistics move. kinds: classes of its activations.
        inputs: of at least two samples, as the model takes them. loss: the mean loss of outputs and targets.

    Raises:
        StudyError: the model does not run, or none of its modules that are called is of these classes.
    """

    replicas = 1

    def __init__(self, model: nn.Module, kinds: tuple[type[nn.Module], ...], inputs: Tensor, loss: Loss):
        self.model, self.kinds, self.inputs, self.loss = model, kinds, inputs, loss
        called = model.named_modules()
        found = {part: name for name, part in called if isinstance(part, kinds) or getattr(part, SWAPPED, False)}
        inner = {each for part in found for each in part.modules() if each is not part}
        self.sites = {part: name for part, name in found.items() if part not in inner}
        self.seeds = [0]
        self.constants: Mapping[str, Any] = {}
        first = next(model.parameters(), inputs)
        self.dtype, self.device = first.dtype, first.device
        self.parts: list[nn.Module] = []
        names = [name for name, _ in model.named_parameters()]
        traced = Traced(model.eval(), names, lambda apply: self._call(inputs, partial(self._seen, apply)))
        self.layers, self._axes, self.owners = traced.layers, traced.axes, traced.owners
        self.depth, self.classes = len(self.parts), self.layers[-1].units
        if not self.parts:
            raise StudyError(
                "the model calls no module that is an activation; functions such as F.relu are not seen, and a class "
                "of one's own has to be named by activations="
            )
        self._largest = {part: self._slope_max(layer.units, part) for layer, part in zip(self.layers, self.parts)}  # noqa: B905 the output has none

    @property
    def parameters(self) -> list[Tensor]:
        return [matrix(parameter.detach())[None] for parameter in self.model.parameters()]

    @property
    def parameter_count(self) -> int:
        """Of the model."""
        return sum(parameter.numel() for parameter in self.model.parameters())

    @property
    def state(self) -> list[Tensor]:
        """Parameters and buffers as they are, not stacked."""
        return [*(parameter.detach() for parameter in self.model.parameters()), *self.model.buffers()]

    def load(self, state: Sequence[Tensor]) -> None:
        """See ``base.Network``."""
        for mine, theirs in zip(self.state, state, strict=True):
            mine.copy_(theirs)

    def like(self, seeds: Sequence[int], dtype: torch.dtype | None = None) -> HookedModel:
        """See ``base.Network``."""
        return HookedModel(copied(self.model).to(dtype or self.dtype), self.kinds, self.inputs, self.loss)

    def draw(self, step: int) -> None:
        """Noise is the same at every step."""

    def divide(self, layer: int, by: Tensor) -> None:
        """See ``base.Network``; of the weight and the bias that stand before the activation."""
        parameters, weight = dict(self.model.named_parameters()), self.layers[layer - 1].weight
        name = [*parameters][weight]
        for each in (name, name.removesuffix("weight") + "bias"):
            if each in parameters:
                parameters[each].detach().div_(float(by))

    def loss_and_gradients(
        self,
        inputs: Tensor,
        labels: Tensor,
        update: Callable[[int, Tensor], None],
        on_delta: Callable[[int, Tensor], None] | None = None,
    ) -> Tensor:
        """See ``base.Network``."""
        shifts: list[Tensor] = []

        def at(number: int, part: nn.Module, h: Tensor) -> Tensor:
            # A site of its own: what skips the activation is no part of δ. And some activations write over their input.
            shifts.append(h.clone() if h.requires_grad else h.detach().clone().requires_grad_())
            return shifts[-1].clone()

        with torch.enable_grad(), _seeded(self.device):
            loss = self.loss(self._call(inputs[0], at, training=True), labels[0])
            wanted = [*shifts, *self.model.parameters()]
            found = torch.autograd.grad(loss, wanted, allow_unused=True, materialize_grads=True)
        for number, delta in reversed([*enumerate(found[: self.depth], 1)]):
            if on_delta is not None:
                on_delta(number, delta.reshape(1, len(inputs[0]), -1))
        for index, gradient in enumerate(found[self.depth :]):
            update(index, matrix(gradient)[None])
        return loss.detach()[None]

    @torch.no_grad()
    def logits(self, inputs: Sequence[Tensor], visit: Visit | None = None) -> Tensor:
        """See ``base.Network``."""
        below: dict[int, Tensor] = {}

        def at(number: int, part: nn.Module, h: Tensor) -> Tensor:
            below[number] = h
            return h.clone()

        def after(number: int, part: nn.Module, x: Tensor) -> None:
            if visit is not None:
                axis = self._axes[number - 1]
                visit(number, *(flat(each.movedim(axis, -1)[None]) for each in (below.pop(number), x)))

        return self._call(inputs[0], at, after)[None]

    def evaluate(
        self, inputs: Sequence[Tensor], labels: Sequence[Tensor], visit: Visit | None = None
    ) -> tuple[Tensor, Tensor]:
        """See ``base.Network``; what a loss of any kind is worth has no accuracy."""
        loss = self.loss(self.logits(inputs, visit)[0], labels[0])[None]
        return loss, torch.full_like(loss, torch.nan)

    def slope(self, layer: int, h: Tensor) -> Tensor:
        """φ′(h) of rows [1, N, units], in evaluation mode, over the largest |φ′|."""
        part = self.parts[layer - 1]
        return _derivative(part, h[0])[None] / self._largest[part]

    def _seen(self, apply: Callable[[int, Tensor], Tensor], number: int, part: nn.Module, h: Tensor) -> Tensor:
        self.parts.append(part)
        return apply(number, h).clone()

    def _slope_max(self, units: int, part: nn.Module) -> float:
        points = torch.linspace(-SLOPE_RANGE, SLOPE_RANGE, 4001, dtype=self.dtype, device=self.device)
        several = any(parameter.numel() > 1 for parameter in part.parameters())
        return float(_derivative(part, points[:, None].repeat(1, units if several else 1)).abs().max())

    def _call(
        self,
        inputs: Tensor,
        at: At,
        after: Callable[[int, nn.Module, Tensor], None] = lambda *_: None,
        *,
        training: bool = False,
    ) -> Tensor:
        """What the model makes of inputs.

        Raises:
            StudyError: it fails, or gives something else than a tensor.
        """
        numbers, open_ = itertools.count(1), dict[nn.Module, int]()

        def before(part: nn.Module, given: tuple[Any, ...]) -> tuple[Any, ...]:
            open_[part] = next(numbers)
            return at(open_[part], part, given[0]), *given[1:]

        def behind(part: nn.Module, given: object, x: Tensor) -> None:
            after(open_.pop(part), part, x)

        handles = [part.register_forward_pre_hook(before) for part in self.sites]
        handles += [part.register_forward_hook(behind) for part in self.sites]
        whole = self.inputs.is_floating_point()
        try:
            found = self.model.train(training)(inputs.to(self.device, self.dtype if whole else self.inputs.dtype))
        except StudyError:
            raise
        except Exception as error:  # there is no end to what one's own code may do
            if lacks_memory(error):
                raise
            raise StudyError(f"the model fails on this batch: {type(error).__name__}: {one_line(error, 200)}") from None
        finally:
            for handle in handles:
                handle.remove()
        if not isinstance(found, Tensor):
            raise StudyError(f"the model gives {type(found).__name__}; wrap it in a module that gives one tensor")
        return found


def copied(model: nn.Module) -> nn.Module:
    """A copy, all of whose parameters have gradients. Raises StudyError where there can be none."""
    try:
        twin = copy.deepcopy(model)
    except Exception as error:
        raise StudyError(f"the model cannot be copied: {type(error).__name__}: {one_line(error, 200)}") from None
    with suppress(RuntimeError):  # of parameters that are whole numbers
        twin.requires_grad_()
    return twin


def _derivative(part: nn.Module, h: Tensor) -> Tensor:
    """φ′ at h [N, units], in evaluation mode and without its hooks, which see the model's own calls alone."""
    with torch.enable_grad():
        leaf = h.detach().clone().requires_grad_()
        (slope,) = torch.autograd.grad(part.eval().forward(leaf.clone()).sum(), leaf)
    return slope


@contextmanager
def _seeded(device: torch.device) -> Iterator[None]:
    """Dropout and the like drop the same at every call."""
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(0)
        yield
