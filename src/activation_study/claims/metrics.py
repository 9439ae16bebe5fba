"""What a claim can be about: one value per network, from the study's tables.

Each metric is a function of the tables, the runs' networks (rows of `runs`) and the row's options; it returns a
table of run, replicate, learning_rate, value, or without the rate where a seed has one value over all of them. A
network without a value has no row, or NaN: a gap. What layers and measurements tell is known at the selected rate
alone, where probes are taken; the rest at every rate that counts. Diverged networks count wherever
the tables say what they are worth (chance, a loss of ln K, never at the target), but for the gaps between training and
test, of which they have none; layer by layer they are taken at their last probe before.

K is the number of classes, S the budget of steps, T a time in steps, g_l = `layers.gradient_norm_log10` of hidden layer
l of L.

test_accuracy: `runs.test_accuracy`. Source: the definition; 1/K of a diverged network.
train_accuracy: `runs.train_accuracy`. Source: the definition; 1/K of a diverged network.
accuracy_gap: `runs.train_accuracy` − `runs.test_accuracy`. Source: the definition.
generalisation_gap: `runs.test_loss` − `runs.train_loss`. Source: the definition.
log_final_loss: ln max(`runs.train_loss`, 10⁻⁷). Source: the definition; ln ln K of a diverged network.
area_under_loss: ∫ ln c(ℓ) d ln t / ∫ d ln t by trapezoids over the evaluations from step 1 on, ℓ =
    `curves.validation_loss`, c(ℓ) = min(max(ℓ, 10⁻⁷), ln K). Source: this study's; `runs.area_under_loss` has it.
log_time_to_target: ln max(min(T, S), 1), T = `runs.time_to_target`. Source: the restricted time of survival analysis,
    Royston and Parmar (2013), BMC Medical Research Methodology 13, with one censoring time for all.
plateau_time: ln max(min(T, S), 1), T when `curves.train_loss` first is at most 0.9 ln K. Source: this study's;
    likewise.
saturation_time: the same, T when the measurement saturation first is at most 1/2. Source: this study's; likewise.
gradient_decay: the least-squares slope of max(g_l, −45) on l = 1 … L. Source: this study's, of the geometric law of
    Glorot and Bengio (2010), section 4.2, and Schoenholz et al. (2017), arXiv:1611.01232: minus half of log₁₀ χ in the
    limit of wide layers.
update_decay: the same of max(`layers.weight_gradient_norm_log10`, −45) − `layers.weight_norm_log10`. Source: this
    study's.
gradient_ratio: max(g_1, −45) − max(g_L, −45). Source: this study's.
scale_drift: the mean over l of |log₁₀ b_l − log₁₀ a_l|, `layers.preactivation_sd` at the last and the first probe where
    it is positive. Source: this study's.
revival_rate: Σ_p revived_p / Σ_p dead_(p−1) over probes p, of `layers.revived` and `layers.dead`, means over l. Source:
    this study's.
noise_loss: A(0) − ∫ A dσ / σ_max by trapezoids, A(σ) the measurement noise_accuracy. Source: this study's.
noise_gain: the mean over layers of ln noise_gain. Source: as the measurement.
instability: #{rates lost} / #{rates} of the grid, of a tuning seed. Source: this study's.
rate_sensitivity: max_r A_r − mean_r A_r over the grid's rates r, of a tuning seed. Source: this study's.
log_cost_ratio: ln `cost.ratio_to_relu`, of one quantity and width. Source: this study's; `cost` says how it is timed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
import pandas as pd

from activation_study.analysis.choices import log_time
from activation_study.analysis.inference import CHANCE_MARGIN, log_restricted_time
from activation_study.quantities.base import Measured, layer_metrics, measured
from activation_study.quantities.curves import LOSS_FLOOR, time_to_target
from activation_study.tables.of_study import Tables

KEY = ["run", "replicate", "learning_rate"]
SEED = KEY[:2]
NO_GRADIENT = -45.0
"""log10 below which a gradient counts as this: float32, in which networks train, holds nothing below 1.4e-45."""
PLATEAU = 0.9
"""Share of ln K, the loss of guessing, below which the plateau at the start is left."""
COST = "log_cost_ratio"
"""The one metric that is no value per network: see `costs`."""

Options = Mapping[str, Any]


@dataclass(frozen=True)
class Metric:
    """A metric: its function, unit and meaning.

    `options` are the names that it takes, `role` the networks that it is of, `measure` what the config must ask
    for, `every_rate` whether evaluation networks have it at every rate that counts, and `uninformative` how a cell
    tells nothing: all arms at "chance", or none that `reached` its "target".
    """

    values: Callable[[Tables, pd.DataFrame, Options], pd.DataFrame]
    unit: str
    meaning: str
    options: tuple[str, ...] = ()
    role: Literal["evaluation", "tuning"] = "evaluation"
    measure: str | None = None
    every_rate: bool = False
    uninformative: Literal["chance", "target"] | None = None


def _of_runs(formula: Callable[[pd.DataFrame], pd.Series]) -> Callable[..., pd.DataFrame]:
    """A metric that stands in the table of runs."""
    return lambda tables, replicas, options: replicas[KEY].assign(value=formula(replicas).astype(float))


def _of_trained(formula: Callable[[pd.DataFrame], pd.Series]) -> Callable[..., pd.DataFrame]:
    """The same; a diverged network, which has nothing to generalise, has no value."""
    return _of_runs(lambda replicas: formula(replicas).mask(replicas["status"] == "diverged"))


def _log_loss(replicas: pd.DataFrame) -> pd.Series:
    return np.log(replicas["train_loss"].astype(float).clip(lower=LOSS_FLOOR))


# Curves: when something first happens, in log steps; never, and a replica that diverged after all, is the budget.


def plateau_time(tables: Tables, replicas: pd.DataFrame, options: Options) -> pd.DataFrame:
    """Log steps until the training loss, a mean since the evaluation before, is below 0.9 ln K.

    Not the validation loss: in evaluation mode a randomised slope is its mean, by which the logits start smaller.
    """
    points = tables.of_runs("curves", replicas["run"], "evaluation").dropna(subset="train_loss")
    limits = -PLATEAU * np.log(replicas.set_index(KEY)["classes"].astype(float))
    return _log_crossing(points.assign(rising=-points["train_loss"].astype(float)), replicas, limits)


def saturation_time(tables: Tables, replicas: pd.DataFrame, options: Options) -> pd.DataFrame:
    """Log steps until fewer than half of all hidden elements are saturated."""
    points = _measured(tables, replicas, "saturation")
    limits = pd.Series(-0.5, index=pd.MultiIndex.from_frame(replicas[KEY]))
    return _log_crossing(points.assign(rising=-points["value"]), replicas, limits)


def _log_crossing(points: pd.DataFrame, replicas: pd.DataFrame, limits: pd.Series) -> pd.DataFrame:
    times = {
        key: time_to_target(curve["step"], curve["rising"], limits[key])
        for key, curve in points.sort_values("step").groupby(KEY, observed=True)
        if key in limits.index
    }
    known = replicas[[*KEY, "horizon", "status"]].assign(
        time=[times.get(key) for key in replicas[KEY].itertuples(index=False, name=None)]
    )
    known["time"] = known["time"].astype(float).mask(known["status"] == "diverged", np.inf)
    known = known.dropna(subset="time")
    time = known["time"]
    return known[KEY].assign(value=log_restricted_time(time, known["horizon"]), reached=np.isfinite(time))


# Layers: a value per probe and hidden layer, reduced to one.


def layer_column(column: str, tables: Tables, replicas: pd.DataFrame, options: Options) -> pd.DataFrame:
    """A column of the table `layers`."""
    rows = _hidden(tables, replicas)
    return _reduced(rows.assign(value=rows[column].astype(float)), options)


def gradient_decay(tables: Tables, replicas: pd.DataFrame, options: Options) -> pd.DataFrame:
    """Decades per layer that ‖dL/dh‖ loses towards the input: the least-squares slope over the hidden layers."""
    rows = _with_gradient(_hidden(tables, replicas))
    return _slope(rows.assign(value=_gradient(rows, rows["gradient_norm_log10"])), options)


def update_decay(tables: Tables, replicas: pd.DataFrame, options: Options) -> pd.DataFrame:
    """The same of ‖dL/dW‖/‖W‖, which a step of plain SGD changes the weights by, relatively."""
    rows = _with_gradient(_hidden(tables, replicas))
    gradient = _gradient(rows, rows["weight_gradient_norm_log10"])
    return _slope(rows.assign(value=gradient - rows["weight_norm_log10"].astype(float)), options)


def gradient_ratio(tables: Tables, replicas: pd.DataFrame, options: Options) -> pd.DataFrame:
    """log10 of ‖dL/dh‖ of the first hidden layer over that of the last."""
    rows = _hidden(tables, replicas)
    rows = rows.assign(value=_gradient(rows, rows["gradient_norm_log10"]))
    sign = (rows["layer"] == 1).astype(float) - (rows["layer"] == rows["depth"])
    rows = rows[sign != 0].assign(value=rows["value"] * sign)
    sums = rows.groupby([*KEY, "step"], observed=True)["value"].sum(min_count=2).reset_index()
    return _reduced(sums.assign(layer=1, depth=1), options)


def scale_drift(tables: Tables, replicas: pd.DataFrame, options: Options) -> pd.DataFrame:
    """Decades by which the sd of the pre-activations moved from the first probe to the last: mean over layers."""
    rows = _hidden(tables, replicas)
    with np.errstate(divide="ignore"):
        rows = rows.assign(value=np.log10(rows["preactivation_sd"].astype(float)))
    rows = rows[np.isfinite(rows["value"])].sort_values("step")
    ends = rows.groupby([*KEY, "layer"], observed=True)["value"].agg(["first", "last"])
    drift = (ends["last"] - ends["first"]).abs().groupby(KEY, observed=True).mean()
    return drift.rename("value").reset_index()


def revival_rate(tables: Tables, replicas: pd.DataFrame, options: Options) -> pd.DataFrame:
    """Units that revived between two probes, as a share of those dead at the first of the two; NaN if none was."""
    rows = _hidden(tables, replicas)
    by_step = rows.groupby([*KEY, "step"], observed=True)[["dead", "revived"]].mean().astype(float)
    before = by_step["dead"].groupby(KEY, observed=True).shift()
    sums = by_step.assign(before=before).dropna(subset="before").groupby(KEY, observed=True).sum()
    return (sums["revived"] / sums["before"].where(sums["before"] > 0)).rename("value").reset_index()


def _hidden(tables: Tables, replicas: pd.DataFrame) -> pd.DataFrame:
    rows = tables.of_runs("layers", replicas["run"], "evaluation")
    rows = rows.assign(depth=_depth(rows, replicas))
    return rows[rows["layer"] <= rows["depth"]]


def _depth(rows: pd.DataFrame, replicas: pd.DataFrame) -> pd.Series:
    return rows["run"].map(replicas.drop_duplicates("run").set_index("run")["depth"]).astype(float)


def _with_gradient(rows: pd.DataFrame) -> pd.DataFrame:
    """Without the probes at which no hidden layer has a gradient: a network that is dead as a whole has no slope."""
    zero = rows["gradient_zero"].eq(True)
    return rows[~zero.groupby([rows[name] for name in (*KEY, "step")], observed=True).transform("all")]


def _gradient(rows: pd.DataFrame, logs: pd.Series) -> pd.Series:
    return logs.astype(float).mask(rows["gradient_zero"].eq(True), NO_GRADIENT).clip(lower=NO_GRADIENT)


def _slope(rows: pd.DataFrame, options: Options) -> pd.DataFrame:
    rows = rows.dropna(subset="value")
    x, y = rows["layer"].astype(float), rows["value"]
    products = rows[[*KEY, "step"]].assign(x=x, y=y, xx=x * x, xy=x * y)
    means = products.groupby([*KEY, "step"], observed=True).mean()
    spread = means["xx"] - means["x"] ** 2
    slope = (means["xy"] - means["x"] * means["y"]) / spread.where(spread > 1e-9)
    return _reduced(slope.rename("value").reset_index().assign(layer=1, depth=1), options)


def _reduced(rows: pd.DataFrame, options: Options) -> pd.DataFrame:
    """Mean over the option's layers, then over its steps, of rows run, replicate, step, layer, depth, value."""
    rows = rows[np.isfinite(rows["value"].astype(float))]
    match options.get("layers", "all"):
        case "first":
            rows = rows[rows["layer"] == 1]
        case "inner":
            rows = rows[rows["layer"] > 1]
        case "last":
            rows = rows[rows["layer"] == rows["depth"]]
        case int(layer):
            rows = rows[rows["layer"] == layer]
    steps = rows.groupby(KEY, observed=True)["step"]
    match options.get("step", "last"):
        case "first":
            rows = rows[rows["step"] == steps.transform("min")]
        case "last":
            rows = rows[rows["step"] == steps.transform("max")]
        case int(step):
            rows = rows[rows["step"] == step]
    by_step = rows.groupby([*KEY, "step"], observed=True)["value"].mean()
    return by_step.groupby(KEY, observed=True).mean().reset_index()


