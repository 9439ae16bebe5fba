"""How many samples and which precision a probe needs: results/bench/probe_samples.json.

For each layer metric: how far its value strays by the choice of the samples, or by float32, over the scatter of the
seeds on the same samples. Both are root mean squares, of one layer of one condition; where the first is smaller, the
seeds hide it. The error of a sample size holds its bias, since it is that against all samples.
"""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

import data
import document
import study_side
from activation_study.networks.base import Network
from activation_study.quantities.base import SAMPLES
from activation_study.quantities.exact import exact_copy
from activation_study.quantities.probe import ACTIVATION_METRICS, Probe
from activation_study.quantities.views import LayerView
from activation_study.training import device

ACTIVATIONS = ("Sigmoid", "Tanh", "ReLU", "ELU", "RReLU")
STEPS, RATE = (0, 200), 0.01
SIZES = (64, 128, 256)
ALL = data.VALIDATION  # samples that count as all of them
SUBSETS = 3
Values = Mapping[str, Tensor]
Ratios = dict[str, dict[str, list[float]]]
"""By metric and by what was done: an entry for each layer of each condition."""


def main() -> None:
    device.prepare("cpu")
    start, ratios = time.perf_counter(), defaultdict(lambda: defaultdict(list))
    for depth in study_side.DEPTHS:
        for activation in ACTIVATIONS:
            print(f"depth {depth}, {activation}", flush=True)
            shape = {"depth": depth, "width": 64, "batch": 128, "optimiser": "momentum"}
            chunk = study_side.chunk(**shape, activation=activation, rate=RATE)
            for step in STEPS:
                if step > chunk.step:
                    study_side.advance(chunk, step - chunk.step)
                look(ratios, chunk.network)
    metrics = {
        metric: {change: summarised(found) for change, found in changes.items()} for metric, changes in ratios.items()
    }
    found = {"sizes": SIZES, "metrics": metrics, "seconds": time.perf_counter() - start}
    document.write_json(document.BENCH / "probe_samples.json", found)


def look(ratios: Ratios, network: Network) -> None:
    """Add what fewer samples and float32 do to each metric."""
    split, exact = data.split(), exact_copy(network)
    subsets = {size: [torch.randperm(ALL)[:size] for _ in range(SUBSETS)] for size in SIZES}
    x, y = split.validation_x[:ALL], split.validation_y[:ALL]
    of_all = activations(exact, x)
    for size, sets in subsets.items():
        compare(ratios, str(size), [activations(exact, x[chosen]) for chosen in sets], of_all)
    of_few = activations(exact, x[:SAMPLES])
    compare(ratios, "float32", [activations(network, x[:SAMPLES])], of_few)
    probed = probe_of(network, x, y).activations(network, [x] * network.replicas, [y] * network.replicas, first=True)
    compare(ratios, "probe", [probed[2]], of_few)
    x, y = split.train_x[:ALL], split.train_y[:ALL]
    of_all = probe_of(exact, x, y).gradients(exact)
    for size, sets in subsets.items():
        found = [probe_of(exact, x[chosen], y[chosen]).gradients(exact) for chosen in sets]
        compare(ratios, str(size), found, of_all)
    compare(ratios, "probe", [probe_of(network, x, y).gradients(network)], of_all)


def activations(network: Network, x: Tensor) -> Values:
    """Each metric [R, depth] of those samples in the network's own precision."""
    found: dict[str, list[Tensor]] = defaultdict(list)

    def visit(layer: int, h: Tensor, x: Tensor) -> None:
        view = LayerView(h, x, network.slope(layer, h), float(network.constants["slope_max"]))
        for name, metric in ACTIVATION_METRICS.items():
            found[name].append(metric(view).double())

    network.logits([x.to(network.dtype)] * network.replicas, visit)
    return {name: torch.stack(values, 1) for name, values in found.items()}


def probe_of(network: Network, x: Tensor, y: Tensor) -> Probe:
    """With the same samples for each replica."""
    inputs, labels = (part.expand(network.replicas, *part.shape).contiguous() for part in (x.to(network.dtype), y))
    return Probe(network, float(network.constants["slope_max"]), inputs, labels)


def compare(ratios: Ratios, change: str, found: Sequence[Values], exact: Values) -> None:
    """Add the error of each layer over its scatter; infinite where the seeds agree and what was done shows."""
    for name, values in exact.items():
        errors = torch.stack([other[name] - values for other in found]).square().nanmean((0, 1)).sqrt()
        for error, scatter in zip(errors.tolist(), values.std(0).tolist(), strict=True):
            if error > 0 or scatter > 0:
                ratios[name][change].append(error / scatter if scatter else math.inf)


def summarised(ratios: Sequence[float]) -> dict[str, float | None]:
    """The median, the ninth decile and the largest; None stands for an infinite one."""
    ordered = sorted(ratios)
    at = {"median": len(ordered) // 2, "high": len(ordered) * 9 // 10, "worst": -1}
    return {name: ordered[i] if math.isfinite(ordered[i]) else None for name, i in at.items()}


if __name__ == "__main__":
    main()
