"""Activations of one's own, as a user would write them."""

import torch
from torch import nn


class LearnedSwish(nn.Module):
    def __init__(self, beta=1.0):
        super().__init__()
        self.beta = nn.Parameter(torch.tensor(float(beta)))

    def forward(self, x):
        return x * torch.sigmoid(self.beta * x)


class OddReLU(nn.ReLU):
    """A subclass of a torch.nn class that is not what its base is."""

    def forward(self, x):
        return super().forward(x) - 0.1 * x


class RandomStart(nn.Module):
    def __init__(self):
        super().__init__()
        self.slope = nn.Parameter(torch.rand(()))

    def forward(self, x):
        return torch.where(x > 0, x, self.slope * x)


class SlowReLU(nn.Module):
    """ReLU, and 50 exponentials for nothing."""

    def forward(self, x):
        for _ in range(50):
            x.detach().exp()
        return torch.relu(x)
