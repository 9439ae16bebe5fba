"""A row's numbers from tables, each written out the long way in plain Python."""

import numpy as np
import pandas as pd
import pytest
import yaml
from scipy import stats

from activation_study.analysis.choices import Choices
from activation_study.analysis.inference import over_datasets
from activation_study.claims import file as claims_file
from activation_study.claims.contrasts import contrast
from activation_study.claims.ledger import evaluate
from activation_study.core.errors import StudyError
from weighted import DATASETS, shares, weighted

RATES = (0.01, 0.1, 1.0)


def mean(activation, dataset, depth, rate):
    """Two rates are nearly equal; b's third is worse."""
    return 0.7 + 0.03 * (activation == "a") + 0.002 * (rate == 0.1) - 0.05 * (rate == 1.0) * (activation == "b")


@pytest.fixture(scope="module")
def tables():
    return weighted(mean, lost=lambda activation, dataset, seed: (activation, dataset, seed) == ("b", "digits", 4))


def arms(tables, *names):
    runs = tables["runs"].query("role == 'evaluation'").assign(value=lambda rows: rows["test_accuracy"])
    return [runs[runs["activation"] == name] for name in names]


def matrix(tables, dataset, activation, role, column):
    """[seeds, rates], NaN where a rate was not evaluated."""
    rows = tables["runs"].query("dataset == @dataset and activation == @activation and role == @role")
    return rows.pivot(index="replicate", columns="learning_rate", values=column).reindex(columns=RATES).to_numpy(float)


def long_way(tables):
    """Estimate, standard error and df of a − b: U-statistic over cells, jackknife over tuning seeds."""
    means, parts, freedoms = [], [], []
    for dataset in DATASETS:
        scores = {name: matrix(tables, dataset, name, "evaluation", "test_accuracy") for name in "ab"}
        tuning = {name: matrix(tables, dataset, name, "tuning", "validation_accuracy") for name in "ab"}

        def score(name, left_out, scores=scores, tuning=tuning):
            weights = np.array(shares(np.delete(tuning[name], left_out, axis=0)))
            weights = np.where(np.array(shares(tuning[name])) > 0, weights, 0)
            return np.nansum(scores[name] * weights, axis=1) / weights.sum()

        values = score("a", []) - score("b", [])
        left = [np.mean(score("a", [seed]) - score("b", [seed])) for seed in range(6)]
        means.append(values.mean())
        parts += [values.var(ddof=1) / 10, 5 / 6 * np.sum((left - np.mean(left)) ** 2)]
        freedoms += [9, 5]
    parts = np.array(parts)
    return np.mean(means), np.sqrt(parts.sum()) / 3, parts.sum() ** 2 / (parts**2 / freedoms).sum()


def test_the_interval_holds_the_choice_of_the_rate(tables):
    made = contrast(arms(tables, "a", "b"), (1, -1), Choices(tables["runs"]))
    estimate, se, df = long_way(tables)
    assert made.of_all.estimate == pytest.approx(estimate)
    assert (made.of_all.se, made.of_all.df) == pytest.approx((se, df))
    half = stats.t.ppf(0.975, df) * se
    assert (made.of_all.low, made.of_all.high) == pytest.approx((estimate - half, estimate + half))
    assert (made.tuning, made.seeds_each, made.n, len(made.cells)) == (6, 10, 30, 3)
    assert made.datasets == DATASETS


def test_a_seed_s_value_is_its_difference_over_the_rates_by_their_weights(tables):
    made = contrast(arms(tables, "a", "b"), (1, -1), Choices(tables["runs"]))
    for dataset, values in zip(DATASETS, made.by_seed, strict=True):
        scores = {}
        for name in "ab":
            weights = np.array(shares(matrix(tables, dataset, name, "tuning", "validation_accuracy")))
            scores[name] = np.nansum(matrix(tables, dataset, name, "evaluation", "test_accuracy") * weights, axis=1)
            scores[name] /= weights.sum()
        assert values == pytest.approx(scores["a"] - scores["b"])


