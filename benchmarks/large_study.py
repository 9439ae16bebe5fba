"""A large study that never ran: its config, its claims, and result files as its jobs would have written them.

The numbers are those of `whole_study`, made up; names, receipts and files are what
the workflow expects, so that it takes all of them for done.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import yaml

import whole_study
from activation_study.activations import activation, portrait
from activation_study.core import files
from activation_study.data.arrays import Arrays, content_sha256, write_prepared
from activation_study.study import receipts
from activation_study.study.jobs import RUN_TABLES
from activation_study.study.runs import Run
from activation_study.study.study import Study
from activation_study.tables import parquet

KNOWN = {
    "relu": {"class": "ReLU"},
    "leaky_relu": {"class": "LeakyReLU"},
    "elu": {"class": "ELU"},
    "prelu": {"class": "PReLU"},
    "rrelu": {"class": "RReLU"},
    "sigmoid": {"class": "Sigmoid"},
    "tanh": {"class": "Tanh"},
    "softplus": {"class": "Softplus"},
}
DATASETS, DEPTHS = ("digits", "mnist1d"), (2, 5)
TESTED = {
    "difference": ("test_accuracy", "log_time_to_target", "plateau_time", "gradient_decay"),
    "exploratory": ("dead", "preactivation_sd", "rate_sensitivity"),
}
TWO = [{"activation": "leaky_relu"}, {"activation": "relu"}]


def write_config(runs: int, activations: int) -> Path:
    """A config of about so many runs, in the working directory, with its claims beside it.

    Its experiment `core` has all activations on two datasets at two depths, `again` the same under other seeds.
    """
    names = [*KNOWN][:activations]
    more = {f"swish_{i}": {"expression": f"x * sigmoid({1 + i / 100} * x)"} for i in range(activations - len(names))}
    times = max(2, round(runs / activations / len(DATASETS) / len(DEPTHS)))
    core = {"dataset": list(DATASETS), "depth": list(DEPTHS), "width": 16, "steps": 100, "batch_size": 32}
    again = core | {"seed_stream": [f"s{i}" for i in range(1, times)]}
    config = {
        "study": f"large_{runs}_{activations}",
        "device": "cpu",
        "seeds": {"tuning": 3, "evaluation": 5},
        "learning_rates": {"momentum": [0.003, 0.03, 0.3]},
        "training": {"evaluations_per_decade": 5, "probes_per_decade": 1},
        "activations": {name: KNOWN[name] for name in names} | more,
        "datasets": {name: {"source": name, "target": 0.5, "target_reason": "made up"} for name in DATASETS},
        "experiments": {"core": core, "again": again},
        "cost": {"widths": [16], "repeats": 6},
        "claims": ["claims.yaml"],
    }
    about = {"arms": TWO, "smallest": 0.01, "reason": "made up"}
    rows = [
        {"test": f"{metric}, {kind}", "type": kind, "experiment": "core", "metric": metric} | about
        for kind, metrics in TESTED.items()
        for metric in metrics
    ]
    rows.append(rows[0] | {"experiment": "again", "where": {"seed_stream": "s1"}})
    claims = {"claims": [{"id": "made_up", "quote": "Nothing of this was claimed.", "rows": rows}]}
    for name, content in (("claims", claims), ("config", config)):
        Path(f"{name}.yaml").write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    return Path("config.yaml")


def write_results(study: Study) -> None:
    """All that the study's jobs would have written, in the working directory."""
    manifests = {name: _dataset(study, name) for name in study.datasets()}
    described = {name: _activation(study, name) for name in study.activations()}
    costs = whole_study.costs(study)
    for name in study.costed():
        made_by = receipts.of_cost(study.cost_params(SimpleNamespace(activation=name)), described[name])
        rows = whole_study.typed("cost", costs[costs["activation"] == name])
        parquet.write_parquet(rows, study.cost_file(name), made_by)
    rows = _Rows()
    for job in study.jobs.values():
        runs = [rows.of(run) for run in job.runs]
        made_by = receipts.of_job(
            {
                run.id: receipts.of_run(run.params, described[run.factors.activation], manifests[run.factors.dataset])
                for run in job.runs
            }
        )
        for name in RUN_TABLES:
            receipt = made_by if name == RUN_TABLES[-1] else receipts.beside(made_by)
            parquet.write_parquet(pa.concat_tables([of[name] for of in runs]), study.job_file(job, name), receipt)


def _dataset(study: Study, name: str) -> Mapping[str, Any]:
    wanted = SimpleNamespace(dataset=name)
    made_by = receipts.of_dataset(study.dataset_params(wanted), study.dataset_fingerprint(wanted))
    data = Arrays(np.zeros((300, 4), np.float32), np.arange(300) % 10, None, 10, "made up", "")
    about = {"name": name, "status": "available", "message": "", "samples": 300, "features": 4, "classes": 10}
    about |= {"source": "made up", "official_test": False, "sha256": content_sha256(data.x, data.y, None)}
    about |= {files.MADE_BY: made_by}
    write_prepared(data, about, Path(study.arrays_file(name)), Path(study.dataset_file(name)))
    return about


def _activation(study: Study, name: str) -> Mapping[str, Any]:
    known = _described(name if name in KNOWN else "softplus")
    about = known | {"constants": known["constants"] | {"activation": name}, "status": "available", "message": ""}
    params = study.activation_params(SimpleNamespace(activation=name))
    files.write_json(about | {files.MADE_BY: receipts.of_activation(params)}, study.activation_file(name))
    return about


@functools.cache
def _described(name: str) -> dict[str, Any]:
    """A second or two each."""
    return portrait.description(activation.from_entry(name, KNOWN[name]))


class _Rows:
    """The tables of any run: those of the first with its activation, dataset and depth, under its own name."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str, int], dict[str, pa.Table]] = {}

    def of(self, run: Run) -> dict[str, pa.Table]:
        f = run.factors
        key = f.dataset, f.activation, f.depth
        if key not in self._known:
            frames = whole_study.rows_of(run, np.random.default_rng([f.depth, *map(ord, f.dataset + f.activation)]))
            self._known[key] = {name: whole_study.typed(name, frames[name]) for name in RUN_TABLES}
        named = {"run": run.id, "seed_stream": f.seed_stream}
        return {name: _named(table, named) for name, table in self._known[key].items()}


def _named(table: pa.Table, named: Mapping[str, str]) -> pa.Table:
    for place, field in enumerate(table.schema):
        if field.name in named:
            table = table.set_column(place, field, pa.repeat(named[field.name], len(table)))
    return table
