"""Networks as users write them, for the entries of a config."""

from torch import nn


class Block(nn.Module):
    def __init__(self, width, activation):
        super().__init__()
        self.first, self.norm = nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width)
        self.phi, self.second = activation(), nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x):
        # One module for two activations, as torchvision has it.
        return self.phi(x + self.second(self.phi(self.norm(self.first(x)))))


def residual(activation, depth, width, shape, classes, hidden=10):
    """Of images: an activation, blocks of two, and one before the logits."""
    blocks = [Block(width, activation) for _ in range((depth - 2) // 2)]
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, hidden), activation(), nn.Linear(hidden, classes)]
    return nn.Sequential(nn.Conv2d(shape[0], width, 3, stride=2, padding=1), activation(), *blocks, *head)


def plain(activation, depth, width, shape, classes):
    """Of any data."""
    sizes = [shape[0], *[width] * depth]
    layers = [layer for i in range(depth) for layer in (nn.Linear(*sizes[i : i + 2]), activation())]
    return nn.Sequential(nn.Flatten(), *layers, nn.Linear(width, classes))


def noisy(activation, depth, width, shape, classes):
    return nn.Sequential(plain(activation, depth, width, shape, width), nn.Dropout(0.5), nn.Linear(width, classes))


def without(activation, depth, width, shape, classes):
    return nn.Linear(shape[0], classes)


def broken(activation, depth, width, shape, classes):
    raise ValueError("no such thing")
