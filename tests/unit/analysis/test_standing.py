"""Standings and scores against triples counted in plain Python and a jackknife written the long way.

The tables have rates whose choice is in doubt, so that the choice is a large part of the intervals.
"""

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from activation_study.analysis import replicas
from activation_study.analysis.experiments import cost_against_quality, lsuv_effects, scores
from activation_study.analysis.standing import CELL, by_cell, complete, overall, standings, tuned_table
from activation_study.analysis.tuned import tuned_interval
from weighted import shares, weighted

ACTIVATIONS = ("a", "b", "c")


def doubtful(activation, dataset, depth, rate):
    return 0.8 + {"a": 0, "b": 0.01, "c": 0.004}[activation] - 0.03 * (rate == 1) - 0.004 * (rate == 0.01)


@pytest.fixture
def runs():
    return weighted(doubtful, ACTIVATIONS, sd=0.015, depths=(5, 20), seed=3)["runs"]


def by_hand(runs, activation, dataset, depth):
    """Replicates [E] over the rates that count, and [T, E] without each tuning seed."""
    rows = runs[(runs["activation"] == activation) & (runs["dataset"] == dataset) & (runs["depth"] == depth)]
    tuning, evaluation = (
        rows[rows["role"] == role].pivot(index="replicate", columns="learning_rate", values=f"{of}_accuracy")
        for role, of in (("tuning", "validation"), ("evaluation", "test"))
    )
    whole = np.array(shares(tuning.to_numpy()))
    found = []
    for place in (None, *range(len(tuning))):
        weights = (
            whole if place is None else np.array(shares(np.delete(tuning.to_numpy(), place, axis=0))) * (whole > 0)
        )
        weights = pd.Series(weights / weights.sum(), tuning.columns)[evaluation.columns]
        found.append((evaluation * weights).sum(axis=1).to_numpy())
    return found[0], np.array(found[1:])


def interval(cells):
    """Of the mean over cells, of pairs as `by_hand` gives them: estimate, low, high, and the two-sided p against 0."""
    variances, freedoms = [], []
    for evaluation, left_out in cells:
        means = [row.mean() for row in left_out]
        spread = sum((mean - np.mean(means)) ** 2 for mean in means)
        variances += [np.var(evaluation, ddof=1) / len(evaluation), (len(means) - 1) / len(means) * spread]
        freedoms += [len(evaluation) - 1, len(means) - 1]
    se = np.sqrt(sum(variances)) / len(cells)
    df = sum(variances) ** 2 / sum(v**2 / f for v, f in zip(variances, freedoms, strict=True))
    estimate = np.mean([evaluation.mean() for evaluation, _ in cells])
    half = stats.t.ppf(0.975, df) * se
    return estimate, estimate - half, estimate + half, 2 * stats.t.sf(abs(estimate) / se, df)


def test_standings_hold_the_choice_of_the_rate(runs):
    places = [(dataset, depth) for dataset in ("digits", "fashion_mnist", "mnist1d") for depth in (5, 20)]
    table = overall(replicas.tuned(runs).assign(condition="")).set_index("activation")
    assert table.index.tolist() == ["b", "c", "a"]
    expected = {}
    for name in ACTIVATIONS:
        own = [by_hand(runs, name, *place) for place in places]
        best = [by_hand(runs, "b", *place) for place in places]
        assert table.loc[name, ["accuracy", "accuracy_low", "accuracy_high"]].tolist() == pytest.approx(
            interval(own)[:3]
        )
        if name != "b":
            differences = [
                tuple(x - y for x, y in zip(one, other, strict=True)) for one, other in zip(own, best, strict=True)
            ]
            *ends, expected[name] = interval(differences)
            shown = table.loc[name, ["difference", "difference_low", "difference_high"]].tolist()
            assert shown == pytest.approx(ends)
            alone = interval([(evaluation, np.zeros((6, 10))) for evaluation, _ in differences])
            assert ends[2] - ends[1] > 1.05 * (alone[2] - alone[1])
    smaller, larger = sorted(expected, key=expected.get)
    assert table.loc[smaller, "p"] == pytest.approx(2 * expected[smaller])
    assert table.loc[larger, "p"] == pytest.approx(max(2 * expected[smaller], expected[larger]))


def test_a_runs_score_holds_the_choice_of_the_rate(runs):
    more = runs.assign(edge=False, train_loss=0.1, test_loss=0.2, parameters=9, train_samples=9)
    ranked, scored = replicas.ranking(more), scores(more)
    for table in (ranked, scored):
        assert len(table) == 18
        for row in table.to_dict("records"):
            *expected, _ = interval([by_hand(runs, row["activation"], row["dataset"], row["depth"])])
            shown = [row[f"test_accuracy{end}"] for end in ("", "_low", "_high")]
            assert shown == pytest.approx(expected)


