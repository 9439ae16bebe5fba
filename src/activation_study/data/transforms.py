"""Numbers of any type → what is kept of them: bytes, or float32 that has lost nothing a network could see."""

import math
from collections.abc import Iterator

import numpy as np

from activation_study.core.errors import StudyError

UNLIKE = 100.0
"""Columns whose standard deviations differ by more than this factor are worth a note."""
_BLOCK = 2**22  # values at a time, 32 MB of float64
_SAMPLE = 2**22  # values of a column whose middle stands for the column's
_RANGE = 228  # largest over typical distance, as a power of two, up to which float32 has 24 bits of both
_WHOLE = 2**24  # float32 holds every integer up to here


def stored(x: np.ndarray, key: str, *, per_feature: bool) -> np.ndarray:
    """[N, D] real numbers as uint8 (which stays) or float32.

    What float32 holds exactly is kept. Of anything else a median is subtracted exactly or in float64, over the whole
    array or `per_feature`, and the difference is scaled by a power of two, which is exact, so that the typical one is
    about 1: so neither a mean that is large against the spread, nor very large or small values, nor a few values far
    from the others lose digits in the cast. Standardising undoes both. The median is that of all samples, test set
    included (of a sample of them where they are millions): it is undone, so nothing of it reaches the network.

    Raises:
        StudyError: `key`, for the first value that is missing or infinite, or one that is so far from the others
            that float32 cannot hold both.
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
    halved = _halved(columns)
    centre, typical = _middles(columns, halved)
    largest = np.max([np.abs(_away(columns[r], centre, halved)).max(axis=0) for r in _blocks(columns)], axis=0)
    _, needed = np.frexp(largest)
    _, exponent = np.frexp(np.where(typical > 0, typical, largest))
    if (too_far := needed - exponent > _RANGE).any():
        _refuse(x, columns, int(np.argmax(too_far)), key)
    exponent = np.maximum(exponent, needed - 126)
    for rows in _blocks(columns):
        kept_columns[rows] = np.ldexp(_away(columns[rows], centre, halved), -exponent)
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


def _halved(x: np.ndarray) -> np.ndarray:
    """By column, 1 where values must be halved for their differences to be finite, and else 0."""
    if x.dtype.kind in "iu":
        return np.zeros(x.shape[1], int)
    largest = np.max([np.abs(x[rows]).max(axis=0) for rows in _blocks(x)], axis=0)
    return (largest > np.finfo(x.dtype).max / 2).astype(int)


def _away(x: np.ndarray, centre: np.ndarray, halved: np.ndarray) -> np.ndarray:
    """Rows of x minus the centre, [n, D], as float64, or longdouble where x is."""
    if x.dtype.kind in "iu":
        # Differences of 64-bit integers fit into unsigned ones, whose arithmetic wraps around to the right result.
        middle = np.int64 if x.dtype.kind == "i" else np.uint64
        of, to = x.astype(middle).view(np.uint64), centre.astype(middle).view(np.uint64)
        return np.where(x >= centre, (of - to).astype(np.float64), -(to - of).astype(np.float64))
    work = np.promote_types(x.dtype, np.float64)
    return np.ldexp(x.astype(work), -halved) - np.ldexp(centre.astype(work), -halved)


def _middles(x: np.ndarray, halved: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """By column, its (upper) median, which is one of its values, and the median distance of the others from it.

    Values equal to the median do not count among the others: most of a sparse column's are. Of a column of millions
    a sample is enough, drawn at random, as steps could fall on one feature of all images.
    """
    some = slice(None) if len(x) <= _SAMPLE else np.random.default_rng(0).integers(0, len(x), _SAMPLE)
    centre = np.empty(x.shape[1], x.dtype)
    typical = np.zeros(x.shape[1], np.promote_types(x.dtype, np.float64))
    for j in range(x.shape[1]):
        column = x[some, j]
        centre[j] = _median(column)
        distances = np.abs(_away(column[:, None], centre[j : j + 1], halved[j : j + 1]))
        if (others := distances[distances > 0]).size:
            typical[j] = _median(others)
    return centre, typical


def _median(values: np.ndarray) -> np.number:
    return np.partition(values, len(values) // 2)[len(values) // 2]


def _refuse(x: np.ndarray, columns: np.ndarray, column: int, key: str) -> None:
    """Name the value of a column that is the farthest from the others."""
    values = columns[:, column]
    found = max(int(values.argmin()), int(values.argmax()), key=lambda index: abs(values[index]))
    sample, feature = (found, column) if columns is x else divmod(found, x.shape[1])
    raise StudyError(
        f"{key}: x is {values[found]}, in sample {sample}, feature {feature}, over 1e68 times as far from the median "
        "as most values are; float32 cannot hold both: mend or leave out that value, or give logarithms"
    )


def _blocks(x: np.ndarray) -> Iterator[slice]:
    step = max(1, _BLOCK // x.shape[1])
    return (slice(first, first + step) for first in range(0, len(x), step))
