"""What part of the elements is saturated, at every evaluation.

On the first N = 128 validation samples, in evaluation mode; s is the largest |φ′| that the activation has, W_l the
units of layer l, times their positions.

saturation: the mean over hidden layers l of #{(n, w): |φ′(h_nw)| < 0.1 s} / N W_l. Source: this study's; Glorot and
    Bengio (2010), section 3, look at saturation.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from activation_study.core.registry import torch
from activation_study.quantities.base import SATURATED, Measured, Measurement, Moment, Taken

if TYPE_CHECKING:
    from torch import Tensor

    from activation_study.networks.base import Network

SAMPLES = 128


def saturation(network: Network, inputs: Sequence[Tensor], slope_max: float) -> Tensor:
    """The part of all hidden layers' elements with |φ′(h)| below a tenth of the largest slope [R].

    In evaluation mode and the network's dtype, on the first ``SAMPLES`` of each replica's inputs [N, F].
    """
    shares = []

    def visit(layer: int, h: Tensor, x: Tensor) -> None:
        slope = network.slope(layer, h).abs_()
        shares.append((slope < SATURATED * slope_max).flatten(1).double().mean(1))

    network.logits([data[:SAMPLES] for data in inputs], visit)
    return torch.stack(shares).mean(0)


def _take(moment: Moment) -> Iterator[Taken]:
    slope_max = float(moment.network.constants["slope_max"])
    yield "saturation", 0, None, saturation(moment.network, moment.inputs, slope_max)


DECLARED = (
    Measurement(
        "saturation",
        (Measured("saturation", "fraction", "elements with |slope| < 0.1 of the largest", ("step",)),),
        "evaluation",
        _take,
    ),
)
