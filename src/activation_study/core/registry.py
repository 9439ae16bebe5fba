"""What is declared in the files of a folder of this package: a new file there is all that a new one takes."""

from __future__ import annotations

import functools
import importlib
import pkgutil
import re
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    import torch
else:

    class _Later:
        """A module that is imported when something of it is first used."""

        def __init__(self, name: str):
            self._name = name

        def __getattr__(self, attribute: str) -> Any:
            return getattr(importlib.import_module(self._name), attribute)

    torch = _Later("torch")

__all__ = ["declared", "modules", "torch"]

T = TypeVar("T")
NAME = re.compile("[a-z][a-z_0-9]{0,39}")


@functools.cache
def modules(package: str) -> tuple[ModuleType, ...]:
    """The modules of a package, as ``quantities.measures``, by name."""
    folder = importlib.import_module(f"activation_study.{package}")
    names = sorted(module.name for module in pkgutil.iter_modules(folder.__path__))
    return tuple(importlib.import_module(f"{folder.__name__}.{name}") for name in names)


def declared(package: str, kind: type[T]) -> dict[str, T]:
    """All of that kind, by their ``name``, that the modules of a package list as ``DECLARED``.

    Raises:
        ValueError: a module without ``DECLARED``, a name that is no lower-case word, or two of one name.
    """
    found: dict[str, T] = {}
    for module in modules(package):
        if not hasattr(module, "DECLARED"):
            raise ValueError(f"{module.__name__}: lists nothing as DECLARED")
        for item in (part for part in module.DECLARED if isinstance(part, kind)):
            name = item.name  # type: ignore[attr-defined]
            if name in found or not NAME.fullmatch(name):
                raise ValueError(f"{module.__name__}: the name {name!r} is taken, or no lower-case word of 40 letters")
            found[name] = item
    return found
