"""Against scipy and statsmodels where they have the same thing, and by simulation where they have not."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.weightstats import ttost_paired

from activation_study.analysis import inference
from activation_study.core.errors import StudyError

pytestmark = pytest.mark.usefixtures("frozen_garbage")

VALUES = hnp.arrays(float, st.tuples(st.integers(1, 5), st.integers(2, 6)), elements=st.floats(-1e3, 1e3))


@pytest.fixture
def rng():
    return np.random.default_rng(7)


def test_one_cell_is_the_ordinary_t(rng):
    values = rng.normal(0.3, 1, (1, 10))
    interval = inference.stratified_interval(values)
    expected = stats.ttest_1samp(values[0], 0)
    assert [interval.low, interval.high] == pytest.approx(list(expected.confidence_interval(0.95)))
    assert interval.df == pytest.approx(9)
    for alternative in ("greater", "less"):
        p = stats.ttest_1samp(values[0], 0.1, alternative=alternative).pvalue
        assert inference.mean_test(values, 0.1, alternative).p == pytest.approx(p)


def test_two_cells_are_welch(rng):
    """The mean over two cells has the standard error and df of half of Welch's difference of means."""
    a, b = rng.normal(0, 1, 6), rng.normal(0, 4, 9)
    values = np.full((2, 9), np.nan)
    values[0, :6], values[1] = a, b
    _, se, df = inference.stratified_moments(values)
    welch = stats.ttest_ind(a, -b, equal_var=False)
    low, high = welch.confidence_interval(0.95)
    assert df == pytest.approx(welch.df)
    assert se == pytest.approx((high - low) / 4 / stats.t.ppf(0.975, welch.df))
    assert inference.mean_test(values, 0, "greater").p == pytest.approx(stats.t.sf(welch.statistic, welch.df))


SPREAD = np.array([[1.0], [2.0], [3.0]])
"""Standard deviations over seeds of three cells."""


def covered(values, truth):
    """The share of draws [D, C, S] whose nominal 95% hold the truth."""
    estimate, se, df = inference.stratified_moments(values)
    return (np.abs(estimate - truth) <= stats.t.ppf(0.975, df) * se).mean()


@pytest.mark.parametrize(("seeds", "expected"), [(3, 0.959), (5, 0.953), (10, 0.951)])
def test_coverage_of_the_nominal_95_percent(rng, seeds, expected):
    """Three cells whose standard deviations are as 1 : 2 : 3; 60,000 draws, standard error .0009."""
    mean = np.array([[0.0], [1.0], [-2.0]])
    values = mean + rng.normal(0, 1, (60_000, 3, seeds)) * SPREAD
    assert covered(values, mean.mean()) == pytest.approx(expected, abs=0.004)


@pytest.mark.slow
@pytest.mark.parametrize(("seeds", "expected"), [(3, 0.81), (5, 0.88), (10, 0.92)])
def test_coverage_of_the_percentile_bootstrap(rng, seeds, expected):
    """The same cells, each resampled by itself: why it is not used. 2,000 draws, standard error .009 at most."""
    values = rng.normal(0, 1, (2_000, 3, seeds)) * SPREAD
    means = [
        np.take_along_axis(values, rng.integers(0, seeds, values.shape), axis=-1).mean(axis=(1, 2)) for _ in range(500)
    ]
    low, high = np.quantile(means, [0.025, 0.975], axis=0)
    assert ((low <= 0) & (high >= 0)).mean() == pytest.approx(expected, abs=0.03)


@pytest.mark.parametrize(("gap", "expected"), [(0, 0.952), (0.5, 0.852), (1, 0.844), (3, 0.951)])
def test_the_choice_of_the_rate_is_not_in_the_interval(rng, gap, expected):
    """Of three rates, each worse by `gap` than the one before, three tuning seeds choose in each of three cells; ten
    fresh seeds score it. The truth is the mean over such choices; noise is 1 a seed; 40,000 draws."""
    rates = -gap * np.arange(3)
    tuned = rates + rng.normal(size=(40_000, 3, 3, 3))
    chosen = rates[tuned.mean(axis=2).argmax(axis=-1)]
    values = chosen[..., None] + rng.normal(size=(40_000, 3, 10))
    assert covered(values, chosen.mean()) == pytest.approx(expected, abs=0.008)


