"""Whether the gradients of weights share their signs, by the size of the batch.

G is the gradient by a hidden layer's weights [fan-in, fan-out] of the mean loss of the probe's first training samples,
as many as the dose says, in float64 and training mode with frozen noise.

sign_agreement: the mean over units j with any G_kj ≠ 0 of |Σ_k sign G_kj| / #{k: G_kj ≠ 0}. Source: this study's, of
    what LeCun et al. (1998), Efficient BackProp, section 4.3, say.
sign_agreement_layer: |Σ_kj sign G_kj| / #{(k, j): G_kj ≠ 0}. Source: this study's, of the article's claim on all
    weights.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from activation_study.core.registry import torch
from activation_study.quantities.base import Measured, Measurement, Moment, Taken
from activation_study.quantities.exact import gradients_of, left_alone
from activation_study.quantities.measures.gradients import sign_agreement as per_neuron

if TYPE_CHECKING:
    from torch import Tensor

    from activation_study.networks.base import Network

BATCHES = (1, 8, 64)


def sign_agreement(gradient: Tensor) -> tuple[Tensor, Tensor]:
    """|Σ sign g| / #(g ≠ 0) of weight gradients [R, fan-in, fan-out], in two ways, each [R].

    First over the incoming weights of each neuron, averaged over neurons with any gradient; then over all weights of
    the layer at once. 1 if all signs agree; NaN where every gradient is zero.
    """
    one_neuron = gradient.flatten(1).unsqueeze(2)
    return per_neuron(gradient), per_neuron(one_neuron)


def sign_agreements(
    exact: Network, inputs: Tensor, labels: Tensor, batches: Sequence[int] = BATCHES
) -> dict[int, tuple[Tensor, Tensor]]:
    """``sign_agreement`` of every hidden layer, per neuron and per layer [R, depth], by batch size.

    In training mode with frozen noise, on the first samples of inputs [R, N, F] and labels [R, N]; batch sizes above
    N are left out. NaN for one sample below batch normalisation, which lets no gradient through. Changes nothing.
    """
    found, weights = {}, [layer.weight for layer in exact.layers[: exact.depth]]
    with left_alone(exact):
        for batch in (size for size in batches if size <= inputs.shape[1]):
            gradients = gradients_of(exact, inputs[:, :batch].contiguous(), labels[:, :batch], weights)
            neuron, layer_wide = zip(*(sign_agreement(gradients[weight]) for weight in weights), strict=True)
            found[batch] = torch.stack(neuron, 1), torch.stack(layer_wide, 1)
    return found


def _take(moment: Moment) -> Iterator[Taken]:
    probe = moment.probe
    assert probe is not None
    for batch, (neurons, whole) in sign_agreements(
        probe.exact(moment.network), probe.inputs.double(), probe.labels
    ).items():
        for layer in range(1, moment.network.depth + 1):
            yield "sign_agreement", layer, float(batch), neurons[:, layer - 1]
            yield "sign_agreement_layer", layer, float(batch), whole[:, layer - 1]


def _measured(name: str, meaning: str) -> Measured:
    return Measured(name, "fraction", meaning, ("step", "layers"), "batch", 64)


DECLARED = (
    Measurement(
        "sign_agreement",
        (
            _measured("sign_agreement", "as in layers, of a batch of dose samples, neuron by neuron"),
            _measured("sign_agreement_layer", "the same of all weights of a layer"),
        ),
        "probe",
        _take,
    ),
)
