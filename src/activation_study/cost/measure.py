"""What an activation costs beside ReLU in the same process: time, memory, and whether its zeros save any.

All with PyTorch as it comes: the activation's nn.Module, autograd and nn.Sequential, in float32 on one CPU
thread. Each width has a network of that many inputs and of `depth` hidden layers of that width. It stays at
its initialisation (``gain``: pre-activations are close to N(0, 1) for every activation), since a learning
rate of 0 costs as much as any other.

Timed quantities are paired. A pair is one block of calls with the activation and one with ReLU, one right
after the other in random order; the pairs of all quantities take turns, so that a slow spell is shared. What
counts is the median of the pairs' ratios. Its interval runs between two order statistics, and so supposes
nothing about the clocks but that pairs are independent (Thompson 1936, Ann. Math. Stat. 7, 122; David and
Nagaraja 2003, Order Statistics, section 7.1). ReLU's own job pairs it with itself, which checks the method:
those intervals should hold 1.
"""

from __future__ import annotations

import math
import random
import timeit
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import stats
from torch import Tensor, nn

from activation_study.activations.activation import Activation
from activation_study.core.factors import Factors
from activation_study.core.seeds import generator
from activation_study.networks.initialisation import initial_parameters

CLASSES = 10
BLOCK_SECONDS = 0.002  # a block of calls lasts as long at least: far above the clock's resolution
RELU = {"gain": math.sqrt(2)}  # 1/√E relu(z)²

UNITS = {
    "op_forward": "ns/element",  # the activations of a network alone, in training mode
    "op_backward": "ns/element",  # their gradients, of their own parameters too
    "product": "ms",  # the linear layer that follows, on the activation's output: do its zeros save time?
    "sparse_product": "ms",  # the same, of that output as a sparse matrix (CSR), beside ReLU's dense one
    "step": "ms",  # forward, backward and update (SGD, momentum 0.9) of the network
    "inference": "ms",  # one batch, in evaluation and inference mode
    "op_share": "fraction",  # both of these together, over step
    "saved_memory": "bytes",  # what autograd keeps between forward and backward
    "step_memory": "bytes",  # that, parameters, gradients and momentum
    "zero_fraction": "fraction",  # hidden activations that are exactly zero
    "skippable_macs": "fraction",  # multiply-accumulates of a forward pass whose input is exactly zero
}
BESIDE = {"sparse_product": "product"}
"""Quantities that are paired with another one of ReLU's."""


def measure(
    activation: Activation,
    constants: Mapping[str, float | None],
    *,
    widths: Sequence[int],
    depth: int,
    batch_size: int,
    repeats: int,
) -> list[dict[str, Any]]:
    """The activation's rows of the ``cost`` table: every quantity of UNITS at every width.

    Args:
        activation: what to measure.
        constants: its constants, of which the initialisation takes the gain.
        widths: units per layer, a network each.
        depth: hidden layers.
        batch_size: samples.
        repeats: pairs; fewer than 6 give no 95% interval (NaN).
    """
    torch.set_num_threads(1)
    torch.manual_seed(0)
    sizes = {"depth": depth, "batch_size": batch_size}
    arms = {
        width: (
            Arm(activation.module, constants, width=width, **sizes),
            Arm(lambda width: nn.ReLU(), RELU, width=width, **sizes),
        )
        for width in widths
    }
    counts = {width: [arm.counts() for arm in pair] for width, pair in arms.items()}
    seconds = _seconds(arms, repeats)
    rows = []
    for width in widths:
        scale = {"ms": 1e3, "ns/element": 1e9 / (batch_size * width * depth)}
        clocks = {name: values * scale[UNITS[name]] for name, values in seconds[width].items()}
        ops = seconds[width]["op_forward"] + seconds[width]["op_backward"]
        clocks["op_share"] = ops / seconds[width]["step"]
        summaries = {name: paired_summary(values) for name, values in clocks.items()}
        mine, relus = counts[width]
        summaries |= {name: _count_summary(mine[name], relus[name]) for name in mine}
        rows += [
            {"activation": activation.name, "quantity": name, "unit": unit, "width": width, **summaries[name]}
            for name, unit in UNITS.items()
        ]
    return rows


