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

from activation_study.activations.entries import Entry, OwnModule
from activation_study.core import descriptions, own_modules
from activation_study.core.errors import StudyError
from activation_study.core.factors import Data, Factors, Settings
from activation_study.core.text import plain
from activation_study.data import entries as data_entries
from activation_study.networks.base import architecture
from activation_study.study import code
from activation_study.study.config import Config, Grid, merged, validated
from activation_study.study.jobs import MOST_COST, RUN_TABLES, Job, jobs
from activation_study.study.runs import BASE_MB, Run, plain_sorted

MAX_RUNS = 50_000  # for which Snakemake takes a minute and a gigabyte
MAX_NETWORKS = 10_000_000


@dataclass(frozen=True)
class Study:
    """The validated config. Build it with :meth:`from_config`."""

    config: Config
    runs: Mapping[str, Run]
    membership: tuple[tuple[str, str], ...] = field(repr=False)

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Study:
        """Validate ``config``, fill in the defaults and expand the experiments.

        Raises:
            StudyError: one line per fault that names the key, the value and what would be right.
        """
        checked = validated(config)
        _check_count(checked.experiments)
        runs: dict[str, Run] = {}
        membership: dict[tuple[str, str], None] = {}
        settings = _settings(checked)
        for experiment, grids in checked.experiments.items():
            for grid in grids:
                for factors in _expand(grid):
                    run = Run(factors, settings(factors, grid.measure))
                    name = run.id
                    known = runs.setdefault(name, run)
                    if known.settings is not run.settings:
                        both = {*known.settings.measure, *run.settings.measure}
                        runs[name] = Run(factors, settings(factors, both))
                    membership[experiment, name] = None
        _check_runs(runs)
        _check_networks(runs, checked)
        return cls(checked, runs, tuple(membership))

    @classmethod
    def from_file(cls, path: str | Path) -> Study:
        """Read a YAML file. Raises :class:`StudyError` as :meth:`from_config` does."""
        return cls.from_config(merged([path], {}))

    @property
    def name(self) -> str:
        return self.config.study

    @property
    def results(self) -> str:
        return f"results/{self.name}"

    @property
    def page(self) -> str:
        return f"reports/{self.name}.html"

    @property
    def validity_file(self) -> str:
        return f"{self.results}/tables/validity.json"

    @property
    def compared(self) -> list[str]:
        """The ledger of the study that this one's verdicts are compared with, once it is there."""
        ledger = Path("results", str(self.config.compare), "tables", "ledger.parquet")
        return [str(ledger)] if self.config.compare and ledger.is_file() else []

    @property
    def digest(self) -> str:
        """SHA-256 of the validated config, but for what changes no number: how runs share jobs, where links lead."""
        config = plain_sorted(self.config.model_dump(exclude={"jobs", "repository"}))
        return hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()

    @property
    def gpus(self) -> int:
        """How many GPUs a training job asks the scheduler for."""
        return 0 if self.config.device == "cpu" else 1

    def datasets(self) -> list[str]:
        """The datasets that some run needs, in the config's order."""
        used = {run.factors.dataset for run in self.runs.values()}
        return [name for name in self.config.datasets if name in used]

    def activations(self) -> list[str]:
        """The activations that some run needs, in the config's order."""
        used = {run.factors.activation for run in self.runs.values()}
        return [name for name in self.config.activations if name in used]

    @functools.cached_property
    def jobs(self) -> Mapping[str, Job]:
        """The training jobs, by name."""
        return jobs(self.runs, self.config.device, self.config.jobs.runs_per_job)

    def job(self, wildcards: Any) -> Job:
        """The training job of Snakemake's wildcards."""
        return self.jobs[f"{wildcards.shape}/{wildcards.part}"]

    def job_params(self, wildcards: Any) -> list[dict[str, Any]]:
        return [run.params for run in self.job(wildcards).runs]

    def job_priority(self, wildcards: Any) -> int:
        """The longest first, so that none is left over at the end when the other cores have nothing more to do."""
        return math.ceil(100 * self.job(wildcards).cost / self._longest)

    @functools.cached_property
    def _longest(self) -> float:
        return max(job.cost for job in self.jobs.values())

    def job_manifests(self, wildcards: Any) -> list[str]:
        return [self.dataset_file(name) for name in self.job(wildcards).datasets]

    def job_arrays(self, wildcards: Any) -> list[str]:
        return [self.arrays_file(name) for name in self.job(wildcards).datasets]

    def job_constants(self, wildcards: Any) -> list[str]:
        return [self.activation_file(name) for name in self.job(wildcards).activations]

    def job_sources(self, wildcards: Any) -> list[str]:
        job, config = self.job(wildcards), self.config
        networks = {run.factors.network: None for run in job.runs if run.factors.network in config.networks}
        entries = [config.networks[name] for name in networks] + [config.activations[name] for name in job.activations]
        return [file for entry in entries for file in _sources(entry)]

    def job_runtime(self, wildcards: Any, attempt: int) -> int:
        """Minutes that a queue should grant it: ten times what a new processor takes, and more with each attempt."""
        cost = 1.0 if self.config.device == "cuda" else self.job(wildcards).cost / MOST_COST
        return (20 + math.ceil(20 * cost)) * attempt

    def job_mem_mb(self, wildcards: Any, input: Any) -> int:
        """That of the run that needs most, and on a GPU, where all train together, all their data.

        Raises FileNotFoundError until the datasets are prepared; Snakemake then asks again.
        """
        job = self.job(wildcards)
        found: dict[str, dict[str, Any]] = {}
        for name, path in zip(job.datasets, input.manifests, strict=True):
            try:
                found[name] = descriptions.dataset(path)
            except StudyError:  # damaged, which the job itself says
                found[name] = {"samples": 0, "features": 0, "official_test": False}
        sizes = {name: (d["samples"], d["features"], d["official_test"]) for name, d in found.items()}
        most, data = 0, dict[Any, int]()
        for run in job.runs:
            samples, features, own_test = sizes[run.factors.dataset]
            most = max(most, run.mem_mb(samples, features, own_test=own_test))
            data[run.factors.splits_of] = run.data_mb(samples, features, own_test=own_test)
        return most + (sum(data.values()) if self.config.device == "cuda" else 0)

    def dataset_params(self, wildcards: Any) -> dict[str, Any]:
        # Targets and caps belong to the runs, not to the data: changing one must not fetch anything again.
        runs_own = {"target", "target_reason", "max_train", "max_test"}
        source = self.config.datasets[wildcards.dataset].model_dump(exclude=runs_own)
        return plain_sorted({"name": wildcards.dataset, "entry": source})

    def dataset_fingerprint(self, wildcards: Any) -> str:
        """Changes with the files of a dataset that is read from disk, so that they are read again."""
        return data_entries.fingerprint(self.config.datasets[wildcards.dataset].model_dump())

    def dataset_mem_mb(self, wildcards: Any, input: Any = None) -> int:
        """Memory that preparing the dataset needs at most, in MB, by what its files declare."""
        return data_entries.mem_mb(self.config.datasets[wildcards.dataset].model_dump())

    def activation_params(self, wildcards: Any) -> dict[str, Any]:
        name = wildcards.activation
        entry, allowed = self.config.activations[name].model_dump(), self.config.allow_modules
        return plain_sorted({"name": name, "entry": entry, "allow_modules": allowed, "widths": self.widths(name)})

    def widths(self, activation: str) -> list[int]:
        """The numbers of units of the layers that it is used in; none where they make no difference to it."""
        if not self.config.activations[activation].widths_matter:
            return []
        trained = {run.factors.width for run in self.runs.values() if run.factors.activation == activation}
        return sorted(trained | set(self.config.cost.widths if activation in self.costed() else []))

    def costed(self) -> list[str]:
        """The activations whose cost is measured."""
        cost = self.config.cost
        return [name for name in self.activations() if cost.measure and name in cost.activation]

    def cost_params(self, wildcards: Any) -> dict[str, Any]:
        settings = self.config.cost.model_dump(exclude={"measure", "activation"})
        return plain_sorted(self.activation_params(wildcards) | {"settings": settings})

    def cost_mem_mb(self) -> int:
        """Memory that such a job needs at most, in MB: PyTorch, and two networks of every width."""
        cost = self.config.cost
        parameters = sum(width * (width * cost.depth + 10) for width in cost.widths)
        activations = sum(cost.widths) * cost.batch_size * cost.depth
        return BASE_MB + math.ceil(4 * 2 * (5 * parameters + 4 * activations) / 1e6)

    def report_params(self, wildcards: Any) -> dict[str, Any]:
        return plain_sorted({"study": self.name, "config": self.digest, "repository": self.config.repository})

    def report_assets(self) -> list[str]:
        """The templates, styles and scripts of the report."""
        folder = code.PACKAGE / "report"
        files = (file for file in folder.rglob("*") if file.is_file() and file.suffix not in (".py", ".pyc"))
        return sorted(map(code.relative, files))

    def activation_sources(self, wildcards: Any) -> list[str]:
        """The files of one's own activation, so that editing one reruns what depends on it."""
        return _sources(self.config.activations[wildcards.activation])

    def activation_file(self, name: str) -> str:
        return f"{self.results}/activations/{name}.json"

    def dataset_file(self, name: str) -> str:
        return f"{self.results}/data/{name}.json"

    def arrays_file(self, name: str) -> str:
        return f"{self.results}/data/{name}.npz"

    def cost_file(self, name: str) -> str:
        return f"{self.results}/cost/{name}.parquet"

    def job_file(self, job: Job, table: str = RUN_TABLES[-1]) -> str:
        """Of a training job's files the one of this table."""
        return f"{self.results}/runs/{job.id}/{table}.parquet"

    def job_files(self, table: str) -> list[str]:
        return [self.job_file(job, table) for job in self.jobs.values()]

    def table_file(self, name: str) -> str:
        return f"{self.results}/tables/{name}.parquet"


