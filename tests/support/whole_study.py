"""Tables of the default study that never ran: every run of `config.yaml` with the rows it would have, the same at
every call. The numbers are invented; how many there are, and what they are called, is not."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from activation_study.activations import activation, portrait
from activation_study.jobs.judge import READ, judge_claims
from activation_study.quantities.curves import log_spaced_steps, probe_steps
from activation_study.study.runs import Run
from activation_study.study.study import Study
from activation_study.tables import columns as schemas
from activation_study.tables import parquet

CONFIG = Path(__file__).parents[2] / "config.yaml"
CHANCE = 0.1
LEVEL = {"digits": 1.0, "mnist1d": 0.6, "fashion_mnist": 0.87}
FEATURES = {"digits": 64, "mnist1d": 40, "fashion_mnist": 784}
"""Of the default study's datasets; those of other studies have `_level` and as many features as letters."""
SLOWER = {"sigmoid": 6.0, "tanh": 1.2, "identity": 1.4, "softplus": 2.0, "elu": 0.8, "selu": 0.75}
OFF_CENTRE = {"relu": 0.8, "sigmoid": 2.4, "softplus": 1.3, "leaky_relu": 0.78, "elu": 0.2, "selu": 0.1, "tanh": 0.02}
DECADES = {"sigmoid": 0.4, "softplus": 0.2, "tanh": 0.02, "identity": 0.0}
"""That the gradient's norm shrinks by from a layer to the one below."""
DOSES = (0.0, 0.25, 0.5, 1.0, 2.0)


def write(folder: Path, study: Study | None = None) -> Path:
    """All Parquet tables, with the claims of the study judged on them, in `folder`, which is returned."""
    study = study or Study.from_file(CONFIG)
    parts: dict[str, list[pd.DataFrame]] = {name: [] for name in schemas.TABLES}
    for place, run in enumerate(study.runs.values()):
        for name, frame in rows_of(run, np.random.default_rng(place)).items():
            parts[name].append(frame)
    frames = {name: pd.concat(rows) for name, rows in parts.items() if rows}
    frames["experiments"] = pd.DataFrame(study.membership, columns=["experiment", "run"])
    frames |= {"datasets": _datasets(study), "cost": costs(study), **_described(study)}
    for name in set(schemas.TABLES) - {"ledger", "ledger_cells"}:
        parquet.write_parquet(typed(name, frames.get(name, pd.DataFrame())), folder / f"{name}.parquet")
    path = SimpleNamespace(**{name: folder / f"{name}.parquet" for name in schemas.TABLES})
    written = {name: getattr(path, name) for name in schemas.TABLES} | {"validity": folder / "validity.json"}
    judge_claims(study, {name: getattr(path, name) for name in READ}, written)
    return folder


def typed(name: str, frame: pd.DataFrame) -> pa.Table:
    """The frame as a table of that name, with a neutral value in every column that it leaves out."""
    spec = schemas.TABLES[name]
    neutral = {"str": "", "int": 1, "float": 0.0, "bool": False}
    absent = {c: None if spec[c].nullable else neutral[spec[c].type] for c in spec if c not in frame}
    schema = parquet.arrow_table(name, {column: [] for column in spec}).schema
    table = pa.Table.from_pandas(frame.assign(**absent)[list(spec)], schema, preserve_index=False)
    return table.replace_schema_metadata(schema.metadata)


