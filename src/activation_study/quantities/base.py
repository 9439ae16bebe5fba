"""How a quantity is declared: once, in a file of ``measures``, from which the rest follows.

A :class:`LayerMetric` is a column of the table ``layers``, taken of each layer at each probe. A :class:`Measurement`
is taken where the config's ``measure`` names it, and gives rows of the table ``measurements``. Columns, the config's
choices, the data dictionary and the claims' metrics are made of the declarations, without PyTorch.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

from activation_study.core import registry

if TYPE_CHECKING:
    from torch import Tensor

    from activation_study.networks.base import Network
    from activation_study.quantities.probe import Probe

SAMPLES = 256
"""Of the activation metrics and of what is measured at the end, at most: it must cost little beside training."""
POSITIONS = 16
"""Of each sample, at most, where units are at several: spread evenly, the same ones always."""
PROBE_STEP = -1
"""The noise of what is measured in training mode is that of a step which never trains."""
SATURATED = 0.1
"""Of the largest slope: what lies below is saturated."""

Taken = tuple[str, int, float | None, "Tensor"]
"""A :class:`Measured`'s name, the layer (from 1; 0 is the whole network), the dose, and the values [R]."""


@dataclass(frozen=True)
class LayerMetric:
    """A number per replica and layer, at every probe: ``of(view)`` → [R], NaN where it does not exist.

    Attributes:
        view: ``activations`` (`views.LayerView`: evaluation mode, validation samples) or ``gradients``
            (`views.GradientView`: training mode with frozen noise, training samples).
        exact: whether it is taken in float64 where float32 cannot tell the samples of a layer apart.
        claimed: whether a claim can be about it as it stands.
    """

    name: str
    unit: str
    meaning: str
    of: Callable[[Any], Tensor]
    view: Literal["activations", "gradients"] = "activations"
    low: float | None = None
    high: float | None = None
    type: Literal["float", "bool"] = "float"
    claimed: bool = True
    exact: bool = False


@dataclass(frozen=True)
class Measured:
    """What a measurement gives. A claim takes its mean over the `options` layers and step, at one `dose`."""

    name: str
    unit: str
    meaning: str
    options: tuple[str, ...] = ()
    dose: str | None = None
    """What the claims call the dose, where there are several."""
    usual_dose: float | None = None
    claimed: bool = True
    """Whether a claim can be about it as it stands."""


class Recorder(Protocol):
    """Follows R replicas in training, step by step."""

    def step(self, parameters: Sequence[Tensor]) -> None:
        """Take in the parameters after a training step."""
        ...

    @property
    def state(self) -> list[Tensor]:
        """Its memory, stacked [R, ...], to be copied before the next step."""
        ...

    def load(self, state: Sequence[Tensor]) -> None:
        """Copy the ``state`` of another one of as many replicas."""
        ...


@dataclass(frozen=True)
class Moment:
    """Where R replicas stand when something is measured of them.

    Attributes:
        rates: their learning rates [R], float64.
        inputs, labels: the validation samples of each, [N, ...] and [N]; replicas may share theirs.
        probe: at a probe's step.
        recorder: what ``Measurement.follow`` gave.
    """

    network: Network
    rates: Tensor
    inputs: Sequence[Tensor]
    labels: Sequence[Tensor]
    probe: Probe | None = None
    recorder: Any = None


def few(samples: Sequence[Tensor]) -> list[Tensor]:
    """The first ``SAMPLES`` of each replica's; replicas may share theirs, and go on doing so."""
    shared = {id(part): part[:SAMPLES] for part in samples}
    return [shared[id(part)] for part in samples]


@dataclass(frozen=True)
class Measurement:
    """What the config's ``measure`` can name.

    Attributes:
        when: at every evaluation, at every probe, or once at the end.
        take: gives each of `gives`, by name, with layer, dose and values.
        follow: makes what follows the training from the parameters [R, ...] at its start.
    """

    name: str
    gives: tuple[Measured, ...]
    when: Literal["evaluation", "probe", "end"]
    take: Callable[[Moment], Iterable[Taken]]
    follow: Callable[[Sequence[Tensor]], Recorder] | None = None


@functools.cache
def layer_metrics() -> dict[str, LayerMetric]:
    """Every layer metric by name: those of activations, then those of gradients."""
    found = registry.declared("quantities.measures", LayerMetric)
    return dict(sorted(found.items(), key=lambda item: item[1].view))


@functools.cache
def measurements() -> dict[str, Measurement]:
    """Every measurement by the name that the config uses, in the order in which they are taken."""
    order = ("evaluation", "probe", "end")
    found = registry.declared("quantities.measures", Measurement)
    return dict(sorted(found.items(), key=lambda item: order.index(item[1].when)))


def measured() -> Iterator[tuple[Measurement, Measured]]:
    """All that measurements give."""
    return ((measurement, given) for measurement in measurements().values() for given in measurement.gives)
