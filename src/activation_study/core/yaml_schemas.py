"""Plain values against a JSON schema of this package: defaults, what was spelled otherwise, a line for every fault."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator, ValidationError, validators

from activation_study.core.text import listed, plain, shown
from activation_study.core.yaml_files import NUMBER

MAX_FAULTS = 10
"""Lines of one message."""
_TEXTS = ("class", "expression", "module", "path")
"""Keys of an entry that stay text, whatever they look like."""


def load(file: Path) -> dict[str, Any]:
    """The schema, every ``$ref`` replaced by what it refers to: the validator is three times as fast."""
    schema = yaml.safe_load(file.read_text(encoding="utf-8"))
    return _inlined(schema, schema.get("$defs", {}))


def _inlined(spec: Any, definitions: Mapping[str, Any]) -> Any:
    if isinstance(spec, list):
        return [_inlined(item, definitions) for item in spec]
    if not isinstance(spec, dict):
        return spec
    referred = definitions[spec["$ref"].rsplit("/", 1)[1]] if "$ref" in spec else {}
    merged = {**referred, **{key: value for key, value in spec.items() if key != "$ref"}}
    return {key: _inlined(value, definitions) for key, value in merged.items()}


def filled(value: Any, spec: Mapping[str, Any]) -> Any:
    """With defaults, a lone value as a list where a list is meant, and what came as text read: 1e-3, true."""
    types = _types(spec)
    if types == ["array"]:
        value = value if isinstance(value, list) else [value]
    if "array" in types and isinstance(value, list):
        return [filled(item, spec.get("items", {})) for item in value]
    if "object" in types and isinstance(value, dict):
        known = spec.get("properties", {})
        for key, sub in known.items():
            if key not in value and "default" in sub:
                value[key] = copy.deepcopy(sub["default"])
            if key in value:
                value[key] = filled(value[key], sub)
        rest = spec.get("additionalProperties", {})
        for key in value.keys() - known.keys():
            if isinstance(rest, dict) and key not in _TEXTS:
                value[key] = filled(value[key], rest)
        return value
    return _scalar(value, types, free=not spec)


def _types(spec: Mapping[str, Any]) -> list[str]:
    types = spec.get("type", [])
    types = [types] if isinstance(types, str) else list(types)
    return types + [name for other in spec.get("anyOf", []) for name in _types(other) if name not in types]


def _scalar(value: Any, types: list[str], free: bool) -> Any:
    if isinstance(value, str) and NUMBER.fullmatch(text := value.strip()):
        # YAML 1.1 takes 1e-2 for text. An argument of which the schema says nothing may be meant as text: not that.
        number = "string" not in types and ("number" in types or "integer" in types)
        if number or (free and "e" in text.lower()):
            value = float(text)
    if types == ["boolean"] and value in ("true", "false"):  # as Snakemake's --config hands them on
        return value == "true"
    if "integer" in types and isinstance(value, float) and value.is_integer():
        return int(value)
    if types == ["number"] and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    return value


def _whole(validator: Any, pattern: str, value: Any, schema: Any) -> Iterator[ValidationError]:
    """JSON schema's `$` is the end of the text; Python's also matches before a last line break."""
    if isinstance(value, str) and not re.fullmatch(pattern, value):
        yield ValidationError("does not match")


def _unique(validator: Any, wanted: bool, value: Any, schema: Any) -> Iterator[ValidationError]:
    """jsonschema's own compares each value with each where they are not all of one type."""
    if wanted and isinstance(value, list):
        scalar = (str, int, float, type(None))
        keys = {(type(i) is bool, i) if isinstance(i, scalar) else json.dumps(i, sort_keys=True) for i in value}
        if len(keys) < len(value):
            yield ValidationError("holds a value twice")


_Validator = validators.extend(Draft202012Validator, {"pattern": _whole, "uniqueItems": _unique})


def faults(value: Any, schema: Mapping[str, Any], where: Callable[[list[Any]], str]) -> list[str]:
    """A line for every fault, the first ones: key, value, what would be right.

    Args:
        where: the words for a path of keys and indices.
    """
    found = sorted(_Validator(schema).iter_errors(value), key=lambda fault: list(map(str, fault.absolute_path)))
    lines = list(dict.fromkeys(f"{where(list(fault.absolute_path))}{_words(fault)}" for fault in found[:MAX_FAULTS]))
    return lines + [f"and {len(found) - MAX_FAULTS} more"] * (len(found) > MAX_FAULTS)


def _words(fault: Any) -> str:
    rule, want = fault.validator, fault.validator_value
    if rule == "additionalProperties":
        known = sorted(fault.schema.get("properties", {}))
        unknown = sorted(map(str, set(fault.instance) - set(known)))
        return f": unknown key {listed(unknown, 3)}; known: {listed(known, 40)}"
    if rule == "required":
        missing = [name for name in want if name not in fault.instance]
        return f": the key {', '.join(missing)} is missing"
    wanted = {
        "type": lambda: "must be " + " or ".join([want] if isinstance(want, str) else want),
        "enum": lambda: "must be one of " + ", ".join(map(str, want)),
        "pattern": lambda: fault.schema.get("message", f"must match {want}"),
        "minimum": lambda: f"must be at least {want}",
        "maximum": lambda: f"must be at most {want}",
        "exclusiveMinimum": lambda: f"must be above {want}",
        "exclusiveMaximum": lambda: f"must be below {want}",
        "minItems": lambda: "must not be empty",
        "maxItems": lambda: f"must have at most {want} items",
        "minLength": lambda: "must not be empty",
        "minProperties": lambda: "must not be empty",
        "maxProperties": lambda: f"must have at most {want} keys",
        "uniqueItems": lambda: "must not hold a value twice",
    }
    text = wanted[rule]() if rule in wanted else f"does not fit: {fault.schema.get('description', rule)}"
    return f": {_json(fault.instance)} {text}"


def _json(value: Any) -> str:
    """Short, as it would stand in the file."""
    try:
        return plain(json.dumps(value, default=str, ensure_ascii=False), 60)
    except ValueError:  # an integer of thousands of digits
        return shown(value)
