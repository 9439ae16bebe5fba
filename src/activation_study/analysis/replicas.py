"""From the tables of replicas to what a report shows: DataFrame → DataFrame, descriptive only.

Every function takes the Parquet tables as they are, in part or whole: a run that is missing or has no data
is a gap, never an error. Rows begin with `run`, `dataset`, `activation`, `depth`, `condition` (the other
non-default factors that vary in the table, as text, "" for the core) and a column for each such factor, and
carry `n`, the replicas that the row is about, and `diverged`, how many of those diverged. A diverged replica
counts, at chance and at a loss of ln K. Intervals (`_low`, `_high`) are 95% t intervals over evaluation seeds, NaN with
one; those of `tuned` outcomes hold the choice of the learning rate as well.
"""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from activation_study.analysis.choices import Choices, log_time
from activation_study.analysis.inference import interquartile_mean, restricted_mean_time, t_half_width, wilson
from activation_study.core.runs import RunId, cell_of
from activation_study.core.tuning import Replicates
from activation_study.quantities.curves import LOSS_FLOOR
from activation_study.tables.columns import TABLES

HEALTH_METRICS = (
    "dead",
    "unusable_001",
    "unusable_01",
    "saturated_low",
    "saturated_high",
    "zero_fraction",
    "born_dead",
    "died",
    "revived",
)
SHARES = frozenset(
    name for columns in TABLES.values() for name, column in columns.items() if (column.low, column.high) == (0, 1)
) | {"accuracy"}
"""Columns that lie between 0 and 1."""
OUTCOMES = (
    "train_loss",
    "train_accuracy",
    "validation_loss",
    "validation_accuracy",
    "test_loss",
    "test_accuracy",
    "area_under_loss",
)
"""What an evaluation replicate scores at every rate that counts."""
POOLED = 0
"""The `layer` of a `unit_health` row that pools all hidden layers."""


def of_experiment(table: pd.DataFrame, experiments: pd.DataFrame, name: str) -> pd.DataFrame:
    """The rows of `table` whose run belongs to the experiment `name`."""
    return table[table["run"].isin(experiments.loc[experiments["experiment"] == name, "run"])]


def ranking(runs: pd.DataFrame) -> pd.DataFrame:
    """One row per run: its evaluation replicas, as `evaluated`, ranked within its condition.

    Adds learning_rate (the selected one), edge, test_accuracy (mean, _low, _high: see `tuned`; _sd, _iqm),
    validation_accuracy, generalisation_gap (mean test − train loss), rank (by mean test accuracy, 1 best; ties share
    the better rank), reached (count), reach_probability (_low, _high: Wilson), median_time (inf when fewer than half
    reach), restricted_time (mean of min(T, H) in steps), area_under_loss (mean, _low, _high), target,
    horizon, chance, parameters and train_samples.
    """
    evaluation = tuned(runs)
    rows = [{"run": run, **_score(group)} for run, group in evaluation.groupby("run", sort=False)]
    if not rows:
        return _with_identity(pd.DataFrame({"run": evaluation["run"]}), runs)
    table = pd.DataFrame(rows)
    for metric in ("test_accuracy", "area_under_loss"):
        table = table.join(tuned_means(evaluation, metric), on="run")
    scores = _with_identity(table, runs)
    condition = scores["run"].map(cell_of)
    means = scores["test_accuracy"].round(12)  # equal scores differ by how they were summed
    scores["rank"] = means.groupby(condition).rank(ascending=False, method="min")
    return scores.sort_values(["dataset", "depth", "condition", "rank"], ignore_index=True)


