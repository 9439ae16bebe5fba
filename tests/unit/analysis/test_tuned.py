"""By brute force in plain Python, against scipy where it has the same thing, and what must not change anything."""

import math
from fractions import Fraction
from itertools import combinations

import numpy as np
import pytest
from scipy import stats

from activation_study.analysis.inference import mean_test, stratified_interval
from activation_study.analysis.tuned import (
    Arm,
    contrast,
    leave_one_out,
    moments,
    outcome,
    tuned_interval,
    tuned_moments,
    tuned_test,
    without_each,
)
from activation_study.core.errors import StudyError
from activation_study.core.tuning import RateWeights, Replicates, rate_weights
from activation_study.training.records import Record, Replica
from activation_study.training.selection import ranked, record_area, record_time


@pytest.fixture
def rng():
    return np.random.default_rng(5)


def coarse(rng, seeds, rates):
    """Correct and lost answers of ten, which are often equal, as integers."""
    return rng.integers(7, 10, (seeds, rates)), rng.integers(0, 3, (seeds, rates))


def by_hand(right, lost, seeds):
    """Each rate's share of the triples among these seeds, as exact fractions."""
    rates, triples = range(right.shape[1]), list(combinations(seeds, 3))
    shares = [Fraction(0)] * right.shape[1]
    for triple in triples:
        keys = [(-sum(int(right[t, g]) for t in triple), sum(int(lost[t, g]) for t in triple), g) for g in rates]
        shares[min(keys)[2]] += Fraction(1, len(triples))
    return [float(share) for share in shares]


@pytest.mark.parametrize("seeds", [4, 5, 6])
def test_all_triples_by_hand(rng, seeds):
    for _ in range(20):
        right, lost = coarse(rng, seeds, 5)
        found = rate_weights(right / 10, -lost / 7)
        assert found.weights == pytest.approx(by_hand(right, lost, range(seeds)), abs=1e-15)
        for t in range(seeds):
            rest = [seed for seed in range(seeds) if seed != t]
            assert found.left_out[t] == pytest.approx(by_hand(right, lost, rest), abs=1e-15)
            assert rate_weights(right[rest] / 10, -lost[rest] / 7).weights == pytest.approx(found.left_out[t])


RATES = [0.001, 0.01, 0.1, 1.0]


def records(rng, diverged):
    """Of three tuning seeds, in the order of seeds and rates."""
    found = []
    for seed in range(3):
        for rate in RATES:
            accuracies, losses = np.sort(rng.integers(1, 9, 4)) / 8, rng.integers(1, 5, 4) / 4
            curve = [(10 * i, math.nan, *point) for i, point in enumerate(zip(losses, accuracies, strict=True), 1)]
            status = "diverged" if rng.random() < diverged else "finished"
            found.append(Record(Replica("tuning", seed, rate, seed, None), curve, status=status))
    return found


@pytest.mark.parametrize("diverged", [0, 0.3])
def test_a_triple_selects_as_training_does(rng, diverged):
    for _ in range(50):
        trained = records(rng, diverged)
        lost = [record.status == "diverged" for record in trained]
        ends = [record.curve[-1] for record in trained]
        accuracy = np.where(lost, 1 / 4, [end[3] for end in ends]).reshape(3, 4)
        loss = np.where(lost, math.log(4), [end[2] for end in ends]).reshape(3, 4)
        looks = [10, 20, 30, 40]
        time = np.log([max(1, min(record_time(record, 0.5), 40)) for record in trained]).reshape(3, 4)
        area = np.array([record_area(record, looks, 4) for record in trained]).reshape(3, 4)
        for criterion, columns in {"accuracy": (accuracy, -loss), "speed": (-time, -area)}.items():
            best = ranked(trained, RATES, criterion, 4, 0.5, looks)[0]
            assert RATES[rate_weights(*columns).weights.argmax()] == best


def test_equal_rates_go_to_the_smaller_whatever_the_order_of_the_seeds():
    """.1 + .2 + .3 is not .3 + .2 + .1 in the last bit."""
    for scores in ([[0.1, 0.3], [0.2, 0.2], [0.3, 0.1]], [[0.3, 0.1], [0.2, 0.2], [0.1, 0.3]]):
        assert rate_weights(scores).weights.tolist() == [1, 0]
    assert rate_weights([[0, 1, 1]] * 3, [[0, np.nan, np.nan]] * 3).weights.tolist() == [0, 1, 0]