def _sources(entry: Entry) -> list[str]:
    """The files of one's own that it names."""
    return [code.relative(file) for file in _own_files(entry.target)] if isinstance(entry, OwnModule) else []


@functools.cache
def _own_files(module: str) -> list[Path]:
    """Found once, not for every job."""
    return own_modules.files({"module": module})


def _expand(grid: Grid) -> Iterator[Factors]:
    """The factors of every run of a sub-grid."""
    names = sorted(Factors.model_fields)
    for values in itertools.product(*(getattr(grid, name) for name in names)):
        yield Factors.model_construct(**dict(zip(names, values, strict=True)))


def _settings(config: Config) -> Callable[[Factors, Collection[str]], Settings]:
    """The settings of a run with these factors that measures this; equal ones are one object, as runs are many."""
    made: dict[tuple[Any, ...], Settings] = {}

    def settings(run: Factors, measure: Collection[str]) -> Settings:
        measured = tuple(sorted(measure))
        network = config.networks.get(run.network)
        what = run.activation, run.dataset, network and run.network, run.optimiser
        decisive = *what, run.rates, run.evaluation_seeds, run.tuning_seeds
        if (*decisive, measured) not in made:
            rates = getattr(config.learning_rates, run.optimiser)
            entry = config.datasets[run.dataset]
            made[*decisive, measured] = Settings(
                **dict(config.training),
                activation=config.activations[run.activation].model_dump(),
                network=network.model_dump() if network else None,
                allow_modules=config.allow_modules,
                dataset=Data(**{name: getattr(entry, name) for name in Data.model_fields}),
                device=config.device,
                precision=config.precision,
                evaluation_seeds=run.evaluation_seeds or config.seeds.evaluation,
                measure=measured,
                learning_rates=rates if run.rates == "all" else rates[1::2] or rates,
                tuning_seeds=run.tuning_seeds or config.seeds.tuning,
                stream=config.seeds.stream,
            )
        return made[*decisive, measured]

    return settings