def rows_of(run: Run, random: np.random.Generator) -> dict[str, pd.DataFrame]:
    factors, settings = dict(run.factors), run.settings
    rates, seeds = np.array(settings.learning_rates), settings.evaluation_seeds
    chosen = float(rates[-2 if factors["activation"] == "sigmoid" else len(rates) // 2])
    replicas = pd.DataFrame(
        [("tuning", seed, rate, rate == chosen) for rate in rates for seed in range(settings.tuning_seeds)]
        + [("evaluation", seed, chosen, True) for seed in range(seeds)],
        columns=["role", "replicate", "learning_rate", "selected"],
    ).assign(run=run.id, edge=chosen in rates[[0, -1]])
    replicas["weight"] = replicas["selected"].astype(float)
    off = np.log10(replicas["learning_rate"] / chosen).abs()
    shared = np.random.default_rng(factors["depth"]).normal(0, 0.006, 1_000)
    noise = shared[replicas["replicate"]] + random.normal(0, 0.004, len(replicas))
    quality = (_quality(run) - 0.15 * off**2 + noise).clip(0.0, 1.0)
    runs = replicas.assign(**factors, **_outcomes(run, quality, off, random))
    keys = runs.loc[runs["role"] == "evaluation", ["run", "role", "replicate", "learning_rate"]]
    return {
        "runs": runs,
        "curves": _curves(run, keys, quality[keys.index]),
        "layers": _layers(run, keys, random),
        "measurements": _measurements(run, keys, quality[keys.index]),
        "timings": pd.DataFrame({"run": run.id, "phase": ["training", "probe"], "seconds": [20.0, 4.0]}),
        "jobs": pd.DataFrame({"run": [run.id], "seconds": 25.0, "precision": "float32"}),
    }


def _quality(run: Run) -> float:
    """What the network learns of what can be learnt, between 0 and 1."""
    f, name = run.factors, run.factors.activation
    if name == "sigmoid" and f.depth > 5:
        return 0.8 if f.normalisation == "batch" else 0.02
    base = 0.8 if name == "identity" else 0.95 + 0.004 * (sum(map(ord, name)) % 11)
    less = 0.002 * f.depth + 0.15 * max(-f.initial_bias, 0) * (name == "relu")
    return base - less - (0.08 * np.log10(3_000 / f.train_size) if f.train_size else 0.0)


def _outcomes(run: Run, quality: pd.Series, off: pd.Series, random: np.random.Generator) -> dict[str, Any]:
    f, target = run.factors, run.settings.dataset.target
    blown = (random.random(len(quality)) < (0.3 if f.depth == 50 and f.activation == "elu" else 0.0)).astype(bool)
    pruned = (off > 1.2) & ~blown
    accuracy = CHANCE + (_level(f.dataset) - CHANCE) * quality.where(~blown, 0.0)
    reached = accuracy > target
    time = pd.Series(_half(run) * 2.5 * random.uniform(0.8, 1.25, len(quality)))
    outcomes = {
        "test_accuracy": accuracy, "validation_accuracy": accuracy,
        "train_accuracy": (accuracy + _gap(run)).clip(upper=1),
        "test_loss": 2.3 * (1.05 - accuracy), "validation_loss": 2.3 * (1.04 - accuracy),
        "train_loss": 2.3 * (1.01 - accuracy), "time_to_target": time.clip(upper=f.steps).where(reached),
        "area_under_loss": np.log(1.3 - accuracy),
    }  # fmt: skip
    outcomes = {name: pd.Series(values).where(~pruned) for name, values in outcomes.items()}
    status = np.where(blown, "diverged", np.where(pruned, "pruned", "finished"))
    return outcomes | {
        "status": status, "reached": reached.astype("boolean").where(~pruned), "target": target, "horizon": f.steps,
        "steps_done": np.where(blown, f.steps // 3, f.steps), "classes": 10, "parameters": 30_000,
        "diverged_step": pd.Series(np.where(blown, f.steps // 3, -1)).astype("Int64").where(blown),
        "train_samples": f.train_size or 10_000,
    }  # fmt: skip


def _level(dataset: str) -> float:
    """The accuracy of a network that learns all that can be learnt."""
    return LEVEL.get(dataset, 0.7 + 0.002 * (sum(map(ord, dataset)) % 101))


def _gap(run: Run) -> float:
    """Training minus test accuracy."""
    return 0.02 + 0.002 * (sum(map(ord, run.factors.activation)) % 7) * (4 if run.factors.train_size else 1)


def _half(run: Run) -> float:
    """Steps in which half of what can be learnt is learnt."""
    f = run.factors
    return 15 * SLOWER.get(f.activation, 1.0) * (0.7 if f.centred else 1.0) * (1 + f.depth / 40)


def _crossed(keys: pd.DataFrame, **columns: Any) -> pd.DataFrame:
    for name, values in columns.items():
        keys = keys.merge(pd.DataFrame({name: values}), how="cross")
    return keys


def _curves(run: Run, keys: pd.DataFrame, quality: pd.Series) -> pd.DataFrame:
    steps = log_spaced_steps(run.factors.steps, run.settings.evaluations_per_decade)
    frame = _crossed(keys.assign(quality=quality), step=steps)
    progress = 1 / (1 + (_half(run) / frame["step"].clip(lower=0.1)) ** 1.6)
    accuracy = CHANCE + (_level(run.factors.dataset) - CHANCE) * frame["quality"] * progress
    losses = {"train_loss": 2.3 * (1.01 - accuracy), "validation_loss": 2.3 * (1.04 - accuracy)}
    return frame.assign(validation_accuracy=accuracy, **losses)


def _layers(run: Run, keys: pd.DataFrame, random: np.random.Generator) -> pd.DataFrame:
    f, name = run.factors, run.factors.activation
    steps = probe_steps(f.steps, run.settings.probes_per_decade)
    frame = _crossed(keys, step=steps, layer=range(1, f.depth + 2))
    done, below = frame["step"] / f.steps, f.depth - frame["layer"]
    rectified = name in ("relu", "leaky_0", "shifted_relu")
    decades = DECADES.get(name, -0.004) * (0.1 if f.normalisation == "batch" else 1.0)
    decades += 0.3 * (f.initialisation == "torch_default")
    size = -1 - decades * below * (1 - 0.4 * done) + random.normal(0, 0.1, len(frame))
    dead = (0.02 + 0.2 * frame["layer"] / f.depth * done + 0.6 * max(-f.initial_bias, 0)) * rectified
    wide = 1 + done + 0.02 * frame["layer"]
    metrics = {
        "gradient_norm_log10": size.where(size > -18), "gradient_zero": size <= -18,
        "weight_gradient_norm_log10": size + 0.5, "dead": dead.clip(upper=1), "unusable_001": dead.clip(upper=1),
        "unusable_01": (dead + 0.05 * (name == "leaky_relu")).clip(upper=1), "born_dead": 0.02 * rectified,
        "died": 0.01 * rectified * (frame["step"] > 0), "revived": 0.002 * rectified * (frame["step"] > 0),
        "saturated_low": 0.4 * rectified, "saturated_high": 0.2 * (name in ("sigmoid", "tanh")) + 0.1 * done,
        "preactivation_mean": -0.2 * done, "preactivation_sd": wide, "preactivation_q05": -1.6 * wide - 0.2 * done,
        "preactivation_q50": -0.2 * done, "preactivation_q95": 1.6 * wide - 0.3 * done, "sd": 1.0,
        "mean": 0.02 if f.centred else OFF_CENTRE.get(name, 0.5),
        "centredness": 0.05 if f.centred else OFF_CENTRE.get(name, 0.5), "sign_agreement": 0.4,
        "zero_fraction": 0.5 * rectified, "units": 64, "samples": 500,
    }  # fmt: skip
    return frame.assign(**metrics)


def _measurements(run: Run, keys: pd.DataFrame, quality: pd.Series) -> pd.DataFrame:
    frames = []
    for kind in run.settings.measure:
        doses = DOSES if kind == "noise" else (np.nan,)
        frame = _crossed(keys.assign(quality=quality), dose=doses)
        value = frame["quality"] / (1 + 0.4 * frame["dose"].fillna(0) * SLOWER.get(run.factors.activation, 1.0))
        name = {"noise": "noise_accuracy", "path": "tortuosity"}.get(kind, kind)
        frames.append(frame.assign(measurement=name, step=run.factors.steps, layer=0, value=value))
    return pd.concat(frames) if frames else pd.DataFrame()


def _datasets(study: Study) -> pd.DataFrame:
    wanted = study.datasets()
    targets = {
        name: [getattr(study.config.datasets[one], name) for one in wanted] for name in ("target", "target_reason")
    }
    known = {"status": "available", "classes": 10, "features": [FEATURES.get(one, len(one)) for one in wanted]}
    known["samples"] = [10_000 if one in FEATURES else 1_000 + ord(one[0]) for one in wanted]
    return pd.DataFrame({"dataset": wanted, "source": "made up", "sha256": "d" * 64, **known, **targets})


def costs(study: Study) -> pd.DataFrame:
    rows = []
    for place, name in enumerate(study.costed()):
        for width in study.config.cost.widths:
            ratio = 1.0 if name == "relu" else 1.02 + 0.03 * place
            timed = {"activation": name, "width": width, "ratio_to_relu": ratio, "median": 2 * ratio, "pairs": 20}
            timed |= {"ratio_low": 0.98 * ratio, "ratio_high": 1.02 * ratio, "unit": "ms"}
            rows += [timed | {"quantity": quantity} for quantity in ("step", "inference", "op_forward", "op_backward")]
    return pd.DataFrame(rows)


def _described(study: Study) -> Mapping[str, pd.DataFrame]:
    constants, points = [], []
    for name in study.activations():
        found = portrait.description(activation.from_entry(name, study.config.activations[name].model_dump()))
        constants.append(found["constants"])
        points.append(pd.DataFrame(found["portrait"]).assign(activation=name))
    return {"activations": pd.DataFrame(constants), "portraits": pd.concat(points)}