def _seconds(arms: Mapping[int, tuple[Arm, Arm]], repeats: int) -> dict[int, dict[str, NDArray]]:
    """Width → quantity → seconds per call [repeats, 2]."""
    timers = {width: (mine.timers(), relus.timers()) for width, (mine, relus) in arms.items()}
    keys = [(width, name) for width, (mine, _) in timers.items() for name in mine]
    pairs = [(timers[width][0][name], timers[width][1][BESIDE.get(name, name)]) for width, name in keys]
    seconds: dict[int, dict[str, NDArray]] = {width: {} for width in arms}
    for (width, name), values in zip(keys, paired_seconds(pairs, repeats), strict=True):
        seconds[width][name] = values
    return seconds


def paired_summary(values: NDArray) -> dict[str, float]:
    """The activation's median and the median ratio with its 95% interval, of pairs (activation, ReLU) [N, 2].

    The interval runs between two order statistics of the ratios, chosen by the binomial distribution so that
    it covers at least 95%; its ends are NaN below 6 pairs, where not even the extremes do.
    """
    ratios = values[:, 0] / values[:, 1]
    interval: Any = stats.quantile_test(ratios, p=0.5).confidence_interval(0.95)
    return {
        "median": float(np.median(values[:, 0])),
        "ratio_to_relu": float(np.median(ratios)),
        "ratio_low": float(interval.low),
        "ratio_high": float(interval.high),
        "pairs": len(values),
    }


def _count_summary(value: float, relus: float) -> dict[str, float]:
    """A count is exact: no pairs, no interval."""
    return {
        "median": value,
        "ratio_to_relu": value / relus,
        "ratio_low": math.nan,
        "ratio_high": math.nan,
        "pairs": 0,
    }


def paired_seconds(pairs: Sequence[tuple[timeit.Timer, timeit.Timer]], repeats: int) -> NDArray:
    """Seconds per call [len(pairs), repeats, 2]: in each repeat every pair has its turn, in random order.

    A call before each block is not timed: it finds the caches as something else has left them, which at width 64 makes
    whatever comes first a quarter slower. ``timeit`` switches the garbage collector off while it measures.
    """
    calls = [[_calls_per_block(timer) for timer in pair] for pair in pairs]
    seconds = np.empty((len(pairs), repeats, 2))
    order = random.Random(0)
    for repeat in range(repeats):
        for i, pair in enumerate(pairs):
            for side in order.sample((0, 1), 2):
                pair[side].timeit(1)
                seconds[i, repeat, side] = pair[side].timeit(calls[i][side]) / calls[i][side]
    return seconds


def _calls_per_block(timer: timeit.Timer) -> int:
    """Calls that last BLOCK_SECONDS at least, a power of 2; warms up as well."""
    timer.timeit(3)
    calls = 1
    while min(timer.repeat(2, calls)) < BLOCK_SECONDS:  # twice, so that one interruption does not decide
        calls *= 2
    return calls


