"""Splits: who is in which part, and what the training part alone decides."""

import itertools
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import scipy.integrate
import scipy.stats
import torch
from hypothesis import given
from hypothesis import strategies as st

from activation_study.core.errors import StudyError
from activation_study.data import prepare
from activation_study.data.arrays import Arrays, read_prepared
from activation_study.data.split import INPUT_TRANSFORMS, Split, fit_transform, make_split, varies_by_replicate

PARTS = ("train", "validation", "test")


def arrays_of(x: np.ndarray, y: np.ndarray, official_test: np.ndarray | None = None) -> Arrays:
    return Arrays(x, y.astype(np.int64), official_test, int(y.max()) + 1, "test", "0" * 64)


def numbered(counts: list[int], official: int = 0) -> Arrays:
    """Samples whose one feature is their index, to be read back; the last `official` ones are the test."""
    y = np.random.default_rng(0).permutation(np.repeat(np.arange(len(counts)), counts))
    x = np.arange(len(y), dtype=np.float32)[:, None]
    return arrays_of(x, y, np.arange(len(y)) >= len(y) - official if official else None)


def noisy(n: int = 600, features: int = 7, seed: int = 0) -> Arrays:
    generator = np.random.default_rng(seed)
    return arrays_of(generator.gamma(2.0, 3.0, (n, features)).astype(np.float32), np.arange(n) % 3)


def pixels() -> Arrays:
    """Bytes of which half are background."""
    generator = np.random.default_rng(4)
    x = np.clip(generator.normal(0, 90, (500, 12)), 0, 255).astype(np.uint8)
    return arrays_of(x, np.arange(500) % 2)


def split(arrays: Arrays, seed: int = 0, entry: dict | None = None, **options) -> Split:
    return make_split(arrays, name="mine", dataset_entry=entry or {}, replicate_seed=seed, **options)


def indices(parts: Split) -> dict[str, np.ndarray]:
    """Which samples of `numbered` arrays are in each part."""
    return {
        part: np.rint(getattr(parts, f"{part}_x").numpy()[:, 0] * parts.scale + parts.mean).astype(int)
        for part in PARTS
    }


# --- who is in which part --------------------------------------------------------------------------------


@pytest.mark.parametrize("official", [0, 300])
def test_parts_are_disjoint_and_keep_their_labels(official):
    arrays = numbered([500, 300, 200], official)
    parts = split(arrays)
    found = indices(parts)
    assert sorted(np.concatenate(list(found.values()))) == list(range(1000))
    for part in PARTS:
        np.testing.assert_array_equal(getattr(parts, f"{part}_y"), arrays.y[found[part]])
        assert getattr(parts, f"{part}_x").dtype == torch.float32
        assert getattr(parts, f"{part}_y").dtype == torch.int64


def test_without_an_official_test_set_60_20_20_are_drawn_anew_for_each_replicate():
    arrays = numbered([500, 300, 200])
    assert varies_by_replicate(arrays)
    first, second = (indices(split(arrays, seed)) for seed in (1, 2))
    assert [len(first[part]) for part in PARTS] == [600, 200, 200]
    overlap = len(set(first["test"]) & set(second["test"]))
    assert 20 <= overlap <= 60  # 40 expected of 200 out of 1,000, standard deviation about 5


def test_the_official_test_set_is_the_test_set_and_the_rest_a_fixed_split():
    arrays = numbered([500, 300, 200], official=400)
    assert not varies_by_replicate(arrays)
    assert varies_by_replicate(arrays, train_size=30)
    first, second = split(arrays, 1), split(arrays, 2)
    assert first.digest == second.digest
    found = indices(first)
    assert sorted(found["test"]) == list(range(600, 1000))
    assert [len(found[part]) for part in PARTS] == [480, 120, 400]


def test_a_split_knows_the_shape_of_a_sample():
    arrays = replace(noisy(features=12), shape=(2, 3, 2))
    assert split(arrays).shape == (2, 3, 2)
    assert split(arrays).train_x.shape[1] == 12


@given(st.lists(st.integers(5, 60), min_size=2, max_size=6), st.integers(0, 2**63 - 1))
def test_every_part_is_stratified(counts, seed):
    arrays = numbered(counts)
    parts = split(arrays, seed)
    shares = np.array(counts) / sum(counts)
    for part in PARTS:
        labels = getattr(parts, f"{part}_y").numpy()
        found = np.bincount(labels, minlength=len(counts))
        assert np.abs(found - len(labels) * shares).max() <= 2
        assert found.min() >= 1


