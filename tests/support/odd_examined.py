"""Activations of one's own with faults, or with random initial parameters."""

import os
import random

import numpy as np
import torch
from torch import nn

RNG = np.random.default_rng(0)


class Leaky(nn.Module):
    def slope(self, x):
        return 0.2

    def forward(self, x):
        return torch.where(x > 0, x, self.slope(x) * x)


class Numpy(Leaky):
    def slope(self, x):
        return np.random.rand() if self.training else 0.2


class Python(Leaky):
    def slope(self, x):
        return random.random() if self.training else 0.2


class OwnTorch(Leaky):
    def __init__(self):
        super().__init__()
        self.source = torch.Generator().manual_seed(0)

    def slope(self, x):
        return torch.rand(x.shape, generator=self.source).to(x) if self.training else 0.2


class OwnNumpy(Leaky):
    def slope(self, x):
        return float(RNG.random()) if self.training else 0.2


class System(Leaky):
    def slope(self, x):
        return os.urandom(1)[0] / 255 if self.training else 0.2


class NumpyStart(Leaky):
    def __init__(self):
        super().__init__()
        self.a = nn.Parameter(torch.tensor(np.random.rand()))

    def slope(self, x):
        return self.a


class Late(Leaky):
    def __init__(self):
        super().__init__()
        self.a = None

    def slope(self, x):
        if self.a is None:
            self.a = nn.Parameter(torch.full((x.shape[1],), 0.25, dtype=x.dtype))
        return self.a


class LateBuffer(Leaky):
    def slope(self, x):
        if not hasattr(self, "a"):
            self.register_buffer("a", torch.full((), 0.25, dtype=x.dtype))
        return self.a


class Counter(Leaky):
    calls = 0

    def slope(self, x):
        self.calls += 1
        return 0.2 if self.calls < 10_000 else 0.3


class Last(Leaky):
    last = None

    def slope(self, x):
        before, self.last = self.last, x.detach()
        return 0.2 if before is None else 0.2 + before.abs().mean()


class Running(Leaky):
    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.zeros(()))

    def slope(self, x):
        if self.training:
            self.mean.mul_(0.9).add_(0.1 * x.abs().mean())
        return 0.2 if self.training else 0.2 + self.mean


class Centred(nn.Module):
    def forward(self, x):
        return x - x.mean(0)


class Whitened(nn.Module):
    def forward(self, x):
        return x - x.mean(1, keepdim=True)


class Size(nn.Module):
    def forward(self, x):
        return x / len(x)


class Place(nn.Module):
    def forward(self, x):
        return x * torch.linspace(0.5, 1, len(x), dtype=x.dtype)[:, None]


class Ramp(nn.Module):
    def __init__(self, units=None):
        super().__init__()

    def forward(self, x):
        return x * torch.linspace(0.5, 1, x.shape[1], dtype=x.dtype)


class Slopes(nn.Module):
    def __init__(self, units):
        super().__init__()
        self.a = nn.Parameter(torch.full((units,), 0.25))

    def forward(self, x):
        return torch.where(x > 0, x, self.a * x)


class RandomParameter(Leaky):
    def __init__(self):
        super().__init__()
        self.a = nn.Parameter(torch.rand(1))

    def slope(self, x):
        return self.a


class RandomBuffer(Leaky):
    def __init__(self):
        super().__init__()
        self.register_buffer("a", torch.rand(1))

    def slope(self, x):
        return self.a


class RandomNumber(Leaky):
    def __init__(self):
        super().__init__()
        self.a = torch.rand(1).item()

    def slope(self, x):
        return self.a


class RandomUnits(nn.Module):
    def __init__(self, units):
        super().__init__()
        self.a = nn.Parameter(torch.rand(units))

    def forward(self, x):
        return torch.where(x > 0, x, self.a * x)


class Noisy(nn.Module):
    def forward(self, x):
        return x.relu() + (torch.randn_like(x) if self.training else 0)


class Naive(nn.Module):
    def forward(self, x):
        return torch.log(1 + torch.exp(x))


class InFloat32(nn.Module):
    def forward(self, x):
        return torch.nn.functional.silu(x.float()).to(x.dtype)


class PartlyInFloat32(nn.Module):
    def forward(self, x):
        return x * torch.sigmoid(x.float()).to(x.dtype)


class ReluInFloat32(nn.Module):
    def forward(self, x):
        return x.float().relu().to(x.dtype)


class Rounded(nn.Module):
    """A staircase whose derivative is passed straight through."""

    def forward(self, x):
        return x + (torch.round(x) - x).detach()


class Steep(nn.Module):
    def forward(self, x):
        return x + torch.tanh(1e4 * x) + 0.1 * torch.sin(50 * x)