class Arm:
    """One activation at one width: a network on inputs [batch_size, width], and `depth` activations alone.

    Both arms of a pair have the same inputs, labels and, up to the gain, weights.
    """

    def __init__(
        self,
        module: Callable[[int], nn.Module],
        constants: Mapping[str, float | None],
        *,
        width: int,
        depth: int,
        batch_size: int,
    ) -> None:
        source = generator("cost", width)
        self.inputs = torch.randn(batch_size, width, generator=source)
        self.labels = torch.randint(CLASSES, (batch_size,), generator=source)
        dims = [width] * (depth + 1) + [CLASSES]
        factors = Factors(activation="any", dataset="any", depth=depth, width=width)  # its start is the default: gain
        layers: list[nn.Module] = []
        for weight, bias in initial_parameters(0, dims, factors, constants):
            linear = nn.Linear(*weight.shape)
            linear.weight.data.copy_(weight.T)
            linear.bias.data.copy_(bias)
            layers += [linear, module(width)]
        self.network = nn.Sequential(*layers[:-1])
        self.ops = [module(width) for _ in range(depth)]
        self.optimiser = torch.optim.SGD(self.network.parameters(), lr=0.0, momentum=0.9)

    def timers(self) -> dict[str, timeit.Timer]:
        """What is timed, each in the mode that it needs."""
        # As many activations at once as in the network: a call's own overhead then weighs as in a step.
        inputs = [self.inputs.clone().requires_grad_() for _ in self.ops]
        own = [parameter for op in self.ops for parameter in op.parameters() if parameter.requires_grad]

        def forward() -> list[Tensor]:
            return [op(x) for op, x in zip(self.ops, inputs, strict=True)]

        outputs = forward()
        upstream = [torch.randn(x.shape, generator=generator("cost", "upstream")) for x in inputs]

        def backward() -> Any:
            return torch.autograd.grad(outputs, [*inputs, *own], upstream, retain_graph=True, allow_unused=True)

        activations, weight, bias = (t.detach() for t in (outputs[0], *self.network[0].parameters()))
        with warnings.catch_warnings():  # that PyTorch's sparse matrices are not final
            warnings.simplefilter("ignore", UserWarning)
            sparse, transposed = activations.to_sparse_csr(), weight.T.contiguous()
        return {
            "op_forward": timeit.Timer(forward),
            "op_backward": timeit.Timer(backward),
            "product": timeit.Timer(lambda: nn.functional.linear(activations, weight, bias)),
            "sparse_product": timeit.Timer(lambda: torch.addmm(bias, sparse, transposed)),
            "step": timeit.Timer(self._step, self.network.train),
            "inference": timeit.Timer(self._infer, self.network.eval),
        }

    def _step(self) -> None:
        self.optimiser.zero_grad()
        self._loss().backward()
        self.optimiser.step()

    def _loss(self) -> Tensor:
        return nn.functional.cross_entropy(self.network(self.inputs), self.labels)

    @torch.inference_mode()
    def _infer(self) -> Tensor:
        return self.network(self.inputs)

    def counts(self) -> dict[str, float]:
        """What is counted: memory in bytes, zeros as fractions."""
        return self._memory() | self._zeros()

    def _memory(self) -> dict[str, float]:
        """Bytes that a step holds by itself, whatever the allocator and its temporary buffers do.

        Each storage counts once: ReLU's backward needs its output, which the next layer keeps anyway, so it
        adds nothing, while an activation that needs its input doubles what a hidden layer keeps.
        """
        kept: dict[int, int] = {}

        def keep(tensor: Tensor) -> Tensor:
            storage = tensor.untyped_storage()
            kept[storage.data_ptr()] = storage.nbytes()
            return tensor

        parameters = list(self.network.parameters())
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            loss = self._loss()
        for parameter in parameters:
            kept.pop(parameter.untyped_storage().data_ptr(), None)
        loss.backward()
        self.optimiser.step()
        states = [state["momentum_buffer"] for state in self.optimiser.state.values()]
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        saved = sum(kept.values())
        return {
            "saved_memory": float(saved),
            "step_memory": float(saved + sum(tensor.nbytes for tensor in [*parameters, *gradients, *states])),
        }

    @torch.no_grad()
    def _zeros(self) -> dict[str, float]:
        self.network.eval()
        hidden, zeros, macs, skippable = 0, 0, 0, 0
        values = self.inputs
        for layer in self.network:
            if isinstance(layer, nn.Linear):
                macs += values.numel() * layer.out_features
                skippable += int((values == 0).sum()) * layer.out_features
                values = layer(values)
            else:
                values = layer(values)
                hidden += values.numel()
                zeros += int((values == 0).sum())
        self.network.train()
        return {"zero_fraction": zeros / hidden, "skippable_macs": skippable / macs}
