"""One hidden layer's activation for R replicas at once, with its backward pass written out.

A kernel computes φ(h) and grad · φ′(h) into the caller's buffers, all [R, B, W] (replicas, samples, units).
The usual activations have closed forms; every other one takes a local autograd call.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call

from activation_study.activations.activation import Activation, SlopeDistribution, slope_distribution
from activation_study.core.seeds import seed_of
from activation_study.networks.closed_forms import (
    Backward,
    Forward,
    closed_form,
    overwrites,
    scratch,
    slope_backward,
    slope_forward,
)
from activation_study.networks.noise import Pool

SLOPES = "activation noise"
"""What random slopes call their noise."""


def layer_kernel(
    activation: Activation,
    replicas: int,
    width: int,
    *,
    dtype: torch.dtype,
    device: torch.device | str,
    seeds: Sequence[int],
    layer: int,
) -> LayerKernel:
    """The kernel of one hidden layer.

    Args:
        activation: what to apply.
        replicas: R.
        width: W, the units of the layer.
        dtype: of h and of the parameters, float32 or float64.
        device: of h and of the parameters.
        seeds: one per replica; noise and random initial parameters depend on (seed, layer, step) only.
        layer: the layer's number.
    """
    if len(seeds) != replicas:
        raise ValueError(f"{replicas} replicas need as many seeds, not {len(seeds)}")
    device = torch.device(device)

    def build(seed: int) -> nn.Module:
        drawn_from = seed_of("activation parameters", seed, layer)
        return activation.module(width, drawn_from).to(device=device, dtype=dtype)

    module = build(seeds[0])
    distribution = slope_distribution(module)
    if distribution is not None:
        return RandomSlope(distribution, seeds, layer, dtype, device)
    if type(module) is nn.PReLU:
        return LearnableSlope(module.weight, replicas)
    if activation.learnable or activation.stochastic or activation.drawn:
        return Autograd([build(seed) for seed in seeds], seeds, layer, activation.stochastic)
    formulas = closed_form(module) if type(module).__module__.startswith("torch.nn.") else None
    if formulas is not None:
        return Elementwise(*formulas, in_place=overwrites(module))
    return AutogradElementwise(module, capturable=activation.kind != "module")


class LayerKernel:
    """What the trainer asks of an activation. This base has no parameters and no noise.

    Attributes:
        parameters: name -> [R, ...], one instance per replica.
        gradients: name -> [R, ...], filled by `backward`, summed over samples.
        in_place: whether `forward` may write over h: `backward`, given x in its place, does the same.
        capturable: whether a CUDA graph can hold its training mode: all of it happens on the device, by one program.
    """

    in_place = False
    capturable = True

    def __init__(self) -> None:
        self.parameters: dict[str, Tensor] = {}
        self.gradients: dict[str, Tensor] = {}

    def draw(self, step: int) -> None:
        """Fix the noise of this step: a pure function of (seed of the replica, layer, step)."""

    def forward(self, h: Tensor, out: Tensor, training: bool = True) -> Tensor:
        """φ(h) into out, both [R, B, W], and apart in memory unless `in_place`. Returns out."""
        raise NotImplementedError

    def backward(self, h: Tensor, x: Tensor, grad: Tensor, out: Tensor) -> Tensor:
        """grad · φ′(h) in training mode into out, and the parameters' gradients into `gradients`.

        Args:
            h: pre-activations [R, B, W].
            x: φ(h) as `forward` computed it.
            grad: gradient with respect to x.
            out: may be grad itself.
        Returns:
            out.
        """
        raise NotImplementedError

    def derivative(self, h: Tensor) -> Tensor:
        """φ′(h) in evaluation mode, element by element, as a new tensor."""
        raise NotImplementedError


class Elementwise(LayerKernel):
    """A fixed function with its backward written out, see `closed_forms`.

    Args:
        forward: (h, out).
        backward: (h, x, grad, out).
        exact: for `derivative`, a slower backward whose relative error is small even where φ′ all but
        vanishes.
    """

    def __init__(
        self, forward: Forward, backward: Backward, exact: Backward | None = None, *, in_place: bool = False
    ) -> None:
        super().__init__()
        self.in_place = in_place
        self._forward = forward
        self._backward = backward
        self._exact = exact or backward

    def forward(self, h: Tensor, out: Tensor, training: bool = True) -> Tensor:
        self._forward(h, out)
        return out

    def backward(self, h: Tensor, x: Tensor, grad: Tensor, out: Tensor) -> Tensor:
        self._backward(h, x, grad, out)
        return out

    def derivative(self, h: Tensor) -> Tensor:
        x, out = torch.empty_like(h), torch.ones_like(h)
        self._forward(h, x)
        self._exact(h, x, out, out)
        return out


class LearnableSlope(LayerKernel):
    """PReLU: one slope for the layer (weight [R, 1]) or one per unit ([R, W])."""

    def __init__(self, weight: Tensor, replicas: int) -> None:
        super().__init__()
        self.parameters = {"weight": weight.detach().repeat(replicas, 1)}
        self.gradients = {"weight": torch.zeros_like(self.parameters["weight"])}

    def _excess(self) -> Tensor:
        return (self.parameters["weight"] - 1).unsqueeze(1)

    def forward(self, h: Tensor, out: Tensor, training: bool = True) -> Tensor:
        return slope_forward(h, self._excess(), out)

    def backward(self, h: Tensor, x: Tensor, grad: Tensor, out: Tensor) -> Tensor:
        (product,) = scratch(h, 1)
        torch.clamp(h, max=0, out=product).mul_(grad)
        gradient = self.gradients["weight"]
        if gradient.shape[1] == 1:
            torch.sum(product.flatten(1), 1, keepdim=True, out=gradient)
        else:
            torch.sum(product, 1, out=gradient)
        return slope_backward(h, self._excess(), grad, out)

    def derivative(self, h: Tensor) -> Tensor:
        out = torch.ones_like(h)
        return slope_backward(h, self._excess(), out, out)


class RandomSlope(LayerKernel):
    """RReLU and PaperRReLU: the negative slope is drawn anew for each element at each step.

    From a pool they take .5 and .6 ns per element forward and backward, against PyTorch's 8.3 and .4 (see
    `closed_forms`).
    """

    def __init__(
        self,
        distribution: SlopeDistribution,
        seeds: Sequence[int],
        layer: int,
        dtype: torch.dtype,
        device: torch.device,
    ) -> None:
        super().__init__()
        self._evaluation = torch.tensor(distribution.evaluation - 1, dtype=dtype, device=device)
        self.noise = Pool(SLOPES, distribution, 1.0, seeds, layer, dtype, device)

    def draw(self, step: int) -> None:
        self.noise.draw(step)

    def _excess(self, h: Tensor) -> Tensor:
        return self.noise.window(h[0].numel()).view(h.shape)

    def forward(self, h: Tensor, out: Tensor, training: bool = True) -> Tensor:
        return slope_forward(h, self._excess(h) if training else self._evaluation, out)

    def backward(self, h: Tensor, x: Tensor, grad: Tensor, out: Tensor) -> Tensor:
        return slope_backward(h, self._excess(h), grad, out)

    def derivative(self, h: Tensor) -> Tensor:
        out = torch.ones_like(h)
        return slope_backward(h, self._evaluation, out, out)


class AutogradElementwise(LayerKernel):
    """Any other fixed function; code of one's own may do on the way what a CUDA graph cannot hold."""

    def __init__(self, module: nn.Module, *, capturable: bool = True) -> None:
        super().__init__()
        self._module = module
        self.capturable = capturable

    def forward(self, h: Tensor, out: Tensor, training: bool = True) -> Tensor:
        with torch.no_grad():
            return out.copy_(self._apply(h, training))

    def backward(self, h: Tensor, x: Tensor, grad: Tensor, out: Tensor) -> Tensor:
        return self._differentiate(h, grad, out, training=True)

    def derivative(self, h: Tensor) -> Tensor:
        out = torch.ones_like(h)
        return self._differentiate(h, out, out, training=False)

    def _apply(self, h: Tensor, training: bool) -> Tensor:
        value: Tensor = self._module.train(training)(h.flatten(0, 1))  # a module expects [samples, units]
        return value.view(h.shape)

    def _differentiate(self, h: Tensor, grad: Tensor, out: Tensor, training: bool) -> Tensor:
        leaf = h.detach().requires_grad_()
        with torch.enable_grad():
            value = self._apply(leaf, training)
        (gradient,) = torch.autograd.grad(value, leaf, grad)
        return out.copy_(gradient)


