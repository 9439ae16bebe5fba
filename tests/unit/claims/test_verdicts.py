"""The rules, one by one and by simulation: false alarms, power, and that no verdict rests on one seed."""

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

from activation_study.analysis.tuned import moments, tuned_interval, tuned_test
from activation_study.claims import verdicts
from activation_study.claims.contrasts import Contrast
from activation_study.claims.outcomes import Outcome
from activation_study.claims.rules import Effect, holding, p_values, redrawn
from activation_study.claims.verdicts import judge
from activation_study.core.tuning import Replicates
from activation_study.tables.columns import VERDICTS
from effects import DATASETS, effect_of, of_cells

pytestmark = pytest.mark.usefixtures("frozen_garbage")
NOISE = stats.norm.ppf((np.arange(10) + 0.5) / 10)
NOTHING = Effect(Contrast(), 1.0)


@pytest.fixture
def rng():
    return np.random.default_rng(11)


def around(means, sd=0.1):
    """Ten seeds with the same noise around each mean."""
    return np.array(means, dtype=float)[:, None] + sd * NOISE


def verdict_on(values, *args, **kwargs):
    return judge({"claim": effect_of(values, *args, **kwargs)})["claim"]


def test_the_ledgers_column_has_every_outcome():
    assert sorted(VERDICTS) == sorted(Outcome)


@pytest.mark.parametrize(
    ("means", "sd", "outcome", "reason"),
    [
        ([2, 2, 2], 0.1, "true", "as claimed"),
        ([4, 4, -1], 0.1, "partly", "true on digits, on mnist1d, and the other way on fashion_mnist"),
        ([-4, -4, 2], 0.1, "partly", "true on fashion_mnist"),
        ([-2, -2, -2], 0.1, "false", "the opposite holds"),
        ([-4, -4, 0.5], 0.1, "false", "the opposite holds"),
        ([-0.1, -0.1, -0.1], 0.01, "false", "the opposite holds"),
        ([0.3, 0.3, 0.3], 0.1, "false", "smaller than the smallest effect of interest, on every dataset"),
        ([0, 0, 0], 0.1, "false", "smaller"),
        ([1.2, -1.2, 0], 0.1, "partly", "true on digits"),
        ([0.8, -1.2, 0], 0.1, "false", "the opposite holds"),
        ([1.2, -1.2, 0], 1.6, "open", "cells disagree: small over all, but not on digits, on mnist1d"),
        ([0.3, 0.3, 0.3], 1.2, "open", "too wide: small over all, but not shown to be so on digits"),
        ([0.97, 0.97, -0.05], 1.35, "open", "cells disagree: not the same sign on fashion_mnist"),
        ([0.95, 0.95, 0.95], 0.8, "open", "below"),
        ([0.8, 0.8, 0.8], 5, "open", "too wide: neither"),
    ],
)
def test_each_rule(means, sd, outcome, reason):
    found = verdict_on(around(means, sd))
    assert (found.outcome, found.reason[: len(reason)]) == (outcome, reason)


def test_partly_names_depths_and_datasets():
    values = around([3, 3, 3, -1, -1, -1])
    found = verdict_on(values, datasets=DATASETS * 2, depths=["5 layers"] * 3 + ["20 layers"] * 3)
    assert (found.outcome, found.where) == ("partly", ("at 5 layers",))
    assert found.reason == "true at 5 layers, and the other way at 20 layers; not shown elsewhere"
    values = around([3, -1, -1, 3, -1, -1])
    found = verdict_on(values, datasets=DATASETS * 2, depths=["5 layers"] * 3 + ["20 layers"] * 3)
    assert (found.outcome, found.where) == ("partly", ("on digits",))


def test_one_seed_decides():
    values = around([1.1, 1.1, 1.1], 0.05)
    values[0] -= 0.34
    values[0, 9] += 0.5
    found = verdict_on(values)
    assert np.mean(values) > 1 > np.mean([values[0, :9].mean(), *values[1:].mean(axis=1)])
    assert (found.outcome, found.where) == ("open", ())
    assert found.reason.startswith("one seed decides: true, but ")
    assert found.reason.endswith(" without evaluation seed 9 of digits/0")
    assert verdict_on(values, smallest=0.9).outcome == "true"


def test_a_tuning_seed_decides():
    """Without its third seed all cells' rates would be others, and the effect too small."""
    left_out = np.full((6, 10), 1.0)
    left_out[2] = 0.8
    cells = [Replicates(1.005 + 0.01 * NOISE, left_out + 0.01 * NOISE) for _ in range(3)]
    found = judge({"c": Effect(of_cells(cells), 1.0)})["c"]
    assert found.outcome == "open"
    assert found.reason.startswith("one seed decides: true, but ")
    assert "tuning seed 2" in found.reason or "tuning seed 0" in found.reason


