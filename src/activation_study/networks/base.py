"""What training and quantities ask of a network, and how an architecture is declared; without PyTorch."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from activation_study.core import registry
from activation_study.core.errors import StudyError
from activation_study.core.factors import Factors

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from activation_study.activations.activation import Activation
    from activation_study.networks.passes import Way

Visit = Callable[[int, "Tensor", "Tensor"], None]
"""``visit(layer, h, x)``: pre-activations and activations of a hidden layer, [R, N, units] or [R, N, positions, units].
"""


class Layer(NamedTuple):
    """A layer of the tables: its units, where its weight [R, fan-in, fan-out] stands among the parameters, and at how
    many positions of a sample each unit is, as a channel is at those of its map."""

    units: int
    weight: int
    positions: int = 1


class Network(Protocol):
    """R networks of one shape, which train as one: every tensor is stacked [R, ...].

    Attributes:
        layers: those with an activation, in the order of the forward pass, and the output; in the tables from 1.
        parameters: all that is trained. owners: the layer, from 1, that each of them belongs to.
        seeds: one per replica; the initial parameters and all noise are functions of it.
    """

    seeds: list[int]
    constants: Mapping[str, Any]
    replicas: int
    depth: int
    classes: int
    dtype: torch.dtype
    device: torch.device

    @property
    def layers(self) -> Sequence[Layer]: ...

    @property
    def owners(self) -> Sequence[int]: ...

    @property
    def parameters(self) -> list[Tensor]: ...

    @property
    def state(self) -> list[Tensor]:
        """The parameters, then what else a network carries: running statistics."""
        ...

    @property
    def parameter_count(self) -> int:
        """Trained parameters of one replica."""
        ...

    def like(self, seeds: Sequence[int], dtype: torch.dtype | None = None) -> Network:
        """A network of the same shape for other replicas, whose state is to be loaded."""
        ...

    def load(self, state: Sequence[Tensor]) -> None:
        """Copy the ``state`` of another network into this one's memory."""
        ...

    def divide(self, layer: int, by: Tensor) -> None:
        """Divide a layer's pre-activations, from 1, by a number for each replica [R], but for their initial bias.

        Asked for at initialisation alone, where ``initialisation`` is lsuv.
        """
        ...

    def draw(self, step: int) -> None:
        """Fix the noise of this step: a pure function of seed, layer and step."""
        ...

    def loss_and_gradients(
        self,
        inputs: Tensor,
        labels: Tensor,
        update: Callable[[int, Tensor], None],
        on_delta: Callable[[int, Tensor], None] | None = None,
    ) -> Tensor:
        """One forward and backward pass in training mode.

        Args:
            inputs: [R, B, features], contiguous.
            labels: [R, B], int64.
            update: called as ``update(index, gradient)`` once per tensor of ``parameters``, as soon as its gradient
                is known and no longer needed for the layers below; the gradient is contiguous, and its memory is used
                again after the call, with Adam in the next pass.
            on_delta: called as ``on_delta(layer, delta)`` for every hidden layer, from the last to the first, with
                δ = ∂(mean loss)/∂h [R, B, units] or [R, B, positions, units].

        Returns:
            The mean cross-entropy of each replica [R].
        """
        ...

    def logits(self, inputs: Sequence[Tensor], visit: Visit | None = None) -> Tensor:
        """Logits [R, N, classes] in evaluation mode for R tensors [N, features]."""
        ...

    def evaluate(
        self, inputs: Sequence[Tensor], labels: Sequence[Tensor], visit: Visit | None = None
    ) -> tuple[Tensor, Tensor]:
        """Mean cross-entropy [R] and accuracy [R] (float64) in evaluation mode, each replica on its own samples.

        Args:
            inputs: R tensors [N, features]; labels: R tensors [N].
        """
        ...

    def slope(self, layer: int, h: Tensor) -> Tensor:
        """φ′(h) of a hidden layer in evaluation mode, of the shape of h, whose last axis are the units."""
        ...


class Size(NamedTuple):
    """Numbers of one network: its parameters; the activations of a sample in all layers, and in the widest one."""

    parameters: int
    activations: int
    widest: int


