"""The exact rows of a ledger: what a claim says, held against what is computed. No seeds, no statistics."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from activation_study.activations import theory
from activation_study.activations.activation import PaperRReLU, from_entry

LAYERS = 50


@dataclass(frozen=True)
class Exact:
    """Whether the claim holds as it is worded, the number that decides, its unit, and a sentence with the rest."""

    holds: bool
    value: float
    unit: str
    text: str


def sigmoid_slope() -> Exact:
    """C05: the range of σ′."""
    value = theory.largest_slope(_response("Sigmoid"))
    text = f"the slope ranges from 0 to {value:z.4g}, which it has at 0, and not to 1"
    return Exact(value >= 1 - 1e-9, value, "largest slope", text)


def sigmoid_gradient() -> Exact:
    """C14: σ′ by autograd, against σ(1 − σ) of the output that PyTorch keeps for it."""
    kept: list[torch.Tensor] = []

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        kept.append(tensor)
        return tensor

    x = torch.linspace(-30, 30, 601, dtype=torch.float64, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        output = torch.sigmoid(x)
    (slope,) = torch.autograd.grad(output.sum(), x)
    apart = (slope - output * (1 - output)).abs().max().item()
    return Exact(
        not all(torch.equal(tensor, output) for tensor in kept) or apart > 1e-15,
        apart,
        "largest difference from σ(1 − σ)",
        "the slope is σ(1 − σ), a product of what the forward pass has computed: PyTorch keeps the output alone for "
        f"the backward pass, and its slope differs from that product by at most {apart:z.1g}; the exponential is that "
        "of the forward pass",
    )


def sigmoid_product() -> Exact:
    """C06: a product of 50 sigmoid slopes."""
    bound, mean = theory.sigmoid_product(LAYERS)
    chi = theory.chi(_response("Sigmoid"), 1.0, 1.0)
    return Exact(
        mean < -18,
        mean,
        "log10 of the product",
        f"for pre-activations from N(0, 1) the mean of its log10 is {mean:z.1f}, and {bound:z.1f} at most; with "
        f"weights of variance σ²/fan-in a gradient's square changes by σ²·{chi:z.3g} a layer instead",
    )


def uniform_product() -> Exact:
    """C07: the product of 50 draws from U(0, 1); minus its logarithm is Gamma(50, 1)."""
    law = theory.UniformProduct(LAYERS)
    above = law.probability_above(1e-18)
    return Exact(
        above < 0.01,
        above,
        "P(product > 1e-18)",
        f"above 1e-18 in {above:z.3f} of the attempts and above 1e-17 in {law.probability_above(1e-17):z.3f}; the "
        f"median is {law.quantile(0.5):z.2g}, the mean {law.mean:z.2g}",
    )


def relu_gradient_factor() -> Exact:
    """C10: what a ReLU layer does to a gradient, on average over weights of variance σ_w²/fan-in."""
    phi = _response("ReLU")
    he, xavier, default = (math.sqrt(theory.chi(phi, variance, 1.0)) for variance in (2.0, 1.0, 1 / 3))
    return Exact(
        min(he, xavier, default) > 1 - 1e-9,
        default,
        "gradient factor per layer",
        f"a layer multiplies the gradient's norm by {he:z.3f} with σ_w² = 2 (He), {xavier:z.3f} with 1 (Xavier) and "
        f"{default:z.3f} with 1/3 (PyTorch's default), so over {LAYERS} layers by 1, {xavier ** (LAYERS - 1):z.1g} and "
        f"{default ** (LAYERS - 1):z.1g}",
    )


def shared_sign() -> Exact:
    """C18: signs of ∂L/∂W = δ xᵀ with x ≥ 0, for two samples of two inputs and two neurons."""
    x = torch.tensor([[1.0, 2.0], [3.0, 1.0]], dtype=torch.float64)
    weight = torch.tensor([[1.0, 0.5], [0.5, 1.0]], dtype=torch.float64, requires_grad=True)
    upstream = torch.tensor([[1.0, -1.0], [-1.0, 1.0]], dtype=torch.float64)
    (one,) = torch.autograd.grad((torch.relu(x[:1] @ weight.T) * upstream[:1]).sum(), weight)
    (two,) = torch.autograd.grad((torch.relu(x @ weight.T) * upstream).sum(), weight)
    neuron = one.sign().sum(1).abs().mean().item() / 2
    layer, batch = one.sign().sum().abs().item() / 4, two.sign().sum(1).abs().mean().item() / 2
    return Exact(
        layer == batch == 1,
        layer,
        "sign agreement over a layer",
        f"in a network of two neurons the signs agree by {neuron:zg} within a neuron for one sample, but by {layer:zg} "
        f"over the layer, and by {batch:zg} within a neuron for a batch of two",
    )


def dead_unit_returns() -> Exact:
    """C16: a ReLU unit that is off on the one sample, one step of SGD later."""
    lower = torch.ones(2, 1, dtype=torch.float64, requires_grad=True)
    upper = torch.tensor([[1.0, 0.0], [-1.0, 1.0]], dtype=torch.float64, requires_grad=True)
    bias, x = torch.tensor([0.0, -0.1], dtype=torch.float64), torch.ones(1, dtype=torch.float64)

    def preactivations() -> torch.Tensor:
        return upper @ torch.relu(lower @ x) + bias

    before = preactivations()
    gradients = torch.autograd.grad(torch.relu(before).sum(), (lower, upper))
    own = gradients[1][1].abs().max().item()
    with torch.no_grad():
        for weight, gradient in zip((lower, upper), gradients, strict=True):
            weight -= 0.5 * gradient
        after = preactivations()[1].item()
    return Exact(
        own > 0 or after <= 0,
        after,
        "pre-activation after one step",
        f"its pre-activation is {before[1].item():z.1f} and the gradient of its own weights {own:zg}; one step of the "
        f"layer beneath, which the other unit moves, brings it to {after:z.1f}: on again",
    )


def leaky_never_dies() -> Exact:
    """C21, its first half: the slope of Leaky ReLU is nowhere zero."""
    slope = float(np.abs(_response("LeakyReLU").slope(np.linspace(-30, 30, 601))).min())
    return Exact(slope > 0, slope, "smallest slope", f"the slope is {slope:zg} at least, by definition")


def leaky_negative_slope() -> Exact:
    """C22: the slope of Leaky ReLU at negative inputs, by autograd."""
    x = np.array([-4.0, -2.0, -1.0])
    slope = _response("LeakyReLU").slope(x)
    return Exact(
        bool(np.allclose(slope, 0.01 * np.exp(x))),
        float(slope[-1]),
        "slope at -1",
        f"it is {slope[0]:zg} at -4 as at -1, not 0.01·e^x, which would be {0.01 * math.exp(-1):z.2g} at -1; that is "
        f"ELU's, whose slope at -1 is {_response('ELU').slope(x)[-1]:z.3f}",
    )


def leaky_mean() -> Exact:
    """C23: E φ(z), z ~ N(0, 1)."""
    relu, leaky, very, elu = (_mean(*entry) for entry in (("ReLU",), ("LeakyReLU",), ("LeakyReLU", 1 / 5.5), ("ELU",)))
    return Exact(
        abs(leaky) < 0.1 * relu,
        leaky,
        "mean output",
        f"for inputs from N(0, 1) the mean output is {leaky:z.3f} with slope 0.01, against {relu:z.3f} of ReLU; "
        f"{very:z.3f} with slope 1/5.5, {elu:z.3f} of ELU",
    )


def rrelu_statements() -> Exact:
    """C24: two laws of the slope that cannot both be: mean 0 and standard deviation 1, and U(0, 1)."""
    mean, sd = 0.5, math.sqrt(1 / 12)
    torch_law, paper = nn.RReLU(), PaperRReLU()
    return Exact(
        mean == 0 and sd == 1,
        mean,
        "mean slope of U(0, 1)",
        f"U(0, 1) has mean {mean:zg} and standard deviation {sd:z.3f}, not 0 and 1; PyTorch draws "
        f"from U({torch_law.lower:z.3f}, {torch_law.upper:z.3f}), the paper from 1/U({paper.lower:zg}, "
        f"{paper.upper:zg})",
    )


def prelu_parameter() -> Exact:
    """C30: whether PReLU's slope is a parameter, and how many there are in a layer."""
    shared, own = (sum(p.numel() for p in nn.PReLU(n).parameters() if p.requires_grad) for n in (1, 64))
    return Exact(
        not shared,
        shared,
        "trained slopes per layer",
        f"the slope is trained by gradient descent: a parameter, not a hyper-parameter. PyTorch's default is {shared} "
        f"for a whole layer; one per neuron ({own} of them at width 64) is an option",
    )