def test_accuracy_beside_cost_holds_it_too(runs):
    relu = runs.replace({"activation": {"a": "relu"}}).assign(run=runs["run"].str.replace("/a/", "/relu/"))
    cost = pd.DataFrame(
        {"activation": ["relu", "b", "c"], "quantity": "step", "width": 64, "ratio_to_relu": 1.0}
        | {"ratio_low": 0.9, "ratio_high": 1.1, "unit": "ratio"}
    )
    table = cost_against_quality(cost, relu).set_index(["depth", "activation"])
    for name in ("b", "c"):
        cells = [by_hand(runs, name, dataset, 5) for dataset in ("digits", "fashion_mnist", "mnist1d")]
        shown = table.loc[(5, name), ["accuracy", "accuracy_low", "accuracy_high"]].tolist()
        assert shown == pytest.approx(interval(cells)[:3])


def test_scaled_starts_are_paired_with_the_gain_by_seed_and_by_choice(runs):
    """`b` plays the part of `a` with LSUV."""
    twin = runs[runs["activation"] == "b"]
    twin = twin.assign(activation="a", run=twin["run"].str.replace("/b/", "/a/") + ",initialisation=lsuv")
    both = pd.concat([runs.assign(initialisation="gain"), twin.assign(initialisation="lsuv")])
    found = lsuv_effects(both)
    differences = {}
    for dataset in ("digits", "fashion_mnist", "mnist1d"):
        for depth in (5, 20):
            pair = (by_hand(runs, name, dataset, depth) for name in "ba")
            differences[dataset, depth] = tuple(x - y for x, y in zip(*pair, strict=True))
    rows = found.to_dict("records")
    assert [(row["dataset"], row["cells"]) for row in rows[-1:]] == [("", 6)]
    for row in rows:
        cells = [one for key, one in differences.items() if key == (row["dataset"], row["depth"])] or [
            *differences.values()
        ]
        shown = [row[f"difference{end}"] for end in ("", "_low", "_high")]
        assert shown == pytest.approx(interval(cells)[:3])
        assert row["n"] == 10 * len(cells)
        assert np.isnan(row["depth"]) == (row["dataset"] == "")
        assert row["networks_diverged_lsuv"] == 0 < 10 <= row["networks_lsuv"]


@pytest.mark.parametrize("tuning", [1, 3])
def test_too_few_tuning_seeds_leave_the_interval_of_evaluation_seeds(tuning):
    runs = weighted(doubtful, ACTIVATIONS, tuning=tuning, seed=5)["runs"]
    table = overall(replicas.tuned(runs).assign(condition="")).set_index("activation")
    best, other = table.index[:2]
    pairs = []
    for dataset in ("digits", "fashion_mnist", "mnist1d"):
        rows = replicas.evaluated(runs)
        rows = rows[rows["dataset"] == dataset].pivot(index="replicate", columns="activation", values="test_accuracy")
        pairs.append((rows[other] - rows[best]).to_numpy())
    se = np.sqrt(sum(np.var(one, ddof=1) / 10 for one in pairs)) / 3
    freedom = sum(np.var(one, ddof=1) for one in pairs) ** 2 / sum(np.var(one, ddof=1) ** 2 / 9 for one in pairs)
    low = np.mean(pairs) - stats.t.ppf(0.975, freedom) * se
    assert table.loc[other, "difference_low"] == pytest.approx(low)


def test_cells_keep_their_seeds_apart(runs):
    """Whatever order the rows come in, and where an activation lacks a cell."""
    shuffled = runs.sample(frac=1, random_state=2)
    tables = [tuned_table(replicas.tuned(one).assign(condition=""), "test_accuracy", CELL) for one in (runs, shuffled)]
    pd.testing.assert_frame_equal(*tables)
    for cell in by_cell(tables[0]["a"]):
        assert (cell.evaluation.shape, cell.left_out.shape) == ((10,), (6, 10))
    lacking = runs[~((runs["activation"] == "b") & (runs["dataset"] == "digits"))]
    table = tuned_table(replicas.tuned(lacking).assign(condition=""), "test_accuracy", CELL)
    assert complete(table).columns.tolist() == ["c", "a"]
    order = [one.difference.estimate for one in standings(complete(table), "c")]
    assert all(first >= second for first, second in pairwise(order))


def test_all_runs_at_once_are_each_run_by_itself(runs):
    """Also where a seed has no value, and where runs have other numbers of seeds, or a choice that is not known."""
    few = weighted(doubtful, ACTIVATIONS, tuning=3, evaluation=4, depths=(2,), seed=4)["runs"]
    some = weighted(doubtful, ACTIVATIONS, tuning=4, evaluation=5, depths=(3,), seed=4)["runs"]
    table = replicas.tuned(pd.concat([runs, few, some], ignore_index=True))
    table.loc[table.index[[2, 50]], [name for name in table if name.startswith("area_under_loss")]] = np.nan
    for metric in ("test_accuracy", "area_under_loss"):
        found = replicas.tuned_means(table, metric)
        assert len(found) == 18 + 9 + 9
        for run, own in table.groupby("run"):
            one = tuned_interval([replicas.replicates(own, metric)])
            assert found.loc[run].tolist() == pytest.approx([one.estimate, one.low, one.high]), run
