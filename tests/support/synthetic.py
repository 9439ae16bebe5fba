"""Tables of a study that never ran: plausible shapes, gaps and divergence, the same at every call."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from activation_study.core import files
from activation_study.quantities.curves import log_spaced_steps
from activation_study.tables import columns, parquet

NINE = ("identity", "sigmoid", "tanh", "relu", "leaky_relu", "very_leaky_relu", "rrelu", "prelu", "elu")
SIXTEEN = (*NINE, "rrelu_article", "rrelu_paper", "selu", "gelu", "silu", "mish", "softplus")
CLASSES, HORIZON, TARGET = 10, 600, 0.7
CLAIMS = (str(Path(__file__).resolve().parents[2] / "claims.yaml"),)
"""The article's claims."""
PROVENANCE = {
    "code": "0123456789ab",
    "config_sha256": "c" * 64,
    "python": "3.11.2",
    "packages": {"torch": "2.14.1", "numpy": "2.4.6"},
    "processor": "a processor",
    "cores": 2,
}

VALIDITY = {
    "aa_alarms": 9,
    "aa_tests": 160,
    "power_at_1_5_smallest": 0.97,
    "power_of_accuracy": 0.99,
    "power_of_time": 0.97,
    "verdicts_same_share": 0.93,
    "verdicts_reversed": 0,
    "verdicts_second": {"claims C01.1": "true", "claims C01.2": "open", "claims C02": "partly", "claims C03": "open"},
    "rows_undone_by_one_seed": 2,
    "diverged": 12,
    "networks": 5400,
}
"""Of a study that misses nothing."""


@dataclass(frozen=True)
class Shape:
    """What the study asks for. Of (activation, dataset, depth), `absent` were not run, and `lost` have no data."""

    activations: Sequence[str] = NINE
    datasets: Sequence[str] = ("digits", "mnist1d")
    depths: Sequence[int] = (5, 20)
    seeds: int = 5
    rates: Sequence[float] = (0.001, 0.003, 0.01, 0.03, 0.1)
    unavailable: Sequence[str] = ("fashion_mnist",)
    absent: Sequence[tuple[str, str, int]] = ()
    lost: Sequence[tuple[str, str, int]] = ()
    evaluations_per_decade: int = 12


SMALL = Shape(
    ("sigmoid", "relu", "elu", "tanh"),
    ("digits", "mnist1d"),
    (2, 5, 9),
    lost=(("tanh", "digits", 5),),
    absent=(("tanh", "digits", 9), ("relu", "digits", 9)),
)
DEMO = Shape(seeds=4)
FULL = Shape(
    SIXTEEN, ("digits", "fashion_mnist", "mnist1d"), (5, 20, 50), 10, unavailable=(), evaluations_per_decade=40
)


def write_tables(folder: Path, shape: Shape, leave_out: Iterable[str] = ()) -> Path:
    """The study's Parquet tables and what it says of itself in `folder`, which is returned."""
    if "validity" not in leave_out:
        files.write_json(VALIDITY, folder / "validity.json")
    for name, rows in synthetic_rows(shape).items():
        if name not in leave_out:
            parquet.write_parquet(
                parquet.from_rows(name, [_whole(name, row) for row in rows]), folder / f"{name}.parquet"
            )
    return folder


def synthetic_rows(shape: Shape) -> dict[str, list[dict[str, Any]]]:
    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in columns.TABLES}
    for place, activation in enumerate(shape.activations):
        _describe(rows, activation, place, len(shape.activations))
        rows["cost"] += _cost(activation, place)
        for dataset in (*shape.datasets, *shape.unavailable):
            for depth in shape.depths:
                if (activation, dataset, depth) not in shape.absent:
                    _run(rows, shape, activation, dataset, depth)
    for dataset in (*shape.datasets, *shape.unavailable):
        rows["datasets"].append(_dataset(dataset, dataset not in shape.unavailable))
        if dataset in shape.unavailable:
            rows["gaps"].append({"kind": "dataset", "name": dataset, **rows["datasets"][-1]})
    _judge(rows)
    return rows


VERDICTS = {
    "true": "difference", "false": "trend", "partly": "difference", "open": "threshold",
    "wrong as stated": "exact", "holds as stated": "exact", "exploratory": "exploratory", "not tested": "exploratory",
    "little regret": "policy", "costly": "policy",
}  # fmt: skip


