"""Looks into R networks, layer by layer, with every layer metric."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from activation_study.networks.base import Network
from activation_study.quantities.base import PROBE_STEP, SAMPLES, layer_metrics
from activation_study.quantities.exact import left_alone
from activation_study.quantities.views import GradientView, LayerView, rows_of

EXACT = [name for name, metric in layer_metrics().items() if metric.exact]
ACTIVATION_METRICS = {name: metric.of for name, metric in layer_metrics().items() if metric.view == "activations"}
GRADIENT_METRICS = {name: metric.of for name, metric in layer_metrics().items() if metric.view == "gradients"}
AT_ONCE = {"cpu": 2**17, "cuda": 2**27}
"""Numbers of neighbouring layers that are looked at as one: what a processor's cache holds, or what a GPU needs to be
busy."""
FAINT = 15
"""Decades: a gradient further from 1 than this has a square that float32 may not hold."""


def some(mask: Tensor) -> bool:
    """Whether any is true: what a probe may ask of the device, and a training step must not."""
    return bool(mask.any())


class _Neighbours:
    """Hands what was seen of neighbouring layers of one shape on as one, as if their replicas were those of one layer.

    Args:
        look: takes the layers' numbers, then each of their tensors as one [layers · R, ...], layer by layer.
    """

    def __init__(self, look: Callable[..., None]):
        self._look = look
        self._held: dict[int, tuple[Tensor, ...]] = {}

    def add(self, number: int, *tensors: Tensor) -> None:
        """Take in a layer; the tensors [R, ...], of which the last is as large as any, may change afterwards."""
        last = tensors[-1]
        at_once = AT_ONCE[last.device.type] // last.numel()
        if self._held and next(iter(self._held.values()))[-1].shape != last.shape:
            self.end()
        if at_once <= 1:
            self._look([number], *tensors)
            return
        self._held[number] = tuple(tensor.clone() for tensor in tensors)
        if len(self._held) == at_once:
            self.end()

    def end(self) -> None:
        """Hand on what is still held."""
        if self._held:
            self._look([*self._held], *(torch.cat(same) for same in zip(*self._held.values(), strict=True)))
            self._held = {}


class Probe:
    """Measures R replicas and remembers their dead units from one probe to the next.

    Args:
        slope_max: the activation's largest |φ′|.
        inputs, labels: the training samples of the gradient probe, [R, N, features] and [R, N].
    """

    def __init__(self, network: Network, slope_max: float, inputs: Tensor, labels: Tensor):
        self.slope_max, self.inputs, self.labels = slope_max, inputs, labels
        self._exact: Network | None = None
        shapes = [(network.replicas, layer.units) for layer in network.layers[: network.depth]]
        self.born_dead = [torch.zeros(shape, dtype=torch.bool, device=network.device) for shape in shapes]
        self.dead_before = [mask.clone() for mask in self.born_dead]
        self._doubles: dict[int, tuple[Tensor, Tensor]] = {}

    @property
    def state(self) -> list[Tensor]:
        """The dead units [R, units] at step 0 and at the last probe, layer by layer."""
        return self.born_dead + self.dead_before

    def load(self, state: Sequence[Tensor]) -> None:
        """Copy the ``state`` of a probe of as many replicas."""
        for mine, theirs in zip(self.state, state, strict=True):
            mine.copy_(theirs)

    def activations(
        self, network: Network, inputs: Sequence[Tensor], labels: Sequence[Tensor], *, first: bool
    ) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """Loss [R], accuracy [R] and every activation metric [R, depth], in evaluation mode.

        The metrics are of the first ``SAMPLES`` samples, at most ``POSITIONS`` of each, seen on the evaluation's own
        way up. ``first`` marks step 0, whose dead units are born dead.
        """
        values: dict[str, list[Tensor]] = {name: [] for name in ACTIVATION_METRICS}
        blurred: list[Tensor] = []

        def look(layers: Sequence[int], h: Tensor, x: Tensor, slope: Tensor) -> None:
            view = LayerView(h, x, slope, self.slope_max)
            born, before = ([masks[layer - 1] for layer in layers] for masks in (self.born_dead, self.dead_before))
            if not first:
                view.born_dead, view.dead_before = torch.cat(born), torch.cat(before)
            for name, metric in ACTIVATION_METRICS.items():
                values[name] += metric(view).double().chunk(len(layers))
            blurred.extend(view.blurred.chunk(len(layers)))
            for masks in (born, before) if first else (before,):
                torch._foreach_copy_(masks, view.dead_units.chunk(len(layers)))

        neighbours = _Neighbours(look)

        def visit(layer: int, h: Tensor, x: Tensor) -> None:
            h, x = rows_of(h[:, :SAMPLES]), rows_of(x[:, :SAMPLES])
            neighbours.add(layer, h, x, network.slope(layer, h))

        loss, accuracy = network.evaluate(inputs, labels, visit)
        neighbours.end()
        metrics = {name: torch.stack(column, 1) for name, column in values.items()}
        self._resolve(network, inputs, torch.stack(blurred, 1), metrics)
        return loss, accuracy, metrics

    def _resolve(self, network: Network, inputs: Sequence[Tensor], blurred: Tensor, metrics: dict[str, Tensor]) -> None:
        """Take the exact metrics [R, depth] anew in float64 where layers are blurred.

        Twenty sigmoid layers up, samples differ by less than float32 resolves, and its rounding passes for a signal.
        """

        def visit(layer: int, h: Tensor, x: Tensor) -> None:
            if some(these := blurred[:, layer - 1]):
                h = rows_of(h)
                view = LayerView(h, rows_of(x), h, self.slope_max)
                for name in EXACT:
                    column = metrics[name][:, layer - 1]
                    column.copy_(torch.where(these, ACTIVATION_METRICS[name](view), column))

        if some(blurred):
            self.exact(network).logits([self._double(x) for x in inputs], visit)

    def _double(self, x: Tensor) -> Tensor:
        """The first samples in float64, converted once: replicas share theirs, and they stay the same."""
        if id(x) not in self._doubles:
            self._doubles[id(x)] = x, x[:SAMPLES].double()  # x stays alive, so that its id stays its own
        return self._doubles[id(x)][1]

    def exact(self, network: Network) -> Network:
        """The network in float64, as it now stands."""
        if self._exact is None:
            self._exact = network.like(network.seeds, dtype=torch.float64)
        self._exact.load(network.state)
        return self._exact

    def gradients(self, network: Network) -> dict[str, Tensor]:
        """Every gradient metric [R, depth + 1], the output layer last, in training mode with frozen noise.

        Replicas with a faint layer are taken anew in float64: fifty sigmoid layers down, a gradient is 1e-42.
        """
        with left_alone(network):  # batch normalisation remembers what it saw
            metrics = self._gradients(network, self.inputs)
        norms = torch.cat([metrics["gradient_norm_log10"][:, :-1], metrics["weight_gradient_norm_log10"]], 1)
        faint = ~(norms.abs() < FAINT).all(1)  # as is a norm of zero, whose logarithm is missing
        if some(faint):
            exact = self._gradients(self.exact(network), self.inputs.double())
            metrics = {name: torch.where(faint.unsqueeze(1), exact[name], metrics[name]) for name in metrics}
        return metrics

    def _gradients(self, network: Network, inputs: Tensor) -> dict[str, Tensor]:
        network.draw(PROBE_STEP)
        layers_of: dict[int, list[int]] = {}  # two where no weight stands between activations
        for number, layer in enumerate(network.layers):
            layers_of.setdefault(layer.weight, []).append(number)
        parameters = network.parameters
        norms = [torch.full_like(parameters[layer.weight][:, 0, 0], torch.nan) for layer in network.layers]
        values: list[dict[str, Tensor]] = [{} for _ in norms]

        def on_delta(layer: int, delta: Tensor) -> None:
            # A sample's own gradient is N times its part of the mean loss's.
            norms[layer - 1] = delta.flatten(1).norm(dim=1) * math.sqrt(delta.shape[1])

        def look(numbers: Sequence[int], norm: Tensor, weight: Tensor, gradient: Tensor) -> None:
            view = GradientView(norm, weight, gradient)
            for name, metric in GRADIENT_METRICS.items():
                for number, value in zip(numbers, metric(view).double().chunk(len(numbers)), strict=True):
                    values[number][name] = value

        neighbours = _Neighbours(look)

        def update(index: int, gradient: Tensor) -> None:
            for number in layers_of.get(index, ()):
                neighbours.add(number, norms[number], parameters[index], gradient)

        network.loss_and_gradients(inputs, self.labels, update, on_delta)
        neighbours.end()
        return {name: torch.stack([layer[name] for layer in values], 1) for name in GRADIENT_METRICS}