def _check_count(experiments: Mapping[str, tuple[Grid, ...]]) -> None:
    """Before any run is made: a few lists of numbers have a product without end."""
    asked = {
        name: sum(math.prod(len(getattr(grid, factor)) for factor in Factors.model_fields) for grid in grids)
        for name, grids in experiments.items()
    }
    if sum(asked.values()) > MAX_RUNS:
        most = max(asked, key=asked.__getitem__)
        raise StudyError(
            f"experiments.{most}: asks for {plain(asked[most], 40)} runs, all experiments together for "
            f"{plain(sum(asked.values()), 40)}; the limit is {MAX_RUNS}"
        )


def _check_networks(runs: Mapping[str, Run], config: Config) -> None:
    """What can be known of networks before anything is trained."""
    axes = {name: data_entries.axes(entry.model_dump()) for name, entry in config.datasets.items()}
    for run in runs.values():
        architecture(run.factors.network, run.settings.network).check(run.factors, axes[run.factors.dataset])


def _check_runs(runs: Mapping[str, Run]) -> None:
    """The bounds of what the runs have together."""
    networks = sum(run.networks for run in runs.values())
    if networks > MAX_NETWORKS:
        raise StudyError(
            f"seeds: {len(runs)} runs would train {networks} networks; the limit is {MAX_NETWORKS}: fewer seeds, "
            "learning rates or runs are needed"
        )
