"""Rows of the ledger once more, in plain pandas and scipy: none of the study's statistics is used here.

Each recomputation takes the tables and returns one number per cell and replicate, positive as claimed; the tests,
Holm's correction and the verdict follow from those. Where networks were evaluated at several rates, it takes the tables
once as they are, and once without each tuning seed: a run's scores are then weighted by other shares of the triples.
It serves for made-up tables as for a real study's.
"""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from activation_study.claims import file as claims_file
from activation_study.claims.ledger import evaluate
from activation_study.study.config import ROOT
from activation_study.study.study import Study
from made_up import made_up_tables
from weighted import shares

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("frozen_garbage")]
CELL = ["dataset", "depth"]
SEED = [*CELL, "replicate"]


SCORES = ["train_accuracy", "test_accuracy", "gap", "log_time", "log_loss", "log_plateau"]
TUNING = 6


def weighed(tables, evaluation, left_out=None):
    """The tables with one row per evaluation seed, of these networks: scores weighted over the rates that have one, all
    else of the selected rate."""
    runs = tables["runs"]
    parts = [_weights(run, rows, left_out) for run, rows in runs[runs["role"] == "tuning"].groupby("run")]
    evaluation = evaluation.drop(columns="weight", errors="ignore").merge(pd.concat(parts), on=["run", "learning_rate"])
    keys = [evaluation[k] for k in KEY]
    sums, known = (
        values.mul(evaluation["weight"], axis=0).groupby(keys).sum()
        for values in (evaluation[SCORES], evaluation[SCORES].notna())
    )
    one = evaluation[evaluation["selected"]].drop(columns=SCORES).merge((sums / known).reset_index(), on=KEY)
    return tables | {"runs": pd.concat([runs[runs["role"] == "tuning"], one], ignore_index=True)}


KEY = ["run", "replicate"]


def _weights(run, rows, left_out):
    if rows["select"].iloc[0] == "speed":
        time = np.log(np.fmin(rows["time_to_target"], rows["horizon"]).clip(lower=1))
        columns = [-time, -rows["area_under_loss"]]
    else:
        columns = [rows["validation_accuracy"], -rows["validation_loss"]]
    tables = [rows.assign(y=y).pivot(index="replicate", columns="learning_rate", values="y") for y in columns]
    found = np.array(shares(*(table.to_numpy() for table in tables)))
    if left_out is not None:
        rest = np.array(shares(*(table.drop(index=left_out).to_numpy() for table in tables)))
        found = np.where(found > 0, rest, 0)
    return pd.DataFrame({"run": run, "learning_rate": tables[0].columns, "weight": found / found.sum()})


def scored(t):
    """Evaluation networks at all rates, with the gap of those that trained, and logarithms of the time to the target,
    of the loss, and of the plateau."""
    runs = t["runs"].query("role == 'evaluation' and status not in ['no_data', 'pruned']")
    runs = runs.assign(log_time=np.log(runs["time_to_target"].fillna(np.inf).clip(1, runs["horizon"])))
    runs = runs.assign(log_loss=np.log(runs["train_loss"].clip(lower=1e-7)))
    runs["gap"] = (runs["train_accuracy"] - runs["test_accuracy"]).mask(runs["status"] == "diverged")
    keys = [*KEY, "learning_rate"]
    rows = t["curves"].query("role == 'evaluation'").dropna(subset="train_loss").sort_values("step")
    rows = rows.assign(below=rows["train_loss"] < 0.9 * math.log(10))
    before = rows[~rows.groupby(keys)["below"].cummax()].groupby(keys)[["step", "train_loss"]].last()
    after = rows[rows["below"]].groupby(keys)[["step", "train_loss"]].first()
    share = (before["train_loss"] - 0.9 * math.log(10)) / (before["train_loss"] - after["train_loss"])
    step = (before["step"] + share * (after["step"] - before["step"])).rename("plateau")
    runs = runs.merge(step.reset_index(), on=keys, how="left")
    plateau = runs["plateau"].mask(runs["status"] == "diverged").fillna(np.inf)
    return runs.assign(log_plateau=np.log(plateau.clip(1, runs["horizon"])))


def of(t, experiment, role="evaluation", **factors):
    """The experiment's replicas with these factors, by cell and replicate."""
    runs = t["runs"].merge(t["experiments"].query("experiment == @experiment"), on="run")
    runs = runs[(runs["role"] == role) & ~runs["status"].isin(["no_data", "pruned"])]
    for name, value in factors.items():
        runs = runs[runs[name] == value]
    return runs.set_index(SEED)


