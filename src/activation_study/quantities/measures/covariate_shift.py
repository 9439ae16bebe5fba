"""How far the updates of the layers below turn a layer's gradient.

G is the gradient by a layer's weights on the probe's training samples, in float64 and training mode with frozen noise,
G′ the same after all parameters of the layers below took a step of plain SGD at the network's learning rate.

covariate_shift: ‖G − G′‖ / ‖G‖; of layer 2, the middle and the last. Source: Santurkar et al. (2018), arXiv:1805.11604,
    definition 2.1, divided by ‖G‖.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from activation_study.core.registry import torch
from activation_study.quantities.base import Measured, Measurement, Moment, Taken
from activation_study.quantities.exact import gradients_of, left_alone

if TYPE_CHECKING:
    from torch import Tensor

    from activation_study.networks.base import Network


def covariate_shift(
    exact: Network, inputs: Tensor, labels: Tensor, rates: Tensor, layers: Sequence[int]
) -> dict[int, Tensor]:
    """How far the updates below a layer turn its gradient: ‖G − G′‖/‖G‖ [R] for each layer (Santurkar et al. 2018).

    G is the gradient of the layer's weights in training mode with frozen noise, G′ the same after all parameters of
    the layers below took a step of plain SGD. NaN where G is zero. The network is left as it was.

    Args:
        exact: in float64. inputs, labels: [R, B, F] and [R, B]. rates: the learning rates [R].
        layers: numbers from 1; nothing is below layer 1, so it has 0.
    """
    owners, shifts, moved = exact.owners, {}, 1
    rates = rates.to(exact.device, exact.dtype)
    with left_alone(exact):
        wanted = [index for index, owner in enumerate(owners) if owner <= max(layers)]
        gradients = gradients_of(exact, inputs, labels, wanted)
        for layer in sorted(set(layers)):
            for index, gradient in gradients.items():
                if moved <= owners[index] < layer:
                    exact.parameters[index].sub_(rates.view(-1, *[1] * (gradient.dim() - 1)) * gradient)
            moved = layer
            weight = exact.layers[layer - 1].weight
            before = gradients[weight]
            change = before - gradients_of(exact, inputs, labels, [weight])[weight]
            size = before.flatten(1).norm(dim=1)
            shifts[layer] = torch.where(size > 0, change.flatten(1).norm(dim=1) / size, torch.nan)
    return shifts


def _take(moment: Moment) -> Iterator[Taken]:
    probe, depth = moment.probe, moment.network.depth
    assert probe is not None
    layers = sorted({min(2, depth), (depth + 2) // 2, depth})
    exact = probe.exact(moment.network)
    shifts = covariate_shift(exact, probe.inputs.double(), probe.labels, moment.rates, layers)
    for layer, values in shifts.items():
        yield "covariate_shift", layer, None, values


DECLARED = (
    Measurement(
        "covariate_shift",
        (
            Measured(
                "covariate_shift",
                "ratio",
                "change of a layer's gradient by the step of the layers below, relative",
                options=("step", "layers"),
            ),
        ),
        "probe",
        _take,
    ),
)
