"""Tables of runs whose rates are weighted by triples of tuning seeds, counted here in plain Python."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import combinations

import numpy as np
import pandas as pd

DATASETS = ("digits", "fashion_mnist", "mnist1d")
Mean = Callable[[str, str, int, float], float]
"""(activation, dataset, depth, rate) → accuracy."""


def shares(*columns: np.ndarray) -> list[float]:
    """Each rate's share of the triples of seeds, from what selects it and then what breaks ties [T, G], larger is
    better; of fewer than three seeds all select together."""
    size, rates = min(3, len(columns[0])), range(columns[0].shape[1])
    triples = list(combinations(range(len(columns[0])), size))
    counts = [0] * len(rates)
    for triple in triples:
        keys = [[round(-sum(column[t, g] for t in triple) / size, 12) for column in columns] + [g] for g in rates]
        counts[min(keys)[-1]] += 1
    return [count / len(triples) for count in counts]


def weighted(
    mean: Mean,
    activations: Sequence[str] = ("a", "b"),
    *,
    datasets: Sequence[str] = DATASETS,
    depths: Sequence[int] = (5,),
    rates: Sequence[float] = (0.01, 0.1, 1.0),
    tuning: int = 6,
    evaluation: int = 10,
    sd: float = 0.01,
    lost: Callable[[str, str, int], bool] = lambda activation, dataset, seed: False,
    stream: str = "main",
    seed: int = 0,
) -> dict[str, pd.DataFrame]:
    """`runs` and `experiments` (all in `core`): seeds are paired over activations, each network has noise of its own.

    `lost` says which evaluation seeds diverge, at all rates, and score chance.
    """
    random = np.random.default_rng(seed)
    rows = []
    for dataset in datasets:
        for depth in depths:
            shared = random.normal(0, sd, tuning + evaluation)
            for activation in activations:
                run = f"{dataset}/{activation}/depth={depth}" + (f",seed_stream={stream}" * (stream != "main"))
                noise = shared[:, None] + random.normal(0, sd, (tuning + evaluation, len(rates)))
                scores = np.array([mean(activation, dataset, depth, rate) for rate in rates]) + noise
                weights = shares(scores[:tuning])
                common = {"run": run, "activation": activation, "dataset": dataset, "depth": depth}
                common |= {"seed_stream": stream, "select": "accuracy", "classes": 10, "horizon": 100, "target": 0.5}
                for place in range(tuning + evaluation):
                    role = "tuning" if place < tuning else "evaluation"
                    replicate = place if place < tuning else place - tuning
                    gone = role == "evaluation" and lost(activation, dataset, replicate)
                    for column, rate in enumerate(rates):
                        if role == "tuning" or weights[column] > 0:
                            accuracy = 0.1 if gone else float(scores[place, column])
                            rows.append(
                                common
                                | {"role": role, "replicate": replicate, "learning_rate": rate}
                                | {"weight": weights[column], "selected": weights.index(max(weights)) == column}
                                | {"status": "diverged" if gone else "finished", "reached": not gone}
                                | {"validation_accuracy": accuracy, "validation_loss": -math.log(max(accuracy, 0.01))}
                                | {"test_accuracy": accuracy if role == "evaluation" else math.nan}
                                | {"time_to_target": math.nan if gone else math.exp(4 - accuracy)}
                                | {"area_under_loss": -accuracy, "train_accuracy": accuracy, "width": 64}
                            )
    runs = pd.DataFrame(rows)
    experiments = pd.DataFrame({"experiment": "core", "run": runs["run"].unique()})
    return {"runs": runs, "experiments": experiments}