def learning_curves(curves: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    """One row per run and step of its evaluation replicas at the selected rate.

    Adds validation_accuracy (mean, _low, _high), validation_loss (_low, _high; the geometric mean, each loss
    capped at ln K) and train_loss (median of the mini-batch losses). `diverged` counts the replicas that have
    diverged by this step; from there on they are at chance and ln K, so that no mean is over survivors.
    """
    replicas = evaluated(runs)[["run", "replicate", "learning_rate", "status", "diverged_step", "classes"]]
    points = at_selected(curves, replicas)
    full = points[["run", "step"]].drop_duplicates().merge(replicas, on="run")
    measured = ["train_loss", "validation_loss", "validation_accuracy"]
    full = full.merge(points[["run", "replicate", "step", *measured]], on=["run", "replicate", "step"], how="left")
    diverged_step = full["diverged_step"].astype("Float64").fillna(np.inf)
    gone = full["validation_loss"].isna() | (full["step"] >= diverged_step)
    blown_up = (full["status"] == "diverged") & gone
    chance = 1 / full["classes"]
    full["validation_accuracy"] = full["validation_accuracy"].mask(blown_up, chance)
    capped = full["validation_loss"].mask(blown_up, np.inf).clip(LOSS_FLOOR, -np.log(chance))
    full["validation_loss"] = np.log(capped)
    full["diverged"] = blown_up
    by_step = full.groupby(["run", "step"])
    out = by_step.agg(
        n=("validation_accuracy", "count"), diverged=("diverged", "sum"), train_loss=("train_loss", "median")
    )
    out = out.join(mean_with_interval(by_step["validation_accuracy"], "validation_accuracy"))
    out = out.join(np.exp(mean_with_interval(by_step["validation_loss"], "validation_loss")))
    return _with_identity(out.reset_index(), runs)


def learning_rate_sensitivity(runs: pd.DataFrame) -> pd.DataFrame:
    """One row per run and learning rate of its tuning replicas.

    Adds validation_accuracy and area_under_loss (mean, _low, _high), pruned (how many replicas were stopped
    early: the means are over the `n` others), selected and edge.
    """
    tuning = runs[(runs["role"] == "tuning") & (runs["status"] != "no_data")]
    tuning = tuning.assign(
        diverged_=tuning["status"] == "diverged",
        pruned_=tuning["status"] == "pruned",
        scored_=tuning["status"] != "pruned",
    )
    by_rate = tuning.groupby(["run", "learning_rate"])
    out = by_rate.agg(
        n=("scored_", "sum"),
        diverged=("diverged_", "sum"),
        pruned=("pruned_", "sum"),
        selected=("selected", "any"),
        edge=("edge", "any"),
    )
    for column in ("validation_accuracy", "area_under_loss"):
        out = out.join(mean_with_interval(by_rate[column], column))
    return _with_identity(out.reset_index(), runs)


def gradient_flow(layers: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    """One row per run, step and layer (1 nearest the input) of its evaluation replicas.

    Adds gradient and weight_gradient (medians over replicas of the log10 norms; gradient_q25, gradient_q75
    the quartiles), zeros (replicas whose gradient is exactly zero: they have no logarithm, so the medians are
    over the others), and gradient_slope (_low, _high: in decades per hidden layer, the mean over replicas of
    the least-squares slope, the same on every layer's row; positive when gradients vanish towards the input).
    `diverged` counts the run's diverged replicas at any step.
    """
    probes = layers[layers["role"] == "evaluation"]
    probes = probes.assign(gradient_zero=probes["gradient_zero"].eq(True))  # missing on the output layer
    by_layer = probes.groupby(["run", "step", "layer"])
    out = by_layer.agg(
        n=("replicate", "nunique"),
        gradient=("gradient_norm_log10", "median"),
        weight_gradient=("weight_gradient_norm_log10", "median"),
        zeros=("gradient_zero", "sum"),
    )
    for name, share in {"gradient_q25": 0.25, "gradient_q75": 0.75}.items():
        out[name] = by_layer["gradient_norm_log10"].quantile(share)
    out = out.reset_index()
    slopes = _slopes(probes, "gradient_norm_log10").rename("gradient_slope").reset_index()
    slopes = mean_with_interval(slopes.groupby(["run", "step"])["gradient_slope"], "gradient_slope")
    out = out.merge(slopes.reset_index(), on=["run", "step"], how="left")
    return _with_identity(with_diverged(out, runs), runs)


def unit_health(layers: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    """One row per run, step and hidden layer, and one with layer = POOLED for all of them together.

    Adds for each of HEALTH_METRICS that the table has the mean over evaluation replicas, _low and _high, and
    samples (the probe set's size: dead rates fall with it). `diverged` counts the run's diverged replicas.
    """
    metrics = [metric for metric in HEALTH_METRICS if metric in layers]
    probes = layers[layers["role"] == "evaluation"].merge(runs[["run", "depth"]].drop_duplicates(), on="run")
    probes = probes[probes["layer"] <= probes["depth"]]
    pooled = probes.groupby(["run", "replicate", "step"], as_index=False)[[*metrics, "samples"]].mean()
    probes = pd.concat([probes, pooled.assign(layer=POOLED)])
    by_layer = probes.groupby(["run", "step", "layer"])
    out = by_layer.agg(n=("replicate", "nunique"), samples=("samples", "max"))
    for metric in metrics:
        out = out.join(mean_with_interval(by_layer[metric], metric))
    return _with_identity(with_diverged(out.reset_index(), runs), runs)


def cost_of_runs(timings: pd.DataFrame) -> pd.DataFrame:
    """One row per run and phase: seconds, replica_steps and seconds_per_replica_step.

    These clocks ran beside other jobs: they say what the study cost, not which activation is cheaper, and
    `note` says so on every row.
    """
    out = timings.groupby(["run", "phase"], as_index=False)[["seconds", "replica_steps"]].sum()
    out["seconds_per_replica_step"] = out["seconds"] / out["replica_steps"].where(out["replica_steps"] > 0)
    return out.assign(note="measured under parallel load: not comparable between runs")


def _score(replicas: pd.DataFrame) -> dict[str, object]:
    """One run's evaluation replicas, as one row of `ranking`."""
    first = replicas.iloc[0]
    accuracy = replicas["test_accuracy"].dropna().to_numpy()
    reached = replicas["reached"].eq(True).to_numpy(dtype=bool)
    time = replicas["time_to_target"].where(reached, np.inf).to_numpy()
    reach = wilson(int(reached.sum()), len(reached))
    return {
        "n": len(replicas),
        "diverged": int((replicas["status"] == "diverged").sum()),
        "learning_rate": first["learning_rate"],
        "edge": bool(first["edge"]),
        "test_accuracy_sd": accuracy.std(ddof=1) if len(accuracy) > 1 else np.nan,
        "test_accuracy_iqm": interquartile_mean(accuracy),
        "validation_accuracy": replicas["validation_accuracy"].mean(),
        "generalisation_gap": (replicas["test_loss"] - replicas["train_loss"]).mean(),
        "reached": int(reached.sum()),
        "reach_probability": reach.estimate,
        "reach_probability_low": reach.low,
        "reach_probability_high": reach.high,
        "median_time": float(np.median(time)),
        "restricted_time": restricted_mean_time(time, first["horizon"]),
        "target": first["target"],
        "horizon": first["horizon"],
        "chance": 1 / first["classes"],
        "parameters": first["parameters"],
        "train_samples": first["train_samples"],
    }


def tuned_means(replicas: pd.DataFrame, metric: str) -> pd.DataFrame:
    """The mean of each run's rows of `tuned` as `metric`, with its interval as `metric`_low and _high.

    They are `tuned.tuned_interval` of each run, of all runs at once.
    """
    columns = [metric, *left_out_columns(replicas, metric)]
    by_run = replicas[columns].astype(float).groupby(replicas["run"], sort=False)
    means, seeds = by_run.mean(), by_run[metric].agg(["count", "var"])
    left_out = means[columns[1:]].to_numpy()
    tuning = (~np.isnan(left_out)).sum(axis=1)
    spread = np.nansum((left_out.T - np.nansum(left_out, axis=1) / np.maximum(tuning, 1)) ** 2, axis=0)
    parts = [
        ((seeds["var"] / seeds["count"]).to_numpy(), seeds["count"].to_numpy() - 1.0),
        (spread * (tuning - 1) / np.maximum(tuning, 1), np.maximum(tuning - 1.0, 1.0)),
    ]
    total = sum(variance for variance, _ in parts)
    with np.errstate(invalid="ignore", divide="ignore"):
        freedom = total**2 / sum(variance**2 / df for variance, df in parts)
        half = np.where(total > 0, stats.t.ppf(0.975, freedom) * np.sqrt(total), total)
    return pd.DataFrame(_around(metric, means[metric], half))


def mean_with_interval(groups: pd.api.typing.SeriesGroupBy, column: str) -> pd.DataFrame:
    """Mean of each group of seeds as `column`, with its 95% t interval as `column`_low and _high."""
    moments = groups.agg(["mean", "std", "count"]).astype(float)
    return pd.DataFrame(_around(column, moments["mean"], t_half_width(moments["std"], moments["count"])))


def _around(name: str, mean: Any, half: Any) -> dict[str, Any]:
    """The mean and its interval; that of a share ends at 0 and 1, which a t interval does not know."""
    ends = {f"{name}_low": mean - half, f"{name}_high": mean + half}
    return {name: mean} | {end: np.clip(value, 0, 1) if name in SHARES else value for end, value in ends.items()}


def _slopes(probes: pd.DataFrame, column: str) -> pd.Series:
    """Least-squares slope of `column` over the layers, per run, step and replica; NaN with fewer than two."""
    known = probes.dropna(subset=[column])
    x, y = known["layer"].astype(float), known[column]
    sums = pd.DataFrame({"x": x, "y": y, "xx": x * x, "xy": x * y, "n": 1.0})
    sums = sums.groupby([known["run"], known["step"], known["replicate"]]).sum()
    spread = sums["n"] * sums["xx"] - sums["x"] ** 2
    return (sums["n"] * sums["xy"] - sums["x"] * sums["y"]) / spread.where(spread > 0)


def evaluated(runs: pd.DataFrame) -> pd.DataFrame:
    """The evaluation networks that have data, one row per run and replicate, whose outcomes are over its rates.

    OUTCOMES and `log_time` are means weighted by the rates' weights, of the networks that have one. All else is of the
    network at the selected rate, so that `status` says whether that diverged. Adds `networks`, how many there are at
    all its rates, and `networks_diverged`. In tables from before there were weights each has one rate.
    """
    rows = _scored(runs)
    keys = pd.MultiIndex.from_frame(rows[["run", "replicate"]])
    selected = rows["selected"].eq(True).to_numpy(dtype=bool)
    weight = rows["weight"].to_numpy(dtype=float) if "weight" in rows else np.ones(len(rows))
    means = _weighted(rows, weight).loc[keys[selected]]
    counts = pd.DataFrame({"networks": 1, "networks_diverged": rows["status"].eq("diverged").to_numpy()}, index=keys)
    means = means.join(counts.groupby(level=[0, 1]).sum())
    return rows[selected].assign(**{name: values.to_numpy() for name, values in means.items()})


def tuned(runs: pd.DataFrame) -> pd.DataFrame:
    """`evaluated`, and each outcome once more without each tuning seed, by the weights of those that are left.

    These columns are named as `left_out_columns` says. They are missing where no run has MIN_TUNING tuning seeds.
    """
    found, rows = evaluated(runs), _scored(runs)
    weights = Choices(runs).without_each()
    if weights.empty:
        return found
    weights = weights.reindex(pd.MultiIndex.from_frame(rows[["run", "learning_rate"]]))
    keys = pd.MultiIndex.from_frame(found[["run", "replicate"]])
    parts = [_weighted(rows, weights[seed].to_numpy()).loc[keys].add_suffix(f" without {seed}") for seed in weights]
    return pd.concat([found, pd.concat(parts, axis=1).set_axis(found.index)], axis=1)


def left_out_columns(replicas: pd.DataFrame, metric: str) -> list[str]:
    """The columns of `tuned` that have the metric without each tuning seed, in their order."""
    return [name for name in replicas if name.startswith(f"{metric} without ")]


def replicates(replicas: pd.DataFrame, metric: str) -> Replicates:
    """One run's rows of `tuned` as the estimators take them."""
    left_out = replicas[left_out_columns(replicas, metric)].dropna(axis=1, how="all")
    return Replicates(replicas[metric].to_numpy(dtype=float), left_out.to_numpy(dtype=float).T)


def difference(run: pd.DataFrame, other: pd.DataFrame, metric: str) -> Replicates:
    """One run's rows of `tuned` minus those of its twin, of the evaluation seeds that both have."""
    columns = [metric, *left_out_columns(run, metric)]
    one, two = (own.set_index("replicate")[columns].astype(float) for own in (run, other))
    return replicates(one.sub(two).loc[sorted({*one.index} & {*two.index})], metric)


def _scored(runs: pd.DataFrame) -> pd.DataFrame:
    """The evaluation networks that have data, with `log_time` where there are times."""
    rows = runs[(runs["role"] == "evaluation") & ~runs["status"].isin(["no_data", "pruned"])]
    return rows.assign(log_time=log_time(rows)) if {"time_to_target", "horizon"} <= set(rows) else rows


def _weighted(rows: pd.DataFrame, weight: NDArray) -> pd.DataFrame:
    """Each run's and replicate's outcomes: means by these weights [rows] over its rates, of the networks with one."""
    keys = pd.MultiIndex.from_frame(rows[["run", "replicate"]])
    outcomes = rows[[name for name in (*OUTCOMES, "log_time") if name in rows]].astype(float).set_axis(keys)
    weights = np.where(outcomes.notna(), weight[:, None], 0)
    sums = (outcomes.fillna(0) * weights).groupby(level=[0, 1]).sum()
    return sums / pd.DataFrame(weights, keys, outcomes.columns).groupby(level=[0, 1]).sum()


def at_selected(rows: pd.DataFrame, replicas: pd.DataFrame) -> pd.DataFrame:
    """Of the evaluation networks' `rows` those at the selected rate, which that of `evaluated` replicas is."""
    rates = replicas.drop_duplicates("run").set_index("run")["learning_rate"]
    return rows[(rows["role"] == "evaluation") & (rows["learning_rate"] == rows["run"].map(rates))]


def with_diverged(table: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    """The table with how many of each run's evaluation networks diverged."""
    evaluation = evaluated(runs)
    diverged = (evaluation["status"] == "diverged").groupby(evaluation["run"]).sum()
    return table.assign(diverged=table["run"].map(diverged).fillna(0).astype(int))


def _with_identity(table: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    """`table` with each run's identity in front."""
    identity = runs.drop_duplicates("run")
    moved = {run: RunId.read(run).factors for run in identity["run"]}
    candidates = sorted({name for factors in moved.values() for name in factors if name != "depth"})
    varying = [name for name in candidates if identity[name].astype(str).nunique() > 1]
    # A budget that only follows the depth is no condition of its own: deeper networks may be given fewer steps.
    told = [name for name in varying if name != "steps" or (identity.groupby("depth")["steps"].nunique() > 1).any()]
    identity = identity.assign(
        condition=[
            ",".join(f"{name}={moved[run][name]}" for name in told if name in moved[run]) for run in identity["run"]
        ]
    )
    return identity[["run", "dataset", "activation", "depth", "condition", *varying]].merge(table, on="run")