@pytest.mark.parametrize("official", [0, 1000])
def test_training_sets_are_stratified_nested_and_differ_between_replicates(official):
    arrays = numbered([1500, 900, 600], official)
    whole, *subsets = (indices(split(arrays, 7, train_size=n))["train"] for n in (None, 600, 200, 30))
    assert [len(subset) for subset in subsets] == [600, 200, 30]
    for larger, smaller in zip([whole, *subsets], subsets, strict=False):
        assert set(smaller) < set(larger)
    shares = np.bincount(arrays.y[whole]) / len(whole)
    for subset in subsets:
        assert np.abs(np.bincount(arrays.y[subset]) - len(subset) * shares).max() <= 1.5
    assert set(indices(split(arrays, 8, train_size=30))["train"]) != set(subsets[-1])


def test_a_subset_leaves_validation_and_test_alone():
    arrays = numbered([300, 300])
    whole, subset = indices(split(arrays, 3)), indices(split(arrays, 3, train_size=20))
    for part in ("validation", "test"):
        assert sorted(whole[part]) == sorted(subset[part])


def test_caps():
    arrays = numbered([2000, 2000], official=1000)
    found = indices(split(arrays, 1, {"max_train": 100, "max_test": 50}, max_validation=40))
    assert [len(found[part]) for part in PARTS] == [100, 40, 50]
    assert set(found["test"]) <= set(range(3000, 4000))
    again = indices(split(arrays, 2, {"max_train": 100, "max_test": 50}, max_validation=40))
    assert {part: set(found[part]) for part in PARTS} == {part: set(again[part]) for part in PARTS}
    assert len(indices(split(arrays, entry={"max_train": None}))["train"]) == 3000 - 600  # validation: 20%


def test_a_training_set_smaller_than_a_batch_is_allowed():
    assert len(split(numbered([40, 40]), train_size=2).train_y) == 2


# --- what they contain -----------------------------------------------------------------------------------


@pytest.mark.parametrize("transform", INPUT_TRANSFORMS)
@pytest.mark.parametrize("make", [noisy, pixels])
@pytest.mark.parametrize("train_size", [None, 40])
def test_training_inputs_have_mean_0_and_mean_square_1(transform, make, train_size):
    x = split(make(), input_transform=transform, train_size=train_size).train_x.double()
    assert abs(x.mean()) < 1e-6
    assert abs(x.square().mean() - 1) < 1e-6


def test_standardisation_is_global_and_affine():
    arrays = noisy()
    parts = split(arrays)
    raw = parts.train_x.double() * parts.scale + parts.mean
    rows = {tuple(row) for row in np.round(arrays.x.astype(float), 3)}
    assert all(tuple(row) in rows for row in np.round(raw.numpy(), 3))
    assert parts.mean == pytest.approx(raw.mean().item(), abs=1e-5)
    assert parts.scale == pytest.approx(raw.std(correction=0).item(), abs=1e-5)
    feature_scales = parts.train_x.std(0)
    assert feature_scales.max() > 1.01 > 0.99 > feature_scales.min()  # per feature they would all be 1


@pytest.mark.parametrize("transform", INPUT_TRANSFORMS)
@pytest.mark.parametrize("make", [noisy, pixels])
def test_the_training_part_alone_decides(transform, make):
    arrays = make()
    # The samples of the training part, found by a copy in which each sample holds its own number.
    numbers = np.tile(np.arange(len(arrays.y), dtype=np.float32)[:, None], (1, arrays.x.shape[1]))
    training = indices(split(arrays_of(numbers, arrays.y)))["train"]
    others = np.setdiff1d(np.arange(len(arrays.y)), training)
    changed = arrays.x.copy()
    changed[others] = changed[others] // 2 + 90
    before = split(arrays, input_transform=transform)
    after = split(arrays_of(changed, arrays.y), input_transform=transform)
    assert torch.equal(before.train_x, after.train_x)
    assert (before.mean, before.scale) == (after.mean, after.scale)
    assert not torch.equal(before.test_x, after.test_x)


