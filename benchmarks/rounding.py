"""How far do results differ between machines? results/bench/rounding.json.

The same runs are trained by this processor's newest instructions and by its oldest: other kernels, which add in another
order, as another processor would.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

import numpy as np
import pandas as pd

import document
import pruning
import study_side
from activation_study.study.study import Study

OLDEST = {"ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41", "MKL_CBWR": "COMPATIBLE"}
KEY = ["run", "replicate"]


def main() -> None:
    start, runs = time.perf_counter(), sorted(pilot().runs.values(), key=lambda run: -run.cost)
    tables = []
    for environment in ({}, OLDEST):
        os.environ.update(environment)  # before its processes import PyTorch
        with ProcessPoolExecutor(pruning.PROCESSES, get_context("spawn")) as pool:
            tables.append(pd.DataFrame([row for rows in pool.map(trained, runs) for row in rows]))
    document.write_json(document.BENCH / "rounding.json", compared(*tables) | {"seconds": time.perf_counter() - start})


def pilot() -> Study:
    """The pruning pilot's runs as the study would have them: pruned, with all evaluation seeds."""
    default, config = study_side.DEFAULT.config, pruning.pilot(study_side.DEFAULT.config).config
    changes = {"seeds": default.seeds, "training": default.training}
    return Study.from_config(config.model_copy(update=changes).model_dump(mode="json"))


def trained(run: Any) -> list[dict[str, Any]]:
    """One row per evaluation replica, at the selected rate."""
    rows = pruning.rows_of(run)
    kept = [*KEY, "depth", "learning_rate", "status", "test_accuracy", "validation_loss"]
    return [
        {name: row[name] for name in kept} for row in rows["runs"] if row["role"] == "evaluation" and row["selected"]
    ]


def compared(here: pd.DataFrame, there: pd.DataFrame) -> dict[str, Any]:
    """By depth: equal replicas, differences of one replica, and those of the mean over seeds."""
    both = here.merge(there, on=[*KEY, "depth"], suffixes=("_a", "_b"), validate="one_to_one")
    return {"depths": {f"depth {depth}": _of_depth(rows) for depth, rows in both.groupby("depth")}}


def _of_depth(both: pd.DataFrame) -> Mapping[str, Any]:
    difference = (both["test_accuracy_a"] - both["test_accuracy_b"]).abs()
    rates = both.groupby("run")[["learning_rate_a", "learning_rate_b"]].first()
    runs = both.groupby("run")
    means = runs["test_accuracy_a"].mean() - runs["test_accuracy_b"].mean()
    error = np.sqrt(sum(runs[f"test_accuracy_{side}"].var() / runs.size() for side in "ab"))
    return {
        "runs": len(rates),
        "replicas": len(both),
        "equal": float((both["validation_loss_a"] == both["validation_loss_b"]).mean()),
        "median": float(difference.median()),
        "largest": float(difference.max()),
        "other_rate": int((rates["learning_rate_a"] != rates["learning_rate_b"]).sum()),
        "largest_of_means": float(means.abs().max()),
        "largest_in_standard_errors": float((means.abs() / error).where(error > 0, 0.0).max()),
    }


if __name__ == "__main__":
    main()
