"""Arrays → training, validation and test tensors, standardised by the training part alone."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch

from activation_study.core.errors import StudyError
from activation_study.data.arrays import Arrays

INPUT_TRANSFORMS = ("standardised", "gaussianised", "heavy_tailed")
TEST_SHARE = 0.2
VALIDATION_SHARE = 0.2
TAIL = 1e-4  # Student's t is cut at these quantiles, ±22.2


@dataclass(frozen=True)
class Split:
    """What one replicate trains on, selects on and is scored on.

    train_x, validation_x, test_x: float32 [n, D], mean 0 (plus the input shift) and mean square 1 (before it)
    over the training part; *_y: int64 [n]. `mean` and `scale` are those of the stored training values;
    `excess_kurtosis` is that of the transformed ones, which says how normal they have become. `digest` is a
    SHA-256 of data, indices and statistics: two splits with one digest hold the same tensors. `shape` is a sample's,
    as in `Arrays`.

    Where the data ask for it (`Arrays.scale`), all of this is done feature by feature: each then has mean 0 and mean
    square 1, `mean` and `scale` are [D], and a feature that is constant in the training part is 0 everywhere
    and no part of `excess_kurtosis`.
    """

    train_x: torch.Tensor = field(repr=False)
    train_y: torch.Tensor = field(repr=False)
    validation_x: torch.Tensor = field(repr=False)
    validation_y: torch.Tensor = field(repr=False)
    test_x: torch.Tensor = field(repr=False)
    test_y: torch.Tensor = field(repr=False)
    classes: int
    mean: float | np.ndarray
    scale: float | np.ndarray
    excess_kurtosis: float
    digest: str
    shape: tuple[int, ...] = ()


def varies_by_replicate(arrays: Arrays, train_size: int | None = None) -> bool:
    """Whether `make_split` gives each replicate seed another split; otherwise one serves them all."""
    return arrays.official_test is None or train_size is not None


def make_split(
    arrays: Arrays,
    *,
    name: str,
    dataset_entry: dict[str, Any],
    replicate_seed: int,
    train_size: int | None = None,
    input_transform: str = "standardised",
    input_shift: float = 0.0,
    max_validation: int = 1000,
) -> Split:
    """Split, standardise, transform and shift one data set.

    Where the source has a test set of its own, the test set is that one (`max_test` samples of it, in a fixed
    order), and training and validation part are a fixed split of the rest. Elsewhere 20% are drawn for the
    test and 20% for validation, anew for each replicate: such sets are small, and one test set of a few
    hundred samples would be noise that all replicates share. Validation never exceeds `max_validation`; the
    rest goes to training, of which `max_train` keeps a number. All draws are stratified by class.

    `train_size` takes that many training samples, others for each replicate, so that the spread over
    replicates includes the choice of the sample; within one replicate a smaller set is part of a larger one.

    Args:
        arrays: the data set.
        name: its name in the configuration, for messages.
        dataset_entry: its entry; only `max_train` and `max_test` are read here.
        replicate_seed: the replicate's seed, which never depends on activation or learning rate.
        train_size: absolute number of training samples; None means all.
        input_transform: see `fit_transform`.
        input_shift: added to every input, in units of the standardised inputs' standard deviation.
        max_validation: cap on the validation samples.

    Raises:
        StudyError: a part would lack a class or samples, or all inputs are equal.
    """
    if input_transform not in INPUT_TRANSFORMS:
        known = ", ".join(INPUT_TRANSFORMS)
        raise StudyError(f"input_transform: {input_transform!r} is unknown; one of {known} is needed")
    train, validation, test = _parts(arrays, dataset_entry, replicate_seed, max_validation)
    if train_size is not None:
        if not 1 <= train_size <= len(train):
            raise StudyError(f"train_size: {train_size} is wrong; {name} has 1 to {len(train)} training samples")
        order = _stratified_order(arrays.y, np.sort(train), np.random.default_rng([replicate_seed, 1]))
        train = order[:train_size]
    _check_classes(name, arrays, {"training": train, "validation": validation, "test": test})
    whole = arrays.scale == "global"
    columns = [slice(None)] if whole else [slice(j, j + 1) for j in range(arrays.x.shape[1])]
    maps = [_fit(arrays.x[:, column], train, input_transform) for column in columns]
    _check_varied(name, maps, whole)
    digest = hashlib.sha256(f"{arrays.sha256} {input_transform} {input_shift}".encode())
    for array in (train, validation, test, *(one for fitted in maps for one in (fitted.values, fitted.targets))):
        digest.update(array.data)

    def tensor(indices: np.ndarray) -> torch.Tensor:
        parts = [
            _apply(arrays.x[indices, column], fitted.convert, input_shift)
            for column, fitted in zip(columns, maps, strict=True)
        ]
        return torch.from_numpy(parts[0] if whole else np.hstack(parts))

    return Split(
        train_x=tensor(train),
        train_y=torch.from_numpy(arrays.y[train]),
        validation_x=tensor(validation),
        validation_y=torch.from_numpy(arrays.y[validation]),
        test_x=tensor(test),
        test_y=torch.from_numpy(arrays.y[test]),
        classes=arrays.classes,
        mean=maps[0].mean if whole else np.array([fitted.mean for fitted in maps]),
        scale=maps[0].scale if whole else np.array([fitted.scale for fitted in maps]),
        excess_kurtosis=_excess_kurtosis(maps),
        digest=digest.hexdigest(),
        shape=arrays.shape,
    )


def _check_classes(name: str, arrays: Arrays, parts: dict[str, np.ndarray]) -> None:
    for part, indices in parts.items():
        present = np.bincount(arrays.y[indices], minlength=arrays.classes) > 0
        if not present.all():
            raise StudyError(
                f"datasets.{name}: class {np.argmin(present)} has no sample in the {part} part of "
                f"{len(indices)}; give each class at least 5, or raise train_size, max_train or max_test"
            )


def _check_varied(name: str, maps: list[_Map], whole: bool) -> None:
    if all(len(fitted.values) == 1 for fitted in maps):
        every = f"every input of the training part is {maps[0].values[0]:g}"
        found = every if whole else "no feature varies in the training part"
        raise StudyError(f"datasets.{name}: {found}; inputs must vary")


class _Map(NamedTuple):
    """What the training part says about some features: their distinct values, and what each becomes."""

    values: np.ndarray
    counts: np.ndarray
    targets: np.ndarray
    mean: float
    scale: float
    convert: Callable[[np.ndarray], np.ndarray]


def _fit(x: np.ndarray, train: np.ndarray, transform: str) -> _Map:
    values, counts = _distribution(x, train)
    mean, scale = _moments(values, counts)
    convert = np.zeros_like if len(values) == 1 else fit_transform(values, counts, transform)
    return _Map(values, counts, convert(values), mean, scale, convert)


def _excess_kurtosis(maps: list[_Map]) -> float:
    """That of all features but those of one value, which the network sees as 0 whatever the transform."""
    maps = [m for m in maps if len(m.values) > 1]
    second, fourth = (sum(float(m.counts @ m.targets**power) for m in maps) for power in (2, 4))
    return fourth * sum(int(m.counts.sum()) for m in maps) / second**2 - 3


def fit_transform(values: np.ndarray, counts: np.ndarray, transform: str) -> Callable[[np.ndarray], np.ndarray]:
    """The monotone map of raw to network inputs that has mean 0 and mean square 1 over the training values.

    - `standardised`: (value − mean) / standard deviation.
    - `gaussianised`: normal scores, the rank-Gaussianisation of the values.
    - `heavy_tailed`: the same with Student's t of 3 degrees of freedom, cut at its 10⁻⁴ and 1 − 10⁻⁴
      quantiles: the largest value would otherwise grow with the number of samples, to 50 sd and more.

    With one scale for all, as images have, the unit is the distribution of *all* values of *all* features, so one
    monotone function serves every feature. There a map per feature would change more than the shape of the
    distribution: it would give constant and nearly constant pixels the variance of the informative ones, and
    per-feature scaling alone conditions the problem otherwise (LeCun et al., 1998, "Efficient BackProp"). One
    strictly monotone map loses nothing and keeps the order of the pixels within an image.

    Equal values stay equal. A value that fills the quantile interval (a, b) becomes the conditional mean of
    the target distribution there, E[Z | a < F(Z) ≤ b]: of all functions of the value the nearest to Z in mean
    square, with an overall mean of exactly 0. It is then scaled to mean square 1. Where half the pixels are
    background (digits, Fashion-MNIST) that half remains an atom, and no function of the pixel can make the
    inputs normal, or their tails heavy; on MNIST-1D, which is continuous, both succeed. How far it went is
    in `Split.excess_kurtosis`.

    Args:
        values: [V] distinct training values, ascending; counts: [V] how often each occurs.

    Returns:
        float64 → float64, strictly increasing on `values`. Between two training values it is linear; beyond
        them the standardisation goes on, while the other two have no value but the nearest.
    """
    if transform == "standardised":
        mean, scale = _moments(values, counts)
        return lambda raw: (raw - mean) / scale
    from scipy.special import ndtri, stdtrit  # most runs do without, and it takes a second to import

    edges = np.concatenate([[0], np.cumsum(counts)]) / counts.sum()
    # E[Z; a < Z < b] = H(a) − H(b), where H is the upper partial expectation, in closed form for both.
    if transform == "gaussianised":
        partial = np.exp(-(ndtri(edges) ** 2) / 2) / np.sqrt(2 * np.pi)
    else:
        quantiles = stdtrit(3, TAIL + (1 - 2 * TAIL) * edges)
        partial = np.sqrt(3) / (np.pi * (1 + quantiles**2 / 3))
    scores = -np.diff(partial) / np.diff(edges)
    scores /= np.sqrt(counts @ scores**2 / counts.sum())
    return lambda raw: np.interp(raw, values, scores)


def _parts(
    arrays: Arrays, dataset_entry: dict[str, Any], replicate_seed: int, max_validation: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The indices of the training, validation and test part."""
    if arrays.official_test is None:
        order = _stratified_order(arrays.y, np.arange(len(arrays.y)), np.random.default_rng(replicate_seed))
        size = len(order)
        test, pool = np.split(order, [round(TEST_SHARE * size)])
    else:
        generator = np.random.default_rng(0)  # one fixed split for all replicates
        pool = _stratified_order(arrays.y, np.flatnonzero(~arrays.official_test), generator)
        test = _stratified_order(arrays.y, np.flatnonzero(arrays.official_test), generator)
        size = len(pool)
    validation, train = np.split(pool, [min(max_validation, round(VALIDATION_SHARE * size))])
    return train[: dataset_entry.get("max_train")], validation, test[: dataset_entry.get("max_test")]


