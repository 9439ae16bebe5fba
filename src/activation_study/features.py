"""Numbers of any type → what is kept of them: bytes, or float32 that has lost nothing a network could see."""

import math
from collections.abc import Callable, Iterator

import numpy as np

from activation_study.errors import StudyError

UNLIKE = 100.0
"""Columns whose standard deviations differ by more than this factor are worth a note."""
_BLOCK = 2**22  # values at a time, 32 MB of float64
_WHOLE = 2**24  # float32 holds every integer up to here


def stored(x: np.ndarray, key: str, *, per_feature: bool) -> np.ndarray:
    """[N, D] real numbers as uint8 (which stays) or float32.

    What float32 holds exactly is kept. Of anything else the mean is subtracted in float64, over the whole array or
    `per_feature`, and the difference is scaled by a power of two, which is exact: so neither a mean that is large
    against the spread nor very large or small values lose digits in the cast. Standardising undoes both. The mean is
    that of all samples, test set included: it is undone, so nothing of it reaches the network.

    Raises:
        StudyError: `key`, for the first value that is missing or infinite.
    """
    if x.dtype == np.uint8:
        return np.ascontiguousarray(x)
    x = np.ascontiguousarray(x)
    _check_finite(x, key)
    kept = np.empty(x.shape, np.float32)
    columns, kept_columns = (x, kept) if per_feature else (x.reshape(-1, 1), kept.reshape(-1, 1))
    if _exact(columns):
        for rows in _blocks(columns):
            kept_columns[rows] = columns[rows]
        return kept
    wide = _widening(columns)
    low = np.min([wide(columns[rows]).min(axis=0) for rows in _blocks(columns)], axis=0)
    high = np.max([wide(columns[rows]).max(axis=0) for rows in _blocks(columns)], axis=0)
    sums = np.sum([wide(columns[rows]).sum(axis=0) for rows in _blocks(columns)], axis=0)
    mean = np.clip(sums / len(columns), low, high)  # rounding must not give a constant column a spread
    _, exponent = np.frexp(np.maximum(high - mean, mean - low))
    for rows in _blocks(columns):
        kept_columns[rows] = np.ldexp(wide(columns[rows]) - mean, -exponent)
    return kept


def unlikeness(x: np.ndarray) -> float:
    """The largest standard deviation of a column over the smallest; columns of one value do not count.

    Args:
        x: [N, D] finite real numbers.
    """
    spreads: list[np.ndarray] = []
    step = max(1, _BLOCK // len(x))
    for first in range(0, x.shape[1], step):
        block = x[:, first : first + step].astype(np.float64)  # a longdouble beyond it is infinite: unlike indeed
        largest = np.abs(block).max(axis=0)
        varies = block.min(axis=0) < block.max(axis=0)
        with np.errstate(invalid="ignore"):
            spreads.append(((block / np.where(largest > 0, largest, 1)).std(axis=0) * largest)[varies])
    found = np.concatenate(spreads)
    if not found.size:
        return 1.0
    with np.errstate(all="ignore"):
        ratio = float(found.max() / found.min())
    return math.inf if math.isnan(ratio) else ratio


def _check_finite(x: np.ndarray, key: str) -> None:
    if x.dtype.kind != "f":
        return
    for rows in _blocks(x):
        if not (finite := np.isfinite(x[rows])).all():
            row, column = np.argwhere(~finite)[0]
            value = x[rows][row, column]
            what = "nan, a missing value" if np.isnan(value) else str(value)
            raise StudyError(
                f"{key}: x is {what}, in sample {rows.start + row}, feature {column}; every value must be finite: "
                f"fill in or leave out what is not"
            )


def _exact(x: np.ndarray) -> bool:
    if x.dtype.kind == "b":
        return True
    if x.dtype.kind in "iu":
        return int(x.min()) >= -_WHOLE and int(x.max()) <= _WHOLE
    with np.errstate(over="ignore", under="ignore"):
        return all((x[rows].astype(np.float32) == x[rows]).all() for rows in _blocks(x))


def _widening(x: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """Rows of x → float64, moved and scaled so that no difference is lost and none overflows."""
    if x.dtype.kind in "iu":
        # Differences of 64-bit integers fit into unsigned ones, whose arithmetic wraps around to the right result.
        middle = np.int64 if x.dtype.kind == "i" else np.uint64
        least = x.min(axis=0).astype(middle).view(np.uint64)
        return lambda rows: (rows.astype(middle).view(np.uint64) - least).astype(np.float64)
    work = np.promote_types(x.dtype, np.float64)
    largest = np.max([np.abs(x[rows]).max(axis=0) for rows in _blocks(x)], axis=0).astype(work)
    _, exponent = np.frexp(largest)
    return lambda rows: np.ldexp(rows.astype(work), -exponent).astype(np.float64)


def _blocks(x: np.ndarray) -> Iterator[slice]:
    step = max(1, _BLOCK // x.shape[1])
    return (slice(first, first + step) for first in range(0, len(x), step))