@pytest.mark.parametrize(
    ("means", "at_one_rate", "outcome"),
    [
        (2, [-1, -1, -1], "open"),
        (2, [0.1, 0.1, 0.1], "true"),
        (2, [np.nan] * 3, "true"),
        (2, [np.nan, np.nan, -1], "open"),
        (-2, [1, 1, 1], "open"),
        (0.1, [-0.1] * 3, "false"),
        (0.1, [1.5] * 3, "open"),
    ],
)
def test_at_one_rate_it_must_not_be_otherwise(means, at_one_rate, outcome):
    found = verdict_on(around([means] * 3, 0.3), at_one_rate=at_one_rate)
    assert found.outcome == outcome
    assert ("rates confound" in found.reason) == (outcome == "open")
    assert (found.seeds_to_settle is None) == (outcome == "open")


def test_few_seeds_are_named():
    clear = verdict_on([[1.0, 1.1, 1.05]] * 3)
    assert (clear.outcome, clear.p_superior < 0.05) == ("open", True)
    assert "too few seeds: 3 in some cell" in clear.reason
    assert "too few seeds: 1" in verdict_on([[2.0]] * 3).reason
    left_out = np.full((3, 10), np.nan)
    three = Effect(of_cells([Replicates(2 + NOISE, left_out)] * 3), 1.0)
    assert "too few seeds: 3 chose the learning rate, 4 are the least" in judge({"c": three})["c"].reason


def test_a_row_without_data_is_open_and_keeps_its_place():
    family = {"a": effect_of(around([2] * 3, 3)), "nothing": NOTHING}
    results = judge(family)
    assert (results["nothing"].outcome, results["nothing"].seeds_to_settle) == ("open", None)
    raw = p_values(family["a"], family["a"].contrast.moments.several()).superior[0]
    assert results["a"].p_superior == pytest.approx(multipletests([*raw, 1.0], method="holm")[1][0])
    assert len(raw) == 4


def test_an_added_family_changes_no_verdict(rng):
    article = {str(i): effect_of(rng.normal(1.2, 1.5, (3, 10))) for i in range(5)}
    before = judge(article)
    judge({"mine": effect_of(around([5] * 3))})
    assert judge(article) == before


def test_uninformative_cells_are_counted_and_gate_the_verdict():
    values, datasets = around([2, 2, 2, 0]), (*DATASETS, "digits")
    three = verdict_on(values, datasets=datasets, informative=[True, True, True, False])
    assert three.outcome == "true"
    two = verdict_on(values, datasets=datasets, informative=[True, True, False, False])
    assert (two.outcome, "2 of 4 are informative" in two.reason) == ("open", True)


def test_a_dataset_without_informative_cells_leaves_it_open():
    datasets = ("digits", "digits", "digits", "mnist1d")
    values, informative = around([0.8] * 4, 2), [True, True, True, False]
    assert verdict_on(values, datasets=datasets, informative=informative).reason == "no informative cell on mnist1d"


def test_equivalence():
    assert verdict_on(around([0.1, -0.1, 0]), 1.0, "equivalence").outcome == "true"
    assert verdict_on(around([3, 3, 3]), 1.0, "equivalence").reason == "outside the margin"
    assert verdict_on(around([-3, -3, -3]), 1.0, "equivalence").outcome == "false"
    assert verdict_on(around([1, 1, 1], sd=2), 1.0, "equivalence").outcome == "open"
    beyond = verdict_on(around([1.3, -1.3, 0], sd=1.6), 1.0, "equivalence")
    assert beyond.reason == "cells disagree: small over all, but not on digits, on mnist1d"


def test_zero_variance_gets_a_verdict():
    assert verdict_on(np.zeros((3, 10))).outcome == "false"
    assert verdict_on(np.full((3, 10), 2.0)).outcome == "true"
    assert verdict_on(np.full((3, 10), -2.0)).outcome == "false"


CHECKS = {
    "holds": ([2] * 3, 0.1, 0.0, "true", "as claimed; its check, B, holds"),
    "other way": ([-2] * 3, 0.1, 0.0, "open", "the manipulation failed: its check, B"),
    "small": ([0] * 3, 0.1, 1.0, "open", "the manipulation failed: its check, B"),
    "wide": ([0.5] * 3, 5, 1.0, "open", "want of power: its check, B, is too wide"),
    "wide, without a smallest": ([0.1] * 3, 1, 0.0, "open", "want of power"),
}


@pytest.mark.parametrize("case", CHECKS)
def test_a_check_can_only_take_a_verdict_back(case):
    means, sd, smallest, outcome, reason = CHECKS[case]
    claimed, check = effect_of(around([2] * 3)), effect_of(around(means, sd), smallest)
    found = judge({"A": claimed}, {"A": ("B", check)})["A"]
    assert (found.outcome, found.reason[: len(reason)]) == (outcome, reason)
    assert (found.seeds_to_settle is None) == (case in ("other way", "small", "wide, without a smallest"))
    assert judge({"A": claimed}, {"A": ("B", NOTHING)})["A"].outcome == "open"