class Build(Protocol):
    """Makes R networks, one for each seed, at initialisation; torch is imported by what it calls."""

    def __call__(
        self,
        activation: Activation,
        factors: Factors,
        constants: Mapping[str, Any],
        features: int,
        classes: int,
        seeds: Sequence[int],
        *,
        shape: tuple[int, ...],
        dtype: torch.dtype,
        device: torch.device | str,
    ) -> Network: ...


def through(way: Way) -> Build:
    """Makes the networks whose inputs take that way; PyTorch is imported where they are made."""

    def build(*arguments: Any, **kinds: Any) -> Network:
        from activation_study.networks.general import GeneralNetwork

        return GeneralNetwork(way, *arguments, **kinds)

    return build


@dataclass(frozen=True)
class Architecture:
    """A family of networks.

    Attributes:
        meaning: in the page's words, in the plural. build: makes the networks, of `depth` layers with an activation;
            `shape` is that of a sample, as in ``data.arrays``.
        flops: floating-point operations of a training step's sample, for a typical input; orders the jobs.
        size: of one network, by its factors and input features; the memory that jobs ask for rests on it.
        theory: whether mean-field theory of multilayer perceptrons applies.
        axes: that a sample needs at least: 1 where it is a series or an image, 2 for images alone.
        linear: whether each activation leads to a linear layer, which the factor ``centred`` needs.
        limits: raises StudyError for factors that it cannot have.
        together: whether its networks train at once; else one after the other.
    """

    name: str
    meaning: str
    build: Build
    flops: Callable[[Factors], float]
    size: Callable[[Factors, int], Size]
    theory: bool = False
    axes: int = 0
    linear: bool = True
    limits: Callable[[Factors], None] = lambda factors: None
    together: bool = True

    def check(self, factors: Factors, axes: int | None) -> None:
        """Before anything is trained, as far as it can be known then.

        Args:
            axes: of a sample of the dataset, without channels; None if its files will say it.

        Raises:
            StudyError: there can be no such network.
        """
        if axes is not None and axes < self.axes:
            raise unshaped(factors, self.axes)
        if factors.centred and not self.linear:
            raise uncentred(factors)
        self.limits(factors)


def unshaped(factors: Factors, axes: int) -> StudyError:
    """What is said where samples lack the axes that a network needs."""
    if axes > 1:
        return StudyError(f"network: {factors.network} needs images, which the samples of {factors.dataset} are not")
    return StudyError(
        f"network: {factors.network} needs series or images, and the samples of {factors.dataset} "
        "have no shape; mlp and residual_mlp take any data, and axes: says what an npz holds"
    )


def uncentred(factors: Factors) -> StudyError:
    """What is said where a layer that is not linear follows an activation."""
    return StudyError(
        f"centred: true needs a linear layer after each activation, which {factors.network} has not; "
        "mlp and residual_mlp have"
    )


def limits_of_modules(factors: Factors) -> None:
    """Raises StudyError where a factor asks for what is a module's own affair."""
    wanted = {"normalisation": ("none",), "centred": (False,), "initial_bias": (0.0,)}
    for name, allowed in (wanted | {"initialisation": ("torch_default", "lsuv")}).items():
        if (value := getattr(factors, name)) not in allowed:
            right = " or ".join(map(str, allowed))
            raise StudyError(f"{name}: {value} is not for {factors.network}, a module of one's own; {right} is")


def architecture(name: str, entry: Mapping[str, Any] | None) -> Architecture:
    """That of a family or, where the config has an ``entry`` of that name, of one's own modules.

    What torchvision's cost, and the memory they need, is counted; others are taken for residual convolutional networks.
    """
    if entry is None:
        return architectures()[name]

    def build(*arguments: Any, **kinds: Any) -> Network:
        from activation_study.networks.modules import ModuleNetwork

        return ModuleNetwork(entry, *arguments, **kinds)

    like = architectures()["residual_convolutional"]
    flops, size, axes = like.flops, like.size, 0
    if "class" in entry:
        from activation_study.networks.outline import counted

        (flops, size), axes = counted(entry, like), 2
    return Architecture(name, name, build, flops, size, axes=axes, limits=limits_of_modules, together=False)


@functools.cache
def architectures() -> dict[str, Architecture]:
    """Every architecture, by the name that the config uses."""
    return registry.declared("networks.architectures", Architecture)