def _judge(rows: dict[str, list]) -> None:
    """A ledger with a row of every verdict; the first claim has two."""
    about = {"family": "claims", "article": True, "claims_sha256": "e" * 64, "section": "Vanishing gradients"}
    about |= {"unit": "fraction"}
    about |= {"experiment": "core", "metric": "test_accuracy", "reason": "as claimed", "smallest_reason": "a point"}
    numbers = {"estimate": 0.03, "low": 0.01, "high": 0.05, "lowest": 0.02, "highest": 0.04}
    numbers |= {"informative_estimate": 0.03, "standardised": 1.2, "superiority_probability": 0.8, "p_superior": 0.01}
    numbers |= {"p_negligible": 1.0, "p_reversed": 1.0, "p_superior_raw": 0.001, "n": 15, "cells": 3, "seeds": 5}
    numbers |= {"trained_estimate": 0.032, "trained_low": 0.02, "trained_high": 0.044, "one_rate_estimate": 0.02,
                "one_rate_low": 0.0, "one_rate_high": 0.04, "one_rate_cells": 3, "same_verdict": 0.9,
                "lowest_without": "tuning seed 1 of digits/depth=5", "tuning_seeds": 6, "networks": 30,
                "highest_without": "evaluation seed 3 of digits/depth=5"}  # fmt: skip
    numbers |= {"informative_cells": 2, "diverged": 1, "smallest": 0.01, "minimum_detectable": 0.02}
    for place, (verdict, kind) in enumerate(VERDICTS.items()):
        claim = f"C{max(place, 1):02}"
        row = {"claim": claim, "row": f"{claim}.{1 + (place == 1)}" if place < 2 else claim, "type": kind}
        row |= about | {"verdict": verdict, "quote": f"Claim {place} of the article.", "test": f"test {place}"}
        if kind == "exact":
            row |= {"estimate": 0.25, "unit": "largest slope", "correction": "It is a quarter."}
        elif verdict != "not tested":
            row |= numbers | {"threshold": 0.5 if kind == "threshold" else None}
            row |= {"seeds_to_settle": 40 if verdict == "open" else None}
            rows["ledger_cells"] += [
                {"family": "claims", "row": row["row"], "cell": f"{dataset}/depth=5", "dataset": dataset, "n": 5,
                 "estimate": 0.01 * number, "low": 0.01 * number - 0.02, "high": 0.01 * number + 0.02,
                 "informative": number < 4, "by_seed": f"0.0{number} 0.0{number} nan 0.0{number} 0.0{number}"}
                for number, dataset in enumerate(("digits", "mnist1d", "fashion_mnist"), 2)
            ]  # fmt: skip
        rows["ledger"].append(row)


def _whole(name: str, row: dict[str, Any]) -> dict[str, Any]:
    """The row with None in the nullable columns that it leaves out, and a neutral value in the others."""
    neutral = {"str": "", "int": 1, "float": 0.0, "bool": False}
    spec = columns.TABLES[name]
    return {column: row.get(column, None if spec[column].nullable else neutral[spec[column].type]) for column in spec}


def _quality(activation: str, depth: int) -> float:
    """Between 0 (chance) and 1. Sigmoid fails when deep; the others differ little."""
    if activation == "sigmoid":
        return 0.85 if depth <= 5 else 0.03
    if activation == "identity":
        return 0.7
    return 0.9 + 0.005 * (sum(map(ord, activation)) % 13) - 0.0015 * depth