# Measurements: what single experiments take beside the probes.


def measurement(
    given: Measured, change: Callable[[pd.Series], pd.Series], tables: Tables, replicas: pd.DataFrame, options: Options
) -> pd.DataFrame:
    """A measurement, changed element by element, then reduced."""
    rows = _measured(tables, replicas, given.name)
    if given.dose is not None:
        rows = rows[rows["dose"] == options.get(given.dose, given.usual_dose)]
    with np.errstate(divide="ignore", invalid="ignore"):
        return _reduced(rows.assign(value=change(rows["value"])), options)


def noise_loss(tables: Tables, replicas: pd.DataFrame, options: Options) -> pd.DataFrame:
    """Accuracy lost to input noise: clean, minus the mean over the noise's sd from 0 to the largest (trapezoid)."""
    rows = _measured(tables, replicas, "noise_accuracy").dropna(subset="value")
    table = rows.pivot(index=KEY, columns="dose", values="value").dropna()
    sd = table.columns.to_numpy(dtype=float)
    if len(sd) < 2:
        return pd.DataFrame({name: [] for name in (*KEY, "value")})
    area = np.trapezoid(table.to_numpy(), sd, axis=1) / (sd[-1] - sd[0])
    return (table[sd[0]] - area).rename("value").reset_index()


