"""What is measured inside a network, layer by layer.

A metric is a function of a :class:`LayerView` that gives one number per replica, and a row of
``ACTIVATION_METRICS`` (evaluation mode, validation samples) or ``GRADIENT_METRICS`` (training mode with frozen
noise, training samples, float64).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from activation_study.networks.mlp import StackedMLP

SAMPLES = 256  # of the activation metrics, at most: a probe must cost little beside training
SATURATED = 0.1  # of the largest slope
USABLE = {"unusable_001": 1e-3, "unusable_01": 1e-2}
DORMANT = {"dormant_0": 0.0, "dormant_025": 0.025, "dormant_1": 0.1}
QUANTILES = {"preactivation_q05": 0.05, "preactivation_q50": 0.5, "preactivation_q95": 0.95}
PROBE_STEP = -1  # the noise of the gradient probe is that of a step which never trains


@dataclass
class LayerView:
    """One hidden layer of R replicas on a fixed set of N samples, in float64.

    Attributes:
        h: pre-activations [R, N, W]. x: activations φ(h). slope: φ′(h). slope_max: the largest |φ′| there is.
        born_dead, dead_before: the dead units [R, W] at step 0 and at the probe before; None at step 0.
    """

    h: Tensor
    x: Tensor
    slope: Tensor
    slope_max: float
    born_dead: Tensor | None = None
    dead_before: Tensor | None = None

    @cached_property
    def steepest(self) -> Tensor:
        """max over samples of |φ′(h)| per unit [R, W]."""
        return self.slope.abs().amax(1)  # vector_norm gives the same, five times as slowly

    @cached_property
    def dead_units(self) -> Tensor:
        """Units whose slope is exactly zero on every sample [R, W]: none of their weights can get a gradient."""
        return self.steepest == 0

    @cached_property
    def unit_size(self) -> Tensor:
        """Mean |x| per unit [R, W]."""
        return self.x.abs().mean(1)

    @cached_property
    def quantiles(self) -> Tensor:
        """``QUANTILES`` of the pre-activations [3, R], of 32 samples: sorting more would cost as much as training."""
        h = self.h[:, :32].flatten(1)
        return torch.quantile(h, torch.tensor(list(QUANTILES.values()), dtype=h.dtype, device=h.device), dim=1)

    @cached_property
    def unit_mean(self) -> Tensor:
        return self.x.mean(1)

    @cached_property
    def covariance(self) -> Tensor:
        """Of the activations over samples [R, W, W]."""
        centred = self.x - self.x[:, :1]  # so that a constant unit's variance is exactly zero
        centred -= centred.mean(1, keepdim=True)
        return torch.bmm(centred.transpose(1, 2), centred).div_(centred.shape[1])

    @cached_property
    def variance(self) -> Tensor:
        """Per unit [R, W]."""
        return self.covariance.diagonal(dim1=1, dim2=2)

    @cached_property
    def sd(self) -> Tensor:
        """Over all samples and units [R]."""
        between = self.unit_mean - self.unit_mean[:, :1]  # exactly zero in a constant layer
        between -= between.mean(1, keepdim=True)
        return (self.variance.mean(1) + between.square().mean(1)).sqrt()

    @cached_property
    def flat(self) -> Tensor:
        """Saturated elements, 1 or 0: slope below a tenth of the largest."""
        slope = self.slope.abs()
        return torch.lt(slope, SATURATED * self.slope_max, out=slope)  # as numbers: sums over truth values are slow

    @cached_property
    def flat_share(self) -> Tensor:
        return self.flat.flatten(1).mean(1)

    @cached_property
    def flat_low_share(self) -> Tensor:
        negative = torch.lt(self.h, 0, out=torch.empty_like(self.h))
        return negative.mul_(self.flat).flatten(1).mean(1)


def _share(mask: Tensor) -> Tensor:
    """The part of the units [R, W] for which it is true, of each replica [R]."""
    return mask.double().mean(1)


def _effective_rank(view: LayerView) -> Tensor:
    """exp of the entropy of the normalised singular values of the centred activations (Roy & Vetterli 2007)."""
    finite = view.covariance.isfinite().all(2).all(1)  # a replica that has just diverged must not stop the others
    covariance = torch.where(finite[:, None, None], view.covariance, 0.0)
    singular = torch.linalg.eigvalsh(covariance).clamp_min(0).sqrt()
    total = singular.sum(1, keepdim=True)
    p = torch.where(total > 0, singular / total, 0.0)
    rank = torch.exp(torch.special.entr(p).sum(1))
    rank = torch.where(total[:, 0] > 0, rank, 0.0)  # no variance at all: no dimension
    return torch.where(finite, rank, torch.nan)


def _correlation(view: LayerView) -> Tensor:
    """Mean absolute correlation between two different units that vary; NaN if fewer than two do."""
    sd = view.variance.sqrt()
    varies = sd > 0
    inverse = torch.where(varies, 1 / sd, 0.0)
    correlation = view.covariance * inverse.unsqueeze(1) * inverse.unsqueeze(2)
    n = varies.sum(1).to(sd.dtype)
    off = correlation.abs().sum((1, 2)) - correlation.diagonal(dim1=1, dim2=2).abs().sum(1)
    return off / (n * (n - 1))


def _dormant(view: LayerView, threshold: float) -> Tensor:
    """Units whose mean |x| is at most ``threshold`` of the layer's mean (Sokar et al. 2023, eq. 1)."""
    return _share(view.unit_size <= threshold * view.unit_size.mean(1, keepdim=True))


