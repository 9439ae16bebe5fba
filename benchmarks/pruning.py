"""Does stopping learning rates early change which one is selected, and what is saved? results/bench/pruning.json.

A pilot without pruning, on seeds of its own: at a quarter of the steps the rule is asked which rates it would keep,
and at the end which one is best.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

import torch

import document
import study_side
from activation_study.activations import activation as activations
from activation_study.activations import theory
from activation_study.core.factors import Pruning
from activation_study.data import prepare
from activation_study.study.config import Config
from activation_study.study.runs import Run
from activation_study.study.study import Study
from activation_study.training import device as devices
from activation_study.training.records import Record, Replica
from activation_study.training.rows import Rows
from activation_study.training.run import RunTraining
from activation_study.training.selection import ranked

PROCESSES = 2
DATASETS = ("digits", "mnist1d")
DEPTHS = (5, 20)
ACTIVATIONS = ("sigmoid", "tanh", "relu", "elu")


def main() -> None:
    default, start = study_side.DEFAULT, time.perf_counter()
    runs = pilot(default.config).runs.values()
    longest_first = sorted(runs, key=lambda run: -run.cost)
    with ProcessPoolExecutor(PROCESSES, get_context("spawn")) as pool:
        found = sorted(pool.map(compared, longest_first), key=lambda row: row["run"])
    summary = summarised(found) | {"savings": savings(default), "runs": found, "seconds": time.perf_counter() - start}
    document.write_json(document.BENCH / "pruning.json", summary)


def pilot(default: Config) -> Study:
    """A part of the default study's core, unpruned, with seeds that no experiment uses."""
    config = default.model_dump(mode="json")
    factors = {"activation": list(ACTIVATIONS), "dataset": list(DATASETS), "seed_stream": "pilot"}
    cores = [study_side.core(depth) for depth in DEPTHS]
    grids = [factors | {"depth": core.depth, "steps": core.steps, "clip": core.clip} for core in cores]
    config["seeds"]["evaluation"] = 1
    config["training"]["pruning"]["keep"] = max(len(rates) for rates in config["learning_rates"].values())
    return Study.from_config(config | {"experiments": {"pilot": grids}, "claims": []})


def rows_of(run: Run, device_name: str = "cpu") -> Rows:
    """The run, trained."""
    device, _ = devices.prepare(device_name)
    entry = study_side.DEFAULT.config.datasets[run.factors.dataset].model_dump()
    arrays = prepare.load(run.factors.dataset, entry)
    activation = activations.from_entry(run.factors.activation, run.settings.activation)
    return RunTraining(run.params, activation, theory.constants(activation), arrays, device).rows()


def compared(run: Run) -> dict[str, Any]:
    """The rates that the rule would keep, the one that is best in the end, and what was done for that."""
    rows = rows_of(run)
    rule = study_side.DEFAULT.config.training.pruning
    return {"run": run.id} | comparison(run, rows, rows["runs"][0]["classes"], rule)


def comparison(run: Run, rows: Mapping[str, list[dict[str, Any]]], classes: int, rule: Pruning) -> dict[str, Any]:
    """What the rule would have done to a run that was trained without it."""
    rates, steps = run.settings.learning_rates, run.factors.steps
    pruned = max(1, round(steps * rule.after))
    early = _ranked(run, rows, classes, pruned)[: rule.keep]
    late = _ranked(run, rows, classes, steps)
    kept_best = next(rate for rate in late if rate in early)
    tuning = [row for row in rows["runs"] if row["role"] == "tuning"]

    def accuracy(rate: float) -> float:
        scores = [row["validation_accuracy"] for row in tuning if row["learning_rate"] == rate]
        return sum(scores) / len(scores)

    return {
        "kept": sorted(early),
        "best": late[0],
        "best_of_kept": kept_best,
        "changed": late[0] not in early,
        "accuracy_lost": accuracy(late[0]) - accuracy(kept_best),
        "early_rank_of_best": 1 + _ranked(run, rows, classes, pruned).index(late[0]),
        "replica_steps": len(tuning) * steps,
        "steps_of_diverged": sum(steps - row["steps_done"] for row in tuning if row["status"] == "diverged"),
        "diverged": sum(row["status"] == "diverged" for row in tuning),
        "tuning_replicas": len(tuning),
        "rates": len(rates),
    }


def _ranked(run: Run, rows: Mapping[str, list[dict[str, Any]]], classes: int, step: int) -> list[float]:
    """The rates from best to worst, had all training ended at that step."""
    key = ("replicate", "learning_rate")
    curves: dict[tuple[Any, ...], list[tuple[Any, ...]]] = {}
    for row in rows["curves"]:
        if row["role"] == "tuning" and row["step"] <= step:
            point = (row["step"], row["train_loss"], row["validation_loss"], row["validation_accuracy"])
            curves.setdefault(tuple(row[name] for name in key), []).append(point)
    records = []
    for row in (row for row in rows["runs"] if row["role"] == "tuning"):
        replica = Replica("tuning", row["replicate"], row["learning_rate"], 0, None)
        lost = row["status"] == "diverged" and row["diverged_step"] <= step
        curve = curves.get(tuple(row[name] for name in key), [])
        records.append(Record(replica, curve, status="diverged" if lost else "finished"))
    looks = sorted({point[0] for curve in curves.values() for point in curve})
    rates, target = run.settings.learning_rates, run.settings.dataset.target
    return ranked(records, rates, run.factors.select, classes, target, looks)


def summarised(found: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    steps = sum(row["replica_steps"] for row in found)
    return {
        "compared": len(found),
        "changed": sum(row["changed"] for row in found),
        "largest_accuracy_lost": max(row["accuracy_lost"] for row in found),
        "early_ranks_of_best": [
            sum(row["early_rank_of_best"] == rank for row in found)
            for rank in range(1, 1 + max(row["rates"] for row in found))
        ],
        "tuning_replicas": sum(row["tuning_replicas"] for row in found),
        "diverged": sum(row["diverged"] for row in found),
        "saved_by_dropping": sum(row["steps_of_diverged"] for row in found) / steps,
    }


def savings(study: Study) -> dict[str, Any]:
    """Replica-steps of the study as it is, without pruning, and without sharing runs between experiments."""

    def steps(runs: Sequence[Run], *, pruned: bool = True) -> float:
        return sum(run.replica_steps if pruned else _unpruned(run).replica_steps for run in runs)

    distinct, asked = list(study.runs.values()), [study.runs[run] for _, run in study.membership]
    return {
        "runs": len(distinct),
        "runs_asked_for": len(asked),
        "replica_steps": steps(distinct),
        "without_pruning": steps(distinct, pruned=False),
        "without_sharing": steps(asked),
        "without_either": steps(asked, pruned=False),
    }


def _unpruned(run: Run) -> Run:
    rule = run.settings.pruning.model_copy(update={"keep": len(run.settings.learning_rates)})
    return Run(run.factors, run.settings.model_copy(update={"pruning": rule}))


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