def _run(rows: dict[str, list], shape: Shape, activation: str, dataset: str, depth: int) -> None:
    run = f"{dataset}/{activation}/depth={depth}"
    factors = {
        "activation": activation, "dataset": dataset, "depth": depth, "width": 64, "steps": HORIZON, "batch_size": 128,
        "network": "mlp",
        "optimiser": "momentum", "initialisation": "gain", "normalisation": "none", "input_transform": "standardised",
        "seed_stream": "main", "rates": "all", "select": "accuracy",
    }  # fmt: skip
    rows["experiments"].append({"experiment": "core", "run": run})
    chosen = shape.rates[2 if activation != "sigmoid" else -1]
    common = {"run": run, **factors, "edge": chosen == shape.rates[-1], "target": TARGET, "horizon": HORIZON}
    if dataset in shape.unavailable or (activation, dataset, depth) in shape.lost:
        for seed in range(shape.seeds):
            gone = {"role": "evaluation", "replicate": seed, "learning_rate": shape.rates[0], "status": "no_data"}
            rows["runs"].append(common | gone)
        return
    weights = {chosen: 0.75, shape.rates[1]: 0.25} if activation == "tanh" else {chosen: 1.0}
    random = np.random.default_rng([ord(letter) for letter in run])
    paired = np.random.default_rng([ord(letter) for letter in f"{dataset}{depth}"]).normal(0, 0.01, 100)
    for rate in shape.rates:
        for seed in range(2):
            penalty = 0.12 * abs(math.log10(rate / chosen)) ** 2
            blown = rate == shape.rates[-1] and activation in ("identity", "elu") and depth > 5
            score = _quality(activation, depth) - penalty + paired[50 + seed]
            replica = {"role": "tuning", "replicate": seed, "learning_rate": rate, "selected": rate == chosen}
            replica["weight"] = weights.get(rate, 0.0)
            rows["runs"].append(common | replica | _outcome(score, random, blown, pruned=penalty > 0.25))
    for seed in range(shape.seeds):
        blown = activation == "elu" and depth == max(shape.depths) and seed == 1 and dataset == shape.datasets[0]
        score = _quality(activation, depth) + paired[seed] + random.normal(0, 0.006)
        for rate, weight in weights.items():
            replica = {"run": run, "role": "evaluation", "replicate": seed, "learning_rate": rate}
            replica |= {"selected": rate == chosen, "weight": weight}
            outcome = _outcome(score - 0.01 * (rate != chosen), random, blown)
            rows["runs"].append(common | replica | outcome)
            _curve(rows, replica, score, blown, outcome, shape.evaluations_per_decade)
            if rate == chosen:
                _layers(rows, replica, activation, depth, blown)
    rows["timings"].append(
        {"run": run, "phase": "training", "seconds": 3.5 * depth, "replica_steps": 9000, "device": "cpu"}
    )