def probed(t, runs, table="layers"):
    """The rows of a table that belong to these replicas, hidden layers only."""
    rows = runs.reset_index()[["run", *SEED]].merge(t[table].query("role == 'evaluation'"), on=["run", "replicate"])
    return rows[rows["layer"] <= rows["depth"]]


def mean_decay(t, runs):
    rows = probed(t, runs)
    rows = rows[~rows["gradient_zero"].eq(True).groupby([rows[k] for k in (*SEED, "step")]).transform("all")]
    rows["y"] = rows["gradient_norm_log10"].mask(rows["gradient_zero"] == True, -45)  # noqa: E712
    rows = rows.dropna(subset="y")
    return rows.groupby([*SEED, "step"]).apply(lambda g: np.polyfit(g["layer"], g["y"], 1)[0]).groupby(SEED).mean()


def slope_over(doses, values):
    """Change of the least-squares line from the first dose to the last, per replica."""
    table = pd.concat(values, axis=1, keys=doses).dropna()
    return pd.Series(np.polyfit(doses, table.T, 1)[0] * (max(doses) - min(doses)), table.index)


def c01_1(t):
    shifts, names = [0, 0.5, 1, 2], ["relu", "tanh", "elu"]
    runs = {(s, a): of(t, "input_shift", activation=a, input_shift=s) for s in shifts for a in names}
    return slope_over(shifts, [sum(runs[s, a]["log_time"] for a in names) / 3 for s in shifts])


def c02(t):
    runs = of(t, "input_distribution")
    gap = runs.groupby([*SEED, "input_transform"])["gap"].agg(lambda gaps: gaps.mean(skipna=False)).unstack()
    return gap["heavy_tailed"] - gap["gaussianised"]


def c09(t):
    runs = of(t, "saturated_start").reset_index()
    rows = runs.merge(t["measurements"].query("measurement == 'saturation'"), on=["run", "replicate"], how="left")
    rows = rows.sort_values("step")

    def left(g):
        s, v = g["step"].to_numpy(), g["value"].to_numpy()
        first = np.flatnonzero(v <= 0.5)
        if not len(first) or g["status"].iloc[0] == "diverged":
            return math.log(g["horizon"].iloc[0])
        i = first[0]
        return math.log(max(1, s[i] if i == 0 else np.interp(0.5, v[[i, i - 1]], s[[i, i - 1]])))

    time = rows.groupby([*SEED, "initial_bias", "activation"]).apply(left).unstack().mean(axis=1, skipna=False)
    time = time.unstack()
    return (time[-6] + time[6]) / 2 - time[0]


def c09_2(t):
    """At the first probe, where no layer's gradient is zero."""
    decays = []
    for bias in (0, -2, 2, -4, 4, -6, 6):
        rows = probed(t, of(t, "saturated_start", initial_bias=bias))
        rows = rows.assign(y=rows["gradient_norm_log10"].mask(rows["gradient_zero"].eq(True), -45))
        by_network = rows[rows["step"] == 0].dropna(subset="y").groupby([*SEED, "run"])
        slopes = by_network.apply(lambda g: np.polyfit(g["layer"], g["y"], 1)[0]).groupby(SEED)
        decays.append(slopes.mean()[slopes.size() == 2])
    return slope_over([0, 2, 2, 4, 4, 6, 6], decays)


def c10_2(t):
    return mean_decay(t, of(t, "plain_sgd", activation="relu"))


def c12_1(t):
    rows = of(t, "slope_sweep").reset_index().merge(t["measurements"], on=["run", "replicate"])
    rows = rows[rows["measurement"] == "noise_gain"].assign(log=lambda r: np.log(r["value"]))
    gain = rows.groupby([*SEED, "activation"])["log"].mean().unstack()
    doses = {"leaky_0": 0, "leaky_relu": 0.01, "leaky_0_1": 0.1, "very_leaky_relu": 0.1818, "leaky_11_48": 0.2292,
             "leaky_0_25": 0.25, "leaky_0_5": 0.5, "identity": 1}  # fmt: skip
    return slope_over(list(doses.values()), [gain[name] for name in doses])