def prelu_parameter_count() -> Exact:
    """C31: the share of PReLU's slopes in the parameters of the study's network for 28 × 28 images, 5 × 64 units."""
    others = sum((fan_in + 1) * fan_out for fan_in, fan_out in ((784, 64), *[(64, 64)] * 4, (64, 10)))
    own = 5 * 64 / (others + 5 * 64)
    return Exact(
        own > 0.1,
        own,
        "share of all parameters",
        f"of five layers of 64 units on 28 × 28 pixels, {others:,} parameters, the slopes are 5 if shared and 320 if "
        f"each neuron has its own: {own:z.2%} of all",
    )


def elu_properties() -> Exact:
    """C35: E φ(z) and the slope far left."""
    elu, relu, selu = _mean("ELU"), _mean("ReLU"), _mean("SELU")
    slope = float(_response("ELU").slope(np.array([-10.0]))[0])
    return Exact(
        abs(elu) < 0.1 * relu and slope < 1e-3,
        elu,
        "mean output",
        f"it saturates on one side (slope {slope:z.1g} at -10), but for inputs from N(0, 1) its mean output is "
        f"{elu:z.3f}: nearer to zero than ReLU's {relu:z.3f}, and not at it as SELU's {abs(selu):z.3f}",
    )


def extra_hyperparameters() -> Exact:
    """C37: Leaky ReLU and ELU take a number that nothing trains."""
    modules = nn.LeakyReLU(0.01), nn.ELU(1.0)
    trained = sum(p.numel() for module in modules for p in module.parameters())
    given = (modules[0].negative_slope, modules[1].alpha)
    return Exact(
        trained == 0 and given == (0.01, 1.0),
        1,
        "untrained numbers each",
        f"the slope ({given[0]:zg} by default) and α ({given[1]:zg}) are given, not trained; ReLU has none",
    )


def _response(name: str, *arguments: float) -> theory.Response:
    """The response of a class of torch.nn; an argument is the slope of a Leaky ReLU."""
    entry = {"class": name} | ({"negative_slope": arguments[0]} if arguments else {})
    return theory.response(from_entry(name, entry), training=False)


def _mean(name: str, *arguments: float) -> float:
    return theory.gaussian_mean(_response(name, *arguments).mean)


COMPUTATIONS: dict[str, Callable[[], Exact]] = {
    function.__name__: function
    for function in (
        sigmoid_slope,
        sigmoid_gradient,
        sigmoid_product,
        uniform_product,
        relu_gradient_factor,
        shared_sign,
        dead_unit_returns,
        leaky_never_dies,
        leaky_negative_slope,
        leaky_mean,
        rrelu_statements,
        prelu_parameter,
        prelu_parameter_count,
        elu_properties,
        extra_hyperparameters,
    )
}