def test_a_rare_divergence_is_not_in_the_interval(rng):
    """One network in a hundred falls by 40 times the noise of the others: most draws have none, and do not know."""
    falls = rng.random((40_000, 3, 10)) < 0.01
    assert covered(rng.normal(size=falls.shape) - 40 * falls, -0.4) == pytest.approx(0.59, abs=0.01)


def test_over_datasets_the_prediction_is_wider(rng):
    """A new dataset's estimate falls into its interval as often as it says."""
    means = rng.normal(3, 2, (400, 13))
    hits = 0
    for row in means:
        mean, new = inference.over_datasets(row[:12])
        assert (mean.low, mean.high) == pytest.approx(stats.t.interval(0.95, 11, row[:12].mean(), stats.sem(row[:12])))
        hits += new.low <= row[12] <= new.high
    assert hits / 400 == pytest.approx(0.95, abs=0.035)


@pytest.mark.parametrize("shape", [(0, 0), (0, 5), (3, 1), (1, 1)])
def test_too_little_data_gives_nan_and_not_an_error(shape):
    values = np.ones(shape)
    interval = inference.stratified_interval(values)
    assert np.isnan([interval.low, interval.high]).all()
    assert np.isnan(inference.mean_test(values, 0, "greater").p)
    assert np.isnan(inference.equivalence_test(values, 1.0).p)


def test_t_half_width_is_scipys_interval(rng):
    sample = rng.normal(0, 2, 7)
    half = inference.t_half_width([sample.std(ddof=1), 1.0], [7, 1])
    low, high = stats.t.interval(0.95, 6, 0, stats.sem(sample))
    assert half[0] == pytest.approx((high - low) / 2)
    assert np.isnan(half[1])


def test_without_variance_the_sign_flip_test_decides():
    """All sign patterns by hand: 2 cells × 3 seeds, constant within a cell."""
    values = np.array([[0.3] * 3, [0.1] * 3])
    shares = values.ravel() / 6
    flips = np.array(list(itertools.product([-1, 1], repeat=6))) @ shares
    result = inference.mean_test(values, 0, "greater")
    assert result.method == "sign-flip"
    assert result.p == pytest.approx((flips >= shares.sum() - 1e-12).mean()) == 1 / 64
    assert inference.mean_test(values, 0, "less").p == 1
    assert inference.mean_test(np.zeros((3, 10)), 0, "greater").p == 1
    assert inference.mean_test(np.zeros((3, 10)), 0.1, "less").p < 0.001


def test_rounding_noise_is_no_variance():
    values = np.full((2, 5), 0.1) + np.array([0.0, 1, -1, 1, 0]) * 1e-17
    assert inference.mean_test(values, 0, "greater").method == "sign-flip"


def test_variance_in_one_cell_is_enough_for_t(rng):
    values = np.vstack([np.zeros(5), rng.normal(0, 1, 5)])
    _, se, df = inference.stratified_moments(values)
    assert se == pytest.approx(stats.sem(values[1]) / 2)
    assert df == pytest.approx(4)


def test_equivalence_of_one_cell_is_statsmodels_tost(rng):
    a, b = rng.normal(0.1, 1, (2, 12))
    p, _, _ = ttost_paired(a, b, -0.8, 0.8)
    assert inference.equivalence_test((a - b)[None], 0.8).p == pytest.approx(p)