@pytest.mark.parametrize("transform", INPUT_TRANSFORMS)
@pytest.mark.parametrize("shift", [-0.5, 2.0])
def test_the_shift_is_added_last(transform, shift):
    plain = split(noisy(), input_transform=transform)
    shifted = split(noisy(), input_transform=transform, input_shift=shift)
    for part in ("train_x", "validation_x", "test_x"):
        torch.testing.assert_close(getattr(shifted, part), getattr(plain, part) + shift, rtol=0, atol=1e-6)


@pytest.mark.parametrize("transform", ["gaussianised", "heavy_tailed"])
@pytest.mark.parametrize("make", [noisy, pixels])
def test_transforms_keep_the_order_of_all_values(transform, make):
    plain, mapped = (
        torch.cat([getattr(parts, f"{part}_x").flatten() for part in PARTS])
        for parts in (split(make()), split(make(), input_transform=transform))
    )
    order = plain.argsort(stable=True)
    assert (mapped[order].diff() >= 0).all()


def test_gaussianised_inputs_are_normal_where_the_data_are_continuous():
    parts = split(noisy(2000), input_transform="gaussianised")
    values = parts.train_x.double().flatten().numpy()
    assert scipy.stats.kstest(values, "norm").statistic < 2 / len(values) ** 0.5 / 10
    assert abs(scipy.stats.skew(values)) < 1e-2
    assert abs(scipy.stats.kurtosis(values)) < 2e-2
    # Normal scores by another formula: Blom's approximation of the expected order statistics, which the means
    # over intervals approach away from the extremes.
    ranks, n = scipy.stats.rankdata(values), len(values)
    inner = (ranks > 10) & (ranks <= n - 10)
    blom = scipy.stats.norm.ppf((ranks - 0.375) / (n + 0.25))
    np.testing.assert_allclose(values[inner], blom[inner], atol=0.005)
    held_out = parts.test_x.double().flatten().numpy()
    assert scipy.stats.kstest(held_out, "norm").pvalue > 1e-3


def test_heavy_tailed_inputs_have_heavy_finite_tails():
    values = split(noisy(3000), input_transform="heavy_tailed").train_x.double().flatten().numpy()
    scale = scipy.stats.t(3).ppf(0.75) / np.quantile(values, 0.75)
    probabilities = np.array([0.001, 0.01, 0.1, 0.9, 0.99, 0.999])
    expected = scipy.stats.t(3).ppf(1e-4 + (1 - 2e-4) * probabilities)
    np.testing.assert_allclose(np.quantile(values, probabilities) * scale, expected, rtol=0.05)
    assert 5 < scipy.stats.kurtosis(values) < 30
    assert np.abs(values).max() < 15


@pytest.mark.parametrize("make", [noisy, pixels])
@pytest.mark.parametrize("transform", INPUT_TRANSFORMS)
def test_the_reported_kurtosis_is_that_of_the_training_inputs(make, transform):
    parts = split(make(), input_transform=transform)
    expected = scipy.stats.kurtosis(parts.train_x.double().flatten().numpy())
    assert parts.excess_kurtosis == pytest.approx(expected, abs=1e-4)


COUNTS = np.array([50, 3, 1, 20, 26])


def test_tied_values_become_the_conditional_mean_of_the_normal_distribution():
    values = np.arange(5.0)
    edges = scipy.stats.norm.ppf(np.concatenate([[0], np.cumsum(COUNTS)]) / 100)
    means = [scipy.stats.norm.expect(lb=low, ub=high, conditional=True) for low, high in itertools.pairwise(edges)]
    expected = np.array(means) / np.sqrt(COUNTS @ np.square(means) / 100)
    np.testing.assert_allclose(fit_transform(values, COUNTS, "gaussianised")(values), expected, rtol=1e-7)


def test_tied_values_become_the_conditional_mean_of_the_cut_t_distribution():
    values = np.arange(5.0)
    t = scipy.stats.t(3)
    edges = t.ppf(1e-4 + (1 - 2e-4) * np.concatenate([[0], np.cumsum(COUNTS)]) / 100)
    means = [
        scipy.integrate.quad(lambda z: z * t.pdf(z), low, high)[0] / (t.cdf(high) - t.cdf(low))
        for low, high in itertools.pairwise(edges)
    ]
    expected = np.array(means) / np.sqrt(COUNTS @ np.square(means) / 100)
    np.testing.assert_allclose(fit_transform(values, COUNTS, "heavy_tailed")(values), expected, rtol=1e-6)


