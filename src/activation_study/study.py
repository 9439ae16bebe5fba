"""What a study is: a validated config, its experiments, and the distinct runs that they ask for.

Pure Python: neither PyTorch nor Snakemake is imported, so reading a config costs nothing.
"""

from __future__ import annotations

import copy
import functools
import hashlib
import itertools
import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator

from activation_study import activation_entries, datasets, dependencies
from activation_study.errors import StudyError

ROOT = Path(__file__).resolve().parents[2]
_RUN_KEYS = ("target", "target_reason", "max_train", "max_test")
SCHEMA_FILE = ROOT / "workflow" / "schemas" / "config.schema.yaml"
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")


@functools.cache
def schema() -> dict[str, Any]:
    """The JSON schema of the config."""
    return yaml.safe_load(SCHEMA_FILE.read_text(encoding="utf-8"))


@functools.cache
def factor_defaults() -> dict[str, Any]:
    """The factors that make up a run's identity, with their defaults; ``...`` where one must be given."""
    factors = _experiment_schema()["properties"]
    required = {"activation", "dataset", "depth"}
    return {name: ... if name in required else spec["default"][0] for name, spec in factors.items()}


def _experiment_schema() -> dict[str, Any]:
    return schema()["properties"]["experiments"]["additionalProperties"]["items"]


@dataclass(frozen=True)
class Run:
    """One condition × one activation: one job, which trains all its replicas (seed × learning rate).

    ``factors`` is the identity, one plain value per factor; ``settings`` is whatever else the outcome depends on.
    """

    factors: Mapping[str, Any]
    settings: Mapping[str, Any]

    @functools.cached_property
    def condition(self) -> str:
        """Readable and stable: the depth, then only what differs from the default."""
        shown = [("depth", self.factors["depth"])]
        for name, default in sorted(factor_defaults().items()):
            if default is not ... and self.factors[name] != default:
                shown.append((name, self.factors[name]))
        return ",".join(f"{name}={_text(value)}" for name, value in shown)

    @property
    def id(self) -> str:
        return f"{self.factors['dataset']}/{self.factors['activation']}/{self.condition}"

    @property
    def params(self) -> dict[str, Any]:
        """All that determines the result, as one plain dict with sorted keys."""
        return _plain({"factors": dict(self.factors), "id": self.id, "settings": dict(self.settings)})

    @property
    def replica_steps(self) -> float:
        """Training steps over all replicas, pruning counted in."""
        settings, steps = self.settings, self.factors["steps"]
        rates, seeds = len(settings["learning_rates"]), settings["tuning_seeds"]
        kept = min(rates, settings["pruning"]["keep"])
        part = settings["pruning"]["after"] if kept < rates else 1.0
        tuning = seeds * (rates * part + kept * (1 - part))
        return steps * (tuning + settings["evaluation_seeds"])

    @property
    def cost(self) -> float:
        """Relative cost: floating-point operations of a typical input (256 features) plus an overhead per layer."""
        width, depth = self.factors["width"], self.factors["depth"]
        per_sample = 6 * width * (width * depth + 256) + 4_000 * depth
        return self.replica_steps * self.factors["batch_size"] * per_sample

    @property
    def mem_mb(self) -> int:
        """Memory that the job needs at most, in MB: PyTorch, the data, one chunk and its float64 probe."""
        f, s = self.factors, self.settings
        chunk = max(s["replicas_per_chunk"].values()) if s["device"] == "cuda" else s["replicas_per_chunk"]["cpu"]
        parameters = f["width"] * (f["width"] * f["depth"] + 3_072)
        activations = f["depth"] * f["width"] * (2 * f["batch_size"] + 6 * s["probe_samples"])
        validation = 4 * f["width"] * s["max_validation"]
        replicas = max(len(s["learning_rates"]) * s["tuning_seeds"], s["evaluation_seeds"])
        floats = chunk * (activations + validation + 4 * parameters) + 3 * replicas * parameters
        return 1_200 + math.ceil(4 * floats / 1e6)