def test_a_pruned_rate_is_worse_than_any_other(rng):
    scores = rng.normal(size=(6, 4)) - 1000
    scores[:, 0] = scores[2, 1] = np.nan
    found = rate_weights(scores, rng.normal(size=(6, 4)))
    alone = rate_weights(np.nan_to_num(scores, nan=-1e9))
    assert found.weights[0] == 0 < found.weights[1]
    assert found.weights == pytest.approx(alone.weights)
    assert found.left_out == pytest.approx(alone.left_out)


def one_rate_per_triple(seeds, rates):
    """Scores by which the first triples select a rate of their own each, and all others the last rate."""
    scores = np.full((seeds, rates + 1), -10.0)
    scores[:, rates] = -1
    for rate, triple in enumerate(list(combinations(range(seeds), 3))[:rates]):
        scores[list(triple), rate] = 1
    return scores


def test_rates_of_little_weight_are_dropped():
    """Of 56 triples, two rates have one each; left out seed 0 had part in both, left out 7 in neither."""
    scores = one_rate_per_triple(8, 2)
    scores[5:, 2] += [0.1, 0.1, 0.1]
    found = rate_weights(scores)
    assert found.weights.tolist() == [0, 0, 1]
    assert found.left_out.tolist() == [[0, 0, 1]] * 8
    assert rate_weights(one_rate_per_triple(6, 2)).weights == pytest.approx([1 / 20, 1 / 20, 18 / 20])


def test_rates_that_all_have_little_weight_are_kept():
    assert rate_weights(one_rate_per_triple(8, 56)).weights == pytest.approx([1 / 56] * 56 + [0])


def test_tuning_that_selects_nothing_is_refused():
    with pytest.raises(StudyError, match="no rate has one on every seed"):
        rate_weights(np.where(np.eye(3), np.nan, 0))


@pytest.mark.parametrize("seeds", [1, 2, 3])
def test_few_seeds_select_one_rate_together(seeds):
    """By their mean: without any of them nothing is known."""
    scores = np.array([[0.3, 0.2, 0.0], [0.0, 0.3, 0.4], [0.0, 0.2, 0.3]])[:seeds]
    found = rate_weights(scores)
    assert found.weights.tolist() == np.eye(3)[scores.mean(axis=0).argmax()].tolist()
    assert found.left_out.shape == (seeds, 3)
    assert np.isnan(found.left_out).all()


def drawn(rng, tuning=6, evaluation=10, rates=4):
    """An arm's tuning scores, and the arm, a third of whose networks diverged."""
    validation, diverged = rng.normal(size=(tuning, rates)), rng.random((evaluation, rates)) < 0.3
    scores = np.where(diverged, -5, rng.normal(size=(evaluation, rates)))
    return validation, Arm(rate_weights(validation), scores, diverged)


def test_the_jackknife_written_the_long_way(rng):
    validation, arm = drawn(rng)
    replicates = [sum(w * x for w, x in zip(arm.weights.weights, row, strict=True)) for row in arm.scores]
    variance = sum((one - np.mean(replicates)) ** 2 for one in replicates) / 9 / 10
    means = arm.scores.mean(axis=0)
    without = [rate_weights(np.delete(validation, t, axis=0)).weights @ means for t in range(6)]
    jackknife = 5 / 6 * sum((one - np.mean(without)) ** 2 for one in without)
    estimate, se, df = tuned_moments([arm.replicates()])
    assert estimate == pytest.approx(np.mean(replicates))
    assert se**2 == pytest.approx(variance + jackknife)
    assert df == pytest.approx((variance + jackknife) ** 2 / (variance**2 / 9 + jackknife**2 / 5))


def means_without(sample, evaluation):
    """The left-out means of a plain sample, whose jackknife variance is that of its mean."""
    rest = [np.delete(sample, t).mean() for t in range(len(sample))]
    return np.repeat(np.array(rest)[:, None], evaluation, axis=1)


def test_both_parts_together_are_welch(rng):
    a, b = rng.normal(0, 1, 10), rng.normal(0, 2, 6)
    cell = Replicates(a - b.mean(), means_without(a.mean() - b, 10))
    interval, welch = tuned_interval([cell]), stats.ttest_ind(a, b, equal_var=False)
    assert interval.df == pytest.approx(welch.df)
    assert (interval.low, interval.high) == pytest.approx(tuple(welch.confidence_interval(0.95)))
    for alternative in ("greater", "less"):
        expected = stats.ttest_ind(a - 0.3, b, equal_var=False, alternative=alternative)
        assert tuned_test([cell], 0.3, alternative).p == pytest.approx(expected.pvalue)


