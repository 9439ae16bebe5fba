"""Tables of samples: columns of numbers and of categories → features and labels.

What is a category is said, not guessed.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
import pandas as pd

from activation_study.core.errors import StudyError
from activation_study.core.text import listed, one_line, plain, shown
from activation_study.data import identity
from activation_study.data.arrays import MAX_BYTES, Raw

MISSING = ("", "?", "NA", "N/A", "NaN", "nan", "null", "<null>")
LARGEST_CSV = 2**30
SEPARATORS = ",;\t"


def csv(path: Path, key: str, label: str, categorical: Sequence[str] = ()) -> Raw:
    """A table in UTF-8 with a line of names and one line per sample, separated by commas, semicolons or tabs.

    Args:
        key: that of the entry, for messages.
        label: the column of the classes, whose names may be numbers or texts.
        categorical: columns whose values are categories.

    Raises:
        StudyError: the file or a column is missing, a value is missing or no number, or nothing varies.
    """
    where = f"{key}.path: {plain(path, 300)}"
    if identity.kind(path) != "file":
        raise StudyError(f"{where} is not a file; a table with a line of names is needed")
    if path.stat().st_size > LARGEST_CSV:
        raise StudyError(f"{where} has more than {LARGEST_CSV} bytes; save it as an npz file with arrays x and y")
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            separator = max(SEPARATORS, key=file.readline(2**20).count)
            file.seek(0)
            names = list(_read(file, sep=separator, header=None, nrows=1, dtype=str).iloc[0])
            _check_names(names, label, categorical, where, key)
            file.seek(0)
            texts = dict.fromkeys([label, *categorical], str)
            table = _read(file, sep=separator, names=names, skiprows=1, dtype=texts, index_col=False)
    except (StudyError, MemoryError):
        raise
    except Exception as error:  # of pandas, and of text that is none
        raise StudyError(f"{where} is not a readable table in UTF-8 ({one_line(error)})") from error
    hint = f"; if it is a category, name its column in {key}.categorical"
    return features(table, table.pop(label), categorical, where, f"csv file {plain(path.name)}", hint)


def headless(file: IO[str], where: str, source: str) -> Raw:
    """A table without names whose last column is the class; columns of texts are categories."""
    table = _read(file, sep=",", header=None)
    table.columns = range(1, table.shape[1] + 1)
    labels = table.pop(table.shape[1])
    return features(table, labels, [name for name in table if not _is_numeric(table[name])], where, source)


def features(
    x: pd.DataFrame, labels: pd.Series, categorical: Collection[Any], where: str, source: str, hint: str = ""
) -> Raw:
    """Columns of numbers as they are, of each other one a column of 0 and 1 per category; none that is constant.

    Args:
        where: what messages begin with.
        hint: what they end with where a number is needed.

    Raises:
        StudyError: the first value that is missing or no finite number, by row and column; too many categories.
    """
    if x.empty:
        raise StudyError(f"{where}: has no samples, or no column beside {shown(labels.name)}")
    for part in (x, labels.to_frame()):
        _check_complete(part, where)
    for name in x.columns.difference([*categorical], sort=False):
        if not _is_numeric(x[name]):
            raise StudyError(f"{where}: {_first_text(x[name])}, which is no number{hint}")
        if not np.isfinite(x[name].to_numpy(np.float64)).all():
            raise StudyError(f"{where}: column {shown(name)} holds an infinite number; leave its row out")
    constant = [name for name in x if x[name].nunique() == 1]
    x = x.drop(columns=constant)
    coded = [name for name in x if name in {*categorical}]
    width = x.shape[1] - len(coded) + sum(x[name].nunique() for name in coded)
    if width == 0:
        raise StudyError(f"{where}: no column of features varies; inputs must")
    if len(x) * width * 8 > MAX_BYTES:
        raise StudyError(f"{where}: has {width} features with one for each category; fewer categories are needed")
    if coded:
        x = pd.get_dummies(x.astype(dict.fromkeys(coded, str)), columns=coded, dtype=np.uint8)
    notes = [f"one-hot columns: {listed(coded, 5)}"] if coded else []
    notes += [f"constant columns, left out: {listed(constant, 5)}"] if constant else []
    line = f"{source} ({'; '.join(notes)})" if notes else source
    return Raw(x.to_numpy(np.float64), labels.astype(str).to_numpy(np.str_), None, line)


def _read(file: IO[str], **how: Any) -> pd.DataFrame:
    with warnings.catch_warnings():
        warnings.simplefilter("error", pd.errors.ParserWarning)  # of lines that are longer than the first
        options = {"keep_default_na": False, "na_values": MISSING, "skipinitialspace": True, "low_memory": False}
        return pd.read_csv(file, **options, **how)


def _check_names(names: list[Any], label: str, categorical: Sequence[str], where: str, key: str) -> None:
    if unnamed := [number for number, name in enumerate(names, 1) if not isinstance(name, str)]:
        raise StudyError(f"{where}: column {unnamed[0]} has no name; the first line must name every column")
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise StudyError(f"{where}: two columns have the name {shown(twice[0])}; names must differ")
    for part, name in (("label", label), *(("categorical", name) for name in categorical)):
        if name not in names:
            raise StudyError(f"{key}.{part}: {shown(name)} is no column of the table; it has {listed(names, 8)}")
    if label in categorical:
        raise StudyError(f"{key}.categorical: {shown(label)} is the label; remove it")


def _check_complete(table: pd.DataFrame, where: str) -> None:
    absent = table.isna().to_numpy()
    if absent.any():
        row, column = np.argwhere(absent)[0]
        raise StudyError(
            f"{where}: column {shown(table.columns[column])} has no value in row {row + 1}, and {absent.sum()} "
            f"values are missing in all; fill them in, or leave their rows or columns out"
        )


def _is_numeric(column: pd.Series) -> bool:
    return bool(pd.api.types.is_numeric_dtype(column))  # truth values are


def _first_text(column: pd.Series) -> str:
    row = int(pd.to_numeric(column.astype(str), errors="coerce").isna().to_numpy().argmax())
    return f"column {shown(column.name)} holds {shown(column.iloc[row])} in row {row + 1}"
