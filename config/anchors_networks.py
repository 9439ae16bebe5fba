"""Networks of published figures: modules of one's own, as `anchors.yaml` names them."""

import math
from collections.abc import Callable
from itertools import pairwise

from torch import nn

UVA_WIDTHS = (512, 256, 256, 128)


def uva(activation: Callable[[], nn.Module], depth: int, width: int, shape: tuple[int, ...], classes: int) -> nn.Module:
    """Four hidden layers of 512, 256, 256 and 128 units, with PyTorch's initial weights.

    Source: UvA's Deep Learning Tutorial 3 (Lippe 2020). The depth is theirs, and the width unused.

    Raises:
        ValueError: another depth.
    """
    if depth != len(UVA_WIDTHS):
        raise ValueError(f"depth: {depth}; must be {len(UVA_WIDTHS)}")
    layers: list[nn.Module] = [nn.Flatten()]
    for fan_in, units in pairwise((math.prod(shape), *UVA_WIDTHS)):
        layers += [nn.Linear(fan_in, units), activation()]
    return nn.Sequential(*layers, nn.Linear(UVA_WIDTHS[-1], classes))