def test_certain_rates_leave_the_stratified_t(rng):
    """Cells of different numbers of seeds, of which one lacks a score."""
    weights = rate_weights(np.tile([0.0, 1.0], (6, 1)))
    scores = [rng.normal(size=(10, 2)), rng.normal(0, 3, (7, 2))]
    scores[0][4, 1] = np.nan
    values = np.full((2, 10), np.nan)
    values[0], values[1, :7] = scores[0][:, 1], scores[1][:, 1]
    cells = [weights.replicates(one) for one in scores]
    found, expected = tuned_interval(cells), stratified_interval(values)
    assert [*vars(found).values()] == pytest.approx([*vars(expected).values()])
    assert tuned_test(cells, 0.1, "less").p == pytest.approx(mean_test(values, 0.1, "less").p)


def test_where_nothing_varies_signs_decide():
    cells = [Replicates(np.full(seeds, 0.25), np.full((6, seeds), 0.25)) for seeds in (4, 3)]
    found = tuned_test(cells, 0, "greater")
    assert (found.method, found.p) == ("sign-flip", 1 / 2**7)
    assert tuned_interval(cells).low == tuned_interval(cells).high == 0.25
    nothing = contrast([cells[0], cells[0]], (1, -1))
    assert tuned_test([nothing], 0, "greater").p == tuned_test([nothing], 0, "less").p == 1


def test_three_tuning_seeds_have_no_standard_error_and_no_range_of_theirs(rng):
    _, arm = drawn(rng, tuning=3)
    cell = arm.replicates()
    assert np.isnan(tuned_interval([cell]).low)
    assert np.isnan(tuned_test([cell], 0, "less").p)
    found = outcome([[arm]], [1]).of_all
    assert (found.lowest.role, found.highest.role) == ("evaluation", "evaluation")


def test_a_difference_leaves_out_the_same_seed_in_both_arms(rng):
    (tuning_a, a), (tuning_b, b) = drawn(rng), drawn(rng)
    cell = contrast([a.replicates(), b.replicates()], (1, -1))
    for t in range(6):
        first, second = (rate_weights(np.delete(tuning, t, axis=0)).weights for tuning in (tuning_a, tuning_b))
        assert cell.left_out[t] == pytest.approx(a.scores @ first - b.scores @ second)
    estimate, se, df = tuned_moments([cell])
    back = contrast([b.replicates(), a.replicates()], (1, -1))
    assert np.array(tuned_moments([back])) == pytest.approx([-estimate, se, df])
    same = contrast([a.replicates(), a.replicates()], (1, -1))
    assert [float(moment) for moment in tuned_moments([same])[:2]] == [0, 0]


def test_arms_with_other_seeds_are_no_pair(rng):
    a, b, c = (drawn(rng, *seeds)[1].replicates() for seeds in ((6, 10), (5, 10), (6, 9)))
    with pytest.raises(StudyError, match=r"tuning seeds: \[6, 5\] of arms"):
        contrast([a, b], (1, -1))
    with pytest.raises(StudyError, match=r"evaluation seeds: \[10, 9\] of arms"):
        contrast([a, c], (1, -1))


def test_order_scale_and_company_change_nothing(rng):
    validation, arm = drawn(rng)
    estimate, se, df = tuned_moments([arm.replicates()])
    shuffled = rate_weights(validation[rng.permutation(6)]).replicates(arm.scores[rng.permutation(10)])
    assert np.array(tuned_moments([shuffled])) == pytest.approx([estimate, se, df])
    scaled = rate_weights(3 * validation + 1).replicates(100 * arm.scores - 7)
    assert np.array(tuned_moments([scaled])) == pytest.approx([100 * estimate - 7, 100 * se, df])
    worse = np.hstack([validation, np.full((6, 1), -9.0)])
    beside = rate_weights(worse).replicates(np.hstack([arm.scores, np.full((10, 1), np.nan)]))
    assert np.array(tuned_moments([beside])) == pytest.approx([estimate, se, df])
    assert np.array(tuned_moments([arm.replicates()] * 4)) == pytest.approx([estimate, se / 2, 4 * df])


def test_many_studies_at_once_are_each_by_itself(rng):
    validation, scores = rng.normal(size=(7, 6, 4)), rng.normal(size=(7, 10, 4))
    together = np.array(tuned_moments([rate_weights(validation).replicates(scores)] * 2))
    for study in range(7):
        cell = rate_weights(validation[study]).replicates(scores[study])
        assert together[:, study] == pytest.approx(np.array(tuned_moments([cell] * 2)))


