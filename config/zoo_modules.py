"""Activations of the zoo that learn: modules of one's own, as `zoo.yaml` names them, with the parameters of a layer."""

import torch
from torch import Tensor, nn


class Swish(nn.Module):
    """x σ(βx), β = 1 at first. Source: Ramachandran, Zoph & Le (2017), arXiv:1710.05941."""

    def __init__(self) -> None:
        super().__init__()
        self.beta = nn.Parameter(torch.ones(()))

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(self.beta * x)


class Snake(nn.Module):
    """x + sin²(ax)/a, a = 1 at first. Source: Ziyin, Hartwig & Ueda (2020), arXiv:2006.08195."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Parameter(torch.ones(()))

    def forward(self, x: Tensor) -> Tensor:
        return x + torch.sin(self.a * x) ** 2 / self.a


class PELU(nn.Module):
    """(a/b) x for x ≥ 0, a (exp(x/b) − 1) below; a = b = 1 at first, and at least 0.1.

    Source: Trottier, Giguère & Chaib-draa (2017), arXiv:1605.09332.
    """

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Parameter(torch.ones(()))
        self.b = nn.Parameter(torch.ones(()))

    def forward(self, x: Tensor) -> Tensor:
        a, b = self.a.clamp(min=0.1), self.b.clamp(min=0.1)
        return a / b * x.clamp(min=0) + a * torch.expm1(x.clamp(max=0) / b)


class AReLU(nn.Module):
    """(1 + σ(β)) x for x ≥ 0, αx below, α in [0.01, 0.99]; α = 0.9, β = 2 at first.

    Source: Chen, Li & Xu (2020), arXiv:2006.13858.
    """

    def __init__(self) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.tensor(0.9))
        self.beta = nn.Parameter(torch.tensor(2.0))

    def forward(self, x: Tensor) -> Tensor:
        return torch.where(x >= 0, (1 + torch.sigmoid(self.beta)) * x, self.alpha.clamp(0.01, 0.99) * x)


class PAU(nn.Module):
    """Padé activation unit: a polynomial of degree 5 over 1 + |b₁x + … + b₄x⁴|, at first near a leaky ReLU's.

    Source: Molina, Schramowski & Kersting (2020), arXiv:1907.06732.
    """

    def __init__(self) -> None:
        super().__init__()
        self.above = nn.Parameter(
            torch.tensor([0.02996348, 0.61690165, 2.37539147, 3.06608078, 1.52474449, 0.25281987])
        )
        self.below = nn.Parameter(torch.tensor([1.19160814, 4.40811795, 0.91111034, 0.34885983]))

    def forward(self, x: Tensor) -> Tensor:
        above, below = self.above[-1], self.below[-1]
        for coefficient in self.above[:-1].flip(0):
            above = above * x + coefficient
        for coefficient in self.below[:-1].flip(0):
            below = below * x + coefficient
        return above / (1 + (below * x).abs())