def test_equivalence_and_its_reverse(rng):
    near, far = rng.normal(0, 0.1, (3, 10)), rng.normal(-2, 0.1, (3, 10))
    assert inference.equivalence_test(near, 0.5).p < 1e-6
    assert inference.difference_test(near, 0.5).p == 1
    assert inference.equivalence_test(far, 0.5).p > 0.99
    assert inference.difference_test(far, 0.5).p < 1e-6
    with pytest.raises(StudyError, match="must be positive"):
        inference.equivalence_test(near, 0)


@pytest.mark.slow
@given(VALUES, st.floats(0.1, 100))
def test_equivalence_and_its_reverse_are_never_both_shown(values, margin):
    same, other = inference.equivalence_test(values, margin).p, inference.difference_test(values, margin).p
    assert not (same < 0.5 and other < 0.5)


@pytest.mark.slow
@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_holm_is_statsmodels_and_keeps_absent_rows(p):
    assert inference.holm(p) == pytest.approx(multipletests(p, method="holm")[1])
    with_gap = inference.holm([*p, np.nan])
    assert with_gap[-1] == 1
    assert with_gap[np.argmin(p)] == pytest.approx(min(1, min(p) * (len(p) + 1)))


def test_holm_of_nothing():
    assert inference.holm([]).size == 0


@pytest.mark.parametrize("doses", [[0, 0.5, 1, 2], [0, 1], [3, 1, 2]])
def test_trend_is_the_fitted_line_from_lowest_to_highest_dose(rng, doses):
    response = rng.normal(size=len(doses))
    expected = np.polyfit(doses, response, 1)[0] * np.ptp(doses)
    assert inference.trend_weights(doses) @ response == pytest.approx(expected)
    assert inference.trend_weights(doses).sum() == pytest.approx(0)


def test_trend_needs_two_doses():
    with pytest.raises(StudyError, match="two different doses"):
        inference.trend_weights([1, 1])


def test_pooled_sd_and_superiority():
    values = np.array([[1.0, -1.0, 0.0, np.nan], [2.0, 2.0, 2.0, 2.0]])
    assert inference.pooled_sd(values) == pytest.approx(np.sqrt((1 + 0) / 2))
    assert inference.probability_of_superiority(values) == pytest.approx((0.5 + 1) / 2)
    assert np.isnan(inference.pooled_sd(np.ones((2, 1))))
    assert np.isnan(inference.probability_of_superiority(np.empty((0, 0))))


@pytest.mark.parametrize("successes", [0, 3, 10])
def test_wilson_is_scipys(successes):
    interval = inference.wilson(successes, 10)
    expected = stats.binomtest(successes, 10).proportion_ci(method="wilson")
    assert (interval.low, interval.high) == pytest.approx((expected.low, expected.high), abs=1e-12)
    assert np.isnan(inference.wilson(0, 0).estimate)


def test_interquartile_mean_ignores_outliers():
    assert inference.interquartile_mean([1, 2, 3, 1e9]) == 2.5
    assert np.isnan(inference.interquartile_mean([]))


def test_restricted_times_keep_the_censored():
    time = [10.0, np.inf, np.nan, 0.2]
    assert inference.restricted_time(time, 100).tolist() == [10, 100, 100, 0.2]
    assert inference.restricted_mean_time(time, 100) == pytest.approx(210.2 / 4)
    assert inference.log_restricted_time(time, 100) == pytest.approx(np.log([10, 100, 100, 1]))


def test_dropping_the_censored_reverses_a_ranking_and_ours_does_not(rng):
    """A is slower in every seed; it also often fails, and its few successes look quicker than all of B."""
    fast = rng.uniform(50, 60, 10)
    slow = np.where(np.arange(10) < 2, 45.0, np.inf)
    assert slow[np.isfinite(slow)].mean() < fast.mean()
    assert inference.restricted_mean_time(slow, 100) > inference.restricted_mean_time(fast, 100)
    difference = inference.log_restricted_time(slow, 100) - inference.log_restricted_time(fast, 100)
    assert inference.mean_test(difference[None], 0, "greater").p < 0.01
