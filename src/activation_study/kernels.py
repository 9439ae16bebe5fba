"""One hidden layer's activation for R replicas at once, with its backward pass written out.

A kernel computes out = φ(h) and out = grad · φ′(h) into buffers of the caller's, h being [R, B, W] (replicas, samples,
units). PyTorch's own kernels serve where it has them; every other activation takes a local autograd call.

The figures in the comments are nanoseconds per element, float32, [24, 128, 64], one thread, AMD Zen 3 (AVX2), torch
2.14.1, "PyTorch" being its module and autograd.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache

import torch
from torch import Tensor, nn
from torch.func import functional_call

from activation_study.activations import Activation, SlopeDistribution, slope_distribution
from activation_study.seeds import generator, seed_of

aten = torch.ops.aten

# Noise pools hold at least this many numbers a replica, and at least POOL_WINDOWS times what one layer uses in a step.
POOL_SIZE = 2**18
POOL_WINDOWS = 8


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

    def build() -> nn.Module:
        return activation.module(width).to(device=device, dtype=dtype)

    module = build()
    distribution = slope_distribution(module)
    if distribution is not None:
        return RandomSlope(distribution, seeds, layer, dtype, device)
    if type(module) is nn.PReLU:
        return LearnableSlope(module.weight, replicas)
    if type(module) in CLOSED_FORMS:
        return Elementwise(*CLOSED_FORMS[type(module)](module))
    if activation.learnable:
        return Autograd([_seeded(build, seed_of("activation", seed, layer)) for seed in seeds], seeds, layer)
    return Autograd([module], seeds, layer)


def _seeded(build: Callable[[], nn.Module], seed: int) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build()


class LayerKernel:
    """What the trainer asks of an activation; the base has no parameters and no noise.

    Attributes:
        parameters: name -> [R, ...], one instance per replica.
        gradients: name -> [R, ...], filled by `backward`, summed over samples.
    """

    def __init__(self) -> None:
        self.parameters: dict[str, Tensor] = {}
        self.gradients: dict[str, Tensor] = {}

    def draw(self, step: int) -> None:
        """Fix the noise of this step: a pure function of (seed of the replica, layer, step)."""

    def forward(self, h: Tensor, out: Tensor, training: bool = True) -> Tensor:
        """out = φ(h), both [R, B, W]; out is not h."""
        raise NotImplementedError

    def backward(self, h: Tensor, x: Tensor, grad: Tensor, out: Tensor) -> Tensor:
        """out = grad · φ′(h) in training mode, and the gradients of the parameters.

        Args:
            h: pre-activations [R, B, W].
            x: φ(h) as `forward` computed it.
            grad: gradient with respect to x.
            out: where the gradient with respect to h goes; may be grad itself.
        """
        raise NotImplementedError

    def derivative(self, h: Tensor) -> Tensor:
        """φ′(h) in evaluation mode, element by element, as a new tensor."""
        raise NotImplementedError


Forward = Callable[[Tensor, Tensor], object]
Backward = Callable[[Tensor, Tensor, Tensor, Tensor], object]


class Elementwise(LayerKernel):
    """A fixed function with its backward written out.

    Args:
        forward: (h, out).
        backward: (h, x, grad, out).
        exact: a slower backward whose relative error is small even where φ′ all but vanishes, for `derivative`.
    """

    def __init__(self, forward: Forward, backward: Backward, exact: Backward | None = None) -> None:
        super().__init__()
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
        return _slope_forward(h, self._excess(), out)

    def backward(self, h: Tensor, x: Tensor, grad: Tensor, out: Tensor) -> Tensor:
        (product,) = _scratch(h, 1)
        torch.clamp(h, max=0, out=product).mul_(grad)
        gradient = self.gradients["weight"]
        shared = gradient.shape[1] == 1
        torch.sum(product, (1, 2) if shared else 1, out=gradient.squeeze(1) if shared else gradient)
        return _slope_backward(h, self._excess(), grad, out)

    def derivative(self, h: Tensor) -> Tensor:
        out = torch.ones_like(h)
        return _slope_backward(h, self._excess(), out, out)


class RandomSlope(LayerKernel):
    """RReLU and PaperRReLU: the negative slope is drawn anew for each element at each step.

    Drawing costs more than all the rest, so the slopes of a step are a window of a pool drawn beforehand. Each replica has
    its pool; the window's place depends on layer and step. (Forward .58, PyTorch 8.1; backward .67, PyTorch .7.)
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
        self._distribution = distribution
        self._seeds = tuple(seeds)
        self._layer = layer
        self._evaluation = torch.tensor(distribution.evaluation - 1, dtype=dtype, device=device)
        self.draw(0)

    def draw(self, step: int) -> None:
        self._place = seed_of("activation noise", self._layer, step)

    def _excess(self, h: Tensor) -> Tensor:
        used = h[0].numel()
        size = max(POOL_SIZE, POOL_WINDOWS * used)
        pool = _pool(self._distribution, self._seeds, size, h.dtype, h.device)
        start = self._place % (size - used + 1)
        return pool[:, start : start + used].view(h.shape)

    def forward(self, h: Tensor, out: Tensor, training: bool = True) -> Tensor:
        return _slope_forward(h, self._excess(h) if training else self._evaluation, out)

    def backward(self, h: Tensor, x: Tensor, grad: Tensor, out: Tensor) -> Tensor:
        return _slope_backward(h, self._excess(h), grad, out)

    def derivative(self, h: Tensor) -> Tensor:
        out = torch.ones_like(h)
        return _slope_backward(h, self._evaluation, out, out)