def test_the_column_weight_is_what_the_choice_recomputes(tables):
    choices = Choices(tables["runs"])
    for (run, rate), rows in tables["runs"].groupby(["run", "learning_rate"]):
        choice = choices[run]
        assert rows["weight"].nunique() == 1
        assert choice.weights.weights[list(choice.rates).index(rate)] == pytest.approx(rows["weight"].iloc[0])
    for run, rows in tables["runs"].query("role == 'tuning'").groupby("run"):
        means = rows.groupby("learning_rate")["validation_accuracy"].mean()
        assert choices[run].ranks.tolist() == (-means).rank().tolist()


def test_speed_chooses_by_time_and_pruned_rates_have_no_rank(tables):
    runs = tables["runs"].query("run == 'digits/a/depth=5'").assign(select="speed")
    runs.loc[runs["learning_rate"] == 0.1, "status"] = "pruned"
    choice = Choices(runs)["digits/a/depth=5"]
    tuning = runs.query("role == 'tuning' and status != 'pruned'")
    times = tuning.pivot(index="replicate", columns="learning_rate", values="time_to_target")
    expected = shares(-np.log(times.to_numpy()))
    assert choice.weights.weights[[0, 2]] == pytest.approx(expected)
    assert (choice.weights.weights[1], np.isnan(choice.ranks[1])) == (0, True)


def test_diverged_networks_are_counted_and_left_out_beside(tables):
    made = contrast(arms(tables, "a", "b"), (1, -1), Choices(tables["runs"]))
    evaluated = tables["runs"].query("role == 'evaluation'")
    assert made.networks == len(evaluated)
    assert made.diverged == (evaluated["status"] == "diverged").sum() > 0
    without = contrast(
        [arm[(arm["dataset"] != "digits") | (arm["replicate"] != 4)] for arm in arms(tables, "a", "b")],
        (1, -1),
        Choices(tables["runs"]),
    )
    assert made.of_trained.estimate == pytest.approx(without.of_all.estimate)
    assert made.of_trained.estimate < made.of_all.estimate
    assert made.lowest == (pytest.approx(min(without.of_all.estimate, made.lowest[0])), made.lowest[1])
    assert made.lowest[1] == "evaluation seed 4 of digits/depth=5"


def test_at_one_rate(tables):
    """In each cell the evaluated rate of both arms with the best mean rank."""
    made = contrast(arms(tables, "a", "b"), (1, -1), Choices(tables["runs"]))
    expected = []
    for dataset in DATASETS:
        scores = [matrix(tables, dataset, name, "evaluation", "test_accuracy") for name in "ab"]
        tuning = [matrix(tables, dataset, name, "tuning", "validation_accuracy").mean(axis=0) for name in "ab"]
        ranks = np.mean([stats.rankdata(-means) for means in tuning], axis=0)
        known = ~np.isnan(scores[0]).all(axis=0) & ~np.isnan(scores[1]).all(axis=0)
        best = np.where(known, ranks, np.inf).argmin()
        expected.append((scores[0] - scores[1])[:, best].mean() if known.any() else np.nan)
    assert made.at_one_rate == pytest.approx(np.array(expected), nan_ok=True)
    assert made.one_rate.estimate == pytest.approx(np.nanmean(expected))
    assert np.isnan(
        contrast(arms(tables, "a", "b"), (1, -1), Choices(tables["runs"]), one_rate=False).at_one_rate
    ).all()


def test_without_a_choice_there_is_none_in_the_interval(tables):
    selected = [arm[arm["selected"]] for arm in arms(tables, "a", "b")]
    made = contrast(selected, (1, -1), None)
    keys = ["dataset", "replicate"]
    difference = selected[0].set_index(keys)["value"] - selected[1].set_index(keys)["value"]
    cells = difference.groupby("dataset")
    assert made.of_all.estimate == pytest.approx(cells.mean().mean())
    assert made.of_all.se == pytest.approx(np.sqrt((cells.var() / 10).sum()) / 3)
    assert (made.tuning, made.networks) == (0, 60)
    assert {seed.split()[0] for seed in made.seeds} == {"evaluation"}


