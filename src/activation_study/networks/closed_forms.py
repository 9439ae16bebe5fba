"""The activations of torch.nn whose forward and backward are written out on the caller's buffers.

PyTorch's own kernels serve, except where a composition of them is faster. Figures in the comments are
nanoseconds per element, forward and backward, against those of PyTorch's module and autograd: float32, [24,
128, 64], one thread, AMD Zen 3 (AVX2), torch 2.14.1.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache

import torch
from torch import Tensor, nn

aten = torch.ops.aten

Forward = Callable[[Tensor, Tensor], object]
Backward = Callable[[Tensor, Tensor, Tensor, Tensor], object]
WrittenOut = tuple[Forward, Backward] | tuple[Forward, Backward, Backward]


def closed_form(m: nn.Module) -> WrittenOut | None:
    """(forward, backward) of a module of torch.nn, plus an exact backward if that one is rough; else None.

    Forward takes (h, out), backward (h, x, grad, out), x being φ(h); out may be grad.
    """
    match m:
        case nn.Identity():
            return lambda h, out: out.copy_(h), lambda h, x, g, out: out.copy_(g)
        case nn.ReLU():
            return (
                lambda h, out: torch.clamp(h, min=0, out=out),
                lambda h, x, g, out: aten.threshold_backward.grad_input(g, h, 0, grad_input=out),
            )
        case nn.LeakyReLU(negative_slope=a):
            return (
                lambda h, out: aten.leaky_relu.out(h, a, out=out),
                lambda h, x, g, out: aten.leaky_relu_backward.grad_input(g, h, a, False, grad_input=out),
            )
        case nn.Sigmoid():
            return (
                lambda h, out: torch.sigmoid(h, out=out),
                lambda h, x, g, out: aten.sigmoid_backward.grad_input(g, x, grad_input=out),
            )
        case nn.Tanh():
            return (
                lambda h, out: torch.tanh(h, out=out),
                lambda h, x, g, out: aten.tanh_backward.grad_input(g, x, grad_input=out),
            )
        case nn.GELU(approximate=how):
            return (
                lambda h, out: aten.gelu.out(h, approximate=how, out=out),
                lambda h, x, g, out: aten.gelu_backward.grad_input(g, h, approximate=how, grad_input=out),
            )
        case nn.SiLU():
            return (
                lambda h, out: aten.silu.out(h, out=out),
                lambda h, x, g, out: aten.silu_backward.grad_input(g, h, grad_input=out),
            )
        case nn.Softplus(beta=beta, threshold=t):
            return (
                lambda h, out: aten.softplus.out(h, beta, t, out=out),
                lambda h, x, g, out: aten.softplus_backward.grad_input(g, h, beta, t, grad_input=out),
            )
        case nn.Hardtanh(min_val=low, max_val=high):  # ReLU6 is one
            return (
                lambda h, out: aten.hardtanh.out(h, low, high, out=out),
                lambda h, x, g, out: aten.hardtanh_backward.grad_input(g, h, low, high, grad_input=out),
            )
        case nn.Mish():
            return _mish, _mish_backward
        case nn.ELU(alpha=alpha):
            return _elu_family(alpha, 1.0, 1.0)
        case nn.CELU(alpha=alpha):
            return _elu_family(alpha, 1.0, 1 / alpha)
        case nn.SELU():
            return _elu_family(1.6732632423543772, 1.0507009873554805, 1.0)  # Klambauer et al. (2017), eq. 14
    return None


def overwrites(m: nn.Module) -> bool:
    """Whether forward may have h as its out: given x in its place, backward gives the same."""
    match m:
        case nn.Identity() | nn.ReLU() | nn.Sigmoid() | nn.Tanh():
            return True
        case nn.LeakyReLU(negative_slope=a):
            return a >= 0
    return False


def scratch(h: Tensor, count: int) -> tuple[Tensor, ...]:
    """Buffers like h, the same for all layers: nothing in them outlives one call."""
    return _allocated(h.shape, h.dtype, h.device, count)


def forget_scratch() -> None:
    """Let the next buffers be new ones: a CUDA graph must own those that it writes to."""
    _allocated.cache_clear()


@lru_cache(maxsize=16)
def _allocated(shape: torch.Size, dtype: torch.dtype, device: torch.device, count: int) -> tuple[Tensor, ...]:
    return tuple(torch.empty(shape, dtype=dtype, device=device) for _ in range(count))


# expm1(w) = w + w² S(w) on [-SPLIT, 0] with S(w) = S2 ((w + SHIFT)² + OFFSET), a Chebyshev fit: relative
# error below 1e-7.
SPLIT = 0.125
S2, SHIFT, OFFSET = 0.04014142, 2.075110414670175, 8.149867273365661


def _elu_family(alpha: float, scale: float, rate: float) -> WrittenOut:
    """scale · (max(z, 0) + alpha · expm1(rate · min(z, 0))): ELU, CELU and SELU.

    ELU 2.2 and .26 against 2.5 and 1.4; SELU 2.5 and .26 against 2.6 and 1.3. Where PyTorch's expm1 is slow
    the gain is larger: its ELU takes 10.9 forward on AMD Zen 5 (AVX-512).
    """
    factor = scale * alpha
    start = torch.tensor(SPLIT * math.log2(math.e))
    offset = torch.tensor(OFFSET * factor**2)

    def forward(h: Tensor, out: Tensor) -> None:
        aten.elu.out(h, alpha, scale, rate, out=out)

    def split_forward(h: Tensor, out: Tensor) -> None:
        """expm1 as the sum of two terms: the polynomial of rate · z cut to [-SPLIT, 0], and e^-SPLIT ·
        (e^(rate · z + SPLIT) - 1) below, exactly 0 above, where the rounding of the exponential does no harm.
        """
        if h.dtype != torch.float32 or h.device.type != "cpu":
            return forward(h, out)
        u, v = scratch(h, 2)
        torch.add(start, h, alpha=rate * math.log2(math.e), out=out).clamp_(max=0).exp2_().sub_(1)
        torch.clamp(h, min=-SPLIT / rate, out=u)
        if alpha * rate != 1:
            aten.leaky_relu_(u, alpha * rate)
        if scale != 1:
            u.mul_(scale)
        torch.add(u, out, alpha=factor * math.exp(-SPLIT), out=out)
        u.clamp_(max=0)  # factor · w, w being rate · z cut to [-SPLIT, 0]
        torch.add(u, SHIFT * factor, out=v)
        torch.addcmul(offset, v, v, out=v)
        torch.addcmul(out, u.square_(), v, value=S2 / factor**3, out=out)

    def exact_backward(h: Tensor, x: Tensor, g: Tensor, out: Tensor) -> None:
        aten.elu_backward.grad_input(g, alpha, scale, rate, False, h, grad_input=out)

    def backward(h: Tensor, x: Tensor, g: Tensor, out: Tensor) -> None:
        # φ′ = rate · (x + factor) below 0: no exponential, but an absolute error of one rounding of factor.
        aten.elu_backward.grad_input(g, alpha, scale, rate, True, x, grad_input=out)

    if not 1e-3 < alpha < 1e3:  # x does not tell the sign of h, or float32 does not hold the coefficients
        return forward, exact_backward
    return split_forward, backward, exact_backward


def _mish(h: Tensor, out: Tensor) -> None:
    """h · tanh(log(1 + eʰ)) = h · n / (n + 2) with n = eʰ(eʰ + 2): nothing cancels; beyond 20 the ratio is 1.

    2.1 and 3.0 against 7.8 and 9.0.
    """
    (n,) = scratch(h, 1)
    torch.clamp(h, max=20, out=out).exp_()
    torch.add(out, 2, out=n).mul_(out)
    torch.mul(h, n, out=out)
    out.div_(n.add_(2))


def _mish_backward(h: Tensor, x: Tensor, g: Tensor, out: Tensor) -> None:
    """φ′ = (n + 4h e(e + 1)/d) / d with e = eʰ, n = e(e + 2), d = n + 2."""
    e, n, t = scratch(h, 3)
    torch.clamp(h, max=20, out=e).exp_()
    torch.add(e, 2, out=n).mul_(e)
    torch.add(e, 1, out=t).mul_(e).mul_(h)
    d = torch.add(n, 2, out=e)
    t.div_(d)
    n.add_(t, alpha=4).div_(d)
    torch.mul(g, n, out=out)


def slope_forward(h: Tensor, excess: Tensor, out: Tensor) -> Tensor:
    """h + excess · min(h, 0), excess being the negative slope minus one."""
    torch.clamp(h, max=0, out=out)
    return torch.addcmul(h, out, excess, out=out)


def slope_backward(h: Tensor, excess: Tensor, grad: Tensor, out: Tensor) -> Tensor:
    """grad + grad · excess where h ≤ 0."""
    (change,) = scratch(h, 1)
    torch.le(h, 0, out=change).mul_(excess)
    return torch.addcmul(grad, grad, change, out=out)