def c16_1(t):
    biases = [0, -0.15, -0.3, -0.45]
    rows = [probed(t, of(t, "negative_bias", activation="relu", initial_bias=bias)) for bias in biases]
    last = [r[r["step"] == r.groupby(SEED)["step"].transform("max")].groupby(SEED)["dead"].mean() for r in rows]
    return slope_over([0, 1, 2, 3], last)


def c19_1(t):
    time = [of(t, "zig_zag", activation="relu", centred=centred)["log_time"] for centred in (False, True)]
    return (time[0] - time[1]).dropna()


def c27(t):
    a, b = (of(t, "core", activation=name)["test_accuracy"] for name in ("very_leaky_relu", "leaky_relu"))
    return (a - b).dropna()


def c28_1(t):
    runs = [of(t, "slope_noise", activation=name) for name in ("leaky_0_5", "rrelu_narrow", "rrelu_article")]
    return -slope_over([0, 0.5, 1], [r["log_plateau"] for r in runs])


def c34(t):
    loss = of(t, "convergence").groupby([*SEED, "activation"])["log_loss"].mean().unstack()
    return (loss["very_leaky_relu"] + loss["leaky_0_25"]) / 2 - loss["relu"]


def c35_2(t):
    runs = t["runs"].merge(t["experiments"].query("experiment == 'stability'"), on="run").query("role == 'tuning'")
    stop = runs[runs["status"] != "diverged"].groupby("run")["steps_done"].min().rename("step").reset_index()
    key = ["run", "replicate", "learning_rate", "step"]
    points = t["curves"].query("role == 'tuning'")[[*key, "validation_accuracy"]]
    runs = runs.drop(columns="validation_accuracy").merge(stop, on="run").merge(points, on=key, how="left")
    best = runs["run"].map(runs[runs["selected"] == True].groupby("run")["learning_rate"].first())  # noqa: E712
    chance = (runs["validation_accuracy"] <= 0.12) & (runs["learning_rate"] > best)
    runs["lost"] = chance | (runs["status"] == "diverged")
    lost = runs.groupby([*SEED, "activation"])["lost"].mean().unstack()
    return (lost["relu"] - lost["elu"]).dropna()


def c38(t):
    runs = of(t, "batch_norm").query("normalisation != 'noisy_batch'")
    accuracy = runs.set_index(["normalisation", "activation"], append=True)["test_accuracy"].unstack()
    lead = (accuracy[["tanh", "relu", "leaky_relu", "elu"]].mean(axis=1) - accuracy["sigmoid"]).unstack()
    return (lead["none"] - lead["batch"]).dropna()


ROWS = {
    "C01.1": (c01_1, 0.0953), "C02.1": (c02, 0.01), "C09.1": (c09, 2.3026), "C09.2": (c09_2, 0.05),
    "C10.2": (c10_2, 0.05), "C12.1": (c12_1, 0.0953), "C16.1": (c16_1, 0.05), "C19.1": (c19_1, 0.0953),
    "C27": (c27, 0.01), "C28.1": (c28_1, 0.0953), "C34": (c34, 0.0953), "C35.2": (c35_2, 0.05), "C38": (c38, 0.01),
}  # fmt: skip


AT_EVERY_RATE = ("C01.1", "C02.1", "C19.1", "C27", "C28.1", "C34", "C38")


@pytest.fixture(scope="module")
def study():
    """Made-up tables, as they are and without each tuning seed, and their ledger."""
    tables = made_up_tables(Study.from_file(ROOT / "config.yaml"))
    ledger = evaluate(claims_file.read(), tables).rows.set_index("row")
    networks = scored(tables)
    without = [weighed(tables, networks, seed) for seed in range(TUNING)]
    return weighed(tables, networks) | {"networks": networks}, ledger, without


def parts(values, left):
    """Variances of each cell's mean, over evaluation seeds and by the jackknife, and their degrees of freedom."""
    cells = values.groupby(CELL)
    found = [(variance / n, n - 1) for variance, n in zip(cells.var(), cells.count(), strict=True)]
    means = pd.concat([without.groupby(CELL).mean() for without in left], axis=1) if left else None
    if means is not None:
        found += [(5 / 6 * ((row - row.mean()) ** 2).sum(), 5) for _, row in means.iterrows()]
    return np.array(found).T


