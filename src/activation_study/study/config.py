"""Reading a config: the schema, defaults, and one line for every fault.

Pure Python: neither PyTorch nor Snakemake is imported, so reading a config costs nothing.
"""

from __future__ import annotations

import copy
import functools
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from activation_study.activations import entries
from activation_study.core import yaml_schemas
from activation_study.core.errors import StudyError
from activation_study.core.text import plain, shown
from activation_study.core.yaml_files import MAX_VALUES, check_plain, read
from activation_study.core.yaml_schemas import listed
from activation_study.data import entries as data_entries

__all__ = ["ROOT", "factor_defaults", "family", "merged", "read", "repeats", "schema", "validated"]

ROOT = Path(__file__).resolve().parents[3]
SCHEMA_FILE = Path(__file__).with_name("config.schema.yaml")
MAX_GRIDS = 500
"""Sub-grids of all experiments together: each takes a millisecond to check, and the default study has 30."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_REPEATED = re.compile(r"(.+)\1{19}$")


@functools.cache
def schema() -> dict[str, Any]:
    """The JSON schema of the config."""
    return yaml_schemas.load(SCHEMA_FILE)


@functools.cache
def factor_defaults() -> dict[str, Any]:
    """The factors that make up a run's identity, with their defaults; ``...`` where one must be given."""
    factors = {name: spec for name, spec in _experiment_schema()["properties"].items() if name != "measure"}
    required = {"activation", "dataset", "depth"}
    return {name: ... if name in required else spec["default"][0] for name, spec in factors.items()}


def factor_level(factor: str, value: Any) -> Any:
    """A value of a factor as the config would read it: 1e-1 is a number where the factor is one."""
    return yaml_schemas.filled(value, _experiment_schema()["properties"].get(factor, {}).get("items", {}))


def _experiment_schema() -> dict[str, Any]:
    return schema()["properties"]["experiments"]["additionalProperties"]["items"]


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
    check_plain(changes)
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
    check_plain(config)
    config = copy.deepcopy(dict(config))
    _spelled_out(config)
    config = yaml_schemas.filled(config, schema())
    if faults := yaml_schemas.faults(config, schema(), _key):
        raise StudyError("\n".join(faults))
    check_plain(config, 10 * MAX_VALUES)  # again: what came as text, such as 1e999, may be a number by now
    _check_names(config)
    for name, entry in config["activations"].items():
        config["activations"][name] = entry = entries.completed(name, entry)
        entries.check(name, entry, allow_modules=config["allow_modules"])
    for name, entry in config["datasets"].items():
        data_entries.check_entry(name, entry)
    for optimiser, rates in config["learning_rates"].items():
        if sorted(set(rates)) != rates:
            raise StudyError(f"learning_rates.{optimiser}: {shown(rates)} must increase strictly")
    config["cost"]["activation"] = _names(config, "cost", "activation", config["cost"]["activation"])
    for name, factors in ((name, grid) for name, grids in config["experiments"].items() for grid in grids):
        for factor in ("activation", "dataset"):
            factors[factor] = _names(config, f"experiments.{name}", factor, factors[factor])
        if factors["normalisation"] != ["none"] and factors["initial_bias"] != [0]:
            raise StudyError(
                f"experiments.{name}.initial_bias: {shown(factors['initial_bias'])} has no effect under batch "
                f"normalisation, which subtracts it; normalisation must be none"
            )
    return config


def family(path: str | Path) -> str:
    """The name of a claims file's family, which is the file's. Raises :class:`StudyError`."""
    name = Path(path).stem
    if not _NAME.fullmatch(name) or re.search(r"[{}\n]", str(path)):
        raise StudyError(
            f"claims: {shown(str(path))} must be a path without braces to a file whose name, before .yaml, is letters, "
            "digits, '_' and '-' only, at most 64"
        )
    return name


def repeats(text: str) -> bool:
    """Whether it ends in one piece twenty times: such a wildcard Snakemake takes for a rule that feeds itself, and
    then builds on files that are already there, with exit code 0."""
    return len(text) >= 20 and _REPEATED.search(text) is not None


def _spelled_out(config: dict[str, Any]) -> None:
    """What is shorter than the schema asks for, and plainly meant; what is nearly that is refused with the remedy."""
    seeds, experiments = config.get("seeds"), config.get("experiments")
    if isinstance(seeds, int | float | str) and not isinstance(seeds, bool):
        config["seeds"] = {"evaluation": seeds}
    if not isinstance(experiments, dict):
        return
    for name, grids in experiments.items():
        inside = grids if isinstance(grids, list) else [grids]
        if name in _experiment_schema()["properties"] and not any(isinstance(grid, dict) for grid in inside):
            raise StudyError(
                f"experiments.{name}: {shown(grids)} is for a factor, and factors stand inside an experiment that has "
                f"a name, as in experiments: {{core: {{{name}: ...}}}}"
            )
    grids = sum(len(grids) if isinstance(grids, list) else 1 for grids in experiments.values())
    if grids > MAX_GRIDS:
        raise StudyError(f"experiments: have {grids} sub-grids together; at most {MAX_GRIDS} can be had")


def _check_names(config: Mapping[str, Any]) -> None:
    """Those that become folders, files and the workflow's wildcards."""
    if config["study"].lower() == "reference":  # some disks do not tell them apart
        raise StudyError("study: 'reference' is where reports/ keeps the published run; another name is needed")
    families = [family(path) for path in config["claims"]]
    for place, name in enumerate(families):
        if name in families[:place]:
            raise StudyError(f"claims: two files are called {shown(name)}: a family needs a name of its own")
    named = {"study": [config["study"]], "claims": families}
    for key, names in (named | {key: config[key] for key in ("activations", "datasets", "experiments")}).items():
        _check_distinct(key, names)


def _check_distinct(key: str, names: Iterable[str]) -> None:
    lowered: dict[str, str] = {}
    for name in names:
        if repeats(name):
            raise StudyError(
                f"{key}: {shown(name, 70)} ends in the same letters twenty times, which Snakemake takes for a loop of "
                "rules; another name is needed"
            )
        other = lowered.setdefault(name.lower(), name)
        if other != name:
            raise StudyError(
                f"{key}: {shown(other)} and {shown(name)} differ in case only, and are one folder on many disks; one "
                "needs another name"
            )


def _names(config: Mapping[str, Any], where: str, factor: str, chosen: list[str]) -> list[str]:
    known = list(config[f"{factor}s"])
    if "all" in known:
        raise StudyError(f"{factor}s.all: the name 'all' stands for every {factor}; another name is needed")
    if chosen == ["all"]:
        return known
    for name in chosen:
        if name not in known:
            raise StudyError(f"{where}.{factor}: {shown(name)} is not one of the {factor}s: {listed(known)}")
    return chosen


def _key(path: list[Any]) -> str:
    if path[:1] == ["experiments"] and len(path) > 2:
        path = path[:2] + path[3:]  # which sub-grid: most experiments have one, and the value tells them apart
    return plain(".".join(map(str, path)) or "config", 200)
