"""The places of activations in modules of PyTorch, which networks of one's own have.

An entry of the config is one of

- ``{module: "package.module:build"}``: ``build(activation, depth, width, shape, classes)`` gives an ``nn.Module``, in
  which ``activation()`` stands wherever an activation is called; ``shape`` is (features,), (channels, length) or
  (channels, height, width);
- ``{class: torchvision.models.resnet18, replace: ReLU}``: a model of torchvision, in which every module of that class
  of ``torch.nn`` gives its place.

Other keys are arguments. A place that is called several times stands for as many activations.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor, nn

from activation_study.core import own_modules
from activation_study.core.errors import StudyError, lacks_memory
from activation_study.core.factors import Factors
from activation_study.core.text import one_line, shown
from activation_study.networks.base import unshaped


class Place(nn.Module):
    """Stands for an activation; what is to be done there is set before each call of the whole."""

    apply_here: Callable[[Tensor], Tensor]

    def forward(self, h: Tensor) -> Tensor:
        return self.apply_here(h)


def made(entry: Mapping[str, Any], factors: Factors, features: int, classes: int, shape: tuple[int, ...]) -> nn.Module:
    """A module of the entry, with places for activations, in the state in which it begins.

    Raises:
        StudyError: it cannot be built, or has no place.
    """
    key = f"networks.{factors.network}"
    given = {name: value for name, value in entry.items() if name not in ("class", "module", "replace")}
    if "class" in entry and len(shape) != 3:
        raise unshaped(factors, 2)
    first = (shape[-1], *shape[:-1]) if shape else (features,)
    try:
        if "class" in entry:
            module = _of_torchvision(entry["class"], first[0], classes, given)
            replace(module, getattr(nn, entry["replace"]), Place)
        else:
            build = own_modules.load(entry["module"])
            module = build(Place, factors.depth, factors.width, first, classes, **given)
    except StudyError as error:
        raise StudyError(f"{key}: {error}") from None
    except Exception as error:  # there is no end to what one's own code may do
        if lacks_memory(error):
            raise
        raise StudyError(f"{key}: cannot be built: {type(error).__name__}: {one_line(error, 200)}") from None
    if not isinstance(module, nn.Module):
        raise StudyError(f"{key}: builds {shown(type(module).__name__)}, not an nn.Module")
    if not any(isinstance(part, Place) for part in module.modules()):
        lacking = f"has no {entry['replace']}" if "class" in entry else "calls no activation() that it was given"
        raise StudyError(f"{key}: {lacking}")
    return module


def _of_torchvision(path: str, channels: int, classes: int, arguments: Mapping[str, Any]) -> nn.Module:
    from torchvision import models

    name = path.removeprefix("torchvision.models.")
    module: nn.Module = models.get_model(name, weights=None, num_classes=classes, **arguments)
    return module if channels == 3 else nn.Sequential(_Coloured(), module)


class _Coloured(nn.Module):
    """Grey images as coloured ones."""

    def forward(self, x: Tensor) -> Tensor:
        return x.expand(-1, 3, -1, -1)


def replace(
    module: nn.Module, kinds: type[nn.Module] | tuple[type[nn.Module], ...], make: Callable[[], nn.Module]
) -> list[nn.Module]:
    """Put what ``make`` gives in the places of all parts of these classes; a part with two places goes on to have them.

    Returns:
        What was put there.
    """
    made: dict[nn.Module, nn.Module] = {}
    for part in [*module.modules()]:
        for name, child in part._modules.items():  # named_children leaves out a second place
            if isinstance(child, kinds):
                if child not in made:
                    made[child] = make()
                setattr(part, name, made[child])
    return [*made.values()]