class Autograd(LayerKernel):
    """Any other activation with parameters, noise or anything drawn when built: replica by replica, each with its own.

    Args:
        modules: one per replica.
    """

    capturable = False

    def __init__(self, modules: Sequence[nn.Module], seeds: Sequence[int], layer: int, stochastic: bool) -> None:
        super().__init__()
        self._modules = modules  # they may differ in more than what is trained
        self._stochastic = stochastic
        self._seeds = tuple(seeds)
        self._layer = layer
        self._step = 0
        learned = [name for name, p in modules[0].named_parameters() if p.requires_grad]
        self.parameters = {n: torch.stack([m.get_parameter(n).detach() for m in modules]) for n in learned}
        self.gradients = {name: torch.zeros_like(p) for name, p in self.parameters.items()}

    def draw(self, step: int) -> None:
        self._step = step

    def forward(self, h: Tensor, out: Tensor, training: bool = True) -> Tensor:
        with torch.no_grad():
            return out.copy_(self._apply(h, self.parameters, training))

    def backward(self, h: Tensor, x: Tensor, grad: Tensor, out: Tensor) -> Tensor:
        gradient, *rest = self._differentiate(h, grad, training=True)
        for stored, new in zip(self.gradients.values(), rest, strict=True):
            stored.copy_(new)
        return out.copy_(gradient)

    def derivative(self, h: Tensor) -> Tensor:
        return self._differentiate(h, torch.ones_like(h), training=False)[0]

    def _apply(self, h: Tensor, parameters: Mapping[str, Tensor], training: bool) -> Tensor:
        rows = []
        devices = [h.device] if h.device.type == "cuda" else []
        with torch.random.fork_rng(devices, enabled=self._stochastic):
            for replica, seed in enumerate(self._seeds):
                if self._stochastic:
                    torch.manual_seed(seed_of("activation noise", seed, self._layer, self._step))
                own = {name: p[replica] for name, p in parameters.items()}
                rows.append(functional_call(self._modules[replica].train(training), own, (h[replica],)))
        return torch.stack(rows)

    def _differentiate(self, h: Tensor, grad: Tensor, training: bool) -> tuple[Tensor, ...]:
        leaf = h.detach().requires_grad_()
        parameters = {name: p.detach().requires_grad_() for name, p in self.parameters.items()}
        with torch.enable_grad():
            value = self._apply(leaf, parameters, training)
        leaves = [leaf, *parameters.values()]
        return torch.autograd.grad(value, leaves, grad, allow_unused=True, materialize_grads=True)
