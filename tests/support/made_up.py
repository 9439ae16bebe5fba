"""Tables of a whole study that never ran, with noise and gaps, for what computes on tables."""

from __future__ import annotations

import math
import zlib

import numpy as np
import pandas as pd

from activation_study.study.study import Study
from activation_study.tables import columns as schemas
from weighted import shares

SEEDS, PROBES, EVALUATIONS = 6, (0, 10, 100), (0, 1, 3, 10, 30, 100)
LAYER_DOSE = {"noise_gain": (0.1,), "selectivity": (None,), "covariate_shift": (None,)}
SIGNS = {"sign_agreement": (1.0, 64.0), "sign_agreement_layer": (1.0, 64.0)}
WHOLE = {"noise": ("noise_accuracy",), "path": ("step_cosine", "tortuosity"), "saturation": ("saturation",)}


def made_up_tables(study: Study, seed: int = 0) -> dict[str, pd.DataFrame]:
    """Every run of the study, SEEDS evaluation seeds, paired noise, some replicas diverged; effects are arbitrary."""
    random = np.random.default_rng(seed)
    runs = pd.concat([_run(study, run, random) for run in study.runs.values()], ignore_index=True)
    scored = runs[(runs["role"] == "evaluation") & (runs["status"] == "finished") & runs["selected"]]
    keys = ["run", "role", "replicate", "learning_rate"]
    made = {
        "runs": runs,
        "curves": _curves(runs, random)[[*keys, *("step", "train_loss", "validation_loss", "validation_accuracy")]],
        "layers": _layers(runs[(runs["role"] == "evaluation") & runs["selected"]], random),
        "measurements": _measurements(study, scored, keys, random),
        "cost": _cost(study, random),
        "experiments": pd.DataFrame(study.membership, columns=["experiment", "run"]),
    }
    return {name: table[list(schemas.TABLES[name])] for name, table in made.items()}


def _effect(*names: object) -> float:
    """Between -1 and 1, the same at every call."""
    return zlib.crc32("/".join(map(str, names)).encode()) / 2**31 - 1


def _run(study: Study, run, random: np.random.Generator) -> pd.DataFrame:
    """Tuning networks at every rate, and evaluation networks at those that some triple of tuning seeds selects."""
    rates, seeds = run.settings.learning_rates, run.settings.tuning_seeds
    tuning = _outcomes(run, [("tuning", seed, rate) for rate in rates for seed in range(seeds)], random)
    if run.factors.select == "speed":
        time = np.log(np.fmin(tuning["time_to_target"], tuning["horizon"]).clip(lower=1))
        columns = [-time, -tuning["area_under_loss"]]
    else:
        columns = [tuning["validation_accuracy"], -tuning["validation_loss"]]
    weights = shares(*(column.to_numpy(float).reshape(len(rates), seeds).T for column in columns))
    kept = [rate for rate, weight in zip(rates, weights, strict=True) if weight]
    evaluation = _outcomes(run, [("evaluation", seed, rate) for rate in kept for seed in range(SEEDS)], random)
    table = pd.concat([tuning, evaluation], ignore_index=True)
    weight = table["learning_rate"].map(dict(zip(rates, weights, strict=True)))
    return table.assign(weight=weight, selected=table["learning_rate"] == rates[weights.index(max(weights))])


