"""What a model of torchvision costs and holds, counted on tensors without numbers; PyTorch is imported when asked."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from activation_study.core.factors import Factors
from activation_study.core.registry import torch
from activation_study.networks.base import Architecture, Size

SIDE, COLOURS = 32, 3
"""Of a typical image; jobs are ordered by its cost."""


class Outline(NamedTuple):
    """Of one sample: a training step's floating-point operations, and numbers."""

    flops: float
    size: Size


def counted(
    entry: Mapping[str, Any], otherwise: Architecture
) -> tuple[Callable[[Factors], float], Callable[[Factors, int], Size]]:
    """Its ``flops`` and ``size``; those of ``otherwise`` where the model cannot be made, as the job will say."""
    arguments = tuple(sorted((k, v) for k, v in entry.items() if k not in ("class", "replace")))

    def flops(factors: Factors) -> float:
        found = _outline(entry["class"], arguments, SIDE)
        return found.flops if found else otherwise.flops(factors)

    def size(factors: Factors, features: int) -> Size:
        found = _outline(entry["class"], arguments, _side(features))
        return found.size if found else otherwise.size(factors, features)

    return flops, size


def _side(features: int) -> int:
    """Of an image in colour, or where there is none of so many numbers, in grey."""
    side = math.isqrt(features // COLOURS)
    return side if COLOURS * side**2 == features else math.ceil(math.sqrt(features))


@functools.cache
def _outline(path: str, arguments: tuple[tuple[str, Any], ...], side: int) -> Outline | None:
    from torch.utils.flop_counter import FlopCounterMode
    from torchvision import models

    numbers: list[int] = []

    def count(part: torch.nn.Module, given: object, x: torch.Tensor) -> None:
        numbers.append(x.numel())

    try:
        with torch.device("meta"):
            model = models.get_model(path.removeprefix("torchvision.models."), weights=None, **dict(arguments)).eval()
            for part in model.modules():
                if not [*part.children()]:
                    part.register_forward_hook(count)
            with FlopCounterMode(display=False) as counter:
                model(torch.empty(1, COLOURS, side, side)).sum().backward()
    except Exception:
        return None
    parameters = sum(parameter.numel() for parameter in model.parameters())
    return Outline(counter.get_total_flops(), Size(parameters, sum(numbers), max(numbers)))
