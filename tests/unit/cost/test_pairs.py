"""The pairing of clocks and the interval of their ratios, by scripted clocks and the binomial's definition."""

import math
import timeit

import numpy as np
import pytest

from activation_study.cost import measure
from scripted import Scripted


def test_pairs_take_turns_in_random_order():
    turns = []
    pairs = [(Scripted(f"{i}a", 1e-3 * (i + 1), turns), Scripted(f"{i}b", 3e-4, turns)) for i in range(3)]
    repeats = 40
    seconds = measure.paired_seconds(pairs, repeats)
    np.testing.assert_allclose(seconds[:, :, 0], np.array([[1e-3], [2e-3], [3e-3]]).repeat(repeats, 1))
    np.testing.assert_allclose(seconds[:, :, 1], 3e-4)
    warm, measured_turns = turns[-12 * repeats :: 2], turns[1 - 12 * repeats :: 2]
    assert warm == [(name, 1) for name, _ in measured_turns]
    assert all(number * 3e-4 >= measure.BLOCK_SECONDS for name, number in measured_turns if name[1] == "b")
    names = [name for name, _ in measured_turns]
    rounds = [names[i : i + 6] for i in range(0, len(names), 6)]
    for one in rounds:
        assert [name[0] for name in one] == ["0", "0", "1", "1", "2", "2"]
        assert len(set(one)) == 6
    for i in range(3):
        first = sum(one[2 * i].endswith("a") for one in rounds)
        assert 8 <= first <= 32  # 40 fair coins: outside with probability 3e-5


def test_a_call_that_finds_cold_caches_is_not_timed():
    """Each side's first call after the other's takes three times as long; beside itself it must come out at 1."""
    last = []

    class Cold(timeit.Timer):
        def timeit(self, number):
            cold = last != [self]
            last[:] = [self]
            return 1e-3 * (number + 2 * cold)

    seconds = measure.paired_seconds([(Cold(), Cold())], 12)
    np.testing.assert_allclose(seconds, 1e-3)


def coverage(n, rank):
    """P(the rank-th smallest ≤ median ≤ the rank-th largest) of n, from the binomial's definition."""
    return 1 - 2 * sum(math.comb(n, k) for k in range(rank)) / 2**n


@pytest.mark.parametrize("n", [6, 7, 12, 25, 30, 101])
def test_the_interval_is_the_narrowest_pair_of_order_statistics_that_covers_95_percent(n):
    ratios = np.random.default_rng(n).lognormal(size=n)
    summary = measure.paired_summary(np.column_stack([ratios, np.ones(n)]))
    rank = max(r for r in range(1, n // 2 + 1) if coverage(n, r) >= 0.95)
    ordered = np.sort(ratios)
    assert (summary["ratio_low"], summary["ratio_high"]) == (ordered[rank - 1], ordered[-rank])
    assert summary["ratio_to_relu"] == np.median(ratios)


def test_below_six_pairs_there_is_no_interval():
    summary = measure.paired_summary(np.column_stack([np.arange(1.0, 6.0), np.ones(5)]))
    assert math.isnan(summary["ratio_low"])
    assert math.isnan(summary["ratio_high"])
    assert summary["ratio_to_relu"] == 3


@pytest.mark.slow
def test_the_interval_covers_the_true_ratio_whatever_the_noise():
    """Clocks with bursts: 600 jobs of 25 pairs whose true median ratio is 1.3."""
    source = np.random.default_rng(0)
    shape = (600, 25)
    noise = [source.lognormal(0, 0.05, shape) * np.where(source.random(shape) < 0.1, 5, 1) for _ in range(2)]
    jobs = np.stack([1.3 * noise[0], noise[1]], axis=-1)
    held = np.mean([s["ratio_low"] <= 1.3 <= s["ratio_high"] for s in map(measure.paired_summary, jobs)])
    nominal = coverage(25, 8)  # 0.957
    assert abs(held - nominal) < 4 * math.sqrt(nominal * (1 - nominal) / len(jobs))
