"""A run's id, ``dataset/activation/depth=5,factor=value``: made and read here alone."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from activation_study.core.factors import Factors


class RunId(NamedTuple):
    """`condition` names the depth, then the factors that differ from their default, sorted; so an id is readable and
    stays what it is when a factor is added."""

    dataset: str
    activation: str
    condition: str

    @classmethod
    def of(cls, factors: Factors) -> RunId:
        defaults = factors.defaults()
        moved = sorted((name, value) for name, value in factors if defaults[name] not in (..., value))
        told = ",".join(f"{name}={as_text(value)}" for name, value in [("depth", factors.depth), *moved])
        return cls(factors.dataset, factors.activation, told)

    @classmethod
    def read(cls, text: str) -> RunId:
        return cls(*text.split("/", 2))

    def __str__(self) -> str:
        return "/".join(self)

    @property
    def factors(self) -> dict[str, str]:
        """The depth and the factors that are not at their default, as text."""
        return dict(factor.split("=", 1) for factor in re.split(r",(?=\w+=)", self.condition))

    @property
    def cell(self) -> str:
        """What the runs that are compared with each other share: the id without the activation."""
        return f"{self.dataset}/{self.condition}"

    def without(self, *names: str) -> RunId:
        """That of its twin, where these factors are at their default."""
        kept = (f"{name}={value}" for name, value in self.factors.items() if name not in names)
        return self._replace(condition=",".join(kept))


def cell_of(run: str) -> str:
    """See `RunId.cell`."""
    return RunId.read(run).cell


def without(run: str, *names: str) -> str:
    """See `RunId.without`."""
    return str(RunId.read(run).without(*names))


def as_text(value: Any) -> str:
    """Short, and another text for every other value."""
    if isinstance(value, float) and float(f"{value:g}") == value:
        return f"{value:g}"
    return value if isinstance(value, str) else str(value).lower()
