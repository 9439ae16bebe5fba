"""What is measured of each layer's pre-activations h, activations x = φ(h) and slopes φ′(h).

Of one network and layer, with n = 1 … N samples and w = 1 … W units: m_w and v_w are the mean and the variance over
samples of x_nw (divided by N), a_w is the mean of |x_nw|, s the largest |φ′| that the activation has, #{…} a number of
elements. Where a unit stands at several positions, each counts as a sample.

preactivation_mean: h̄ = Σ h_nw / NW. Source: Glorot and Bengio (2010), section 3, who follow it layer by layer.
preactivation_sd: √(Σ (h_nw − h̄)² / NW). Source: the same section.
preactivation_q05: the .05 quantile of h_nw, n ≤ 32, linear between order statistics. Source: Hyndman and Fan (1996),
    definition 7.
preactivation_q50: the .5 quantile, likewise. Source: the same definition.
preactivation_q95: the .95 quantile, likewise. Source: the same definition.
mean: x̄ = Σ x_nw / NW. Source: Clevert et al. (2016), arXiv:1511.07289, section 2, on the bias shift that it makes.
sd: √(Σ (x_nw − x̄)² / NW). Source: the definition.
excess_kurtosis: Σ ((x_nw − x̄) / sd)⁴ / NW − 3. Source: the definition; 0 for a normal distribution.
centredness: median over w of |m_w|, over sd. Source: this study's; LeCun et al. (1998), Efficient BackProp, section
    4.3, say why means away from zero should slow learning.
zero_fraction: #{(n, w): x_nw = 0} / NW. Source: Glorot et al. (2011), Deep sparse rectifier neural networks, who call
    it sparsity.
saturated_low: #{(n, w): |φ′(h_nw)| < 0.1 s and h_nw < 0} / NW. Source: this study's; Glorot and Bengio (2010), section
    3, look at saturation.
saturated_high: #{(n, w): |φ′(h_nw)| < 0.1 s and h_nw ≥ 0} / NW. Source: as saturated_low.
dead: #{w: φ′(h_nw) = 0 for all n} / W. Source: this study's; Lu et al. (2019), arXiv:1903.06733, say what dies and why.
unusable_001: #{w: max over n of |φ′(h_nw)| < 0.001 s} / W. Source: this study's, for activations whose slope is never
    0.
unusable_01: #{w: max over n of |φ′(h_nw)| < 0.01 s} / W. Source: as unusable_001.
born_dead: the value of dead at step 0. Source: Lu et al. (2019), arXiv:1903.06733, who call a whole network born dead.
died: #{w: not dead at the probe before, dead now} / W. Source: this study's.
revived: #{w: dead at the probe before, not dead now} / W. Source: this study's.
dormant_0: #{w: a_w ≤ τ Σ a_v / W} / W with τ = 0. Source: Sokar et al. (2023), arXiv:2302.12902, equation 1.
dormant_025: the same with τ = 0.025. Source: the same equation.
dormant_1: the same with τ = 0.1. Source: the same equation.
effective_rank: exp(−Σ p_i ln p_i), p_i = σ_i / Σ σ_j, with σ_i the singular values of x_nw − m_w. Source: Roy and
    Vetterli (2007), The effective rank: a measure of effective dimensionality.
correlation: the mean over pairs v ≠ w with v_v, v_w > 0 of |cov(x_nv, x_nw)| / √(v_v v_w). Source: Pearson's
    coefficient.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from activation_study.core.registry import torch
from activation_study.quantities.base import LayerMetric

if TYPE_CHECKING:
    from torch import Tensor

    from activation_study.quantities.views import LayerView


def _share(mask: Tensor) -> Tensor:
    """The part of the units [R, W] for which it is true, of each replica [R]."""
    return mask.double().mean(1)


def _effective_rank(view: LayerView) -> Tensor:
    """exp of the entropy of the normalised singular values of the centred activations (Roy & Vetterli 2007)."""
    finite = view.covariance.sum((1, 2)).isfinite()  # a replica that has just diverged must not stop the others
    covariance = torch.where(finite[:, None, None], view.covariance, 0.0)
    # On a GPU PyTorch takes matrices larger than 32 × 32 one after the other, which was slower by far.
    singular = torch.linalg.eigvalsh(covariance.cpu()).to(covariance.device).clamp_min(0).sqrt()
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


def _dormant(threshold: float, view: LayerView) -> Tensor:
    """Units whose mean |x| is at most ``threshold`` of the layer's mean (Sokar et al. 2023, eq. 1)."""
    return _share(view.unit_size <= threshold * view.unit_size.mean(1, keepdim=True))


