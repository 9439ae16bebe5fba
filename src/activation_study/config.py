"""Reading a config: the schema, defaults, and one line for every fault.

Pure Python: neither PyTorch nor Snakemake is imported, so reading a config costs nothing.
"""

from __future__ import annotations

import copy
import functools
import itertools
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator, ValidationError, validators

from activation_study import activation_entries, datasets
from activation_study.errors import StudyError

ROOT = Path(__file__).resolve().parents[2]
SCHEMA_FILE = Path(__file__).with_name("config.schema.yaml")
MAX_VALUES = 100_000  # aliases let a YAML file of one line stand for more values than there are atoms
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?", re.ASCII)
_CONTROL = re.compile(r"[^\S \n\t]|[\x00-\x08\x0e-\x1f\x7f\ud800-\udfff]")


class _Loader(yaml.SafeLoader):
    """YAML's plain values. Of two equal keys YAML keeps the second without a word: here they are refused."""

    def compose_mapping_node(self, anchor: str | None) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    line = key.start_mark.line + 1
                    raise StudyError(f"line {line}: the key {key.value!r} stands there twice; one of the two must go")
                seen.add(key.value)
        return node


def _whole(validator: Any, pattern: str, value: Any, schema: Any) -> Any:
    """JSON schema's `$` is the end of the text; Python's also matches before a last line break."""
    if isinstance(value, str) and not re.fullmatch(pattern, value):
        yield ValidationError(f"{value!r} does not match {pattern!r}")


_Validator = validators.extend(Draft202012Validator, {"pattern": _whole})


@functools.cache
def schema() -> dict[str, Any]:
    """The JSON schema of the config."""
    return yaml.safe_load(SCHEMA_FILE.read_text(encoding="utf-8"))


@functools.cache
def factor_defaults() -> dict[str, Any]:
    """The factors that make up a run's identity, with their defaults; ``...`` where one must be given."""
    factors = {name: spec for name, spec in _experiment_schema()["properties"].items() if name != "measure"}
    required = {"activation", "dataset", "depth"}
    return {name: ... if name in required else spec["default"][0] for name, spec in factors.items()}


def _experiment_schema() -> dict[str, Any]:
    return schema()["properties"]["experiments"]["additionalProperties"]["items"]


def read(path: str | Path) -> dict[str, Any]:
    """A YAML file's mapping of plain values, not yet validated. Raises :class:`StudyError`."""
    try:
        config = yaml.load(Path(path).read_text(encoding="utf-8"), _Loader)
    except StudyError as error:
        raise StudyError(f"{path}: {error}") from None
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise StudyError(f"{path}: cannot be read as YAML: {' '.join(str(error).split())[:300]}") from None
    if not isinstance(config, dict):
        raise StudyError(f"{path}: must hold a mapping of keys, not {type(config).__name__}")
    try:
        _check_plain(config)
    except StudyError as error:
        raise StudyError(f"{path}: {error}") from None
    return config


def merged(paths: Sequence[str | Path], changes: Mapping[str, Any]) -> dict[str, Any]:
    """The files' mappings, each laid over the one before it, and `changes` over them all; not yet validated.

    A mapping changes the keys that it holds, at any depth; all else, lists too, is replaced whole. A claims file is
    found in the working folder, or else beside the config that names it.

    Raises:
        StudyError: as :func:`read` does.
    """
    config: dict[str, Any] = {}
    for path in paths:
        layer = read(path)
        if "claims" in layer:
            named = layer["claims"] if isinstance(layer["claims"], list) else [layer["claims"]]
            layer["claims"] = [_found(name, Path(path).parent) for name in named]
        config = _laid_over(config, layer)
    _check_plain(changes)
    return _laid_over(config, changes)


def _found(name: Any, folder: Path) -> Any:
    try:
        beside = isinstance(name, str) and not Path(name).exists() and (folder / name).exists()
    except OSError:  # too long for a file's name, which its reader says
        return name
    return str(folder / name) if beside else name


def _laid_over(below: Any, above: Any) -> Any:
    if not isinstance(below, Mapping) or not isinstance(above, Mapping):
        return above
    return {**below, **{key: _laid_over(below.get(key), value) for key, value in above.items()}}


def validated(config: Mapping[str, Any]) -> dict[str, Any]:
    """The config with defaults filled in and every factor a list. Raises :class:`StudyError`."""
    _check_plain(config)
    config = _with_defaults(copy.deepcopy(dict(config)), schema())
    faults = sorted(_Validator(schema()).iter_errors(config), key=lambda e: list(map(str, e.path)))
    if faults:
        raise StudyError("\n".join(dict.fromkeys(map(_one_line, faults))))
    if config["study"] == "reference":
        raise StudyError("study: 'reference' is where reports/ keeps the published run; another name is needed")
    for name, entry in config["activations"].items():
        config["activations"][name] = entry = activation_entries.completed(name, entry)
        activation_entries.check(name, entry, allow_modules=config["allow_modules"])
    for name, entry in config["datasets"].items():
        datasets.check_entry(name, entry)
    for optimiser, rates in config["learning_rates"].items():
        if sorted(set(rates)) != rates:
            raise StudyError(f"learning_rates.{optimiser}: {rates} must increase strictly")
    config["cost"]["activation"] = _names(config, "cost", "activation", config["cost"]["activation"])
    for name, factors in ((name, grid) for name, grids in config["experiments"].items() for grid in grids):
        for factor in ("activation", "dataset"):
            factors[factor] = _names(config, f"experiments.{name}", factor, factors[factor])
        if factors["normalisation"] != ["none"] and factors["initial_bias"] != [0]:
            raise StudyError(
                f"experiments.{name}.initial_bias: {factors['initial_bias']} has no effect under batch normalisation, "
                f"which subtracts it; normalisation must be none"
            )
    return config