def test_the_same_verdict_with_fresh_seeds():
    assert verdict_on(around([3] * 3)).same == 1
    assert 0.4 < verdict_on(around([1.0001] * 3)).same < 0.6
    assert np.isnan(verdict_on([[2.0]] * 3).same)
    claimed, check = effect_of(around([2] * 3)), effect_of(around([0.75] * 3, 2))
    found = judge({"A": claimed}, {"A": ("B", check)})["A"]
    chance = stats.norm.cdf(stats.norm.ppf(0.975) - check.contrast.of_all.estimate / check.contrast.of_all.se)
    assert found.same == pytest.approx(chance if found.outcome == "open" else 1 - chance, abs=0.1)


def cells_with_tuning(rng, count=3):
    found = []
    for _ in range(count):
        noise = rng.normal(0, 1, 10)
        found.append(Replicates(noise, noise + rng.normal(0, 0.2, (6, 1))))
    return found


def test_the_tests_are_those_of_tuned(rng):
    cells = cells_with_tuning(rng)
    effect = Effect(of_cells(cells), 0.5)
    found = p_values(effect, effect.contrast.moments.several())
    for place, part in enumerate([cells, *([cell] for cell in cells)]):
        assert found.superior[0, place] == pytest.approx(tuned_test(part, 0, "greater").p)
    assert found.small[0] == pytest.approx(tuned_test(cells, 0.5, "less").p)
    assert found.reversed[0] == pytest.approx(tuned_test(cells, 0, "less").p)
    same = Effect(effect.contrast, 0.5, "equivalence")
    tost = max(tuned_test(cells, -0.5, "greater").p, tuned_test(cells, 0.5, "less").p)
    assert p_values(same, same.contrast.moments.several()).superior[0, 0] == pytest.approx(tost)


def test_redrawn_studies_scatter_as_the_interval_says(rng):
    found = moments(cells_with_tuning(rng))
    estimate, se, df = redrawn(found, 20_000, rng).mean()
    whole = found.mean()
    assert (estimate.mean(), estimate.std()) == pytest.approx((whole[0], whole[1]), abs=0.01)
    assert (se**2).mean() == pytest.approx(whole[1] ** 2, rel=0.02)
    assert np.isfinite(df).all()


def test_false_alarms_stay_below_nominal(rng):
    """No effect, 10 seeds, 3 cells of unequal noise, 4,000 families of one: Holm's first level for four tests."""
    values = rng.normal(0, 1, (3, 4_000, 10)) * np.array([1, 2, 3])[:, None, None]
    studies = moments([Replicates(cell, np.empty((4_000, 0, 10))) for cell in values])
    effect = effect_of(values[:, 0], 0.4)
    raw = p_values(effect, studies)
    codes = holding(effect, studies, raw._replace(superior=np.minimum(4 * raw.superior, 1))).codes
    assert (codes <= 1).mean() < 0.05
    assert (raw.reversed < 0.05).mean() == pytest.approx(0.05, abs=0.012)


@pytest.mark.parametrize(("cells", "seeds", "power"), [(3, 10, 0.42), (3, 20, 0.91), (9, 10, 0.98)])
def test_power_at_one_and_a_half_times_delta(rng, cells, seeds, power):
    """δ = 0.4 seed-sd, a true 1.5 δ, the strictest level of 80 tests, before seeds are left out."""
    values = rng.normal(0.6, 1, (cells, 4_000, seeds))
    studies = moments([Replicates(cell, np.empty((4_000, 0, seeds))) for cell in values])
    effect = effect_of(values[:, 0], 0.4, datasets=sorted(DATASETS * (cells // 3)))
    raw = p_values(effect, studies)
    found = holding(effect, studies, raw._replace(superior=80 * raw.superior)).codes == 0
    estimate, se, df = studies.mean()
    alike = np.all([part.mean(axis=(0, 2)) > 0 for part in np.split(values, 3)], axis=0)
    assert found.mean() == ((stats.t.sf(estimate / se, df) * 80 < 0.05) & (estimate >= 0.4) & alike).mean()
    assert found.mean() == pytest.approx(power, abs=0.08)


def test_minimum_detectable_effect_has_80_percent_power(rng):
    """At the noncentral t, whose power it approximates."""
    interval = tuned_interval(cells_with_tuning(rng))
    mde = verdicts.minimum_detectable_effect(interval, 0.0025)
    power = stats.nct.sf(stats.t.isf(0.0025, interval.df), interval.df, mde / interval.se)
    assert power == pytest.approx(0.8, abs=0.02)


def test_seeds_to_settle_makes_the_minimum_detectable_effect_small_enough():
    noisy = effect_of(around([0.5] * 3, sd=3))
    seeds = judge({"c": noisy})["c"].seeds_to_settle
    interval, level = noisy.contrast.of_all, 0.05 / 4
    for count, enough in ((seeds, True), (seeds - 1, False)):
        df = interval.df * (count - 1) / 9
        mde = (stats.t.isf(level, df) + stats.t.ppf(0.8, df)) * interval.se * np.sqrt(10 / count)
        assert (mde <= 1.0) == enough
    for smallest in (0.0, 1e-6):
        assert verdict_on(around([0] * 3, sd=3), smallest).seeds_to_settle is None
