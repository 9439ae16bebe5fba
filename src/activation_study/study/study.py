"""What a study is: a validated config, its experiments, and the distinct runs that they ask for.

Pure Python: neither PyTorch nor Snakemake is imported, so reading a config costs nothing.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
import json
import math
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from activation_study.activations import entries
from activation_study.core import descriptions, own_modules
from activation_study.core.errors import StudyError
from activation_study.core.runs import RunId
from activation_study.core.text import plain, shown
from activation_study.data import entries as data_entries
from activation_study.study import code
from activation_study.study.config import factor_defaults, merged, repeats, validated

MAX_RUNS = 50_000  # for which Snakemake takes a minute and a gigabyte
MAX_NETWORKS = 10_000_000
MAX_FOLDER = 200
"""Bytes of a folder's name: most disks take 255, and a log's name is longer by its ending."""
BASE_MB = 800
"""Of Python with PyTorch: 560 MB were measured."""
_RUN_KEYS = ("target", "target_reason", "max_train", "max_test")


@dataclass(frozen=True)
class Run:
    """One condition × one activation: one job, which trains all its replicas (seed × learning rate).

    ``factors`` is the identity, one plain value per factor; ``settings`` is whatever else the outcome depends on.
    """

    factors: Mapping[str, Any]
    settings: Mapping[str, Any]

    @functools.cached_property
    def _id(self) -> RunId:
        return RunId.of(self.factors, factor_defaults())

    @property
    def condition(self) -> str:
        return self._id.condition

    @property
    def id(self) -> str:
        return str(self._id)

    @property
    def params(self) -> dict[str, Any]:
        """All that determines the result, as one plain dict with sorted keys."""
        return _plain({"factors": dict(self.factors), "id": self.id, "settings": dict(self.settings)})

    @property
    def networks(self) -> int:
        """How many are trained: tuning seeds × learning rates, and the evaluation seeds."""
        settings = self.settings
        return len(settings["learning_rates"]) * settings["tuning_seeds"] + settings["evaluation_seeds"]

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

    def mem_mb(self, samples: int, features: int, *, own_test: bool = False) -> int:
        """Memory that the job needs at most, in MB: PyTorch, the data, one chunk and its float64 probe.

        Args:
            samples, features: the dataset's.
            own_test: whether it has test samples of its own; without, every replicate has another split.
        """
        f, s = self.factors, self.settings
        chunk = max(s["replicas_per_chunk"].values()) if s["device"] == "cuda" else s["replicas_per_chunk"]["cpu"]
        parameters = f["width"] * (f["width"] * f["depth"] + features)
        activations = f["depth"] * f["width"] * (5 * f["batch_size"] + 6 * s["probe_samples"])
        validation = 4 * f["width"] * s["max_validation"]
        replicas = max(len(s["learning_rates"]) * s["tuning_seeds"], s["evaluation_seeds"])
        networks = chunk * (activations + validation + 5 * parameters) + 3 * replicas * parameters
        splits = 1 if own_test and f["train_size"] is None else s["tuning_seeds"] + s["evaluation_seeds"]
        caps = s["dataset"].get("max_train"), s["dataset"].get("max_test"), s["max_validation"]
        split = samples if None in caps else min(samples, sum(caps))
        data = features * (2 * samples + splits * split)
        return BASE_MB + math.ceil(4 * (networks + data) / 1e6)


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
        _check_count(config["experiments"])
        runs: dict[str, Run] = {}
        membership: dict[tuple[str, str], None] = {}
        settings = _settings(config)
        for experiment, grids in config["experiments"].items():
            for grid in grids:
                for factors in _expand(grid):
                    run = Run(factors, settings(factors, grid["measure"]))
                    name = run.id
                    known = runs.setdefault(name, run)
                    if known.settings is not run.settings:
                        both = {*known.settings["measure"], *run.settings["measure"]}
                        runs[name] = Run(factors, settings(factors, both))
                    membership[experiment, name] = None
        _check_runs(runs)
        return cls(config, runs, tuple(membership))

    @classmethod
    def from_file(cls, path: str | Path) -> Study:
        """Read a YAML file. Raises :class:`StudyError` as :meth:`from_config` does."""
        return cls.from_config(merged([path], {}))

    @property
    def name(self) -> str:
        return self.config["study"]

    @property
    def results(self) -> str:
        return f"results/{self.name}"

    @property
    def page(self) -> str:
        return f"reports/{self.name}.html"

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

    def run_mem_mb(self, wildcards: Any, input: Any) -> int:
        """Raises FileNotFoundError until the dataset is prepared; Snakemake then asks again."""
        try:
            manifest = descriptions.dataset(input.manifest)
        except StudyError:  # damaged, which the job itself says
            return self.run(wildcards).mem_mb(0, 0)
        return self.run(wildcards).mem_mb(manifest["samples"], manifest["features"], own_test=manifest["official_test"])

    def dataset_params(self, wildcards: Any) -> dict[str, Any]:
        # Targets and caps belong to the runs, not to the data: changing one must not fetch anything again.
        entry = self.config["datasets"][wildcards.dataset]
        source = {k: v for k, v in entry.items() if k not in _RUN_KEYS}
        return _plain({"name": wildcards.dataset, "entry": source})

    def dataset_fingerprint(self, wildcards: Any) -> str:
        """Changes with the files of a dataset that is read from disk, so that they are read again."""
        return data_entries.fingerprint(self.config["datasets"][wildcards.dataset])

    def dataset_mem_mb(self, wildcards: Any) -> int:
        """Memory that preparing the dataset needs at most, in MB, by what its files declare."""
        return data_entries.mem_mb(self.config["datasets"][wildcards.dataset])

    def activation_params(self, wildcards: Any) -> dict[str, Any]:
        name = wildcards.activation
        entry, allowed = self.config["activations"][name], self.config["allow_modules"]
        return _plain({"name": name, "entry": entry, "allow_modules": allowed, "widths": self.widths(name)})

    def widths(self, activation: str) -> list[int]:
        """The numbers of units of the layers that it is used in; none where they make no difference to it."""
        if not entries.widths_matter(self.config["activations"][activation]):
            return []
        trained = {run.factors["width"] for run in self.runs.values() if run.factors["activation"] == activation}
        return sorted(trained | set(self.config["cost"]["widths"] if activation in self.costed() else []))

    def costed(self) -> list[str]:
        """The activations whose cost is measured."""
        cost = self.config["cost"]
        return [name for name in self.activations() if cost["measure"] and name in cost["activation"]]

    def cost_params(self, wildcards: Any) -> dict[str, Any]:
        settings = {key: value for key, value in self.config["cost"].items() if key not in ("measure", "activation")}
        return _plain(self.activation_params(wildcards) | {"settings": settings})

    def cost_mem_mb(self) -> int:
        """Memory that such a job needs at most, in MB: PyTorch, and two networks of every width."""
        cost = self.config["cost"]
        parameters = sum(width * (width * cost["depth"] + 10) for width in cost["widths"])
        activations = sum(cost["widths"]) * cost["batch_size"] * cost["depth"]
        return BASE_MB + math.ceil(4 * 2 * (5 * parameters + 4 * activations) / 1e6)

    def report_params(self, wildcards: Any) -> dict[str, Any]:
        return _plain({"study": self.name, "config": self.digest})

    def report_assets(self) -> list[str]:
        """The templates, styles and scripts of the report."""
        folder = code.PACKAGE / "report"
        files = (file for file in folder.rglob("*") if file.is_file() and file.suffix not in (".py", ".pyc"))
        return sorted(map(code.relative, files))

    def activation_sources(self, wildcards: Any) -> list[str]:
        """The files of one's own activation, so that editing one reruns what depends on it."""
        module = self.config["activations"][wildcards.activation].get("module")
        return [code.relative(file) for file in _own_files(module)] if module else []

    def activation_file(self, name: str) -> str:
        return f"{self.results}/activations/{name}.json"

    def dataset_file(self, name: str) -> str:
        return f"{self.results}/data/{name}.json"

    def cost_file(self, name: str) -> str:
        return f"{self.results}/cost/{name}.parquet"

    def run_file(self, run: Run) -> str:
        """The one of a run's files that says what made them."""
        return f"{self.results}/runs/{run.id}/jobs.parquet"

    def table_file(self, name: str) -> str:
        return f"{self.results}/tables/{name}.parquet"