def _measured(tables: Tables, replicas: pd.DataFrame, name: str) -> pd.DataFrame:
    rows = tables.of_runs("measurements", replicas["run"], "evaluation")
    rows = rows[rows["measurement"] == name]
    return rows.assign(value=rows["value"].astype(float), depth=_depth(rows, replicas))


# Tuning: what the learning rate does.


def instability(tables: Tables, replicas: pd.DataFrame, options: Options) -> pd.DataFrame:
    """Share of the grid's learning rates at which a tuning seed is lost: it diverges, or sits at chance at a rate
    above the selected one where the worse rates are stopped. (Below it, chance may only mean slowness.)"""
    found = _where_rates_stop(tables, replicas)
    chosen = replicas[replicas["selected"].eq(True)].drop_duplicates("run").set_index("run")["learning_rate"]
    fast = found["learning_rate"] > found["run"].map(chosen).astype(float)
    collapsed = found["accuracy"] <= 1 / found["classes"] + CHANCE_MARGIN
    lost = (fast & collapsed | found["status"].eq("diverged")).astype(float)
    return lost.groupby([found[name] for name in SEED]).mean().rename("value").reset_index()


def rate_sensitivity(tables: Tables, replicas: pd.DataFrame, options: Options) -> pd.DataFrame:
    """Validation accuracy of the best rate minus the grid's mean, where the worse rates are stopped; diverged: 1/K."""
    found = _where_rates_stop(tables, replicas)
    by_seed = found["accuracy"].groupby([found[name] for name in SEED])
    return (by_seed.max() - by_seed.mean()).rename("value").reset_index()