def _kurtosis(view: LayerView) -> Tensor:
    """Excess kurtosis of the activations over samples and units; NaN for a constant layer."""
    centred = view.x - view.unit_mean.mean(1)[:, None, None]
    return centred.div_(view.sd[:, None, None]).square_().square_().flatten(1).mean(1) - 3


def _centredness(view: LayerView) -> Tensor:
    """Median over units of |mean x| over the layer's standard deviation; NaN for a constant layer."""
    return torch.where(view.sd > 0, torch.quantile(view.unit_mean.abs(), 0.5, dim=1) / view.sd, torch.nan)


def _preactivation_sd(view: LayerView) -> Tensor:
    h = view.h.flatten(1)
    return (h - h.mean(1, keepdim=True)).square_().mean(1).sqrt()


def _changed(view: LayerView, *, died: bool) -> Tensor:
    """Units that died or revived since the probe before; zero at step 0."""
    before = view.dead_units if view.dead_before is None else view.dead_before
    return _share(~before & view.dead_units if died else before & ~view.dead_units)


ACTIVATION_METRICS: dict[str, Callable[[LayerView], Tensor]] = {
    "preactivation_mean": lambda view: view.h.flatten(1).mean(1),
    "preactivation_sd": _preactivation_sd,
    **{name: (lambda view, i=i: view.quantiles[i]) for i, name in enumerate(QUANTILES)},
    "mean": lambda view: view.unit_mean.mean(1),
    "sd": lambda view: view.sd,
    "excess_kurtosis": _kurtosis,
    "centredness": _centredness,
    "zero_fraction": lambda view: 1 - view.x.sign().abs_().flatten(1).mean(1),
    "saturated_low": lambda view: view.flat_low_share,
    "saturated_high": lambda view: view.flat_share - view.flat_low_share,
    "dead": lambda view: _share(view.dead_units),
    **{name: (lambda view, eps=eps: _share(view.steepest < eps * view.slope_max)) for name, eps in USABLE.items()},
    "born_dead": lambda view: _share(view.dead_units if view.born_dead is None else view.born_dead),
    "died": lambda view: _changed(view, died=True),
    "revived": lambda view: _changed(view, died=False),
    **{name: (lambda view, t=t: _dormant(view, t)) for name, t in DORMANT.items()},
    "effective_rank": _effective_rank,
    "correlation": _correlation,
}


@dataclass
class GradientView:
    """One layer's gradients, in float64.

    ``delta_norm`` [R] is √(mean over samples of ‖δ‖²), δ the gradient of a sample's own loss by its h; NaN for the
    output layer. ``weight`` and ``weight_gradient`` are [R, fan-in, fan-out], the gradient that of the mean loss.
    """

    delta_norm: Tensor
    weight: Tensor
    weight_gradient: Tensor


def _log10(norm: Tensor) -> Tensor:
    """NaN where the norm is exactly zero: a logarithm does not exist there, and ``gradient_zero`` says so."""
    return torch.where(norm > 0, norm.log10(), torch.nan)


def _sign_agreement(view: GradientView) -> Tensor:
    """Mean over neurons of |Σ_k sign g_k| / #(g_k ≠ 0), over a neuron's incoming weights; NaN if all are zero."""
    sign = view.weight_gradient.sign()
    count = sign.abs().sum(1)
    return torch.nanmean(torch.where(count > 0, sign.sum(1).abs() / count, torch.nan), 1)


