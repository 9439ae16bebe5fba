"""The families of networks as a user would write them in PyTorch, one network at a time."""

import math

import torch
from torch import nn

from activation_study.networks.normalisation import noise_numbers

HEADS = 4


class NoisyBatchNorm(nn.Module):
    """A site's noisy batch normalisation: numbers of the step that training is at, the rest in the open."""

    def __init__(self, units, site, replica):
        super().__init__()
        self.norm, self.site, self.replica = nn.BatchNorm1d(units), site, replica

    def forward(self, h):
        rows = h.movedim(1, -1)
        flat = self.norm(rows.flatten(0, -2))
        if self.training:
            n, units = flat.shape
            numbers = self.site.norm.noise.window(noise_numbers(n, units))[self.replica]
            scale, shift = numbers[: 2 * units].view(2, units)
            scales, shifts = numbers[2 * units :].view(2, n, units)
            flat = flat * (1 + 0.25 * scale + 0.1 * scales) + 0.5 * shift + 0.1 * shifts
        return flat.view(rows.shape).movedim(-1, 1)


class Phi(nn.Module):
    """Normalisation and activation of channels first; ``h`` is what the activation was given."""

    def __init__(self, network, replica, number, axes):
        super().__init__()
        units, site = network.layers[number].units, network.sites[number]
        self.norm = {
            "none": lambda: nn.Identity(),
            "batch": lambda: nn.BatchNorm2d(units) if axes == 2 else nn.BatchNorm1d(units),
            "noisy_batch": lambda: NoisyBatchNorm(units, site, replica),
            "group": lambda: nn.GroupNorm(math.gcd(units, 8), units),
        }[network.factors.normalisation]()
        self.phi, self.shift = network.activation.module(units), site.shift

    def forward(self, x):
        self.h = self.norm(x)
        if self.h.requires_grad:
            self.h.retain_grad()
        return self.phi(self.h) - self.shift


class MLP(nn.Module):
    def __init__(self, network, replica):
        super().__init__()
        width = network.factors.width
        sizes = [network.features, *[width] * network.depth]
        self.layers = nn.ModuleList(
            nn.Sequential(nn.Linear(below, width), Phi(network, replica, i, 0)) for i, below in enumerate(sizes[:-1])
        )
        self.head = nn.Linear(width, network.classes)

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return self.head(x)


class ResidualMLP(nn.Module):
    def __init__(self, network, replica):
        super().__init__()
        width = network.factors.width
        self.stem = nn.Linear(network.features, width)
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.LayerNorm(width), nn.Linear(width, width), Phi(network, replica, i, 0), nn.Linear(width, width)
            )
            for i in range(network.depth)
        )
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, network.classes)

    def forward(self, x):
        x = self.stem(x)
        for block in self.blocks:
            x = x + block(x)
        return self.head(self.norm(x))


class _Convolutional(nn.Module):
    def __init__(self, network, replica, strides):
        super().__init__()
        self.shape, self.axes = network.shape, len(network.shape) - 1
        conv = (nn.Conv1d, nn.Conv2d)[self.axes - 1]
        self.layers, channels, width = nn.ModuleList(), self.shape[-1], network.factors.width
        for number in range(network.depth):
            phi = Phi(network, replica, number, self.axes)
            self.layers.append(self.block(conv, channels, width, strides[number], phi))
            channels = width
        self.head = nn.Linear(width, network.classes)

    def forward(self, x):
        x = x.unflatten(-1, self.shape).movedim(-1, 1)
        for layer in self.layers:
            x = layer(x)
        return self.head(x.flatten(2).mean(2))


class Convolutional(_Convolutional):
    @staticmethod
    def block(conv, channels, width, stride, phi):
        return nn.Sequential(conv(channels, width, 3, stride=stride, padding=1), phi)


class Skip(nn.Module):
    def __init__(self, down, inside):
        super().__init__()
        self.down, self.inside = down, inside

    def forward(self, x):
        x = self.down(x)
        return x + self.inside(x)


class ResidualConvolutional(_Convolutional):
    @staticmethod
    def block(conv, channels, width, stride, phi):
        wide = {"kernel_size": 3, "padding": 1}
        down = conv(channels, width, stride=stride, **wide) if stride > 1 else nn.Identity()
        return Skip(down, nn.Sequential(conv(width, width, **wide), phi, conv(width, width, **wide)))


