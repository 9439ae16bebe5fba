"""The config: a model of each section, its defaults, and one line for every fault.

Pure Python: neither PyTorch nor Snakemake is imported, so reading a config costs nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, cast

from pydantic import Field, create_model, model_validator

from activation_study.activations import entries
from activation_study.core import models
from activation_study.core.errors import StudyError
from activation_study.core.factors import Device, Factors, Precision, Rates, Seeds, Training
from activation_study.core.models import DISTINCT, LISTED, TRUTH, WHOLE, Distinct, Model, matching
from activation_study.core.names import NAME, Name
from activation_study.core.text import listed, shown
from activation_study.core.yaml_files import MAX_VALUES, check_plain, read
from activation_study.data import entries as data_entries
from activation_study.networks import entries as network_entries
from activation_study.networks.base import architectures
from activation_study.quantities.base import measurements

__all__ = ["ROOT", "Config", "family", "merged", "read", "repeats", "validated"]

ROOT = Path(__file__).resolve().parents[3]
MAX_GRIDS = 500
"""Sub-grids of all experiments together: each takes a millisecond to check, and the default study has 30."""
_REPEATED = re.compile(r"(.+)\1{19}$")


class StudySeeds(Model):
    """How many replicates. A lone number is that of evaluation seeds."""

    tuning: Seeds = Field(
        default=6,
        description="Seeds that every learning rate is tried with. Every three of them select a rate; fewer than 4 "
        "select one together, and no interval then holds that choice.",
    )
    evaluation: Seeds = Field(
        default=10,
        description="Fresh seeds, at every rate that three tuning seeds select. Fewer than 5 give no verdict.",
    )
    stream: Name | None = Field(
        default=None,
        description="Gives all seeds of the study other values, for a second study that differs in nothing else.",
    )

    @model_validator(mode="before")
    @classmethod
    def _lone(cls, seeds: Any) -> Any:
        return {"evaluation": seeds} if isinstance(seeds, str | int | float) and not isinstance(seeds, bool) else seeds


class LearningRates(Model):
    """One grid of learning rates per optimiser."""

    momentum: Rates = Field(
        default=(0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3), description="The grid for SGD with momentum 0.9."
    )
    sgd: Rates = Field(default=(0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0), description="The grid for plain SGD.")
    adam: Rates = Field(default=(0.00003, 0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03), description="The grid for Adam.")


class Cost(Model):
    """What each activation costs."""

    measure: Annotated[bool, TRUTH] = Field(
        default=True,
        description="Whether it is measured at all. One job per activation has all cores for itself, for some seconds.",
    )
    activation: Distinct[str] = Field(
        default=("all",), description="Whose cost is measured, of those that some run needs; names or all."
    )
    widths: Annotated[
        tuple[Annotated[int, Field(ge=8, le=4096), WHOLE], ...],
        Field(min_length=1, max_length=20),
        DISTINCT,
        LISTED,
    ] = Field(default=(64, 256, 1024), description="Units per layer; one network each.")
    depth: Annotated[int, Field(ge=1, le=100), WHOLE] = Field(default=5, description="Hidden layers.")
    batch_size: Annotated[int, Field(ge=8, le=4096), WHOLE] = Field(default=128, description="Samples per step.")
    repeats: Annotated[int, Field(ge=6, le=1000), WHOLE] = Field(
        default=20, description="Pairs of timings. Fewer than 6 would give no 95% interval."
    )


class Jobs(Model):
    """How runs are shared out among training jobs. It changes no result, and nothing is trained again for it."""

    runs_per_job: Annotated[int, Field(ge=1, le=10_000), WHOLE] | None = Field(
        default=None,
        description="Runs of one shape that one process trains, at most. Missing means 16, or fewer where these take "
        "more than about a minute; with device cuda, 48.",
    )


def _levels() -> dict[str, Any]:
    """Of each factor one or more values, of activations and datasets names, or all; and what is measured."""
    levels: dict[str, Any] = {}
    for name, field in Factors.model_fields.items():
        default = ... if field.is_required() else (field.default,)
        one: Any = Annotated[(field.annotation, *field.metadata)] if field.metadata else field.annotation
        if name in ("activation", "dataset"):
            default, one = ("all",), str
        elif name == "network":
            one = str
        levels[name] = (cast(Any, Distinct)[one], Field(default=default, description=field.description))
    measure = cast(Any, Annotated)[cast(Any, tuple)[_one_of(measurements()), ...], DISTINCT, LISTED]
    meaning = (
        "What these runs measure on their evaluation seeds beyond the probes; each costs time. Two experiments that "
        "share a run measure both."
    )
    return levels | {"measure": (measure, Field(default=(), description=meaning))}


def _one_of(names: Iterable[str]) -> Any:
    return cast(Any, Literal)[tuple(names)]


class Grid(create_model("Levels", __base__=Model, **_levels())):  # type: ignore[misc]
    """Factor to value or list of values. activation and dataset take names or all."""


class Config(entries.Activations, data_entries.Datasets, network_entries.Networks):
    """The whole of what can be asked of a study. Results, threads and resources are not configuration."""

    study: Name = Field(
        description="The study's name, of letters, digits, '_' and '-'; results go to results/<study>, the report to "
        "reports/<study>.html."
    )
    device: Device = Field(default="auto", description="Where training runs. auto takes a GPU where there is one.")
    precision: Precision = Field(
        default="float32",
        description="Products of training on a GPU: float32, or the faster tf32, which cuts their factors to 10 bits. "
        "A CPU always has float32.",
    )
    allow_modules: Annotated[bool, TRUTH] = Field(
        default=True,
        description='Whether an activation or a network may be {module "package.module:Class"}, which runs that code.',
    )
    claims: Annotated[tuple[Annotated[str, Field(min_length=1)], ...], Field(max_length=20), DISTINCT, LISTED] = Field(
        default=(),
        description="Files of claims to judge, each with its path from the repository's root; a file is one family of "
        "tests, called as the file.",
    )
    compare: Name | None = Field(
        default=None,
        description="Another study, by its name, that differs in seeds.stream alone: once it has a ledger, this one's "
        "page says how many verdicts stay.",
    )
    repository: (
        Annotated[
            str,
            matching(
                r"https://[A-Za-z0-9.-]+(:[0-9]+)?(/[A-Za-z0-9._~-]+)+/?",
                "must be an https address as of GitHub or GitLab, such as https://github.com/you/activation-study",
            ),
        ]
        | None
    ) = Field(
        default=None,
        description="The address of the repository that this config and the code are in. The page links its claims and "
        "rules to their lines there, at the commit that made it; without it the page gives paths and no links.",
    )
    seeds: StudySeeds = Field(
        default=StudySeeds(),
        description="How many replicates. Tuning seeds choose the learning rate; fresh evaluation seeds score it. A "
        "lone number is that of evaluation seeds.",
    )
    learning_rates: LearningRates = Field(
        default=LearningRates(),
        description="One grid of learning rates per optimiser, the same for every activation, in increasing order.",
    )
    training: Training = Field(default=Training(), description="What every run has in common.")
    jobs: Jobs = Field(default=Jobs(), description="How runs are shared out among training jobs.")
    cost: Cost = Field(
        default=Cost(),
        description="What each activation costs, timed beside ReLU in the same process, on one CPU thread, with "
        "nothing else running.",
    )
    experiments: dict[Name, Annotated[tuple[Grid, ...], Field(min_length=1), LISTED]] = Field(
        min_length=1,
        description="Names of sub-grids of factors, each one or a list of them where one product of factors does not "
        "say it. Two experiments that ask for the same run share it.",
    )


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


def _laid_over(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    changed = dict(below)
    for key, value in above.items():
        old = below.get(key)
        changed[key] = _laid_over(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return changed


def validated(config: Mapping[str, Any]) -> Config:
    """The config with defaults filled in and names for all. Raises :class:`StudyError`."""
    check_plain(config)
    _check_experiments(config.get("experiments"))
    found = models.read(Config, dict(config), _key)
    check_plain(found.model_dump(mode="json"), 10 * MAX_VALUES)  # what came as text, such as 1e30, may be a number now
    _check_names(found)
    for name, entry in found.activations.items():
        entries.check_allowed(name, entry, allow_modules=found.allow_modules)
    network_entries.check(found.networks, allow_modules=found.allow_modules)
    for name, source in found.datasets.items():
        data_entries.check_class(name, source)
    cost = found.cost.model_copy(update=_named(found, "cost", found.cost, "activation"))
    experiments = {
        name: tuple(_checked(found, f"experiments.{name}", grid) for grid in grids)
        for name, grids in found.experiments.items()
    }
    return found.model_copy(update={"cost": cost, "experiments": experiments})


def _checked(config: Config, where: str, grid: Grid) -> Grid:
    if grid.normalisation != ("none",) and grid.initial_bias != (0,):
        raise StudyError(
            f"{where}.initial_bias: {shown(list(grid.initial_bias))} has no effect under batch normalisation, which "
            "subtracts it; normalisation must be none"
        )
    families = (*architectures(), *config.networks)
    for network in (name for name in grid.network if name not in families):
        raise StudyError(f"{where}.network: {shown(network)} is not one of the networks: {listed(families)}")
    named: Grid = grid.model_copy(update=_named(config, where, grid, "activation", "dataset"))
    return named


def _named(config: Config, where: str, section: Any, *factors: str) -> dict[str, tuple[str, ...]]:
    """The names that a section chooses, each known to the config; those of all, where it says so."""
    named = {}
    for factor in factors:
        known, chosen = tuple(getattr(config, f"{factor}s")), getattr(section, factor)
        if "all" in known:
            raise StudyError(f"{factor}s.all: the name 'all' stands for every {factor}; another name is needed")
        for name in chosen:
            if chosen != ("all",) and name not in known:
                raise StudyError(f"{where}.{factor}: {shown(name)} is not one of the {factor}s: {listed(known)}")
        named[factor] = known if chosen == ("all",) else chosen
    return named


def family(path: str | Path) -> str:
    """The name of a claims file's family, which is the file's. Raises :class:`StudyError`."""
    name = Path(path).stem
    if not re.fullmatch(NAME, name) or re.search(r"[{}\n]", str(path)):
        raise StudyError(
            f"claims: {shown(str(path))} must be a path without braces to a file whose name, before .yaml, is letters, "
            "digits, '_' and '-' only, at most 64"
        )
    return name


def repeats(text: str) -> bool:
    """Whether it ends in one piece twenty times: such a wildcard Snakemake takes for a rule that feeds itself, and
    then builds on files that are already there, with exit code 0."""
    return len(text) >= 20 and _REPEATED.search(text) is not None


def _check_experiments(experiments: Any) -> None:
    """What is nearly right is refused with the remedy, and more than a study can have before it is looked at."""
    if not isinstance(experiments, dict):
        return
    for name, grids in experiments.items():
        inside = grids if isinstance(grids, list) else [grids]
        if name in Grid.model_fields and not any(isinstance(grid, dict) for grid in inside):
            raise StudyError(
                f"experiments.{name}: {shown(grids)} is for a factor, and factors belong inside an experiment "
                f"with a name, as in experiments: {{core: {{{name}: ...}}}}"
            )
    grids = sum(len(grids) if isinstance(grids, list) else 1 for grids in experiments.values())
    if grids > MAX_GRIDS:
        raise StudyError(f"experiments: have {grids} sub-grids together; the limit is {MAX_GRIDS}")


def _check_names(config: Config) -> None:
    """Those that become folders, files and the workflow's wildcards."""
    if config.study.lower() == "reference":  # some disks do not tell them apart
        raise StudyError("study: 'reference' is where reports/ keeps the published run; another name is needed")
    if config.compare == config.study:
        raise StudyError(f"compare: {shown(config.study)} is this study itself; the name of another is needed")
    families = [family(path) for path in config.claims]
    for place, name in enumerate(families):
        if name in families[:place]:
            raise StudyError(f"claims: two files are called {shown(name)}: a family needs a name of its own")
    check_distinct("study", [config.study])
    check_distinct("claims", families)
    for key in ("activations", "datasets", "networks", "experiments"):
        check_distinct(key, getattr(config, key))


def check_distinct(key: str, names: Iterable[str], remedy: str = "another name") -> None:
    """Names of folders that a disk or Snakemake would take for others. Raises :class:`StudyError`."""
    lowered: dict[str, str] = {}
    for name in names:
        if repeats(name):
            raise StudyError(
                f"{key}: {shown(name, 220)} ends in the same letters twenty times, which Snakemake takes for a loop of "
                "rules; another name is needed"
            )
        other = lowered.setdefault(name.lower(), name)
        if other != name:
            raise StudyError(
                f"{key}: {shown(other)} and {shown(name)} differ in case only, and are one folder on many disks; one "
                f"needs {remedy}"
            )


def _key(path: models.Path) -> str:
    """Which sub-grid is left out: most experiments have one, and the value tells them apart."""
    return models.dotted(path[:2] + path[3:] if path[:1] == ("experiments",) and len(path) > 2 else path)
