"""Tables of runs and experiments with scores that a test plants."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

DATASETS = ("digits", "fashion_mnist", "mnist1d")
Score = Callable[[str, str, int], float]
"""(dataset, activation, depth) → accuracy."""


def planted(
    score: Score,
    activations: tuple[str, ...] = ("relu", "leaky_relu", "elu", "tanh"),
    *,
    depths: tuple[int, ...] = (5, 50),
    seeds: int = 6,
    sd: float = 0.002,
    sizes: tuple[int, ...] = (),
    overfit: Callable[[str], float] = lambda activation: 0.0,
) -> dict[str, pd.DataFrame]:
    """runs, experiments (core, and data_size at the first depth), an empty cost and an empty ledger."""
    random = np.random.default_rng(0)
    rows, experiments = [], []
    asked = [("core", depth, None) for depth in depths] + [("data_size", depths[0], size) for size in sizes]
    for experiment, depth, size in asked:
        for dataset in DATASETS:
            for activation in activations:
                run = f"{dataset}/{activation}/depth={depth}" + (f",train_size={size}" if size else "")
                experiments.append({"experiment": experiment, "run": run})
                common = {"run": run, "activation": activation, "dataset": dataset, "depth": depth, "width": 64}
                common |= {"train_size": float(size) if size else np.nan, "classes": 10, "target": 0.8}
                common |= {"learning_rate": 0.01, "select": "accuracy", "validation_loss": 0.5}
                common |= {"train_samples": size or 2000, "selected": True, "weight": 1.0, "status": "finished"}
                for role, count in (("tuning", 3), ("evaluation", seeds)):
                    for replicate in range(count):
                        accuracy = score(dataset, activation, depth) + random.normal(0, sd)
                        rows.append(
                            common
                            | {"role": role, "replicate": replicate, "validation_accuracy": accuracy}
                            | {"test_accuracy": accuracy if role == "evaluation" else np.nan}
                            | {"train_accuracy": accuracy + overfit(activation)}
                        )
    cost = pd.DataFrame(columns=["activation", "quantity", "width", "ratio_to_relu", "ratio_low", "ratio_high"])
    ledger = pd.DataFrame(columns=["family", "article", "row", "verdict", "estimate", "low", "high"])
    return {"runs": pd.DataFrame(rows), "experiments": pd.DataFrame(experiments), "cost": cost, "ledger": ledger}


def costs(**ratios: float) -> pd.DataFrame:
    """A cost table with these ratios of a step's time to ReLU's."""
    rows = [
        {"activation": name, "quantity": "step", "width": 64, "ratio_to_relu": ratio}
        | {"ratio_low": 0.95 * ratio, "ratio_high": 1.05 * ratio}
        for name, ratio in ratios.items()
    ]
    return pd.DataFrame(rows)