@pytest.mark.parametrize("name", ROWS)
def test_a_row_recomputed(study, name):
    tables, ledger, without = study
    recompute, smallest = ROWS[name]
    row, values = ledger.loc[name], recompute(tables).dropna()
    left = [recompute(one).dropna() for one in without] if name in AT_EVERY_RATE else []
    variances, freedoms = parts(values, left)
    cells = values.groupby(CELL).mean()
    estimate, se = cells.mean(), math.sqrt(variances.sum()) / len(cells)
    df = variances.sum() ** 2 / (variances**2 / freedoms).sum()
    assert row["smallest"] == smallest
    assert (row["n"], row["cells"]) == (len(values), len(cells))
    assert row["tuning_seeds"] == (TUNING if left else 0)
    assert row["estimate"] == pytest.approx(estimate, rel=1e-9, abs=1e-12)
    half = stats.t.ppf(0.975, df) * se
    assert (row["low"], row["high"]) == pytest.approx((estimate - half, estimate + half), rel=1e-9, abs=1e-12)
    if row["type"] == "equivalence":
        p = max(stats.t.sf((estimate + smallest) / se, df), stats.t.cdf((estimate - smallest) / se, df))
    else:
        p = stats.t.sf(estimate / se, df)
    assert row["p_superior_raw"] == pytest.approx(p, rel=1e-6, abs=1e-12)
    assert row["superiority_probability"] == pytest.approx(
        ((np.sign(values.round(12)) + 1) / 2).groupby(CELL).mean().mean()
    )


def test_cost_recomputed(study):
    tables, ledger, _ = study
    cost = tables["cost"].query("quantity == 'step' and activation == 'elu'")
    se = np.log(cost["ratio_high"] / cost["ratio_low"]) / (2 * stats.norm.ppf(0.975))
    estimate, total = np.log(cost["ratio_to_relu"]).mean(), math.sqrt((se**2).sum()) / 3
    df = (se**2).sum() ** 2 / (se**4 / 19).sum()
    row = ledger.loc["C36.1"]
    assert row["estimate"] == pytest.approx(estimate)
    assert row["p_superior_raw"] == pytest.approx(stats.t.sf(estimate / total, df), rel=1e-6)


def test_sparse_product_recomputed(study):
    """ReLU's own, which is no timing noise: positive where it takes less time than the dense product."""
    tables, ledger, _ = study
    cost = tables["cost"].query("quantity == 'sparse_product' and activation == 'relu'")
    assert ledger.loc["C15.1", "estimate"] == pytest.approx(-np.log(cost["ratio_to_relu"]).mean())


def test_a_time_that_not_all_reached_says_so(study):
    tables, ledger, _ = study
    runs = tables["networks"]
    runs = runs[runs["run"].isin(of(tables, "input_shift")["run"])]
    assert f"{(~runs['reached']).sum()} of {len(runs)} networks had not got there" in ledger.loc["C01.1", "reason"]


def test_policy_recomputed(study):
    tables, ledger, _ = study
    regrets = []
    for cell, runs in of(tables, "core", "tuning").query("selected").groupby(CELL):
        best = runs.groupby("activation")["validation_accuracy"].mean().idxmax()
        test = of(tables, "core").sort_index().loc[cell].groupby("activation")["test_accuracy"].mean()
        regrets.append(test[best] - test["relu"])
    assert ledger.loc["G1", "estimate"] == pytest.approx(np.mean(regrets))


def test_verdicts_recomputed(study):
    """What every verdict says of the printed columns."""
    ledger = study[1]
    family = ledger[ledger["type"].isin(["difference", "equivalence", "trend", "threshold"])]
    assert len(family) == 33
    assert (family["p_superior"] >= family["p_superior_raw"].fillna(1) - 1e-15).all()
    for name, row in family.iterrows():
        tested = row["informative_cells"] >= 3
        if row["verdict"] == "true":
            assert row["p_superior"] < 0.05, name
            least = row["lowest"] if row["experiment"] else row["estimate"]  # a cost has no seeds
            assert row["type"] == "equivalence" or least >= row["smallest"], name
            assert not row["one_rate_estimate"] * row["estimate"] < 0, name
        elif row["verdict"] == "false":
            assert min(row["p_reversed"], row["p_negligible"]) < 0.05, name
        elif row["verdict"] == "partly":
            assert row["where"], name
        else:
            assert row["verdict"] == "open", name
            assert row["reason"].startswith(REASONS), name
            assert row["reason"].startswith("too few cells") == (not tested), name


REASONS = (
    "too few cells", "one seed decides", "rates confound", "cells disagree", "below δ", "too wide",
    "no informative cell", "want of power", "the manipulation failed", "not in this study", "no data",
)  # fmt: skip