def _unusable(threshold: float, view: LayerView) -> Tensor:
    return _share(view.steepest < threshold * view.slope_max)


def _kurtosis(view: LayerView) -> Tensor:
    """Excess kurtosis of the activations over samples and units; NaN for a constant layer."""
    centred = view.x - view.unit_mean.mean(1)[:, None, None]
    return centred.div_(view.sd.to(centred.dtype)[:, None, None]).square_().square_().flatten(1).mean(1) - 3


def _centredness(view: LayerView) -> Tensor:
    """Median over units of |mean x| over the layer's standard deviation; NaN for a constant layer."""
    return torch.where(view.sd > 0, view.median_offset / view.sd, torch.nan)


def _preactivation_sd(view: LayerView) -> Tensor:
    centred = view.h.flatten(1) - view.preactivation_mean.unsqueeze(1)
    return centred.square_().mean(1).sqrt()


def _quantile(which: int, view: LayerView) -> Tensor:
    return view.quantiles[which]


def _changed(died: bool, view: LayerView) -> Tensor:
    """Units that died or revived since the probe before; zero at step 0."""
    before = view.dead_units if view.dead_before is None else view.dead_before
    return _share(~before & view.dead_units if died else before & ~view.dead_units)


_activation = partial(LayerMetric, view="activations")
_of_h = partial(_activation, unit="activation units")
_fraction = partial(_activation, unit="fraction", low=0, high=1)

DECLARED = (
    _of_h("preactivation_mean", meaning="mean pre-activation h over samples and units",
          of=lambda view: view.preactivation_mean),
    _of_h("preactivation_sd", meaning="standard deviation of h over samples and units", of=_preactivation_sd, low=0),
    _of_h("preactivation_q05", meaning="5% quantile of h (first 32 samples)", of=partial(_quantile, 0)),
    _of_h("preactivation_q50", meaning="median of h (first 32 samples)", of=partial(_quantile, 1)),
    _of_h("preactivation_q95", meaning="95% quantile of h (first 32 samples)", of=partial(_quantile, 2)),
    _of_h("mean", meaning="mean activation over samples and units", of=lambda view: view.unit_mean.mean(1)),
    _of_h("sd", meaning="standard deviation of the activations over samples and units", of=lambda view: view.sd, low=0),
    _activation("excess_kurtosis", "kurtosis", "of the activations over samples and units; missing if constant",
                _kurtosis),
    _activation("centredness", "standard deviations",
                "median over units of |mean activation| over the layer's sd; 0 is centred", _centredness),
    _fraction("zero_fraction", meaning="activations that are exactly zero",
              of=lambda view: 1 - view.x.sign().abs_().flatten(1).mean(1)),
    _fraction("saturated_low", meaning="elements with |slope| < 0.1 of the largest, where h < 0",
              of=lambda view: view.flat_low_share),
    _fraction("saturated_high", meaning="elements with |slope| < 0.1 of the largest, where h >= 0",
              of=lambda view: view.flat_share - view.flat_low_share),
    _fraction("dead", meaning="units whose slope is exactly zero on every sample",
              of=lambda view: _share(view.dead_units)),
    _fraction("unusable_001", meaning="units whose largest |slope| is below 0.001 of the activation's largest",
              of=partial(_unusable, 1e-3)),
    _fraction("unusable_01", meaning="units whose largest |slope| is below 0.01 of the activation's largest",
              of=partial(_unusable, 1e-2)),
    _fraction("born_dead", meaning="units that were dead at step 0",
              of=lambda view: _share(view.dead_units if view.born_dead is None else view.born_dead)),
    _fraction("died", meaning="units that died since the probe before", of=partial(_changed, True)),
    _fraction("revived", meaning="units that came back to life since the probe before", of=partial(_changed, False)),
    _fraction("dormant_0", meaning="units whose mean |activation| is 0", of=partial(_dormant, 0.0)),
    _fraction("dormant_025", meaning="units whose mean |activation| is at most 0.025 of the layer's",
              of=partial(_dormant, 0.025)),
    _fraction("dormant_1", meaning="units whose mean |activation| is at most 0.1 of the layer's",
              of=partial(_dormant, 0.1)),
    _activation("effective_rank", "dimensions", "exp of the entropy of the centred activations' singular values",
                _effective_rank, low=0, exact=True),
    _activation("correlation", "|correlation|", "mean |correlation| of two units that vary", _correlation, low=0,
                exact=True),
)  # fmt: skip
