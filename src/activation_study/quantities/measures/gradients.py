"""What is measured of each layer's gradients: δ = ∂L/∂h of a sample's own loss, and ∂L/∂W of the mean loss.

Of one network and layer, over the n = 1 … N training samples of the probe, in training mode with frozen noise: δ_n is
the gradient of sample n's own loss by its pre-activations, G the gradient of the mean loss by the weights W [fan-in,
fan-out].

gradient_norm_log10: log₁₀ √(Σ ‖δ_n‖² / N). Source: Glorot and Bengio (2010), section 4.2, whose variance of
    back-propagated gradients it is, up to the number of units and the mean.
gradient_zero: whether Σ ‖δ_n‖² = 0. Source: this study's, where the logarithm has no value.
weight_gradient_norm_log10: log₁₀ ‖G‖, Frobenius. Source: Glorot and Bengio (2010), section 4.2, on weight gradients.
weight_norm_log10: log₁₀ ‖W‖, Frobenius. Source: the definition.
sign_agreement: the mean over units j with any G_kj ≠ 0 of |Σ_k sign G_kj| / #{k: G_kj ≠ 0}. Source: this study's, of
    what LeCun et al. (1998), Efficient BackProp, section 4.3, say: inputs of one sign move a unit's weights together.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from activation_study.core.registry import torch
from activation_study.quantities.base import LayerMetric

if TYPE_CHECKING:
    from torch import Tensor


def _log10(norm: Tensor) -> Tensor:
    """NaN where the norm is exactly zero: a logarithm does not exist there, and ``gradient_zero`` says so."""
    return torch.where(norm > 0, norm.log10(), torch.nan)


def sign_agreement(gradient: Tensor) -> Tensor:
    """Mean over neurons of |Σ_k sign g_k| / #(g_k ≠ 0), over a neuron's incoming weights [R]; NaN if all are zero.

    Args:
        gradient: [R, fan-in, fan-out].
    """
    sign = gradient.sign()
    agreed = sign.sum(1).abs_()
    count = sign.abs_().sum(1)
    return torch.nanmean(torch.where(count > 0, agreed / count, torch.nan), 1)


# The logarithms cannot be claimed as they stand: a norm of exactly zero, which matters most, has none.
DECLARED = (
    LayerMetric(
        "gradient_norm_log10",
        "decades",
        "log10 of the root mean square over samples of ||dL/dh||; missing if 0",
        lambda view: _log10(view.delta_norm),
        "gradients",
        claimed=False,
    ),
    LayerMetric(
        "gradient_zero",
        "fraction",
        "whether that norm is exactly 0",
        lambda view: (view.delta_norm == 0).to(view.weight.dtype),
        "gradients",
        type="bool",
    ),
    LayerMetric(
        "weight_gradient_norm_log10",
        "decades",
        "log10 of ||dL/dW|| of the probe samples; missing if 0",
        lambda view: _log10(view.weight_gradient.flatten(1).norm(dim=1)),
        "gradients",
        claimed=False,
    ),
    LayerMetric(
        "weight_norm_log10",
        "decades",
        "log10 of ||W||",
        lambda view: _log10(view.weight.flatten(1).norm(dim=1)),
        "gradients",
    ),
    LayerMetric(
        "sign_agreement",
        "fraction",
        "mean over neurons of |sum of signs| / count of the non-zero dL/dW",
        lambda view: sign_agreement(view.weight_gradient),
        "gradients",
        low=0,
        high=1,
    ),
)