def _where_rates_stop(tables: Tables, replicas: pd.DataFrame) -> pd.DataFrame:
    """The tuning replicas at the step at which the worse rates stop, with their validation `accuracy` there; those that
    have diverged by then are at 1/K. Later divergence does not count: the worse rates were spared it."""
    points = tables.of_runs("curves", replicas["run"], "tuning")
    stop = replicas[replicas["status"] != "diverged"].groupby("run")["steps_done"].min()
    at_stop = points[points["step"] == points["run"].map(stop)]
    late = replicas["diverged_step"].astype(float) > replicas["run"].map(stop).astype(float)
    replicas = replicas.assign(status=replicas["status"].mask(late, "finished"))
    found = replicas[[*KEY, "status", "classes"]].merge(at_stop[[*KEY, "validation_accuracy"]], how="left", on=KEY)
    chance = 1 / found["classes"]
    return found.assign(accuracy=found["validation_accuracy"].astype(float).mask(found["status"] == "diverged", chance))


def _documented(values: Callable[..., pd.DataFrame], unit: str, **given: Any) -> Metric:
    """A metric whose meaning is its function's docstring."""
    return Metric(values, unit, values.__doc__ or "", **given)


_TIME = "log steps (differences are log ratios)"

_MEASURED = {given.name: given for _, given in measured()}
_DERIVED = {
    metric.name: Metric(partial(layer_column, metric.name), metric.unit, metric.meaning, ("step", "layers"))
    for metric in layer_metrics().values()
    if metric.claimed
} | {
    given.name: Metric(
        partial(measurement, given, lambda values: values),
        given.unit,
        given.meaning,
        (*given.options, *([given.dose] if given.dose else [])),
        measure=taken.name,
    )
    for taken, given in measured()
    if given.claimed
}
"""What is declared as a quantity, as it stands; a measurement goes before a layer metric of its name."""

