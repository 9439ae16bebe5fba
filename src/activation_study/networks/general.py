"""Stacked networks of any family: the family says which way inputs take, autograd finds back."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from activation_study.activations.activation import Activation
from activation_study.core.factors import Factors
from activation_study.core.seeds import generator
from activation_study.networks.base import Layer, Visit, uncentred
from activation_study.networks.initialisation import Product, initial_products
from activation_study.networks.kernels import layer_kernel
from activation_study.networks.normalisation import KINDS, BatchNorm
from activation_study.networks.passes import Affine, Normal, Pass, Wanted, Way
from activation_study.networks.scores import scores
from activation_study.networks.sites import Site, flat


class _Plan:
    """What the way of a family is made of, found by following it on tensors without numbers.

    Attributes:
        wanted: what the operations ask for, in their order. layers: those with an activation, and the output.
        owners: the layer, from 1, that each wanted part belongs to: that of the activation it leads to at once, else
            of the last one before it.
    """

    def __init__(self, way: Way, factors: Factors, features: int, classes: int, shape: tuple[int, ...]):
        self.wanted: list[Wanted] = []
        self.layers: list[Layer] = []
        self.owners: list[int] = []
        self._tensors = 0
        self._product = (0, 0)  # the last one's place among what is wanted, and its weight's among the parameters
        inputs = torch.empty(1, 1, features, device="meta")
        way(Pass(factors, classes, shape, self._take, self._apply), inputs)
        self.depth, (place, weight) = len(self.layers), self._product
        self.layers.append(Layer(classes, weight))
        self.owners[place] = len(self.layers)
        given_back = sum(one.centred for one in self.wanted if isinstance(one, Product))
        if factors.centred and given_back < self.depth:
            raise uncentred(factors)

    def _take(self, wanted: Wanted) -> list[Tensor]:
        shapes = _shapes(wanted)
        if isinstance(wanted, Product):
            self._product = len(self.wanted), self._tensors
        self.wanted.append(wanted)
        self.owners.append(max(1, len(self.layers)))
        self._tensors += len(shapes)
        return [torch.empty(1, *shape, device="meta") for shape in shapes]

    def _apply(self, h: Tensor) -> Tensor:
        place, weight = self._product
        product = self.wanted[place]
        assert isinstance(product, Product)
        self.layers.append(Layer(h.shape[-1], weight, math.prod(h.shape[2:-1])))
        self.wanted[place], self.owners[place] = product._replace(hidden=True), len(self.layers)
        return torch.empty_like(h)


class GeneralNetwork:
    """R networks through which inputs take the way of a family, see ``base.Network``.

    Args:
        way: see ``passes``.
        activation, factors, constants, features, classes, seeds, drawn: as those of ``StackedMLP``.
        shape: of a sample, see ``data.arrays``.

    Raises:
        StudyError: the family cannot be what the factors or the data ask for.
    """

    def __init__(
        self,
        way: Way,
        activation: Activation,
        factors: Factors,
        constants: Mapping[str, Any],
        features: int,
        classes: int,
        seeds: Sequence[int],
        *,
        shape: tuple[int, ...] = (),
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
        drawn: bool = True,
    ):
        self.way, self.activation, self.factors, self.constants = way, activation, factors, constants
        self.features, self.classes, self.shape, self.seeds = features, classes, shape, list(seeds)
        self.dtype, self.device, self.replicas = dtype, torch.device(device), len(self.seeds)
        self._plan = _Plan(way, factors, features, classes, shape)
        self.layers, self.depth = self._plan.layers, self._plan.depth
        self._stacked = self._drawn() if drawn else [self._zeros(s) for w in self._plan.wanted for s in _shapes(w)]
        shift = float(constants["mean"]) if factors.centred else 0.0
        self.sites = [self._site(number, layer.units, shift) for number, layer in enumerate(self.layers[:-1], 1)]
        self._leaves = [p.detach().requires_grad_() for p in self._stacked]  # which share its memory

    @property
    def parameters(self) -> list[Tensor]:
        norms = [p for site in self.sites if site.norm is not None for p in (site.norm.weight, site.norm.bias)]
        return self._stacked + norms + [p for site in self.sites for p in site.kernel.parameters.values()]

    @property
    def owners(self) -> list[int]:
        """See ``base.Network``."""
        sites = list(enumerate(self.sites, 1))
        stacked = [o for o, wanted in zip(self._plan.owners, self._plan.wanted, strict=True) for _ in _shapes(wanted)]
        norms = [number for number, site in sites for _ in site.gradients]
        return stacked + norms + [number for number, site in sites for _ in site.kernel.parameters]

    @property
    def state(self) -> list[Tensor]:
        """See ``base.Network``."""
        norms = [site.norm for site in self.sites if site.norm is not None]
        return self.parameters + [b for norm in norms for b in (norm.running_mean, norm.running_var)]

    @property
    def parameter_count(self) -> int:
        """Trained parameters of one replica."""
        return sum(p[0].numel() for p in self.parameters)

    def like(self, seeds: Sequence[int], dtype: torch.dtype | None = None) -> GeneralNetwork:
        """See ``base.Network``."""
        return GeneralNetwork(
            self.way,
            self.activation,
            self.factors,
            self.constants,
            self.features,
            self.classes,
            seeds,
            shape=self.shape,
            dtype=dtype or self.dtype,
            device=self.device,
            drawn=False,
        )

    def load(self, state: Sequence[Tensor]) -> None:
        """See ``base.Network``."""
        for mine, theirs in zip(self.state, state, strict=True):
            mine.copy_(theirs)

    def divide(self, layer: int, by: Tensor) -> None:
        """See ``base.Network``."""
        by, start = by.view(-1, 1, 1), self.factors.initial_bias if layer <= self.depth else 0.0
        weight, bias = self._stacked[self.layers[layer - 1].weight :][:2]
        weight.div_(by)
        bias.sub_(start).div_(by).add_(start)

    def draw(self, step: int) -> None:
        """See ``base.Network``."""
        for site in self.sites:
            site.draw(step)

    def loss_and_gradients(
        self,
        inputs: Tensor,
        labels: Tensor,
        update: Callable[[int, Tensor], None],
        on_delta: Callable[[int, Tensor], None] | None = None,
    ) -> Tensor:
        """See ``base.Network``; every gradient is known before the first update."""
        deltas, numbers = dict[int, Tensor](), itertools.count(1)

        def apply(site: Site, h: Tensor) -> Tensor:
            return site.train(h, functools.partial(deltas.__setitem__, next(numbers)) if on_delta else None)

        with torch.enable_grad():
            logits = self._follow(inputs, self._leaves, apply)
            losses = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="none")
            loss = losses.view(labels.shape).mean(1)
        gradients = [*torch.autograd.grad(loss.sum(), self._leaves)]
        if on_delta is not None:
            for layer in range(self.depth, 0, -1):
                on_delta(layer, flat(deltas[layer]))
        gradients += [g for site in self.sites for g in site.gradients]
        gradients += [g for site in self.sites for g in site.kernel.gradients.values()]
        for index, gradient in enumerate(gradients):
            update(index, gradient.contiguous())  # a fused optimiser walks through memory
        return loss.detach()

    @torch.no_grad()
    def logits(self, inputs: Sequence[Tensor], visit: Visit | None = None) -> Tensor:
        """See ``base.Network``."""
        numbers = itertools.count(1)

        def apply(site: Site, h: Tensor) -> Tensor:
            h, x = site.evaluate(h)
            if visit is not None:
                visit(next(numbers), flat(h), flat(x))
            return x

        return self._follow(torch.stack(list(inputs)), self._stacked, apply)

    def evaluate(
        self, inputs: Sequence[Tensor], labels: Sequence[Tensor], visit: Visit | None = None
    ) -> tuple[Tensor, Tensor]:
        """See ``base.Network``."""
        return scores(self.logits(inputs, visit), labels)

    def slope(self, layer: int, h: Tensor) -> Tensor:
        """See ``base.Network``."""
        return self.sites[layer - 1].kernel.derivative(h.flatten(1, -2)).view(h.shape)

    def _follow(self, inputs: Tensor, tensors: Sequence[Tensor], apply: Callable[[Site, Tensor], Tensor]) -> Tensor:
        """The logits, with these parameters and what is to be done at each site."""
        left, sites = iter(tensors), iter(self.sites)

        def take(wanted: Wanted) -> list[Tensor]:
            return [next(left) for _ in _shapes(wanted)]

        here = Pass(self.factors, self.classes, self.shape, take, lambda h: apply(next(sites), h))
        return self.way(here, inputs)

    def _site(self, layer: int, units: int, shift: float) -> Site:
        like: dict[str, Any] = {"seeds": self.seeds, "layer": layer, "dtype": self.dtype, "device": self.device}
        noisy = KINDS.get(self.factors.normalisation)
        norm = None if noisy is None else BatchNorm(self.replicas, units, noisy=noisy, **like)
        return Site(layer_kernel(self.activation, self.replicas, units, **like), norm, shift)

    def _drawn(self) -> list[Tensor]:
        seeded = {seed: list(self._initial(seed)) for seed in dict.fromkeys(self.seeds)}
        columns = zip(*(seeded[seed] for seed in self.seeds), strict=True)
        return [torch.stack(same).to(dtype=self.dtype, device=self.device) for same in columns]

    def _initial(self, seed: int) -> Iterator[Tensor]:
        """The parameters of one replica in float64, but for those of sites."""
        products = [wanted for wanted in self._plan.wanted if isinstance(wanted, Product)]
        drawn, others = iter(initial_products(seed, products, self.factors, self.constants)), generator(seed, "others")
        for wanted in self._plan.wanted:
            if isinstance(wanted, Product):
                weight, bias = next(drawn)
                yield from (weight, bias.unsqueeze(0))
            elif isinstance(wanted, Affine):
                yield from (torch.ones(1, wanted.units), torch.zeros(1, wanted.units))
            else:
                yield torch.randn(wanted.shape, generator=others, dtype=torch.float64) * wanted.sd

    def _zeros(self, shape: tuple[int, ...]) -> Tensor:
        return torch.zeros(self.replicas, *shape, dtype=self.dtype, device=self.device)


def _shapes(wanted: Wanted) -> list[tuple[int, ...]]:
    """Those of its tensors, of one replica."""
    match wanted:
        case Product(fan_in, units):
            return [(fan_in, units), (1, units)]
        case Affine(units):
            return [(1, units), (1, units)]
        case Normal(shape):
            return [shape]