def _outcome(score: float, random: np.random.Generator, blown: bool, pruned: bool = False) -> dict[str, Any]:
    accuracy = 1 / CLASSES + (1 - 1 / CLASSES) * min(max(score, 0), 1)
    if blown:
        accuracy = 1 / CLASSES
    reached = bool(accuracy > TARGET) and not blown
    outcome = {
        "status": "diverged" if blown else "finished",
        "steps_done": 80 if blown else HORIZON,
        "diverged_step": 80 if blown else None,
        "train_loss": math.log(CLASSES) * (1.02 - accuracy), "train_accuracy": accuracy,
        "validation_loss": math.log(CLASSES) * (1.05 - accuracy) if not blown else math.log(CLASSES),
        "validation_accuracy": accuracy, "test_loss": math.log(CLASSES) * (1.08 - accuracy), "test_accuracy": accuracy,
        "time_to_target": min(40 / max(score, 0.05) ** 8 * random.uniform(0.8, 1.25), HORIZON) if reached else None,
        "reached": reached, "area_under_loss": math.log(1.2 - accuracy), "parameters": 20_000, "classes": CLASSES,
        "train_samples": 1200,
    }  # fmt: skip
    if pruned and not blown:
        unknown = (
            "train_loss",
            "train_accuracy",
            "validation_loss",
            "validation_accuracy",
            "test_loss",
            "test_accuracy",
        )
        outcome |= dict.fromkeys([*unknown, "time_to_target", "area_under_loss"], None)
        outcome |= {"status": "pruned", "steps_done": HORIZON // 4, "reached": None}
    return outcome


def _curve(rows: dict[str, list], replica: dict, score: float, blown: bool, outcome: dict, density: int) -> None:
    for step in sorted({0, *log_spaced_steps(HORIZON, density)}):
        if blown and step >= outcome["diverged_step"]:
            break
        progress = 1 / (1 + (60 / max(step, 0.1)) ** 1.6)
        accuracy = 1 / CLASSES + (1 - 1 / CLASSES) * min(max(score, 0), 1) * progress
        losses = {"train_loss": 2.35 * (1.02 - accuracy), "validation_loss": 2.35 * (1.05 - accuracy)}
        keys = {key: replica[key] for key in ("run", "role", "replicate", "learning_rate")}
        rows["curves"].append(keys | {"step": step, "validation_accuracy": accuracy} | losses)


def _layers(rows: dict[str, list], replica: dict, activation: str, depth: int, blown: bool) -> None:
    decades = {"sigmoid": 0.42, "softplus": 0.25, "tanh": -0.035, "selu": -0.015}.get(activation, 0.004)
    rectified = activation in ("relu", "shifted_relu")
    keys = {key: replica[key] for key in ("run", "role", "replicate", "learning_rate")}
    for step in (0, 1, 3, 10, 32, 100, 300, HORIZON):
        if blown and step > 80:
            break
        for layer in range(1, depth + 2):
            below = depth - layer
            size = -1 - decades * below * (1 - 0.3 * step / HORIZON) + 0.02 * replica["replicate"]
            vanished = activation == "sigmoid" and depth >= 50 and below > 45
            row = keys | {"step": step, "layer": layer, "units": 64, "samples": 300}
            row |= {
                "gradient_norm_log10": None if vanished else size,
                "gradient_zero": vanished,
                "weight_gradient_norm_log10": size + 0.5,
            }
            if layer <= depth:
                dead = (0.02 + 0.3 * layer / depth * step / HORIZON) if rectified else 0.0
                low = 0.4 if rectified else {"sigmoid": 0.2, "tanh": 0.1, "elu": 0.05}.get(activation, 0.0)
                row |= {
                    "dead": dead, "born_dead": 0.02 * rectified, "died": 0.0, "revived": 0.0, "unusable_001": dead,
                    "unusable_01": dead + 0.01 * (activation == "leaky_relu"), "saturated_low": low,
                    "saturated_high": low if activation in ("sigmoid", "tanh") else 0.0, "zero_fraction": low,
                    "mean": 0.3, "sd": 1.0,
                }  # fmt: skip
            rows["layers"].append(row)


def _cost(activation: str, place: int) -> list[dict[str, Any]]:
    ratio = 1.0 if activation == "relu" else 1.05 + 0.1 * place
    timed = {"quantity": "step", "unit": "ms", "median": 2.0 * ratio, "pairs": 50, "ratio_to_relu": ratio}
    timed |= {"ratio_low": 0.97 * ratio, "ratio_high": 1.04 * ratio}
    counted = {"quantity": "zero_fraction", "unit": "fraction", "median": 0.5, "pairs": 0, "ratio_to_relu": 1.0}
    alone = 1.0 if activation == "relu" else 0.03 * 4.0**place  # over decades: a tick's label needs its place
    kernel = {"unit": "ns/element", "median": 2.0 * alone, "ratio_to_relu": alone, "ratio_low": 0.9 * alone}
    kernels = [{**timed, **kernel, "ratio_high": 1.1 * alone, "quantity": f"op_{way}ward"} for way in ("for", "back")]
    rows = [timed, *kernels, timed | {"quantity": "inference"}, counted]
    return [{"activation": activation, "width": width} | row for width in (64, 256) for row in rows]


def _describe(rows: dict[str, list], activation: str, place: int, count: int) -> None:
    x = np.linspace(-5, 5, 201)
    slope = place / count
    value = {"sigmoid": 1 / (1 + np.exp(-x)), "tanh": np.tanh(x)}.get(activation, np.where(x > 0, x, slope * x))
    rows["activations"].append(
        {"activation": activation, "kind": "class", "definition": f"{activation.title()}()", "gain": 1.4, "chi": 1.0,
         "mean": 0.4 - 0.4 * slope, "variance": 1.0, "slope_max": 1.0,
         "sigma_w2": None if activation == "sigmoid" else 2.0,
         "sigma_b2": None if activation == "sigmoid" else 0.0, "learnable": activation == "prelu",
         "stochastic": activation.startswith("rrelu")}
    )  # fmt: skip
    derivative = np.gradient(value, x)
    rows["portraits"] += [
        {"activation": activation, "x": float(a), "value": float(b), "derivative": float(c)}
        for a, b, c in zip(x, value, derivative, strict=True)
    ]


def _dataset(name: str, available: bool) -> dict[str, Any]:
    row = {"dataset": name, "target": TARGET, "target_reason": "above a linear classifier", "classes": CLASSES}
    if available:
        return row | {"status": "available", "samples": 1797, "features": 64, "source": "made up", "sha256": "d" * 64}
    return row | {
        "status": "unavailable",
        "message": "no network and no copy on this machine",
        "samples": 0,
        "features": 0,
    }