@lru_cache(maxsize=4)
def _pool(
    distribution: SlopeDistribution, seeds: tuple[int, ...], size: int, dtype: torch.dtype, device: torch.device
) -> Tensor:
    """Slope minus one, [R, size], shared by all layers: equidistant quantiles, shuffled, so the pool's law is exact."""
    ranks = {seed: torch.randperm(size, generator=generator("activation noise", seed)) for seed in seeds}
    u = torch.stack([ranks[seed] for seed in seeds]).to(torch.float64).add_(0.5).div_(size)
    return distribution.quantile(u).sub_(1).to(device=device, dtype=dtype)


class Autograd(LayerKernel):
    """Any other activation: a local autograd call.

    Args:
        modules: one per replica if it is learnable, else a single one.
    """

    def __init__(self, modules: Sequence[nn.Module], seeds: Sequence[int], layer: int) -> None:
        super().__init__()
        self._module = modules[0]
        self._seeds = tuple(seeds)
        self._layer = layer
        self._step = 0
        named = [dict(module.named_parameters()) for module in modules]
        self.parameters = {k: torch.stack([n[k].detach() for n in named]) for k, p in named[0].items() if p.requires_grad}
        self.gradients = {name: torch.zeros_like(p) for name, p in self.parameters.items()}

    def draw(self, step: int) -> None:
        self._step = step

    def _apply(self, h: Tensor, parameters: Mapping[str, Tensor], training: bool) -> Tensor:
        """φ(h), replica by replica, since the module sees [samples, units] and draws from a replica's own stream."""
        self._module.train(training)
        devices = [h.device] if h.device.type == "cuda" else []
        rows = []
        with torch.random.fork_rng(devices=devices):
            for replica, seed in enumerate(self._seeds):
                torch.manual_seed(seed_of("activation noise", seed, self._layer, self._step))
                own = {name: p[replica] for name, p in parameters.items()}
                rows.append(functional_call(self._module, own, (h[replica],)))
        return torch.stack(rows)

    def forward(self, h: Tensor, out: Tensor, training: bool = True) -> Tensor:
        with torch.no_grad():
            return out.copy_(self._apply(h, self.parameters, training))

    def backward(self, h: Tensor, x: Tensor, grad: Tensor, out: Tensor) -> Tensor:
        gradient, *rest = self._differentiate(h, self.parameters, grad, training=True)
        for stored, new in zip(self.gradients.values(), rest, strict=True):
            stored.copy_(new)
        return out.copy_(gradient)

    def derivative(self, h: Tensor) -> Tensor:
        return self._differentiate(h, {}, torch.ones_like(h), training=False)[0]
