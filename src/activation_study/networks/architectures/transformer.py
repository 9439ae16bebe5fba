"""Transformers on patches of series or of images, with a feed-forward part of φ or of its gated form."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from activation_study.core.errors import StudyError
from activation_study.core.factors import Factors
from activation_study.core.registry import torch
from activation_study.networks.base import Architecture, Size, through

if TYPE_CHECKING:
    from torch import Tensor

    from activation_study.networks.passes import Pass

HEADS = 4
ALONG = {1: 10, 2: 4}
"""Patches along each axis of a series and of an image."""
MOST = 16
"""Patches of a sample."""


def way(gated: bool, net: Pass, x: Tensor) -> Tensor:
    """Pre-norm blocks (Xiong et al. 2020) of attention and feed-forward part, and the mean over all patches.

    The feed-forward part is 4 widths of φ, or 8/3 widths of φ times a linear gate, which is as many parameters (Shazeer
    2020). The weights with which each part ends are those of its initialisation over √(2 · depth), as in GPT-2.
    """
    limits(net.factors)
    x = patches(net.shaped(x))
    x = net.linear(x, net.width) + net.numbers(x.shape[2], net.width, sd=0.02).unsqueeze(1)
    scale = (2 * net.depth) ** -0.5
    for _ in range(net.depth):
        x = x + net.linear(attention(net, net.layer_norm(x)), net.width, scale=scale)
        normed, hidden = net.layer_norm(x), inner(net.width, gated)
        inside = net.activate(net.linear(normed, hidden))
        if gated:
            inside = net.gate(inside, net.linear(normed, hidden))
        x = x + net.linear(inside, net.width, scale=scale)
    return net.linear(net.pool(net.layer_norm(x)), net.classes)


def limits(factors: Factors) -> None:
    """Raises StudyError where the heads cannot share the width."""
    if factors.width % HEADS:
        raise StudyError(f"width: {factors.width} is no multiple of {HEADS}, the heads of {factors.network}")


def inner(width: int, gated: bool) -> int:
    """Units of the feed-forward part."""
    return round(width * 8 / 3) if gated else 4 * width


def patches(x: Tensor) -> Tensor:
    """A sample's patches [R, B, patches, numbers] of x [R, B, length, C] or [R, B, height, width, C].

    What does not fill the last patch of an axis is filled with zeros.
    """
    axes = x.dim() - 3
    sides = [-(-size // ALONG[axes]) for size in x.shape[2:-1]]
    lacking = [-size % side for size, side in zip(x.shape[2:-1], sides, strict=True)]
    x = torch.nn.functional.pad(x, [0, 0, *(number for lack in reversed(lacking) for number in (0, lack))])
    counts = [size // side for size, side in zip(x.shape[2:-1], sides, strict=True)]
    split = [number for pair in zip(counts, sides, strict=True) for number in pair]
    x = x.view(*x.shape[:2], *split, x.shape[-1])
    along = [2 + 2 * axis for axis in range(axes)]
    x = x.permute(0, 1, *along, *(axis + 1 for axis in along), x.dim() - 1)
    return x.flatten(2, 1 + axes).flatten(3)


def attention(net: Pass, x: Tensor) -> Tensor:
    """What the heads, side by side, gather from all patches."""
    heads = net.linear(x, 3 * net.width).view(-1, x.shape[2], 3, HEADS, x.shape[-1] // HEADS)
    query, key, value = heads.transpose(1, 3).unbind(2)
    gathered = torch.nn.functional.scaled_dot_product_attention(query, key, value)
    return gathered.transpose(1, 2).flatten(2).view(x.shape)


def flops(factors: Factors) -> float:
    """Of a training step's sample, with an overhead per block."""
    return MOST * (6 * 12 * factors.width**2 * factors.depth + 1e5 * factors.depth)


def size(factors: Factors, features: int) -> Size:
    """Its weights, and its units at all patches."""
    width, depth = factors.width, factors.depth
    patch = -(-features // 10)
    return Size(width * ((12 * width + 13) * depth + patch + MOST), 13 * MOST * width * depth, 4 * MOST * width)


DECLARED = tuple(
    Architecture(
        name, meaning, through(functools.partial(way, gated)), flops, size, axes=1, linear=False, limits=limits
    )
    for name, meaning, gated in (
        ("transformer", "transformers", False),
        ("gated_transformer", "transformers with gated units", True),
    )
)