def _names(config: Mapping[str, Any], where: str, factor: str, chosen: list[str]) -> list[str]:
    known = list(config[f"{factor}s"])
    if "all" in known:
        raise StudyError(f"{factor}s.all: the name 'all' stands for every {factor}; another name is needed")
    if chosen == ["all"]:
        return known
    for name in chosen:
        if name not in known:
            raise StudyError(f"{where}.{factor}: {name!r} is not one of the {factor}s: {', '.join(known)}")
    return chosen


def _check_plain(value: Any) -> None:
    """YAML also has dates, infinities, keys that are no text, and lists that hold themselves: none has a place here."""
    waiting: list[tuple[tuple[str, ...], Any]] = [((), value)]
    for seen in itertools.count(1):
        if not waiting:
            return
        path, value = waiting.pop()
        key = ".".join(path) or "config"
        if len(path) > 20:
            raise StudyError(f"{key[:60]}…: is nested too deeply")
        if seen > MAX_VALUES:
            raise StudyError(f"{key[:60]}: is one of more than {MAX_VALUES} values; a study has fewer")
        if isinstance(value, Mapping):
            for name in value:
                if not isinstance(name, str):
                    raise StudyError(f"{key}: the key {name!r} must be text; put it in quotes")
                if _CONTROL.search(name) or "\n" in name:
                    raise StudyError(f"{key}: the key {ascii(name)[:60]} holds a control character; remove it")
            waiting += [((*path, name), inside) for name, inside in reversed(value.items())]
        elif isinstance(value, list):
            waiting += [((*path, str(index)), inside) for index, inside in reversed([*enumerate(value)])]
        elif isinstance(value, str):
            if _CONTROL.search(value):
                raise StudyError(f"{key}: {ascii(value)[:60]} holds a control character; remove it")
        elif isinstance(value, int | float):
            if not abs(value) < 1e18:
                raise StudyError(f"{key}: {str(value)[:20]} must be a finite number below 1e18")
        elif value is not None:
            raise StudyError(f"{key}: {value!r} must be text, a number, true or false")


def _with_defaults(value: Any, spec: Mapping[str, Any]) -> Any:
    """Fill defaults, turn a lone factor into a list, and read what came as text: 1e-3, true."""
    if "$ref" in spec:
        spec = {**schema()["$defs"][spec["$ref"].rsplit("/", 1)[1]], **spec}
    types = spec.get("type", [])
    if "array" in types:
        value = value if isinstance(value, list) else [value]
        return [_with_defaults(item, spec.get("items", {})) for item in value]
    if "object" in types and isinstance(value, dict):
        for key, sub in spec.get("properties", {}).items():
            if key not in value and "default" in sub | _referred(sub):
                value[key] = copy.deepcopy((sub | _referred(sub) | sub)["default"])
            if key in value:
                value[key] = _with_defaults(value[key], sub)
        rest = spec.get("additionalProperties")
        if isinstance(rest, dict):
            for key in value.keys() - spec.get("properties", {}).keys():
                value[key] = _with_defaults(value[key], rest)
        return value
    if isinstance(value, str) and ("number" in types or "integer" in types) and _NUMBER.fullmatch(value.strip()):
        value = float(value)
    if types == "boolean" and value in ("true", "false"):  # as Snakemake's --config hands them on
        return value == "true"
    if "integer" in types and isinstance(value, float) and value.is_integer():
        return int(value)
    if types == "number" and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    return value


def _referred(spec: Mapping[str, Any]) -> dict[str, Any]:
    return schema()["$defs"][spec["$ref"].rsplit("/", 1)[1]] if "$ref" in spec else {}


def _one_line(fault: Any) -> str:
    """A jsonschema error as one line: key, value, what would be right."""
    path = list(fault.absolute_path)
    if path[:1] == ["experiments"] and len(path) > 2:
        del path[2]  # which sub-grid: most experiments have one, and the value tells them apart
    key = ".".join(map(str, path)) or "config"
    value = json.dumps(fault.instance, default=str, ensure_ascii=False)
    value = value if len(value) <= 60 else value[:57] + "..."
    rule, want = fault.validator, fault.validator_value
    if rule == "additionalProperties":
        known = sorted(fault.schema.get("properties", {}))
        unknown = sorted(map(str, set(fault.instance) - set(known)))
        return f"{key}: unknown key {', '.join(unknown)}; known: {', '.join(known)}"
    if rule == "required":
        missing = [name for name in want if name not in fault.instance]
        return f"{key}: the key {', '.join(missing)} is missing"
    wanted = {
        "type": lambda: "must be " + " or ".join([want] if isinstance(want, str) else want),
        "enum": lambda: "must be one of " + ", ".join(map(str, want)),
        "pattern": lambda: "must be letters, digits, '_' and '-' only, at most 64",
        "minimum": lambda: f"must be at least {want}",
        "maximum": lambda: f"must be at most {want}",
        "exclusiveMinimum": lambda: f"must be above {want}",
        "exclusiveMaximum": lambda: f"must be below {want}",
        "minItems": lambda: "must not be empty",
        "maxItems": lambda: f"must have at most {want} items",
        "minProperties": lambda: "must not be empty",
        "uniqueItems": lambda: "must not hold a value twice",
    }
    text = wanted[rule]() if rule in wanted else fault.message
    return f"{key}: {value} {text}"