@given(
    st.dictionaries(st.integers(0, 255), st.integers(1, 10**7), min_size=2, max_size=256),
    st.sampled_from(INPUT_TRANSFORMS),
)
def test_any_distribution_is_mapped_strictly_monotonically_to_mean_0_and_mean_square_1(histogram, transform):
    values = np.array(sorted(histogram), dtype=float)
    counts = np.array([histogram[value] for value in values])
    mapped = fit_transform(values, counts, transform)(values)
    weights = counts / counts.sum()
    assert np.isfinite(mapped).all()
    assert (np.diff(mapped) > 0).all()
    assert abs(weights @ mapped) < 1e-9
    assert abs(weights @ mapped**2 - 1) < 1e-9


def test_values_outside_the_training_range():
    arrays = numbered([100, 100])
    arrays.x[indices(split(arrays))["test"]] = 10_000
    assert split(arrays).test_x.min() > 50  # the standardisation goes on
    for transform in ("gaussianised", "heavy_tailed"):
        parts = split(arrays, input_transform=transform)
        assert (parts.test_x == parts.train_x.max()).all()


# --- reproducibility -------------------------------------------------------------------------------------


def test_digests_tell_splits_apart():
    arrays = noisy()
    variants = [
        split(arrays),
        split(arrays, 1),
        split(arrays, train_size=300),
        split(arrays, max_validation=50),
        split(arrays, input_shift=1.0),
        split(arrays, entry={"max_test": 50}),
        *(split(arrays, input_transform=transform) for transform in INPUT_TRANSFORMS[1:]),
    ]
    assert len({parts.digest for parts in variants}) == len(variants)
    assert split(arrays).digest == variants[0].digest


def test_the_caller_s_random_state_is_left_alone():
    torch.manual_seed(1)
    np.random.seed(1)
    before = torch.get_rng_state(), np.random.get_state()[1].tolist()
    split(noisy())
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.random.get_state()[1].tolist() == before[1]


@pytest.mark.slow
def test_another_process_makes_the_same_split_without_the_heavy_libraries(tmp_path):
    np.savez(tmp_path / "a.npz", x=noisy().x, y=noisy().y)
    files = tmp_path / "d.npz", tmp_path / "d.json"
    prepare.prepare("mine", {"source": "npz", "path": str(tmp_path / "a.npz")}, *files)
    here = split(read_prepared(*files), 5, input_transform="gaussianised", train_size=60)
    code = (
        "import sys; from pathlib import Path\n"
        "from activation_study.data.arrays import read_prepared\n"
        "from activation_study.data.split import make_split\n"
        "arrays = read_prepared(*map(Path, sys.argv[1:]))\n"
        "print(make_split(arrays, name='mine', dataset_entry={}, replicate_seed=5, train_size=60,\n"
        "                 input_transform='gaussianised').digest)\n"
        "print({'torchvision', 'sklearn', 'pandas', 'PIL', 'mnist1d'} & set(sys.modules))\n"
    )
    source = str(Path(prepare.__file__).parents[2])
    environment = os.environ | {"PYTHONPATH": source, "PYTHONHASHSEED": "123", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", code, *map(str, files)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:2] == [here.digest, "set()"]


# --- mistakes --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arrays", "options", "message"),
    [
        (numbered([50, 50]), {"train_size": 61}, r"^train_size: 61 is wrong; mine has 1 to 60"),
        (numbered([50, 50]), {"train_size": 0}, r"^train_size: 0"),
        (numbered([50, 50]), {"train_size": 1}, r"class [01] has no sample in the training part of 1"),
        (numbered([50, 3]), {}, r"^datasets\.mine: class 1 has no sample in the (validation|test) part"),
        (numbered([50, 50]), {"entry": {"max_test": 1}}, r"class [01] has no sample in the test part of 1"),
        (numbered([50, 50]), {"max_validation": 0}, r"class 0 has no sample in the validation part of 0"),
        (numbered([50, 50]), {"input_transform": "whitened"}, r"^input_transform: 'whitened' is unknown"),
        (
            arrays_of(np.full((20, 3), 7, np.uint8), np.arange(20) % 2),
            {},
            r"every input .* is 7; inputs must vary",
        ),
        (arrays_of(np.full((20, 3), 0.1, np.float32), np.arange(20) % 2), {}, r"every input .* is 0\.1"),
    ],
)
def test_mistakes_are_named_in_one_line(arrays, options, message):
    with pytest.raises(StudyError, match=message) as error:
        split(arrays, **options)
    assert "\n" not in str(error.value)
