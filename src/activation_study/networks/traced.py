"""What a module of PyTorch is made of, seen in a call."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from activation_study.core.errors import StudyError
from activation_study.networks.base import Layer

Apply = Callable[[int, Tensor], Tensor]
"""``apply(number, h)``: what the activation of that number, from 1, makes of h."""


class Traced:
    """What a module is made of.

    Args:
        names: of its parameters. call: gives its logits, and its activations to what it is given.

    Attributes:
        layers: those with an activation, and the output; a layer's weight is that of the last linear or convolutional
            module before it, as a place among the names.
        axes: of each activation's input, that of its units: 1 after a convolution, else the last.
        owners: the layer, from 1, of each parameter.
    """

    def __init__(self, module: nn.Module, names: Sequence[str], call: Callable[[Apply], Tensor]):
        self.layers, self.axes, owners = list[Layer](), list[int](), dict[str, int]()
        of = {part: name for name, part in module.named_modules()}
        last: list[nn.Module] = []

        def called(part: nn.Module, *_: object) -> None:
            if isinstance(part, nn.Linear | _ConvNd):
                last[:] = [part]
            for name, _parameter in part.named_parameters(recurse=False):
                owners.setdefault(joined(of[part], name), max(1, len(self.layers)))

        def own(layer: int, part: nn.Module) -> int:
            for name, _parameter in part.named_parameters(recurse=False):
                owners[joined(of[part], name)] = layer
            return names.index(joined(of[part], "weight"))

        def apply(number: int, h: Tensor) -> Tensor:
            if not last:
                raise StudyError("its first activation stands before any linear or convolutional layer")
            axis = 1 if isinstance(last[0], _ConvNd) else h.dim() - 1
            self.axes.append(axis)
            self.layers.append(Layer(h.shape[axis], own(number, last[0]), h[0].numel() // h.shape[axis]))
            return h

        handles = [part.register_forward_pre_hook(called) for part in of]
        try:
            with torch.no_grad():
                logits = call(apply)
        finally:
            for handle in handles:
                handle.remove()
        self.layers.append(Layer(logits.shape[-1], own(len(self.layers) + 1, last[0])))
        self.owners = [owners.get(name, 1) for name in names]


def joined(place: str, name: str) -> str:
    return f"{place}.{name}" if place else name


def matrix(parameter: Tensor) -> Tensor:
    """[fan-in, fan-out] of a parameter [fan-out, ...]; as it is where it has no more than one axis."""
    return parameter.flatten(1).T if parameter.dim() > 1 else parameter