def test_gaps(tables):
    a, b = arms(tables, "a", "b")
    some = b[(b["dataset"] != "digits") & (b["replicate"] != 2)]
    made = contrast([a, some], (1, -1), Choices(tables["runs"]))
    assert (made.datasets, made.counts) == (DATASETS[1:], (9, 9))
    assert contrast([a, some.assign(value=np.nan)], (1, -1), Choices(tables["runs"])).cells == ()
    assert contrast([a, b.iloc[:0]], (1, -1), Choices(tables["runs"])).cells == ()


def test_cells_that_tell_nothing(tables):
    a, b = (arm.copy() for arm in arms(tables, "a", "b"))
    for arm in (a, b):
        arm.loc[arm["dataset"] == "digits", ["test_accuracy", "reached"]] = [0.11, False]
    a.loc[a["dataset"] == "mnist1d", ["test_accuracy", "reached"]] = [0.1, False]
    for why in ("chance", "target"):
        made = contrast([a, b], (1, -1), Choices(tables["runs"]), uninformative=why)
        assert dict(zip(made.datasets, made.informative, strict=True)) == {
            "digits": False,
            "fashion_mnist": True,
            "mnist1d": True,
        }


def test_twelve_datasets_may_stand_for_others():
    many = weighted(mean, datasets=[f"d{number:02}" for number in range(12)])
    made = contrast(arms(many, "a", "b"), (1, -1), Choices(many["runs"]))
    means = np.array([interval.estimate for interval in made.intervals])
    low, high = stats.t.interval(0.95, 11, means.mean(), stats.sem(means))
    assert (made.random.low, made.random.high) == pytest.approx((low, high))
    wide = stats.t.ppf(0.975, 11) * means.std(ddof=1) * np.sqrt(1 + 1 / 12)
    assert (made.new.low, made.new.high) == pytest.approx((means.mean() - wide, means.mean() + wide))
    assert over_datasets(means)[1] == made.new
    few = weighted(mean, datasets=[f"d{number:02}" for number in range(11)])
    assert np.isnan(contrast(arms(few, "a", "b"), (1, -1), Choices(few["runs"])).new.low)


ROW = {"test": "a against b", "type": "difference", "experiment": "core", "metric": "test_accuracy",
       "arms": [{"activation": "a"}, {"activation": "b"}], "smallest": 0.01, "reason": "a point"}  # fmt: skip


def judged(tmp_path, tables, *rows):
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump({"claims": [{"id": "C1", "quote": "a is better", "rows": list(rows)}]}))
    return evaluate(claims_file.read(path), tables)


def test_a_ledger_of_tables(tmp_path):
    tables = weighted(mean)
    ledger = judged(
        tmp_path, tables, ROW, ROW | {"one_rate": False}, ROW | {"arms": [{"activation": "a"}, {"activation": "c"}]}
    )
    first, second, third = (row for _, row in ledger.rows.iterrows())
    assert first["estimate"] == pytest.approx(long_way(tables)[0])
    assert (first["verdict"], first["tuning_seeds"], first["one_rate_cells"]) == ("true", 6, 3)
    assert first["low"] < first["lowest"] < first["estimate"] < first["highest"]
    assert (second["one_rate_cells"], second["estimate"]) == (0, first["estimate"])
    assert (third["verdict"], third["reason"]) == ("open", "not in this study: no runs of activation=c")
    assert pd.isna(third["estimate"])
    assert ledger.cells.groupby("row").size().tolist() == [3, 3]


def test_arms_with_other_numbers_of_seeds_are_refused_by_name(tmp_path, tables):
    runs = tables["runs"]
    fewer = runs[(runs["activation"] != "b") | (runs["role"] != "tuning") | (runs["replicate"] < 5)]
    with pytest.raises(StudyError, match=r"claim C1\.arms: tuning seeds: \[6, 5\] of arms"):
        judged(tmp_path, tables | {"runs": fewer}, ROW)
