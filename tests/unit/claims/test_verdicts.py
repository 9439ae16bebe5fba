"""The rules, one by one and by simulation: false alarms, power, and that the verdicts exclude each other."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats

from activation_study.analysis.inference import stratified_interval, stratified_moments, trend_weights
from activation_study.claims import verdicts
from activation_study.claims.verdicts import Contrast, Outcome, contrast, effect, judge
from activation_study.core.errors import StudyError
from activation_study.tables.columns import VERDICTS

pytestmark = pytest.mark.usefixtures("frozen_garbage")

DATASETS = ("digits", "mnist1d", "fashion_mnist")


@pytest.fixture
def rng():
    return np.random.default_rng(11)


def of_values(values, datasets=DATASETS, informative=None):
    values = np.asarray(values, dtype=float)
    return Contrast(
        cells=tuple(f"{dataset}/{i}" for i, dataset in enumerate(datasets)),
        datasets=tuple(datasets),
        values=values,
        informative=np.ones(len(values), dtype=bool) if informative is None else np.array(informative),
        diverged=0,
    )


def verdict_on(values, smallest=1.0, kind="difference", **kwargs):
    return judge({"claim": effect(of_values(values, **kwargs), smallest, kind)})["claim"]


def around(rng, means, sd=0.1, seeds=10):
    return np.array(means)[:, None] + rng.normal(0, sd, (len(means), seeds))


def test_the_ledgers_column_has_every_outcome():
    assert sorted(VERDICTS) == sorted(Outcome)


@pytest.mark.parametrize(
    ("means", "sd", "outcome", "reason"),
    [
        ([2, 2, 2], 0.1, "supported", "as claimed"),
        ([-2, -2, -2], 0.1, "reversed", "opposite"),
        ([-0.1, -0.1, -0.1], 0.01, "negligible", "smaller than the smallest effect of interest, and the other way"),
        ([-4, -4, 1], 0.1, "inconclusive", "heterogeneous: not the same sign in fashion_mnist"),
        ([0.3, 0.3, 0.3], 0.1, "negligible", "smaller"),
        ([0, 0, 0], 0.1, "negligible", "smaller"),
        ([4, 4, -1], 0.1, "inconclusive", "heterogeneous: not the same sign in fashion_mnist"),
        ([0.9, 0.9, 0.9], 0.8, "inconclusive", "below"),
        ([0.8, 0.8, 0.8], 5, "inconclusive", "too wide"),
    ],
)
def test_each_rule(rng, means, sd, outcome, reason):
    noise = np.tile(stats.norm.ppf((np.arange(10) + 0.5) / 10), (3, 1))
    result = verdict_on(np.array(means, dtype=float)[:, None] + sd * noise)
    assert result.outcome == outcome
    assert reason in result.reason


def test_few_seeds_are_named(rng):
    assert "too few seeds: 3" in verdict_on([[-1.0, 2.5, 0.5]] * 3).reason
    clear = verdict_on([[1.0, 1.1, 1.05]] * 3)
    assert (clear.outcome, clear.p_superior < 0.05) == ("inconclusive", True)
    assert "too few seeds: 3" in clear.reason
    assert "too few seeds: 1" in verdict_on([[2.0]] * 3).reason


def test_a_row_without_data_is_inconclusive_and_keeps_its_place(rng):
    empty = effect(of_values(np.empty((0, 0)), datasets=()), 1.0)
    values = 2 + rng.normal(0, 3, (3, 5))
    family = {"a": effect(of_values(values), 1.0), "nothing": empty}
    results = judge(family)
    assert results["nothing"].outcome == "inconclusive"
    assert results["nothing"].seeds_to_settle is None
    assert results["a"].p_superior == pytest.approx(2 * family["a"].superiority.p)


def test_an_added_family_changes_no_verdict(rng):
    article = {str(i): effect(of_values(around(rng, [1.2] * 3, 1.5)), 1.0) for i in range(5)}
    before = judge(article)
    judge({"mine": effect(of_values(around(rng, [5] * 3)), 1.0)})
    assert judge(article) == before


def test_uninformative_cells_are_counted_and_gate_the_verdict(rng):
    values = around(rng, [2, 2, 2, 0])
    datasets = ("digits", "mnist1d", "fashion_mnist", "digits")
    three = effect(of_values(values, datasets, [True, True, True, False]), 1.0)
    assert (three.cells, three.informative_cells) == (4, 3)
    assert three.interval.estimate == pytest.approx(values.mean())
    assert three.informative.estimate == pytest.approx(values[:3].mean())
    assert judge({"c": three})["c"].outcome == "supported"
    two = judge({"c": effect(of_values(values, datasets, [True, True, False, False]), 1.0)})["c"]
    assert two.outcome == "inconclusive"
    assert "2 of 4 are informative" in two.reason


@pytest.mark.parametrize("mean", [2, -2])
def test_a_dataset_without_informative_cells_leaves_it_open(rng, mean):
    values = around(rng, [mean] * 4)
    datasets = ("digits", "digits", "digits", "mnist1d")
    result = verdict_on(values, datasets=datasets, informative=[True, True, True, False])
    assert (result.outcome, result.reason) == ("inconclusive", "no informative cell of mnist1d")


def test_seeds_settle_no_disagreement_of_datasets(rng):
    assert verdict_on(around(rng, [4, 4, -1])).seeds_to_settle is None
    assert verdict_on(around(rng, [0.8, 0.8, 0.8], sd=5)).seeds_to_settle > 10


@pytest.mark.slow
def test_the_smallest_detectable_equivalence_by_simulation(rng):
    """Both one-sided tests must pass: at no difference and a margin of that size, in 80% of the studies."""
    passed = 0
    for _ in range(1000):
        values = rng.normal(0, 1, (3, 10))
        margin = verdict_on(values, 1.0, "equivalence").minimum_detectable
        passed += verdict_on(values, margin, "equivalence").outcome == "supported"
    assert 0.76 < passed / 1000 < 0.86


def test_equivalence(rng):
    assert verdict_on(around(rng, [0.1, -0.1, 0]), 1.0, "equivalence").outcome == "supported"
    assert verdict_on(around(rng, [3, 3, 3]), 1.0, "equivalence").outcome == "reversed"
    assert verdict_on(around(rng, [-3, -3, -3]), 1.0, "equivalence").outcome == "reversed"
    assert verdict_on(around(rng, [1, 1, 1], sd=2), 1.0, "equivalence").outcome == "inconclusive"


def test_zero_variance_gets_a_verdict():
    assert verdict_on(np.zeros((3, 10))).outcome == "negligible"
    assert verdict_on(np.full((3, 10), 2.0)).outcome == "supported"
    assert verdict_on(np.full((3, 10), -2.0)).outcome == "reversed"


ARRAYS = hnp.arrays(float, (3, 4), elements=st.floats(-3, 3) | st.sampled_from([0.0, 1.0, np.nan]))


@pytest.mark.slow
@settings(max_examples=50)
@given(
    st.lists(
        st.tuples(ARRAYS, st.sampled_from([0.0, 0.5, 1.0]), st.sampled_from(["difference", "equivalence"])),
        min_size=1,
        max_size=8,
    )
)
def test_verdicts_exclude_each_other(rows):
    family = {
        str(i): effect(of_values(values), smallest + (kind == "equivalence"), kind)
        for i, (values, smallest, kind) in enumerate(rows)
    }
    for name, result in judge(family).items():
        assert_follows_the_rules(result, family[name])


@pytest.mark.slow
def test_verdicts_exclude_each_other_over_many_scales(rng):
    """One family of 500 effects of every size and noise: small p-values in all three tests."""
    noise = 10 ** rng.uniform(-6, 1, (500, 1, 1))
    values = rng.normal(0, noise, (500, 3, 5)) + rng.normal(0, 1, (500, 1, 1))
    values[::7] = np.round(values[::7])
    family = {str(i): effect(of_values(v), [0.0, 0.5][i % 2]) for i, v in enumerate(values)}
    results = judge(family)
    for name, result in results.items():
        assert_follows_the_rules(result, family[name])
    assert {result.outcome for result in results.values()} == {"supported", "reversed", "negligible", "inconclusive"}


def assert_follows_the_rules(result, effect_):
    below = {name: getattr(result, name) < 0.05 for name in ("p_superior", "p_negligible", "p_reversed")}
    if result.outcome == "supported":
        assert below["p_superior"]
        assert not below["p_reversed"]
        assert not below["p_negligible"]
    if result.outcome == "reversed":
        assert below["p_reversed"]
        assert not below["p_superior"]
        if effect_.kind == "difference":
            assert effect_.interval.estimate <= -effect_.smallest
            assert all(mean < 0 for mean in effect_.by_dataset.values())
    if result.outcome == "negligible":
        assert below["p_negligible"]
        assert effect_.interval.estimate < effect_.smallest
        if below["p_reversed"]:
            assert all(mean < 0 for mean in effect_.by_dataset.values())
            assert effect_.interval.estimate > -effect_.smallest


@pytest.mark.slow
def test_false_alarms_stay_below_nominal(rng):
    """No effect, 10 seeds, 3 cells of unequal noise, 600 families of one: at most 5% each way."""
    values = rng.normal(0, 1, (600, 3, 10)) * np.array([[1], [2], [3]])
    outcomes = [verdict_on(v, smallest=0.4).outcome for v in values]
    assert outcomes.count("supported") / 600 < 0.05
    assert outcomes.count("reversed") / 600 < 0.05 + 3 * np.sqrt(0.05 * 0.95 / 600)


@pytest.mark.parametrize(("cells", "seeds", "power"), [(1, 10, 0.10), (3, 10, 0.57), (3, 20, 0.93), (9, 10, 0.97)])
def test_power_at_one_and_a_half_times_delta(rng, cells, seeds, power):
    """δ = 0.4 seed-sd, a true 1.5 δ, the strictest level of a family of 20, 10,000 draws of `supported`."""
    delta = 0.4
    values = rng.normal(1.5 * delta, 1, (10_000, cells, seeds))
    estimate, se, df = stratified_moments(values)
    alike = np.all([part.mean(axis=(1, 2)) > 0 for part in np.split(values, min(cells, 3), axis=1)], axis=0)
    found = (stats.t.sf(estimate / se, df) * 20 < 0.05) & (estimate >= delta) & alike
    assert found.mean() == pytest.approx(power, abs=0.03)


def test_the_planted_effect_is_found_through_the_whole_path(rng):
    """The vectorised rule above and `judge` agree, on a family of 20 with one true effect of 1.5 δ."""
    values = rng.normal(0, 1, (20, 3, 20))
    values[0] += 0.6 - values[0].mean()
    family = {str(i): effect(of_values(v), 0.4) for i, v in enumerate(values)}
    results = judge(family)
    assert results["0"].outcome == "supported"
    assert sum(result.outcome == "supported" for result in results.values()) == 1


def test_minimum_detectable_effect_has_80_percent_power(rng):
    """At the noncentral t, whose power it approximates."""
    interval = stratified_interval(rng.normal(0, 1, (3, 10)))
    mde = verdicts.minimum_detectable_effect(interval, 0.0025)
    power = stats.nct.sf(stats.t.isf(0.0025, interval.df), interval.df, mde / interval.se)
    assert power == pytest.approx(0.8, abs=0.02)


def test_seeds_to_settle_makes_the_minimum_detectable_effect_small_enough(rng):
    noisy = effect(of_values(around(rng, [0.5] * 3, sd=3)), 1.0)
    seeds = judge({"c": noisy})["c"].seeds_to_settle
    sd = noisy.interval.se * np.sqrt(10)
    for count, enough in ((seeds, True), (seeds - 1, False)):
        df = noisy.interval.df * (count - 1) / 9
        mde = (stats.t.isf(0.05, df) + stats.t.ppf(0.8, df)) * sd / np.sqrt(count)
        assert (mde <= 1.0) == enough
    assert judge({"c": effect(of_values(around(rng, [0] * 3, sd=3)), 0.0)})["c"].seeds_to_settle is None
    assert judge({"c": effect(of_values(around(rng, [0] * 3, sd=3)), 1e-6)})["c"].seeds_to_settle is None


def arm(accuracy, dataset="digits", depth=5, **columns):
    frame = pd.DataFrame(
        {
            "dataset": dataset,
            "depth": depth,
            "replicate": range(len(accuracy)),
            "status": "finished",
            "test_accuracy": accuracy,
            "classes": 10,
            "reached": True,
        }
    )
    return frame.assign(**columns)


def test_contrast_pairs_by_cell_and_replicate():
    a = pd.concat([arm([0.9, 0.8, 0.7]), arm([0.6, 0.5], "mnist1d"), arm([0.5], "mnist1d", 20)])
    b = pd.concat([arm([0.5, 0.6, np.nan]), arm([0.7, 0.9], "mnist1d")]).iloc[::-1]
    b.loc[b["replicate"] == 1, "status"] = "diverged"
    made = contrast([a, b], "test_accuracy")
    assert made.cells == ("digits/depth=5", "mnist1d/depth=5")
    assert made.datasets == ("digits", "mnist1d")
    assert made.values == pytest.approx(np.array([[0.4, 0.2], [-0.1, -0.4]]))
    assert made.diverged == 2
    assert made.informative.all()


def test_contrast_of_a_trend_and_of_a_threshold():
    arms = [arm([0.1 * dose, 0.2 * dose]) for dose in (0, 1, 3)]
    assert contrast(arms, "test_accuracy", weights=trend_weights([0, 1, 3])).values == pytest.approx(
        np.array([[0.3, 0.6]])
    )
    above = contrast([arm([0.9, 0.7])], "test_accuracy", weights=[1], offset=0.8)
    assert above.values == pytest.approx(np.array([[0.1, -0.1]]))


def test_uninformative_cells_are_those_where_all_arms_fail():
    a = pd.concat([arm([0.1, 0.11]), arm([0.1, 0.1], "mnist1d"), arm([0.9, 0.9], "fashion")])
    b = pd.concat([arm([0.1, 0.09]), arm([0.8, 0.1], "mnist1d"), arm([0.9, 0.9], "fashion")])
    by_chance = contrast([a, b], "test_accuracy", uninformative="chance")
    assert dict(zip(by_chance.datasets, by_chance.informative, strict=True)) == {
        "digits": False,
        "fashion": True,
        "mnist1d": True,
    }
    a, b = a.assign(reached=False), b.assign(reached=b["dataset"] == "mnist1d")
    by_target = contrast([a, b], "test_accuracy", uninformative="target")
    assert dict(zip(by_target.datasets, by_target.informative, strict=True)) == {
        "digits": False,
        "fashion": False,
        "mnist1d": True,
    }


def test_contrast_of_arms_that_share_no_cell_is_empty():
    made = contrast([arm([0.9, 0.8]), arm([0.9], "mnist1d")], "test_accuracy", uninformative="chance")
    assert made.cells == ()
    result = effect(made, 0.01)
    assert (result.n, result.cells, result.seeds) == (0, 0, 0)
    assert judge({"c": result})["c"].outcome == "inconclusive"


def test_contrast_refuses_what_it_cannot_pair():
    a = arm([0.9, 0.8])
    with pytest.raises(StudyError, match="no column 'speed'"):
        contrast([a, a], "speed")
    with pytest.raises(StudyError, match="two rows for one dataset × depth × replicate"):
        contrast([a, pd.concat([a, a])], "test_accuracy")
    with pytest.raises(StudyError, match="2 arms, but 1 weights"):
        contrast([a, a], "test_accuracy", weights=[1])
    with pytest.raises(StudyError, match="must not be negative"):
        effect(contrast([a, a], "test_accuracy"), -1)


def test_effect_prints_what_the_ledger_needs(rng):
    values = around(rng, [1, 2, 3], sd=1)
    values[2, 9] = np.nan
    result = effect(of_values(values), 0.5)
    assert (result.n, result.seeds, result.cells) == (29, 9, 3)
    sd = np.sqrt(np.nanvar(values, axis=1, ddof=1).mean())
    assert result.standardised == pytest.approx(np.nanmean(values, axis=1).mean() / sd)
    assert result.by_dataset == pytest.approx(dict(zip(DATASETS, np.nanmean(values, axis=1), strict=True)))
    assert result.clustered.df == pytest.approx(8)