class Block(nn.Module):
    def __init__(self, network, replica, number, gated):
        super().__init__()
        width, hidden = network.factors.width, network.layers[number].units
        self.norm = nn.LayerNorm(width)
        self.attention = nn.MultiheadAttention(width, HEADS, batch_first=True)
        self.second, self.up = nn.LayerNorm(width), nn.Linear(width, hidden)
        self.phi = Phi(network, replica, number, 1)
        self.gate = nn.Linear(width, hidden) if gated else None
        self.down = nn.Linear(hidden, width)

    def forward(self, x):
        normed = self.norm(x)
        x = x + self.attention(normed, normed, normed)[0]
        normed = self.second(x)
        inside = self.phi(self.up(normed).transpose(1, 2)).transpose(1, 2)
        return x + self.down(inside * self.gate(normed) if self.gate else inside)


class Transformer(nn.Module):
    def __init__(self, network, replica, gated=False):
        super().__init__()
        width, self.shape = network.factors.width, network.shape
        self.sides = [-(-size // (10, 4)[len(self.shape) - 2]) for size in self.shape[:-1]]
        count = math.prod(-(-size // side) for size, side in zip(self.shape, self.sides, strict=False))
        self.embed = nn.Linear(math.prod(self.sides) * self.shape[-1], width)
        self.places = nn.Parameter(torch.empty(count, width))
        self.blocks = nn.ModuleList(Block(network, replica, i, gated) for i in range(network.depth))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, network.classes)

    def forward(self, x):
        x = self.embed(self.patches(x.unflatten(-1, self.shape))) + self.places
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x).mean(1))

    def patches(self, x):
        """Cut out one by one."""
        sizes, sides = self.shape[:-1], self.sides
        if len(sides) == 1:
            corners = [(i,) for i in range(0, sizes[0], sides[0])]
        else:
            corners = [(i, j) for i in range(0, sizes[0], sides[0]) for j in range(0, sizes[1], sides[1])]
        found = []
        for corner in corners:
            whole = x.new_zeros(len(x), *sides, self.shape[-1])
            part = x[:, *(slice(at, at + side) for at, side in zip(corner, sides, strict=True))]
            whole[:, *(slice(size) for size in part.shape[1:-1])] = part
            found.append(whole.flatten(1))
        return torch.stack(found, 1)


class GatedTransformer(Transformer):
    def __init__(self, network, replica):
        super().__init__(network, replica, gated=True)


def plain(network, replica, strides=()):
    """The network of one replica, in float64, with its own copy of the parameters."""
    family = network.factors.network
    kinds = {"mlp": MLP, "residual_mlp": ResidualMLP, "transformer": Transformer, "gated_transformer": GatedTransformer}
    if "convolutional" in family:
        model = {"convolutional": Convolutional, "residual_convolutional": ResidualConvolutional}[family](
            network, replica, strides
        )
    else:
        model = kinds[family](network, replica)
    model.double()
    for mine, theirs in pairs(model, network, replica):
        mine.data.copy_(theirs)
    return model


def pairs(model, network, replica):
    """(the model's parameter, a replica's in its layout) for all of them."""
    left = iter(network.parameters)

    def two(weight, bias):
        stacked = next(left)[replica], next(left)[replica]
        if weight.dim() == 1:
            yield weight, stacked[0].view(weight.shape)
        else:
            back = stacked[0].view(*weight.shape[2:], weight.shape[1], weight.shape[0])
            yield weight, back.movedim((-1, -2), (0, 1))
        yield bias, stacked[1].view(bias.shape)

    for name, module in model.named_modules():
        if isinstance(module, nn.MultiheadAttention):
            yield from two(module.in_proj_weight, module.in_proj_bias)
        elif isinstance(module, nn.Linear | nn.Conv1d | nn.Conv2d | nn.LayerNorm | nn.GroupNorm):
            yield from two(module.weight, module.bias)
            if name == "embed":
                yield model.places, next(left)[replica]
    for module in (m for m in model.modules() if isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d)):
        yield from two(module.weight, module.bias)
    for phi in (m for m in model.modules() if isinstance(m, Phi)):
        for parameter in phi.phi.parameters():
            yield parameter, next(left)[replica]
