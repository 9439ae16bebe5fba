"""What can be said of an activation's config entry without PyTorch: the config is checked before anything starts."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable
from typing import Annotated, Any, ClassVar, Self

from pydantic import BeforeValidator, ConfigDict, Field, WithJsonSchema, WrapValidator, model_validator
from pydantic_core import PydanticCustomError

from activation_study.activations import expressions
from activation_study.core.errors import StudyError
from activation_study.core.models import Model, read
from activation_study.core.names import Name
from activation_study.core.text import shown
from activation_study.core.yaml_files import NUMBER

CLASSES = (
    *(
        "AlphaDropout",
        "CELU",
        "Dropout",
        "Dropout1d",
        "Dropout2d",
        "Dropout3d",
        "ELU",
        "FeatureAlphaDropout",
        "Flatten",
    ),
    *("GELU", "Hardshrink", "Hardsigmoid", "Hardswish", "Hardtanh", "Identity", "LeakyReLU", "LogSigmoid", "Mish"),
    *("PReLU", "RReLU", "ReLU", "ReLU6", "SELU", "Sequential", "SiLU", "Sigmoid", "Softplus", "Softshrink", "Softsign"),
    *("Tanh", "Tanhshrink", "Threshold"),
)
"""The classes of torch.nn that can serve as an activation."""
LARGEST = 1e18
WIDTH = "width"
"""The value of an argument that stands for the layer's number of units."""
_MODULE = re.compile(r"[A-Za-z_][\w.]{0,199}:[A-Za-z_]\w{0,99}", re.ASCII)


def _argument(value: Any) -> Any:
    """An argument like 1e-2, which YAML reads as text, is a number."""
    if isinstance(value, str) and NUMBER.fullmatch(text := value.strip()):
        value = int(text) if re.fullmatch(r"[-+]?\d{1,18}", text) else float(text)
    if not isinstance(value, str | int | float):
        raise PydanticCustomError("argument", "must be a number, a truth value or text")
    if not isinstance(value, str) and not abs(value) < LARGEST:
        raise PydanticCustomError("finite", "must be a finite number below 1e18")
    return value


Argument = Annotated[Any, BeforeValidator(_argument), WithJsonSchema({"type": ["number", "boolean", "string"]})]


class Entry(Model):
    """What an activation is made of, and the arguments that make it."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Argument] = Field(init=False)
    kind: ClassVar[str]
    target: str

    @property
    def arguments(self) -> dict[str, Any]:
        return dict(self.__pydantic_extra__)

    @property
    def widths_matter(self) -> bool:
        """Whether what it is may depend on the layer's number of units."""
        return False


class OfClass(Entry):
    kind = "class"
    target: str = Field(alias="class", description="A class of torch.nn; the other keys are its arguments.")

    @model_validator(mode="after")
    def _known(self) -> Self:
        if self.target not in CLASSES:
            raise StudyError(f"class {shown(self.target)} {_not_a_class(self.target)}")
        return self

    @property
    def widths_matter(self) -> bool:
        return self.target == "PReLU"


class Formula(Entry):
    kind = "expression"
    target: str = Field(alias="expression", description="An expression in x.")

    @model_validator(mode="after")
    def _parsed(self) -> Self:
        if self.arguments:
            given = shown(sorted(self.arguments))
            raise StudyError(f"an expression takes no arguments, got {given}; write their values in it")
        expressions.parse(self.target)
        return self


class OwnModule(Entry):
    kind = "module"
    target: str = Field(
        alias="module", description="Code of one's own, package.module:Class; the other keys are its arguments."
    )

    @model_validator(mode="after")
    def _formed(self) -> Self:
        if not _MODULE.fullmatch(self.target):
            raise StudyError(f"module must have the form 'package.module:Class', not {shown(self.target)}")
        return self

    @property
    def widths_matter(self) -> bool:
        return True


def _of_its_kind(entry: Any, handler: Callable[[Any], Any]) -> Entry:
    if isinstance(entry, str):
        if entry not in CLASSES:
            raise StudyError(f"{shown(entry)} {_instead(entry)}")
        entry = {"class": entry}
    if not isinstance(entry, dict):
        raise PydanticCustomError("entry", "must be an object or string")
    kinds = [model for model in (OfClass, Formula, OwnModule) if model.kind in entry]
    if len(kinds) != 1:
        given = shown(entry) if entry else "an empty mapping"
        raise StudyError(f"needs exactly one of the keys class, expression and module, not {given}")
    return kinds[0].model_validate(entry)


class Activations(Model):
    activations: dict[
        Name,
        Annotated[
            OfClass | Formula | OwnModule,
            WrapValidator(_of_its_kind, json_schema_input_type=OfClass | Formula | OwnModule | str),
        ],
    ] = Field(
        min_length=1,
        description="Name to entry - a torch.nn class with arguments (or its name alone), an expression in x, or one's "
        "own module.",
    )


def parsed(name: str, entry: Any, *, allow_modules: bool = True) -> Entry:
    """One entry of `activations`.

    Raises:
        StudyError: the entry is not one of the three kinds, is ill-formed, or is code where code is not allowed.
    """
    found = read(Activations, {"activations": {name: entry}}).activations[name]
    check_allowed(name, found, allow_modules=allow_modules)
    return found


def check_allowed(name: str, entry: Entry, *, allow_modules: bool) -> None:
    """Raises StudyError where the entry is code and code is not allowed."""
    if isinstance(entry, OwnModule) and not allow_modules:
        raise StudyError(f"activations.{name}: module {shown(entry.target)} would run code, and allow_modules is false")


def _instead(text: str) -> str:
    """What to write for a text that is not a class."""
    if _MODULE.fullmatch(text):
        return f"is not a class of torch.nn; a module is written {{module: {shown(text)}}}"
    try:
        expressions.parse(text)
    except StudyError:
        return _not_a_class(text)
    return f"is not a class of torch.nn; an expression is written {{expression: {shown(text)}}}"


def _not_a_class(text: str) -> str:
    close = {known.lower(): known for known in CLASSES}
    alike = difflib.get_close_matches(text.removeprefix("nn.").lower().replace("_", ""), close, 1, 0.75)
    if alike:
        return f"is not an activation class of torch.nn; did you mean {close[alike[0]]}?"
    known = [known for known in CLASSES if "Dropout" not in known and known not in ("Flatten", "Sequential")]
    return (
        f"is not an activation class of torch.nn; known are {', '.join(known)}; any other class goes by "
        "{module: 'package.module:Class'}"
    )