GRADIENT_METRICS: dict[str, Callable[[GradientView], Tensor]] = {
    "gradient_norm_log10": lambda view: _log10(view.delta_norm),
    "gradient_zero": lambda view: (view.delta_norm == 0).to(view.weight.dtype),
    "weight_gradient_norm_log10": lambda view: _log10(view.weight_gradient.flatten(1).norm(dim=1)),
    "weight_norm_log10": lambda view: _log10(view.weight.flatten(1).norm(dim=1)),
    "sign_agreement": _sign_agreement,
}


class Probe:
    """Measures R replicas and remembers their dead units from one probe to the next.

    Args:
        slope_max: the activation's largest |φ′|.
        inputs, labels: the training samples of the gradient probe, [R, N, features] and [R, N].
    """

    def __init__(self, network: StackedMLP, slope_max: float, inputs: Tensor, labels: Tensor):
        self.slope_max, self.inputs, self.labels = slope_max, inputs.double(), labels
        self.exact = network.like(network.seeds, dtype=torch.float64)
        shape = (network.replicas, network.depth, network.width)
        self.born_dead = torch.zeros(shape, dtype=torch.bool, device=network.device)
        self.dead_before = self.born_dead.clone()
        self._doubles: dict[int, tuple[Tensor, Tensor]] = {}

    def taken(self, replicas: Sequence[int], network: StackedMLP) -> Probe:
        """The probe of the chosen replicas, which ``network`` now holds, with their memory."""
        chosen = torch.tensor(list(replicas), device=network.device)
        other = Probe(network, self.slope_max, self.inputs[chosen], self.labels[chosen])
        other.born_dead, other.dead_before = self.born_dead[chosen], self.dead_before[chosen]
        return other

    def activations(
        self, network: StackedMLP, inputs: Sequence[Tensor], labels: Sequence[Tensor], *, first: bool
    ) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """Loss [R], accuracy [R] and every activation metric [R, depth], in evaluation mode.

        The metrics are of the first ``SAMPLES`` samples, in float64: twenty sigmoid layers up, samples differ by
        less than float32 resolves, and its rounding would pass for a signal. ``first`` marks step 0, whose dead
        units are born dead.
        """
        values: dict[str, list[Tensor]] = {name: [] for name in ACTIVATION_METRICS}
        exact = self._exact_copy(network)

        def visit(layer: int, h: Tensor, x: Tensor) -> None:
            at = (slice(None), layer - 1)
            view = LayerView(h, x, exact.kernels[layer - 1].derivative(h), self.slope_max)
            if first:
                self.born_dead[at] = view.dead_units
            else:
                view.born_dead, view.dead_before = self.born_dead[at], self.dead_before[at].clone()
            self.dead_before[at] = view.dead_units
            for name, metric in ACTIVATION_METRICS.items():
                values[name].append(metric(view))

        exact.logits([self._double(x) for x in inputs], visit)
        metrics = {name: torch.stack(column, 1) for name, column in values.items()}
        return *network.evaluate(inputs, labels), metrics

    def _double(self, x: Tensor) -> Tensor:
        """The first samples in float64, converted once: replicas share theirs, and they stay the same."""
        if id(x) not in self._doubles:
            self._doubles[id(x)] = x, x[:SAMPLES].double()  # x stays alive, so that its id stays its own
        return self._doubles[id(x)][1]

    def _exact_copy(self, network: StackedMLP) -> StackedMLP:
        self.exact.load(network.parameters + network.buffers)
        return self.exact

    def gradients(self, network: StackedMLP) -> dict[str, Tensor]:
        """Every gradient metric [R, depth + 1], the output layer last, in training mode with frozen noise.

        float64, since a gradient fifty sigmoid layers down is 1e-42: nothing in float32.
        """
        exact = self._exact_copy(network)
        exact.draw(PROBE_STEP)
        norms = [torch.full_like(exact.biases[0][:, 0, 0], torch.nan) for _ in exact.weights]
        values: list[dict[str, Tensor]] = [{} for _ in norms]

        def on_delta(layer: int, delta: Tensor) -> None:
            # A sample's own gradient is N times its part of the mean loss's.
            norms[layer - 1] = delta.flatten(1).norm(dim=1) * math.sqrt(delta.shape[1])

        def update(index: int, gradient: Tensor) -> None:
            if index <= exact.depth:
                view = GradientView(norms[index], exact.weights[index], gradient)
                values[index] = {name: metric(view) for name, metric in GRADIENT_METRICS.items()}

        exact.loss_and_gradients(self.inputs, self.labels, update, on_delta)
        return {name: torch.stack([layer[name] for layer in values], 1) for name in GRADIENT_METRICS}
