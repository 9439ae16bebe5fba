"""Entries of the config's `networks`: a user's own, without PyTorch; what they say is in ``places``."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Self

from pydantic import Field, WrapValidator, model_validator
from pydantic_core import PydanticCustomError

from activation_study.activations.entries import CLASSES, Entry, OwnModule
from activation_study.core.errors import StudyError
from activation_study.core.models import Model
from activation_study.core.names import Name
from activation_study.core.text import shown
from activation_study.networks.base import architectures

_MODEL = re.compile(r"torchvision\.models\.[a-z]\w{0,99}", re.ASCII)


class OfTorchvision(Entry):
    kind = "class"
    target: str = Field(alias="class", description="A model of torchvision; the other keys are its arguments.")
    replace: str = Field(description="The class of torch.nn whose modules are replaced by the activation.")

    @model_validator(mode="after")
    def _known(self) -> Self:
        if not _MODEL.fullmatch(self.target):
            raise StudyError(
                f"class {shown(self.target)} is no model of torchvision, as torchvision.models.resnet18 is"
            )
        if self.replace not in CLASSES:
            raise StudyError(f"replace: {shown(self.replace)} is not an activation class of torch.nn, as ReLU is")
        return self


def _of_its_kind(entry: Any, handler: Callable[[Any], Any]) -> Entry:
    if not isinstance(entry, dict):
        raise PydanticCustomError("entry", "must be an object")
    kinds = [model for model in (OfTorchvision, OwnModule) if model.kind in entry]
    if len(kinds) != 1:
        given = shown(entry) if entry else "an empty mapping"
        raise StudyError(f"needs exactly one of the keys class and module, not {given}")
    return kinds[0].model_validate(entry)


class Networks(Model):
    networks: dict[
        Name,
        Annotated[
            OfTorchvision | OwnModule, WrapValidator(_of_its_kind, json_schema_input_type=OfTorchvision | OwnModule)
        ],
    ] = Field(
        default={},
        description="Name to entry, for the factor network - a model of torchvision whose activations are replaced, or "
        "one's own module package.module:build, called as build(activation, depth, width, shape, classes).",
    )


def check(networks: Mapping[str, Entry], *, allow_modules: bool) -> None:
    """Raises StudyError for the name of a family, and for code where code is not allowed."""
    for name, entry in networks.items():
        if name in architectures():
            raise StudyError(f"networks.{name}: is a family of networks already; another name is needed")
        if isinstance(entry, OwnModule) and not allow_modules:
            raise StudyError(
                f"networks.{name}: module {shown(entry.target)} would run code, and allow_modules is false"
            )