METRICS: dict[str, Metric] = _DERIVED | {
    "test_accuracy": Metric(
        _of_runs(lambda r: r["test_accuracy"]), "fraction", "test accuracy", every_rate=True, uninformative="chance"
    ),
    "train_accuracy": Metric(
        _of_runs(lambda r: r["train_accuracy"]),
        "fraction",
        "training accuracy",
        every_rate=True,
        uninformative="chance",
    ),
    "accuracy_gap": Metric(
        _of_trained(lambda r: r["train_accuracy"] - r["test_accuracy"]),
        "fraction",
        "training minus test accuracy, of networks that did not diverge",
        every_rate=True,
        uninformative="chance",
    ),
    "generalisation_gap": Metric(
        _of_trained(lambda r: r["test_loss"] - r["train_loss"]),
        "nats",
        "test minus training loss, of networks that did not diverge",
        every_rate=True,
        uninformative="chance",
    ),
    "log_final_loss": Metric(
        _of_runs(_log_loss), "log loss", "log of the final training loss", every_rate=True, uninformative="chance"
    ),
    "area_under_loss": Metric(
        _of_runs(lambda r: r["area_under_loss"]),
        "log loss",
        "mean of the log validation loss over log-spaced steps",
        every_rate=True,
        uninformative="chance",
    ),
    "log_time_to_target": Metric(
        _of_runs(log_time),
        _TIME,
        "log steps to the target accuracy, at most the budget",
        every_rate=True,
        uninformative="target",
    ),
    "plateau_time": _documented(plateau_time, _TIME, every_rate=True, uninformative="target"),
    "saturation_time": _documented(saturation_time, _TIME, measure="saturation", uninformative="target"),
    "gradient_decay": _documented(gradient_decay, "decades per layer", options=("step",)),
    "update_decay": _documented(update_decay, "decades per layer", options=("step",)),
    "gradient_ratio": _documented(gradient_ratio, "decades", options=("step",)),
    "scale_drift": _documented(scale_drift, "decades"),
    "revival_rate": _documented(revival_rate, "fraction"),
    "noise_loss": _documented(noise_loss, "fraction", measure="noise", uninformative="chance"),
    "noise_gain": Metric(
        partial(measurement, _MEASURED["noise_gain"], np.log),
        "log ratio",
        "log of a layer's noise-to-signal ratio over that of the inputs",
        ("layers",),
        measure="noise",
    ),
    "instability": _documented(instability, "fraction", role="tuning"),
    "rate_sensitivity": _documented(rate_sensitivity, "fraction", role="tuning"),
}