@dataclass(frozen=True)
class Study:
    """The validated config. Build it with :meth:`from_config`."""

    config: Mapping[str, Any]
    runs: Mapping[str, Run]
    membership: tuple[tuple[str, str], ...] = field(repr=False)

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Study:
        """Validate ``config``, fill in the defaults and expand the experiments.

        Raises:
            StudyError: one line per fault that names the key, the value and what would be right.
        """
        config = validated(config)
        runs: dict[str, Run] = {}
        membership: dict[tuple[str, str], None] = {}
        for experiment, grids in config["experiments"].items():
            for run in itertools.chain.from_iterable(_expand(config, grid) for grid in grids):
                runs.setdefault(run.id, run)
                membership[experiment, run.id] = None
        return cls(config, runs, tuple(membership))

    @classmethod
    def from_file(cls, path: str | Path) -> Study:
        """Read a YAML file. Raises :class:`StudyError` as :meth:`from_config` does."""
        try:
            config = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
            raise StudyError(f"{path}: cannot be read as YAML: {' '.join(str(error).split())[:300]}") from None
        if not isinstance(config, dict):
            raise StudyError(f"{path}: must hold a mapping of keys, not {type(config).__name__}")
        return cls.from_config(config)

    @property
    def name(self) -> str:
        return self.config["study"]

    @property
    def results(self) -> str:
        return f"results/{self.name}"

    @property
    def digest(self) -> str:
        """SHA-256 of the validated config."""
        return hashlib.sha256(json.dumps(_plain(self.config), sort_keys=True).encode()).hexdigest()

    @property
    def gpus(self) -> int:
        """How many GPUs a training job asks the scheduler for."""
        return 0 if self.config["device"] == "cpu" else 1

    def datasets(self) -> list[str]:
        """The datasets that some run needs, in the config's order."""
        used = {run.factors["dataset"] for run in self.runs.values()}
        return [name for name in self.config["datasets"] if name in used]

    def activations(self) -> list[str]:
        """The activations that some run needs, in the config's order."""
        used = {run.factors["activation"] for run in self.runs.values()}
        return [name for name in self.config["activations"] if name in used]

    def run(self, wildcards: Any) -> Run:
        """The run of a Snakemake job, from its wildcards."""
        return self.runs[f"{wildcards.dataset}/{wildcards.activation}/{wildcards.condition}"]

    def run_params(self, wildcards: Any) -> dict[str, Any]:
        return self.run(wildcards).params

    def run_mem_mb(self, wildcards: Any) -> int:
        return self.run(wildcards).mem_mb

    def dataset_params(self, wildcards: Any) -> dict[str, Any]:
        # Targets and caps belong to the runs, not to the data: changing one must not fetch anything again.
        entry = self.config["datasets"][wildcards.dataset]
        source = {k: v for k, v in entry.items() if k not in _RUN_KEYS}
        return _plain({"name": wildcards.dataset, "entry": source})

    def dataset_fingerprint(self, wildcards: Any) -> str:
        """Changes with the files of a dataset that is read from disk, so that they are read again."""
        return datasets.fingerprint(self.config["datasets"][wildcards.dataset])

    def dataset_attempt(self, wildcards: Any) -> int:
        """How often the dataset could not be had so far: a new number makes Snakemake try once more."""
        try:
            return int(json.loads(Path(f"{self.results}/data/{wildcards.dataset}.json").read_text())["attempt"])
        except (OSError, ValueError, KeyError, TypeError):
            return 0

    def activation_params(self, wildcards: Any) -> dict[str, Any]:
        name = wildcards.activation
        entry, allowed = self.config["activations"][name], self.config["allow_modules"]
        return _plain({"name": name, "entry": entry, "allow_modules": allowed})

    def costed(self) -> list[str]:
        """The activations whose cost is measured."""
        return self.activations() if self.config["cost"]["measure"] else []

    def cost_params(self, wildcards: Any) -> dict[str, Any]:
        settings = {key: value for key, value in self.config["cost"].items() if key != "measure"}
        return _plain(self.activation_params(wildcards) | {"settings": settings})

    def cost_mem_mb(self) -> int:
        """Memory that such a job needs at most, in MB: PyTorch, and two networks of every width."""
        cost = self.config["cost"]
        parameters = sum(width * (width * cost["depth"] + 10) for width in cost["widths"])
        activations = sum(cost["widths"]) * cost["batch_size"] * cost["depth"]
        return 1_200 + math.ceil(4 * 2 * (5 * parameters + 4 * activations) / 1e6)

    def report_params(self, wildcards: Any) -> dict[str, Any]:
        return _plain({"study": self.name, "config": self.digest})

    def report_assets(self) -> list[str]:
        """The templates, styles and scripts of the report."""
        folder = dependencies.PACKAGE / "report"
        files = (file for file in folder.rglob("*") if file.is_file() and file.suffix not in (".py", ".pyc"))
        return sorted(map(dependencies.relative, files))

    def activation_sources(self, wildcards: Any) -> list[str]:
        """The file of one's own activation, so that editing it reruns what depends on it."""
        files = activation_entries.source_files(self.config["activations"][wildcards.activation])
        return [dependencies.relative(file) for file in files]