def test_leaving_out_a_seed_is_the_study_without_it(rng):
    tunings, arms = zip(*(drawn(rng) for _ in range(3)), strict=True)
    found = leave_one_out([arm.replicates() for arm in arms])
    assert len(found) == 3 * (6 + 10)
    for one in found:
        rest = [arm.replicates().evaluation.mean() for arm in arms]
        tuning, arm = tunings[one.cell], arms[one.cell]
        if one.role == "tuning":
            rest[one.cell] = (arm.scores @ rate_weights(np.delete(tuning, one.seed, axis=0)).weights).mean()
        else:
            rest[one.cell] = (np.delete(arm.scores, one.seed, axis=0) @ arm.weights.weights).mean()
        assert one.estimate == pytest.approx(np.mean(rest))


def test_the_moments_without_a_seed_are_those_of_the_study_without_it(rng):
    tunings, arms = zip(*(drawn(rng) for _ in range(2)), strict=True)
    cells = [arm.replicates() for arm in arms]
    found, whole = without_each(cells), moments(cells)
    for number, one in enumerate(leave_one_out(cells)):
        tuning, arm, other = tunings[one.cell], arms[one.cell], 1 - one.cell
        kept = np.arange(10) != one.seed if one.role == "evaluation" else np.ones(10, dtype=bool)
        validation = np.delete(tuning, one.seed, axis=0) if one.role == "tuning" else tuning
        alone = moments([rate_weights(validation).replicates(arm.scores[kept])])
        assert found.estimates[number, one.cell] == pytest.approx(alone.estimates[0])
        assert found.variances[number, one.cell, 0] == pytest.approx(alone.variances[0, 0])
        expected = alone.variances[0, 1] if one.role == "evaluation" else whole.variances[one.cell, 1]
        assert found.variances[number, one.cell, 1] == pytest.approx(expected)
        for values, same in zip(found, whole, strict=True):
            assert values[number, other] == pytest.approx(same[other])


def test_without_tuning_seeds_it_is_the_stratified_t(rng):
    values = rng.normal(size=(3, 10))
    cells = [Replicates(row, np.empty((0, 10))) for row in values]
    assert [*vars(tuned_interval(cells)).values()] == pytest.approx([*vars(stratified_interval(values)).values()])
    assert {one.role for one in leave_one_out(cells)} == {"evaluation"}
    two = moments(cells).mean(np.array([True, False, True]))
    assert np.array(two) == pytest.approx(tuned_moments([cells[0], cells[2]]))


CERTAIN = RateWeights(np.array([0.25, 0.75, 0.0]), np.tile([0.25, 0.75, 0.0], (6, 1)))


def test_diverged_networks_are_counted_and_their_weight_is_shared():
    """Seed 1 lost its second rate, seed 2 both; what rate 3, which has no weight, did is nobody's business."""
    scores = np.array([[0.4, 0.8, 0], [0.4, 0.1, 0], [0.1, 0.1, 0], [0.8, 0.8, 0]])
    diverged = np.array([[0, 0, 1], [0, 1, 1], [1, 1, 1], [0, 0, 1]], dtype=bool)
    found = outcome([[Arm(CERTAIN, scores, diverged)]], [1])
    assert (found.diverged, found.networks) == (3, 8)
    assert found.of_all.interval.estimate == pytest.approx((0.7 + 0.175 + 0.1 + 0.8) / 4)
    assert found.of_trained.interval.estimate == pytest.approx((0.7 + 0.4 + 0.8) / 3)
    assert found.of_trained.interval.df == 2
    assert found.of_trained.highest.estimate == pytest.approx((0.7 + 0.8) / 2)
    assert (found.of_trained.highest.role, found.of_trained.highest.seed) == ("evaluation", 1)
    assert found.of_trained.lowest.estimate == pytest.approx((0.7 + 0.4) / 2)
    assert (found.of_all.lowest.seed, found.of_all.highest.seed) == (3, 2)


def test_a_pair_of_which_one_did_not_train_is_left_out():
    a = Arm(CERTAIN, np.array([[1.0, 1, 0], [2, 2, 0], [0, 0, 0]]), np.array([[0] * 3, [0] * 3, [1] * 3], dtype=bool))
    b = Arm(CERTAIN, np.array([[0.5, 0.5, 0], [0, 0, 0], [9, 9, 0]]), np.array([[0] * 3, [1] * 3, [0] * 3], dtype=bool))
    found = outcome([[a, b]], (1, -1))
    assert found.of_trained.interval.estimate == 0.5
    assert found.of_all.interval.estimate == pytest.approx((0.5 + 2 - 9) / 3)
    assert (found.diverged, found.networks) == (4, 12)
    none = Arm(CERTAIN, a.scores, np.ones((3, 3), dtype=bool))
    assert np.isnan(outcome([[none]], [1]).of_trained.interval.estimate)