def _outcomes(run, replicas: list[tuple[str, int, float]], random: np.random.Generator) -> pd.DataFrame:
    factors, rates = dict(run.factors), run.settings.learning_rates
    cell = np.random.default_rng(zlib.crc32(f"{factors['dataset']}{factors['depth']}".encode()))
    shared = cell.normal(0, 0.05, 20)  # more than either role has seeds
    table = pd.DataFrame(replicas, columns=["role", "replicate", "learning_rate"])
    table = table.assign(run=run.id, **{name: [value] * len(table) for name, value in factors.items()})
    hopeless = factors["activation"] == "sigmoid" and factors["depth"] > 5
    off = (np.searchsorted(rates, table["learning_rate"]) - len(rates) // 2).astype(float)
    score = 0.7 + 0.03 * _effect(run.condition) + 0.05 * _effect(factors["activation"]) + shared[table["replicate"]]
    score = np.full(len(table), 0.1) if hopeless else score - 0.02 * off**2 + random.normal(0, 0.02, len(table))
    score = np.clip(score, 0.1, 1)
    diverged = (table["learning_rate"] == rates[-1]) & (random.random(len(table)) < 0.4)
    diverged |= (table["role"] == "evaluation") & (random.random(len(table)) < 0.02)
    score = np.where(diverged, 0.1, score)
    time = random.normal(100, 20, len(table)) * (2 - score) ** 2
    reached = ~diverged & (score > 0.6) & (time < factors["steps"])
    loss = -np.log(score) + random.uniform(0, 0.1, len(table))
    return table.assign(
        edge=False,
        status=np.where(diverged, "diverged", "finished"), steps_done=np.where(diverged, 50, factors["steps"]),
        diverged_step=np.where(diverged, 50, np.nan), train_loss=np.where(diverged, math.log(10), loss / 2),
        train_accuracy=np.minimum(score + 0.05 * random.random(len(table)), 1), validation_loss=loss,
        validation_accuracy=score, test_loss=loss, test_accuracy=score, time_to_target=np.where(reached, time, np.nan),
        reached=reached, target=0.6, horizon=factors["steps"], area_under_loss=np.log(loss), parameters=1000,
        classes=10, train_samples=1000,
    )  # fmt: skip


def _repeated(table: pd.DataFrame, **columns) -> pd.DataFrame:
    """The table's rows crossed with those of the columns."""
    return table.merge(pd.DataFrame(columns), how="cross")


def _curves(runs: pd.DataFrame, random: np.random.Generator) -> pd.DataFrame:
    steps = _repeated(runs, step=[*EVALUATIONS, 10**9])
    steps["step"] = np.minimum(steps["step"], steps["steps"])
    steps = steps[(steps["step"] < 50) | (steps["status"] != "diverged")]
    progress = np.minimum(steps["step"] / 200, 1) * random.uniform(0.8, 1, len(steps))
    loss = math.log(10) - (math.log(10) - steps["validation_loss"]) * progress
    return steps.assign(train_loss=loss, validation_loss=loss, validation_accuracy=0.1 + 0.8 * progress)


def _layers(runs: pd.DataFrame, random: np.random.Generator) -> pd.DataFrame:
    rows = pd.concat(
        [_repeated(part, layer=range(1, depth + 2)) for depth, part in runs.groupby("depth")], ignore_index=True
    )
    rows = _repeated(rows, step=PROBES)
    rows = rows[(rows["step"] < 50) | (rows["status"] != "diverged")].reset_index(drop=True)
    hidden = rows["layer"] <= rows["depth"]
    rows = rows.assign(**{name: random.random(len(rows)) for name in schemas.LAYER_METRICS}, units=64, samples=128)
    sigmoid = np.where(rows["activation"] == "sigmoid", 1.5, 0.01)
    rows["gradient_norm_log10"] = sigmoid * (rows["layer"] - rows["depth"]) + random.normal(0, 0.3, len(rows))
    rows["weight_gradient_norm_log10"] = rows["gradient_norm_log10"] + random.normal(0, 0.1, len(rows))
    zero = hidden & (random.random(len(rows)) < 0.01)
    rows.loc[zero, ["gradient_norm_log10", "weight_gradient_norm_log10"]] = np.nan
    kept = ("weight_gradient_norm_log10", "weight_norm_log10", "sign_agreement")
    rows.loc[~hidden, [name for name in schemas.LAYER_METRICS if name not in kept]] = np.nan
    return rows.assign(gradient_zero=pd.Series(zero, dtype="boolean").where(hidden))


def _measurements(study: Study, scored: pd.DataFrame, keys: list[str], random: np.random.Generator) -> pd.DataFrame:
    parts = []
    for run, replicas in scored.groupby("run"):
        measure, depth = study.runs[run].settings.measure, study.runs[run].factors.depth
        rows: list[tuple[str, int, int, float | None]] = []
        end = study.runs[run].factors.steps
        for name in measure:
            for short in WHOLE.get(name, ()):
                doses = (0.0, 0.1, 0.25, 0.5, 1.0) if name == "noise" else (None,)
                steps = EVALUATIONS if name == "saturation" else (end,)
                rows += [(short, step, 0, dose) for step in steps for dose in doses]
            named = SIGNS if name == "sign_agreement" else {n: LAYER_DOSE[n] for n in LAYER_DOSE if n.startswith(name)}
            steps = PROBES if name in ("sign_agreement", "covariate_shift") else (end,)
            rows += [
                (short, step, layer, dose)
                for short, doses in named.items()
                for step in steps
                for layer in range(1, depth + 1)
                for dose in doses
            ]
        columns = (
            dict(zip(("measurement", "step", "layer", "dose"), zip(*rows, strict=True), strict=True)) if rows else {}
        )
        if columns:
            parts.append(_repeated(replicas[keys], **columns))
    table = pd.concat(parts, ignore_index=True)
    value = random.uniform(0.2, 1, len(table))
    falling = np.exp(-table["step"] / 10) * random.uniform(0.3, 1.2, len(table))
    value = np.where(table["measurement"] == "saturation", np.minimum(falling, 1), value)
    return table.assign(value=value, dose=table["dose"].astype(float))


def _cost(study: Study, random: np.random.Generator) -> pd.DataFrame:
    quantities = ["op_forward", "op_backward", "product", "sparse_product", "step", "inference"]
    table = _repeated(pd.DataFrame({"activation": study.costed()}), quantity=quantities)
    table = _repeated(table, width=[64, 256, 1024])
    itself = (table["activation"] == "relu") & (table["quantity"] != "sparse_product")
    ratio = np.where(itself, 1, random.uniform(0.9, 1.8, len(table)))
    spread = random.uniform(1.01, 1.2, len(table))
    return table.assign(
        unit="ms", median=ratio, ratio_to_relu=ratio, ratio_low=ratio / spread, ratio_high=ratio * spread, pairs=20
    )
