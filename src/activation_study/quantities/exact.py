"""Networks as quantities look at them: in float64, with frozen noise, and left as they were."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from activation_study.core.registry import torch
from activation_study.quantities.base import PROBE_STEP

if TYPE_CHECKING:
    from activation_study.networks.base import Network


def exact_copy(network: Network) -> Network:
    """The network in float64: itself, if it is that already."""
    if network.dtype == torch.float64:
        return network
    exact = network.like(network.seeds, torch.float64)
    exact.load(network.state)
    return exact


@contextmanager
def left_alone(network: Network) -> Iterator[None]:
    """Give a network its parameters and running statistics back, exactly."""
    before = [tensor.clone() for tensor in network.state]
    try:
        yield
    finally:
        network.load(before)


def gradients_of(
    network: Network, inputs: torch.Tensor, labels: torch.Tensor, wanted: Collection[int]
) -> dict[int, torch.Tensor]:
    """The gradients of the wanted ``parameters``, by index, in training mode with frozen noise.

    Args:
        inputs: [R, B, features]. labels: [R, B].
    """
    found: dict[int, torch.Tensor] = {}

    def update(index: int, gradient: torch.Tensor) -> None:
        if index in wanted:
            found[index] = gradient.clone()

    network.draw(PROBE_STEP)
    network.loss_and_gradients(inputs, labels, update)
    return found