@functools.cache
def _own_files(module: str) -> list[Path]:
    """Found once, not for every job of the activation."""
    return own_modules.files({"module": module})


def _expand(grid: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The factors of every run of a sub-grid."""
    names = sorted(factor_defaults())
    for values in itertools.product(*(grid[name] for name in names)):
        yield dict(zip(names, values, strict=True))


def _settings(config: Mapping[str, Any]) -> Callable[[Mapping[str, Any], Collection[str]], dict[str, Any]]:
    """The settings of a run with these factors that measures this; equal ones are one object, as runs are many."""
    decisive = ("activation", "dataset", "optimiser", "rates", "evaluation_seeds", "tuning_seeds")
    made: dict[tuple[Any, ...], dict[str, Any]] = {}

    def settings(run: Mapping[str, Any], measure: Collection[str]) -> dict[str, Any]:
        measured = tuple(sorted(measure))
        key = (*(run[name] for name in decisive), measured)
        if key not in made:
            rates = config["learning_rates"][run["optimiser"]]
            entry = config["datasets"][run["dataset"]]
            made[key] = {
                "activation": config["activations"][run["activation"]],
                "allow_modules": config["allow_modules"],
                "dataset": {k: entry[k] for k in ("source", "max_train", "max_test", "target")},
                "device": config["device"],
                "evaluation_seeds": run["evaluation_seeds"] or config["seeds"]["evaluation"],
                "measure": list(measured),
                "learning_rates": rates if run["rates"] == "all" else rates[1::2] or rates,
                "tuning_seeds": run["tuning_seeds"] or config["seeds"]["tuning"],
                **config["training"],
            }
        return made[key]

    return settings


def _check_count(experiments: Mapping[str, Any]) -> None:
    """Before any run is made: a few lists of numbers have a product without end."""
    asked = {
        name: sum(math.prod(len(grid[factor]) for factor in factor_defaults()) for grid in grids)
        for name, grids in experiments.items()
    }
    if sum(asked.values()) > MAX_RUNS:
        most = max(asked, key=asked.__getitem__)
        raise StudyError(
            f"experiments.{most}: asks for {plain(asked[most], 40)} runs, all experiments together for "
            f"{plain(sum(asked.values()), 40)}; at most {MAX_RUNS} can be had"
        )


def _check_runs(runs: Mapping[str, Run]) -> None:
    """The bounds of what the runs have together, and of the names that become folders and the workflow's wildcards."""
    networks = sum(run.networks for run in runs.values())
    if networks > MAX_NETWORKS:
        raise StudyError(
            f"seeds: {len(runs)} runs would train {networks} networks; at most {MAX_NETWORKS} can be had: fewer seeds, "
            "learning rates or runs are needed"
        )
    lowered: dict[str, str] = {}
    for condition in {run.condition for run in runs.values()}:
        if len(condition) > MAX_FOLDER:
            raise StudyError(
                f"experiments: the folder of a run would be called {shown(condition)}, {len(condition)} bytes; at most "
                f"{MAX_FOLDER} can be had: fewer factors that differ from their defaults, or shorter names, are needed"
            )
        if repeats(condition):
            raise StudyError(
                f"experiments: the folder of a run would be called {shown(condition, 220)}, which ends in the same "
                "letters twenty times, and Snakemake takes that for a loop of rules; another name is needed"
            )
        other = lowered.setdefault(condition.lower(), condition)
        if other != condition:
            raise StudyError(
                f"experiments: the folders of two runs, {shown(other)} and {shown(condition)}, differ in case only, "
                "and are one folder on many disks; one needs another seed_stream"
            )


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(value[key]) for key in sorted(value, key=str)}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value
