"""R networks that are modules of PyTorch: one's own, or torchvision's with other activations in their places."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from activation_study.activations.activation import Activation
from activation_study.core.errors import StudyError
from activation_study.core.factors import Factors
from activation_study.core.seeds import seed_of
from activation_study.networks.base import Visit, limits_of_modules
from activation_study.networks.kernels import layer_kernel
from activation_study.networks.places import Place, made
from activation_study.networks.scores import scores
from activation_study.networks.sites import Site, flat
from activation_study.networks.traced import Apply, Traced, matrix


class ModuleNetwork:
    """R modules of one kind, which train one after the other; see ``base.Network``.

    Their parameters are stacked: as they are where they have one axis, else as [R, fan-in, fan-out].

    Args:
        entry: the config's, see ``places``.
        activation, factors, constants, features, classes, seeds: as those of ``StackedMLP``.
        shape: of a sample, see ``data.arrays``.

    Raises:
        StudyError: the module cannot be made, or cannot be what the factors ask for.
    """

    def __init__(
        self,
        entry: Mapping[str, Any],
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
    ):
        limits_of_modules(factors)
        self.entry, self.activation, self.factors, self.constants = entry, activation, factors, constants
        self.features, self.classes, self.shape, self.seeds = features, classes, shape, list(seeds)
        self.dtype, self.device, self.replicas, self.depth = dtype, torch.device(device), len(self.seeds), factors.depth
        self._modules = [self._made(seed) for seed in self.seeds]
        names = [name for name, _ in self._modules[0].named_parameters()]
        found = self._traced(names)
        self.layers, self._axes, self._owners = found.layers, found.axes, found.owners
        if self.layers[-1].units != classes:
            raise StudyError(f"networks.{factors.network}: gives {self.layers[-1].units} logits for {classes} classes")
        self._stacked = [self._shared(name) for name in names]
        self._buffers = [self._shared_buffer(name) for name, _ in self._modules[0].named_buffers()]
        self._sites = [self._site(number, layer.units) for number, layer in enumerate(self.layers[:-1], 1)]
        kernels = [[site.kernel for site in row] for row in self._sites]
        self._learned = [_joint(row, "parameters", name) for row in kernels for name in row[0].parameters]
        self._learned_gradients = [_joint(row, "gradients", name) for row in kernels for name in row[0].gradients]
        self._step = 0

    @property
    def parameters(self) -> list[Tensor]:
        return self._stacked + self._learned

    @property
    def owners(self) -> list[int]:
        """See ``base.Network``."""
        return self._owners + [n for n, row in enumerate(self._sites, 1) for _ in row[0].kernel.parameters]

    @property
    def state(self) -> list[Tensor]:
        """See ``base.Network``."""
        return self.parameters + self._buffers

    @property
    def parameter_count(self) -> int:
        """Trained parameters of one replica."""
        return sum(p[0].numel() for p in self.parameters)

    def like(self, seeds: Sequence[int], dtype: torch.dtype | None = None) -> ModuleNetwork:
        """See ``base.Network``."""
        given = self.entry, self.activation, self.factors, self.constants, self.features, self.classes, seeds
        return ModuleNetwork(*given, shape=self.shape, dtype=dtype or self.dtype, device=self.device)

    def load(self, state: Sequence[Tensor]) -> None:
        """See ``base.Network``."""
        for mine, theirs in zip(self.state, state, strict=True):
            mine.copy_(theirs)

    def divide(self, layer: int, by: Tensor) -> None:
        """See ``base.Network``."""
        weight = self.layers[layer - 1].weight
        self._stacked[weight].div_(by.view(-1, 1, 1))
        names = [name for name, _ in self._modules[0].named_parameters()]
        bias = names[weight].removesuffix("weight") + "bias"
        if bias in names:
            self._stacked[names.index(bias)].div_(by.view(-1, 1))

    def draw(self, step: int) -> None:
        """See ``base.Network``."""
        self._step = step
        for site in itertools.chain.from_iterable(self._sites):
            site.draw(step)

    def loss_and_gradients(
        self,
        inputs: Tensor,
        labels: Tensor,
        update: Callable[[int, Tensor], None],
        on_delta: Callable[[int, Tensor], None] | None = None,
    ) -> Tensor:
        """See ``base.Network``; every gradient is known before the first update."""
        losses, gradients, deltas = [], [], list[dict[int, Tensor]]()
        for replica, module in enumerate(self._modules):
            found: dict[int, Tensor] = {}
            deltas.append(found)
            apply = self._training(replica, found if on_delta else None)
            with torch.enable_grad(), self._noise(replica):
                loss = F.cross_entropy(_call(module.train(), self._arranged(inputs[replica]), apply), labels[replica])
            each = torch.autograd.grad(loss, [*module.parameters()], allow_unused=True, materialize_grads=True)
            gradients.append([matrix(gradient) for gradient in each])
            losses.append(loss.detach())
        if on_delta is not None:
            for layer in range(self.depth, 0, -1):
                on_delta(layer, torch.cat([found[layer] for found in deltas]))
        stacked = [torch.stack(same) for same in zip(*gradients, strict=True)]
        for index, gradient in enumerate([*stacked, *self._learned_gradients]):
            update(index, gradient)
        return torch.stack(losses)

    @torch.no_grad()
    def logits(self, inputs: Sequence[Tensor], visit: Visit | None = None) -> Tensor:
        """See ``base.Network``; what is seen of all layers is held at once."""
        seen, logits = [list[tuple[Tensor, Tensor]]() for _ in range(self.depth)], []
        for replica, module in enumerate(self._modules):

            def apply(number: int, h: Tensor, replica: int = replica) -> Tensor:
                axis = self._axes[number - 1]
                h, x = self._sites[number - 1][replica].evaluate(h.movedim(axis, -1)[None])
                if visit is not None:
                    seen[number - 1].append((flat(h), flat(x)))
                return x[0].movedim(-1, axis)

            logits.append(_call(module.eval(), self._arranged(inputs[replica]), apply))
        if visit is not None:
            for number, pairs in enumerate(seen, 1):
                visit(number, *(torch.cat(same) for same in zip(*pairs, strict=True)))
        return torch.stack(logits)

    def evaluate(
        self, inputs: Sequence[Tensor], labels: Sequence[Tensor], visit: Visit | None = None
    ) -> tuple[Tensor, Tensor]:
        """See ``base.Network``."""
        return scores(self.logits(inputs, visit), labels)

    def slope(self, layer: int, h: Tensor) -> Tensor:
        """See ``base.Network``."""
        rows = h.flatten(1, -2)
        pairs = zip(self._sites[layer - 1], rows, strict=True)
        return torch.cat([site.kernel.derivative(each[None]) for site, each in pairs]).view(h.shape)

    def _training(self, replica: int, deltas: dict[int, Tensor] | None) -> Apply:
        def apply(number: int, h: Tensor) -> Tensor:
            def keep(delta: Tensor) -> None:
                if deltas is not None:
                    deltas[number] = flat(delta)

            axis, site = self._axes[number - 1], self._sites[number - 1][replica]
            return site.train(h.movedim(axis, -1)[None], keep)[0].movedim(-1, axis)

        return apply

    def _traced(self, names: Sequence[str]) -> Traced:
        module, name = self._modules[0].eval(), self.factors.network
        inputs = self._arranged(torch.zeros(2, self.features, **self._like))
        try:
            found = Traced(module, names, functools.partial(_call, module, inputs))
        except StudyError as error:
            raise StudyError(f"networks.{name}: {error}") from None
        if (count := len(found.layers) - 1) != self.depth:
            raise StudyError(f"depth: {self.depth} is asked for, but {name} has {count} activations")
        return found

    @property
    def _like(self) -> dict[str, Any]:
        return {"dtype": self.dtype, "device": self.device}

    def _arranged(self, inputs: Tensor) -> Tensor:
        """Samples [N, features] as PyTorch's modules expect them: channels first."""
        return inputs.view(-1, *self.shape).movedim(-1, 1) if self.shape else inputs

    def _made(self, seed: int) -> nn.Module:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed_of("network", seed))
            module = made(self.entry, self.factors, self.features, self.classes, self.shape)
        return module.to(**self._like)

    @contextmanager
    def _noise(self, replica: int) -> Iterator[None]:
        """Dropout and the like as a function of seed and step."""
        with torch.random.fork_rng([self.device] if self.device.type == "cuda" else []):
            torch.manual_seed(seed_of("network noise", self.seeds[replica], self._step))
            yield

    def _shared(self, name: str) -> Tensor:
        """The stacked parameters of that name, whose memory the modules take on."""
        each = [module.get_parameter(name) for module in self._modules]
        stacked = torch.stack([matrix(parameter.detach()) for parameter in each])
        for parameter, mine in zip(each, stacked, strict=True):
            parameter.data = mine.T.view(parameter.shape) if parameter.dim() > 1 else mine
        return stacked

    def _shared_buffer(self, name: str) -> Tensor:
        place, _, own = name.rpartition(".")
        stacked = torch.stack([module.get_buffer(name) for module in self._modules])
        for module, mine in zip(self._modules, stacked, strict=True):
            module.get_submodule(place)._buffers[own] = mine
        return stacked

    def _site(self, layer: int, units: int) -> list[Site]:
        """That of each replica."""
        kernel = functools.partial(layer_kernel, self.activation, 1, units, layer=layer, **self._like)
        return [Site(kernel(seeds=[seed]), None, 0.0) for seed in self.seeds]


def _call(module: nn.Module, inputs: Tensor, apply: Apply) -> Tensor:
    """The module's logits, with what is to be done at the places of its activations, one after the other."""
    numbers = itertools.count(1)
    places = [part for part in module.modules() if isinstance(part, Place)]
    for place in places:
        place.apply_here = lambda h: apply(next(numbers), h)
    logits: Tensor = module(inputs)
    return logits


def _joint(kernels: Sequence[Any], kind: str, name: str) -> Tensor:
    """Parameters or gradients of that name of each replica's kernel, stacked; they take on its memory."""
    stacked = torch.cat([getattr(kernel, kind)[name] for kernel in kernels])
    for replica, kernel in enumerate(kernels):
        getattr(kernel, kind)[name] = stacked[replica : replica + 1]
    return stacked