def _expand(config: Mapping[str, Any], factors: Mapping[str, Any]) -> Iterator[Run]:
    names = sorted(factor_defaults())
    for values in itertools.product(*(factors[name] for name in names)):
        run = dict(zip(names, values, strict=True))
        training = config["training"]
        rates = config["learning_rates"][run["optimiser"]]
        entry = config["datasets"][run["dataset"]]
        yield Run(
            run,
            {
                "activation": config["activations"][run["activation"]],
                "allow_modules": config["allow_modules"],
                "dataset": {k: entry[k] for k in ("source", "max_train", "max_test", "target")},
                "device": config["device"],
                "evaluation_seeds": run["evaluation_seeds"] or config["seeds"]["evaluation"],
                "learning_rates": rates if run["rates"] == "all" else rates[1::2] or rates,
                "tuning_seeds": config["seeds"]["tuning"],
                **training,
            },
        )


def validated(config: Mapping[str, Any]) -> dict[str, Any]:
    """The config with defaults filled in and every factor a list. Raises :class:`StudyError`."""
    _check_plain(config)
    config = _with_defaults(copy.deepcopy(dict(config)), schema())
    faults = sorted(Draft202012Validator(schema()).iter_errors(config), key=lambda e: list(map(str, e.path)))
    if faults:
        raise StudyError("\n".join(dict.fromkeys(map(_one_line, faults))))
    for name, entry in config["activations"].items():
        activation_entries.check(name, entry, allow_modules=config["allow_modules"])
    for name, entry in config["datasets"].items():
        datasets.check_entry(name, entry)
    for optimiser, rates in config["learning_rates"].items():
        if sorted(set(rates)) != rates:
            raise StudyError(f"learning_rates.{optimiser}: {rates} must increase strictly")
    for name, factors in ((name, grid) for name, grids in config["experiments"].items() for grid in grids):
        for factor in ("activation", "dataset"):
            factors[factor] = _names(config, name, factor, factors[factor])
        if factors["normalisation"] != ["none"] and factors["initial_bias"] != [0]:
            raise StudyError(
                f"experiments.{name}.initial_bias: {factors['initial_bias']} has no effect under batch normalisation, "
                f"which subtracts it; normalisation must be none"
            )
    return config


def _names(config: Mapping[str, Any], experiment: str, factor: str, chosen: list[str]) -> list[str]:
    known = list(config[f"{factor}s"])
    if "all" in known:
        raise StudyError(f"{factor}s.all: the name 'all' stands for every {factor}; another name is needed")
    if chosen == ["all"]:
        return known
    for name in chosen:
        if name not in known:
            raise StudyError(
                f"experiments.{experiment}.{factor}: {name!r} is not one of the {factor}s: {', '.join(known)}"
            )
    return chosen


def _check_plain(value: Any, path: tuple[str, ...] = ()) -> None:
    """YAML also has dates, infinities, keys that are no text, and lists that hold themselves: none has a place here."""
    key = ".".join(path) or "config"
    if len(path) > 20:
        raise StudyError(f"{key[:60]}…: is nested too deeply")
    if isinstance(value, Mapping):
        for name, inside in value.items():
            if not isinstance(name, str):
                raise StudyError(f"{key}: the key {name!r} must be text; put it in quotes")
            _check_plain(inside, (*path, name))
    elif isinstance(value, list):
        for index, inside in enumerate(value):
            _check_plain(inside, (*path, str(index)))
    elif isinstance(value, int | float) and not abs(value) < 1e18:
        raise StudyError(f"{key}: {str(value)[:20]} must be a finite number below 1e18")
    elif value is not None and not isinstance(value, str | int | float):
        raise StudyError(f"{key}: {value!r} must be text, a number, true or false")


def _with_defaults(value: Any, spec: Mapping[str, Any]) -> Any:
    """Fill defaults, turn a lone factor into a list, and read numbers that YAML takes for text (1e-3)."""
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


def _text(value: Any) -> str:
    """Short, and another text for every other value."""
    if isinstance(value, float) and float(f"{value:g}") == value:
        return f"{value:g}"
    return value if isinstance(value, str) else str(value).lower()


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(value[key]) for key in sorted(value, key=str)}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value