def _stratified_order(y: np.ndarray, indices: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """`indices` shuffled so that every stretch of the result holds each class in proportion, to about one.

    The j-th of the n samples of a class stands at the place (j + ½)/n; so prefixes are nested and stratified.
    """
    shuffled = generator.permutation(indices)
    place = np.empty(len(shuffled))
    for label in np.unique(y[shuffled]):
        (where,) = np.nonzero(y[shuffled] == label)
        place[where] = (np.arange(len(where)) + 0.5) / len(where)
    return shuffled[np.argsort(place, kind="stable")]


def _distribution(x: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The distinct values of some rows, ascending, as float64, and how often each occurs."""
    if x.dtype == np.uint8:  # in chunks, since bincount makes 8-byte integers of them
        counts = np.zeros(256, np.int64)
        for chunk in np.array_split(rows, len(rows) // 1000 + 1):
            counts += np.bincount(x[chunk].ravel(), minlength=256)
        values = np.flatnonzero(counts)
        return values.astype(np.float64), counts[values]
    values, counts = np.unique(x[rows], return_counts=True)
    return values.astype(np.float64), counts


def _moments(values: np.ndarray, counts: np.ndarray) -> tuple[float, float]:
    """Mean and (population) standard deviation."""
    mean = counts @ values / counts.sum()
    return float(mean), float(np.sqrt(counts @ (values - mean) ** 2 / counts.sum()))


def _apply(x: np.ndarray, convert: Callable[[np.ndarray], np.ndarray], shift: float) -> np.ndarray:
    """float32 of the shape of x; bytes go through a table of 256."""
    if x.dtype == np.uint8:
        return (convert(np.arange(256.0)) + shift).astype(np.float32)[x]
    return (convert(x.astype(np.float64)) + shift).astype(np.float32)
