"""Which measurements a chunk takes beside the probes, and when: the config's ``measure``.

Each is given as (measurement, layer, dose, values [R]); layer 0 stands for the whole network.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

import torch
from torch import Tensor

from activation_study.networks.mlp import StackedMLP
from activation_study.quantities import measurements
from activation_study.quantities.probe import SAMPLES, Probe

Taken = tuple[str, int, float | None, Tensor]

NOISE = (0.0, 0.1, 0.25, 0.5, 1.0)  # standard deviations of the input noise
NOISE_GAIN = 0.1
BATCHES = (1, 8, 64)


def while_training(
    measure: Collection[str], network: StackedMLP, rates: Tensor, inputs: Sequence[Tensor], probe: Probe | None
) -> Iterator[Taken]:
    """What is measured at every evaluation, and, with a probe, at the probe's steps.

    Args:
        rates: the learning rate of each replica [R].
        inputs: the validation samples of each replica [N, features].
        probe: just used, so its float64 copy of the network is up to date.
    """
    if "saturation" in measure:
        yield "saturation", 0, None, measurements.saturation(network, inputs, float(network.constants["slope_max"]))
    if probe is not None and "covariate_shift" in measure:
        layers = sorted({min(2, network.depth), (network.depth + 2) // 2, network.depth})
        shifts = measurements.covariate_shift(probe.exact, probe.inputs, probe.labels, rates, layers)
        for layer, values in shifts.items():
            yield "covariate_shift", layer, None, values
    if probe is not None and "sign_agreement" in measure:
        agreements = measurements.sign_agreements(probe.exact, probe.inputs, probe.labels, BATCHES)
        for batch, (neuron, layer_wide) in agreements.items():
            for layer in range(1, network.depth + 1):
                yield "sign_agreement", layer, float(batch), neuron[:, layer - 1]
                yield "sign_agreement_layer", layer, float(batch), layer_wide[:, layer - 1]


def at_the_end(
    measure: Collection[str],
    network: StackedMLP,
    inputs: Sequence[Tensor],
    labels: Sequence[Tensor],
    path: measurements.Path | None,
) -> Iterator[Taken]:
    """What is measured once, on the trained networks and the validation samples."""
    inputs, labels = _few(inputs), _few(labels)
    if "noise" in measure:
        noise = measurements.noise_like(inputs, network.seeds)
        for sigma in NOISE:
            yield "noise_accuracy", 0, sigma, measurements.noise_accuracy(network, inputs, labels, noise, sigma)
        gains = measurements.noise_gain(network, inputs, noise, NOISE_GAIN)
        for layer in range(1, network.depth + 1):
            yield "noise_gain", layer, NOISE_GAIN, gains[:, layer - 1]
    if "selectivity" in measure:
        stacked, found = torch.stack(labels), {}

        def visit(layer: int, h: Tensor, x: Tensor) -> None:
            found[layer] = measurements.selectivity(x, stacked, network.classes)

        network.logits(inputs, visit)
        for layer, values in found.items():
            yield "selectivity", layer, None, values
    if path is not None:
        yield "step_cosine", 0, None, path.step_cosine()
        yield "tortuosity", 0, None, path.tortuosity()


def _few(samples: Sequence[Tensor]) -> list[Tensor]:
    """The first samples of each replica; replicas may share theirs, and go on doing so."""
    shared = {id(part): part[:SAMPLES] for part in samples}
    return [shared[id(part)] for part in samples]
