"""Values that somebody else wrote, held against a model: how they may be spelled, and a line for every fault."""

from __future__ import annotations

import json
from collections.abc import Callable, Hashable, Mapping
from types import NoneType, UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    ValidationError,
)
from pydantic_core import CoreSchema, PydanticCustomError
from pydantic_core.core_schema import no_info_before_validator_function

from activation_study.core import yaml_files
from activation_study.core.errors import StudyError
from activation_study.core.text import listed, plain, shown

MAX_FAULTS = 10
"""Lines of one message."""
Path = tuple[int | str, ...]
"""Keys and indices, from the outermost in."""
_PATTERNS: dict[str, str] = {}


class Model(BaseModel):
    """A mapping with known keys only, frozen once it is read."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, serialize_by_alias=True)


M = TypeVar("M", bound=Model)
T = TypeVar("T")


def matching(pattern: str, message: str) -> Any:
    """The constraint that a text matches the pattern as a whole; the message says what it must be."""
    _PATTERNS[f"^{pattern}$"] = message
    return Field(pattern=f"^{pattern}$")


def read_number(value: Any) -> Any:
    """YAML 1.1 takes 1e-2 for text."""
    return float(value) if isinstance(value, str) and yaml_files.NUMBER.fullmatch(value.strip()) else value


def _read_free(value: Any) -> Any:
    """Of an argument of which no more is known: 5 may be meant as text, 1e3 is not."""
    return read_number(value) if isinstance(value, str) and "e" in value.lower() else value


def _read_whole(value: Any) -> Any:
    value = read_number(value)
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _read_truth(value: Any) -> Any:
    """Snakemake's --config hands it on as text."""
    return value == "true" if value in ("true", "false") else value


