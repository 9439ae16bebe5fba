"""What a study's single experiments show: DataFrame → DataFrame, descriptive, as `replicas` is for the core.

Every function takes the Parquet tables as they are, in part or whole; a run without data is a gap. What belongs
together is told by the runs' factors, never by an experiment's name: a run and its twin differ in one factor of their
ids. Aggregates carry `n`, the evaluation networks behind them, and `diverged`, how many of those diverged; a diverged
network counts, at chance and never at the target. Intervals (`_low`, `_high`) are 95% t intervals over evaluation
seeds; those of outcomes hold the choice of the learning rate as well, see `tuned`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from activation_study.activations import finite_width, mean_field
from activation_study.analysis.policies import median_width, step_costs
from activation_study.analysis.replicas import (
    difference,
    left_out_columns,
    mean_with_interval,
    replicates,
    tuned,
    tuned_means,
    with_diverged,
)
from activation_study.analysis.tuned import tuned_interval
from activation_study.core.runs import cell_of, without
from activation_study.networks.base import architectures

PLAIN = {
    "normalisation": "none",
    "input_transform": "standardised",
    "input_shift": 0.0,
    "initial_bias": 0.0,
    "centred": False,
}
"""The factors under which the mean-field prediction is of these networks."""
NETWORK = ["dataset", "activation", "network", "depth", "width", "initialisation", "seed_stream"]
"""What the initial weights depend on."""


def scores(runs: pd.DataFrame) -> pd.DataFrame:
    """One row per run: its factors, n, diverged, reached, and means with intervals over its evaluation networks.

    Those are test_accuracy, accuracy_gap (training minus test accuracy) and log_time (natural logarithm of
    min(steps to the target, horizon)).
    """
    networks = tuned(runs)
    accuracies = ([name, *left_out_columns(networks, name)] for name in ("train_accuracy", "test_accuracy"))
    gaps = {
        of_test.replace("test_accuracy", "accuracy_gap"): networks[of_training] - networks[of_test]
        for of_training, of_test in zip(*accuracies, strict=True)
    }
    networks = networks.assign(hit=networks["reached"].eq(True), blown_up=networks["status"] == "diverged", **gaps)
    by_run = networks.groupby("run", sort=False)
    table = by_run.agg(n=("replicate", "size"), diverged=("blown_up", "sum"), reached=("hit", "sum"))
    for metric in ("test_accuracy", "accuracy_gap", "log_time"):
        table = table.join(tuned_means(networks, metric))
    return networks.drop_duplicates("run")[_factors(networks)].merge(table.reset_index(), on="run")


def _factors(networks: pd.DataFrame) -> list[str]:
    outcomes = {"role", "replicate", "networks", "networks_diverged", "reached", "hit", "blown_up"}
    outcomes |= {"test_accuracy", "accuracy_gap", "log_time"}
    return [column for column in networks.columns if column not in outcomes and " without " not in column]


def hidden(layers: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    """The evaluation networks' rows of hidden layers, with their runs' dataset, activation, depth and factors."""
    known = ["run", *NETWORK, "optimiser", *PLAIN]
    rows = layers[layers["role"] == "evaluation"].merge(runs.drop_duplicates("run")[known], on="run")
    return rows[rows["layer"] <= rows["depth"]]


def starting_decay(
    layers: pd.DataFrame,
    runs: pd.DataFrame,
    activations: pd.DataFrame,
    portraits: pd.DataFrame,
    datasets: pd.DataFrame,
) -> pd.DataFrame:
    """One row per network's kind and hidden layer before training: log10 ‖δ^ℓ‖/‖δ^L‖, measured and predicted.

    A kind is a dataset × activation × depth × width × initialisation; runs that begin with the same weights are taken
    once. Columns measured (median over seeds; _q25, _q75), n (seeds), zeros (of them with a gradient of exactly zero,
    which has no logarithm: left out), predicted (mean field; missing where it does not apply), and single_q25 and
    single_q75, between which finite width puts half of the single networks (leaky ReLUs at their gain; else missing).
    """
    begin = hidden(layers[layers["step"] == 0], runs)
    for factor, value in PLAIN.items():
        begin = begin[begin[factor] == value]
    begin = begin[begin["depth"] > 1]
    kinds = begin.drop_duplicates(NETWORK)["run"]
    begin = begin[begin["run"].isin(kinds)]
    top = begin.loc[begin["layer"] == begin["depth"], ["run", "replicate", "gradient_norm_log10"]]
    begin = begin.merge(top.rename(columns={"gradient_norm_log10": "top"}), on=["run", "replicate"])
    begin = begin.assign(
        ratio=begin["gradient_norm_log10"] - begin["top"], zero=begin["gradient_zero"].eq(True).astype(int)
    )
    by_layer = begin.groupby(["run", *NETWORK, "layer"], sort=False)
    table = by_layer.agg(n=("replicate", "nunique"), zeros=("zero", "sum"), measured=("ratio", "median"))
    for name, share in {"measured_q25": 0.25, "measured_q75": 0.75}.items():
        table[name] = by_layer["ratio"].quantile(share)
    table = table.reset_index()
    constants = activations.set_index("activation")
    features = datasets.set_index("dataset")["features"]
    table[["predicted", "single_q25", "single_q75"]] = np.nan
    for (name, dataset, network, depth, width, initialisation), rows in table.groupby(
        ["activation", "dataset", "network", "depth", "width", "initialisation"]
    ):
        portrait = portraits[portraits["activation"] == name].sort_values("x")
        if name not in constants.index or portrait.empty or dataset not in features.index:
            continue
        if network not in architectures() or not architectures()[network].theory:
            continue
        places = rows["layer"] - 1
        slope = finite_width.leaky_slope(portrait["x"], portrait["value"])
        if slope is not None and initialisation == "gain" and not constants.loc[name].get("stochastic"):
            single = finite_width.gradient_quartiles(slope, depth, width)
            table.loc[rows.index, ["single_q25", "single_q75"]] = single[places]
        law = mean_field.law(portrait, constants.loc[name])
        if law is not None:
            scale = mean_field.start(initialisation, constants.loc[name], features[dataset], width)
            table.loc[rows.index, "predicted"] = mean_field.gradient_decay(law, depth, *scale)[places]
    return table


def unit_balance(layers: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    """One row per run and step: shares of all hidden units, means over seeds.

    Columns dead, unusable_001, unusable_01, born_dead, died and revived (since the probe before). Over one run's probes
    dead = born_dead + Σ died − Σ revived, but where a network diverges and has no later probe.
    """
    metrics = ["dead", "unusable_001", "unusable_01", "born_dead", "died", "revived"]
    rows = hidden(layers, runs)
    pooled = rows.groupby(["run", "dataset", "activation", "depth", "replicate", "step"], sort=False)[metrics].mean()
    by_step = pooled.groupby(["run", "dataset", "activation", "depth", "step"], sort=False)
    table = by_step.mean().join(by_step.size().rename("n")).reset_index()
    return with_diverged(table, runs)


def bias_doses(layers: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    """One row per run and hidden layer of the families of runs that differ in a negative initial bias alone.

    Columns family (the run's id without the bias), initial_bias, layer, n, diverged, and the dead share before
    training (born_dead) and at its end (dead), means over seeds. A family with a positive bias asks something else.
    """
    whole = runs.drop_duplicates("run")
    family = whole["run"].map(lambda run: without(run, "initial_bias"))
    lowest, highest = (whole.groupby(family)["initial_bias"].agg(end) for end in ("min", "max"))
    wanted = set(lowest[(lowest < 0) & (highest <= 0)].index)
    chosen = layers[layers["run"].isin(whole.loc[family.isin(wanted), "run"])]
    rows = hidden(chosen, runs)
    last = rows[rows["step"] == rows.groupby(["run", "replicate"])["step"].transform("max")]
    keys = ["run", "dataset", "activation", "depth", "initial_bias", "layer"]
    means = last.groupby(keys, sort=False)
    table = means[["born_dead", "dead"]].mean().join(means.size().rename("n")).reset_index()
    table.insert(1, "family", table["run"].map(lambda run: without(run, "initial_bias")))
    return with_diverged(table, runs)


def preactivation_bands(layers: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    """One row per run, step and hidden layer: quantiles, mean and sd of the pre-activations, each a median over seeds.

    A network that diverges has numbers without bound in its last probes: the median minds them less than a mean.
    """
    columns = {f"preactivation_{name}": name for name in ("q05", "q50", "q95", "mean", "sd")}
    rows = hidden(layers, runs).rename(columns={"mean": "activation_mean", "sd": "activation_sd"} | columns)
    by_layer = rows.groupby(["run", "dataset", "activation", "depth", "step", "layer"], sort=False)
    table = by_layer[list(columns.values())].median().join(by_layer["replicate"].nunique().rename("n"))
    return with_diverged(table.reset_index(), runs)


def centredness(layers: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    """How far from zero a run's activations are before training: means over hidden layers and seeds, index run.

    Columns of_units (the median over units of |mean activation|) and of_layers (|mean over the layer's units and
    samples|), both over the layer's sd; 0 is centred.
    """
    begin = hidden(layers[layers["step"] == 0], runs)
    begin = begin.assign(of_units=begin["centredness"], of_layers=(begin["mean"] / begin["sd"]).abs())
    return begin.groupby("run", sort=False)[["of_units", "of_layers"]].mean()


def centring_pairs(layers: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    """One row per run with a centred activation and its twin without: centredness and time to target of both.

    Columns run (the centred one), dataset, activation, depth, optimiser, select, n (seeds of both), and for "raw" and
    "centred" of_units and of_layers (see `centredness`), log_time (mean) and reached, and the diverged networks of "
    "both.
    log_ratio is the mean paired difference of the log times, centred minus raw, with its interval: below 0, centring
    is faster.
    """
    networks = tuned(runs)
    centred = networks["centred"].astype(bool)
    twins = networks[centred].assign(raw=networks.loc[centred, "run"].map(lambda run: without(run, "centred")))
    pairs = twins.merge(
        networks[~centred], left_on=["raw", "replicate"], right_on=["run", "replicate"], suffixes=("_centred", "_raw")
    )
    off_centre = centredness(layers, runs)
    rows = []
    for (run, raw), both in pairs.groupby(["run_centred", "raw"], sort=False):
        row = {
            "run": run,
            **{name: both[f"{name}_raw"].iloc[0] for name in ("dataset", "activation", "depth", "optimiser", "select")},
        }
        row |= {"n": len(both), "diverged": 0}
        for kind, name in (("raw", raw), ("centred", run)):
            row |= {
                **{f"{of}_{kind}": off_centre[of].get(name, np.nan) for of in off_centre},
                f"log_time_{kind}": both[f"log_time_{kind}"].mean(),
                f"reached_{kind}": int(both[f"reached_{kind}"].eq(True).sum()),
            }
            row["diverged"] += int((both[f"status_{kind}"] == "diverged").sum())
        gain = tuned_interval(
            [difference(networks[networks["run"] == run], networks[networks["run"] == raw], "log_time")]
        )
        rows.append(row | {"log_ratio": gain.estimate, "log_ratio_low": gain.low, "log_ratio_high": gain.high})
    return pd.DataFrame(rows)


def lsuv_effects(runs: pd.DataFrame) -> pd.DataFrame:
    """What data-dependent scaling (LSUV) changes in test accuracy: one row per activation, and one per run of it.

    Columns activation, dataset ("" for the mean over cells of equal weight), depth, cells, n (paired seeds), difference
    (LSUV minus gain; _low, _high), and of both, as _lsuv and _gain, networks and networks_diverged. An activation that
    lacks a cell has no mean, and a mean over several depths no depth.
    """
    by_run = {str(run): own for run, own in tuned(runs).groupby("run", sort=False)}
    pairs = [
        (own, by_run[twin])
        for run, own in by_run.items()
        if own["initialisation"].iloc[0] == "lsuv" and (twin := without(run, "initialisation")) in by_run
    ]
    cells = {cell_of(own["run"].iloc[0]) for own, _ in pairs}
    rows = [_lsuv_effect([pair]) | {"dataset": pair[0]["dataset"].iloc[0]} for pair in pairs]
    for name in dict.fromkeys(own["activation"].iloc[0] for own, _ in pairs):
        of = [pair for pair in pairs if pair[0]["activation"].iloc[0] == name]
        rows += [_lsuv_effect(of) | {"dataset": ""}] if len(of) == len(cells) else []
    return pd.DataFrame(rows)


def _lsuv_effect(pairs: Sequence[tuple[pd.DataFrame, pd.DataFrame]]) -> dict[str, Any]:
    found = tuned_interval([difference(own, twin, "test_accuracy") for own, twin in pairs])
    depths = {own["depth"].iloc[0] for own, _ in pairs}
    row = {"activation": pairs[0][0]["activation"].iloc[0], "cells": len(pairs)}
    row |= {"depth": depths.pop() if len(depths) == 1 else np.nan}
    row |= {"n": sum(len({*own["replicate"]} & {*twin["replicate"]}) for own, twin in pairs)}
    row |= {"difference": found.estimate, "difference_low": found.low, "difference_high": found.high}
    for kind, runs in zip(("lsuv", "gain"), zip(*pairs, strict=True), strict=True):
        for column in ("networks", "networks_diverged"):
            row[f"{column}_{kind}"] = int(sum(own[column].sum() for own in runs))
    return row


def cost_against_quality(cost: pd.DataFrame, runs: pd.DataFrame, width: float | None = None) -> pd.DataFrame:
    """One row per depth and activation: the training step's time over ReLU's, and test accuracy.

    `ratio` (_low, _high) is of the timed width nearest to the one asked for, by default that of the networks.
    `accuracy` is the mean over datasets of equal weight with its interval, see `tuned`, of the activations that ran on
    every dataset of that depth.
    `front`: none other is more accurate, or as accurate and faster, at a time that is not shown to be longer.
    """
    networks = tuned(runs)
    timed = step_costs(cost, width or median_width(networks)).copy()
    if "relu" in timed.index:  # by definition: timed against itself it came out near 1
        timed.loc["relu", ["ratio_to_relu", "ratio_low", "ratio_high"]] = 1.0
    rows = []
    for depth, group in networks.groupby("depth"):
        datasets = group["dataset"].nunique()
        for name, own in group.groupby("activation"):
            if own["dataset"].nunique() < datasets or name not in timed.index:
                continue
            cells = [replicates(one, "test_accuracy") for _, one in own.groupby("run")]
            accuracy = tuned_interval(cells).within(0, 1)
            row = {"depth": depth, "activation": name, "n": len(own), "datasets": datasets}
            row |= {"diverged": int((own["status"] == "diverged").sum()), "width": timed.loc[name, "width"]}
            row |= {"ratio": timed.loc[name, "ratio_to_relu"]}
            row |= {f"ratio_{end}": timed.loc[name, f"ratio_{end}"] for end in ("low", "high")}
            row |= {"accuracy": accuracy.estimate, "accuracy_low": accuracy.low, "accuracy_high": accuracy.high}
            rows.append(row)
    table = pd.DataFrame(rows)
    if len(table):
        table["front"] = np.concatenate([_front(rows) for _, rows in table.groupby("depth", sort=False)])
    return table


def _front(rows: pd.DataFrame) -> np.ndarray:
    """Which of these rows no other dominates; times whose intervals overlap are not told apart."""
    cost, low, high, quality = (rows[name].to_numpy() for name in ("ratio", "ratio_low", "ratio_high", "accuracy"))
    no_slower = (cost[None] <= cost[:, None]) | (low[None] <= high[:, None])
    better = (quality[None] > quality[:, None]) | ((quality[None] == quality[:, None]) & (cost[None] < cost[:, None]))
    return ~(no_slower & better).any(axis=1)


def noise_robustness(measurements: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    """One row per run and noise: validation accuracy with noise of sd `dose` on the inputs, mean and interval.

    `above_median` is that mean minus the median of all activations on the dataset under the same condition and noise.
    """
    noisy = measurements[(measurements["measurement"] == "noise_accuracy") & (measurements["role"] == "evaluation")]
    noisy = noisy.merge(runs.drop_duplicates("run")[["run", "dataset", "activation", "depth"]], on="run")
    by_dose = noisy.groupby(["run", "dataset", "activation", "depth", "dose"], sort=False)["value"]
    table = mean_with_interval(by_dose, "accuracy").join(by_dose.count().rename("n")).reset_index()
    everyone = table.groupby([table["run"].map(cell_of), "dose"])["accuracy"].transform("median")
    return with_diverged(table.assign(above_median=table["accuracy"] - everyone), runs)


def data_sizes(runs: pd.DataFrame) -> pd.DataFrame:
    """Scores of the runs that were given fewer training samples, and of their twins with all of them.

    Rows of `scores` with family (the id without the training-set size), for families of at least two sizes.
    """
    table = scores(runs)
    table["family"] = table["run"].map(lambda run: without(run, "train_size"))
    sizes = table.groupby("family")["train_samples"].transform("nunique")
    return table[sizes > 1].sort_values(["dataset", "activation", "train_samples"], ignore_index=True)