class _Listed:
    """A lone value is a list of one."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return no_info_before_validator_function(
            lambda value: tuple(value) if isinstance(value, list | tuple) else (value,), handler(source)
        )

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        several = handler(schema)
        return {"anyOf": [several["items"], several]}


def _distinct(values: tuple[Hashable, ...]) -> tuple[Hashable, ...]:
    if len(set(values)) < len(values):
        raise PydanticCustomError("distinct", "must not hold a value twice")
    return values


FREE = BeforeValidator(_read_free)
WHOLE, NUMBER, TRUTH = BeforeValidator(_read_whole), BeforeValidator(read_number), BeforeValidator(_read_truth)
"""Last in an `Annotated` int, float or bool: what came as text is read."""
DISTINCT, LISTED = AfterValidator(_distinct), _Listed()
"""In an `Annotated` tuple: no value is there twice; and, last, a lone value is a list of one."""
Distinct = Annotated[tuple[T, ...], Field(min_length=1), DISTINCT, LISTED]


def dotted(path: Path) -> str:
    return plain(".".join(map(str, path)) or "config", 200)


def read(model: type[M], value: Mapping[str, Any], where: Callable[[Path], str] = dotted) -> M:
    """The value as a model.

    Args:
        where: the words for a path.

    Raises:
        StudyError: a line for every fault, the first ones: key, value, what would be right.
    """
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise StudyError("\n".join(faults(error, model, where))) from None


def faults(error: ValidationError, model: Any, where: Callable[[Path], str] = dotted) -> list[str]:
    """A line for every fault, the first ones; see `read`."""
    found: dict[tuple[Path, str], list[Any]] = {}
    for fault in error.errors(include_url=False):
        place, kind = fault["loc"], fault["type"]
        if kind == "too_short" and fault["input"]:  # pydantic counts what is right inside, and each fault there is said
            continue
        if kind in ("missing", "extra_forbidden"):  # one line for all of one mapping
            place = place[:-1]
        elif place[-1:] == ("[key]",):
            place, kind = place[:-2], f"{kind} {fault['input']}"
        elif kind.startswith("union_tag"):
            place = (*place, fault["ctx"]["discriminator"].strip("'"))
        found.setdefault((place, kind), []).append(fault)
    first = sorted(found.items(), key=lambda item: [*map(str, item[0][0])])
    lines = [_line(*_place(model, place), group, where) for (place, _), group in first[:MAX_FAULTS]]
    return lines + [f"and {len(first) - MAX_FAULTS} more"] * (len(first) > MAX_FAULTS)


def _place(kind: Any, path: Path) -> tuple[Path, list[str]]:
    """The path without the tags of unions, which no file holds, and the keys of the model there."""
    kept: list[int | str] = []
    for key in path:
        origin, within = get_origin(kind), get_args(kind)
        if origin in (Union, UnionType) and (tagged := [member for member in within if _tagged(member, key)]):
            kind = tagged[0]
            continue
        kept.append(key)
        if origin in (dict, tuple):
            kind = within[origin is dict]
        else:
            field = getattr(kind, "model_fields", {}).get(key)
            kind = field.annotation if field else Any
        kind = _bare(kind)
    fields = getattr(kind, "model_fields", {})
    return tuple(kept), sorted(field.alias or name for name, field in fields.items())


def _bare(kind: Any) -> Any:
    """Without `Annotated` and `| None`."""
    while get_origin(kind) is Annotated or NoneType in get_args(kind):
        within = tuple(one for one in get_args(kind) if one is not NoneType)
        kind = within[0] if get_origin(kind) is Annotated else Union[within]  # noqa: UP007
    return kind


def _tagged(member: Any, tag: int | str) -> bool:
    return any(tag in get_args(field.annotation) for field in getattr(member, "model_fields", {}).values())


def _line(path: Path, known: list[str], group: list[Any], where: Callable[[Path], str]) -> str:
    """What is wrong at this place, by faults of one kind."""
    fault, keys, details = group[0], [str(fault["loc"][-1]) for fault in group], group[0].get("ctx", {})
    named = ""
    if fault["type"] in ("missing", "extra_forbidden"):
        if path and len(keys) == 1:
            path = (*path, *keys)
        else:
            named = f" {listed(sorted(keys), 5)}"
    match fault["type"]:
        case "missing" | "union_tag_not_found":
            words = f"the key{named} is missing"
        case "extra_forbidden":
            words = f"unknown key{named}; known: {listed(known, 40)}"
        case "value_error":
            words = str(details["error"])
        case "union_tag_invalid":
            given = fault["input"][details["discriminator"].strip("'")]
            words = f"{_json(given)} must be one of {_choices(details['expected_tags'])}"
        case _:
            words = f"{_json(fault['input'])} {_wanted(fault)}"
    return f"{where(path)}: {words}"


def _wanted(fault: Mapping[str, Any]) -> str:
    kind, bounds = fault["type"], fault.get("ctx", {})
    words = {
        "greater_than_equal": "must be at least {ge}",
        "less_than_equal": "must be at most {le}",
        "greater_than": "must be above {gt:g}",
        "less_than": "must be below {lt:g}",
        "too_short": "must not be empty",
        "string_too_short": "must not be empty",
        "too_long": "must have at most {max_length} items",
        "string_type": "must be a string",
        "bool_type": "must be a boolean, true or false",
        "float_type": "must be a number",
        "dict_type": "must be an object",
        "model_type": "must be an object",
        "model_attributes_type": "must be an object",
    }
    if kind == "literal_error":
        return f"must be one of {_choices(bounds['expected'])}"
    if kind == "string_pattern_mismatch":
        return _PATTERNS[bounds["pattern"]]
    if kind.startswith("int_"):
        return "must be an integer"
    return words[kind].format(**bounds) if kind in words else str(fault["msg"])


def _choices(expected: str) -> str:
    """pydantic's 'a', 'b' or 'c' as they stand in a file."""
    return expected.replace("'", "").replace(" or ", ", ")


def _json(value: Any) -> str:
    """Short, as it would stand in the file."""
    try:
        return plain(json.dumps(value, default=str, ensure_ascii=False), 60)
    except ValueError:  # an integer of thousands of digits
        return shown(value)
