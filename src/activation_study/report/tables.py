"""Tables as readers see them, and the data behind tables and figures as CSV inside the page."""

from __future__ import annotations

import base64
import gzip
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import quote

import numpy as np
import pandas as pd

from activation_study.core.numbers import ABSENT, decimals, figures

Row = Mapping[str, Any]
LARGEST_PLAIN = 20_000
"""Characters of CSV above which it is embedded gzipped."""
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
"""What the texts begin with that a spreadsheet runs."""
NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?", re.ASCII)
MOST_EMBEDDED = 2_000_000
"""Characters of CSV above which it lies beside the page only."""
MOST_ROWS = 200
"""Rows of a table that the page shows: its data have all."""
LONGEST_OPEN = 16
"""Rows up to which a table starts open."""


@dataclass(frozen=True)
class Cell:
    """What a table's cell shows and, for numbers, what it sorts by."""

    text: str
    sort: float | None = None


@dataclass(frozen=True)
class Column:
    """A column: its header (with the unit), how a row's cell is made from the row, and how cells are compared.

    `cell` is a function of a module, or a partial one: sections travel between processes.
    """

    header: str
    cell: Callable[[Row], Cell]
    numeric: bool = True
    heads_row: bool = False


@dataclass(frozen=True)
class Download:
    """Data as CSV that the page itself holds."""

    name: str
    csv: str

    @property
    def embedded(self) -> bool:
        return len(self.csv) <= MOST_EMBEDDED

    @property
    def file(self) -> str:
        return f"{self.name}.csv" if len(self.csv) <= LARGEST_PLAIN else f"{self.name}.csv.gz"

    @property
    def href(self) -> str:
        """A data: address. It needs no script, and a large table is gzipped to keep the page small."""
        if len(self.csv) <= LARGEST_PLAIN:
            return "data:text/csv;charset=utf-8," + quote(self.csv, safe=",.-_~:/()'*!")
        packed = gzip.compress(self.csv.encode(), compresslevel=9, mtime=0)
        return "data:application/gzip;base64," + base64.b64encode(packed).decode()


@dataclass(frozen=True)
class Table:
    """Rows of a frame under a caption, of which the page shows so many; a chooser opens on one of them."""

    id: str
    caption: str
    columns: Sequence[Column]
    frame: pd.DataFrame
    data: Download
    most: int = MOST_ROWS
    opens: int | None = None

    @property
    def extent(self) -> str:
        """How many rows there are, in words."""
        count = len(self.frame)
        return f"{count} rows" if count <= self.most else f"the first {self.most} of {count:,} rows"

    @property
    def folded(self) -> bool:
        """Whether it starts closed: long tables are for looking things up."""
        return len(self.frame) > LONGEST_OPEN

    @property
    def rows(self) -> list[list[Cell]]:
        return [[column.cell(row) for column in self.columns] for row in self.frame.head(self.most).to_dict("records")]


def download(name: str, frame: pd.DataFrame, digits: int = 7) -> Download:
    """The frame as CSV; an empty field is missing.

    Seven significant digits are what single precision holds. Means over seeds of long curves get by on five, which
    halves what the page carries.
    """
    return Download(name, csv_text(frame, float_format=f"%.{digits}g"))


def csv_text(frame: pd.DataFrame, **options: Any) -> str:
    """The frame as CSV. Zero has no sign; a text that a spreadsheet would run as a formula gets an apostrophe."""
    safe = {name: _readable(column) for name, column in frame.items()}
    return frame.assign(**safe).rename(columns=_inert).to_csv(index=False, lineterminator="\n", **options)


def _readable(column: pd.Series) -> pd.Series:
    if pd.api.types.is_float_dtype(column):
        return column + 0.0
    return column if pd.api.types.is_numeric_dtype(column) else column.map(_inert)


def _inert(value: Any) -> Any:
    """A number in words stays a number; a number is given without zero's sign."""
    if isinstance(value, float | np.floating):
        return value + 0.0
    formula = isinstance(value, str) and value.startswith(FORMULA) and not NUMBER.fullmatch(value)
    return f"'{value}" if formula else value


def text(header: str, column: str, *, heads_row: bool = False) -> Column:
    return Column(header, partial(_text, column), numeric=False, heads_row=heads_row)


def flag(header: str, column: str, yes: str = "yes") -> Column:
    """A column of `yes` and no."""
    return Column(header, partial(_flag, column, yes), numeric=False)


def part(header: str, column: str, of: str) -> Column:
    """A column of counts, each with what it is a part of: 3 of 5."""
    return Column(header, partial(_part, column, of))


def number(header: str, column: str, digits: int = 0, scale: float = 1.0, *, signed: bool = False) -> Column:
    """A column of numbers at `digits` decimals, each times `scale` (100 for percent)."""
    return Column(header, partial(_scaled, column, digits, scale, signed))


def interval(header: str, column: str, digits: int = 1, scale: float = 100.0, *, signed: bool = False) -> Column:
    """The bounds in `column`_low and `column`_high; sorts by the lower one."""
    return Column(header, partial(_interval, column, digits, scale, signed))


def significant(header: str, column: str, digits: int = 3) -> Column:
    """A column of numbers at `digits` significant digits."""
    return Column(header, partial(_significant, column, digits))


def cell_columns(frame: pd.DataFrame) -> list[Column]:
    """The columns that name a row's cell; that of the condition where there are several."""
    condition = [text("Condition", "condition")] if frame["condition"].any() else []
    return [text("Dataset", "dataset"), number("Layers", "depth"), *condition]


def seed_columns() -> list[Column]:
    """How many seeds a row rests on, and how many of their networks diverged."""
    return [number("Seeds", "n"), number("Diverged", "diverged")]


def _text(column: str, row: Row) -> Cell:
    return Cell(str(row[column]))


def _flag(column: str, yes: str, row: Row) -> Cell:
    return Cell(yes if row[column] else "no")


def _part(column: str, of: str, row: Row) -> Cell:
    return Cell(f"{row[column]:z.0f} of {row[of]}", float(row[column]))


def _scaled(column: str, digits: int, scale: float, signed: bool, row: Row) -> Cell:
    return _number(row[column], digits, scale, signed)


def _interval(column: str, digits: int, scale: float, signed: bool, row: Row) -> Cell:
    low = _number(row[f"{column}_low"], digits, scale, signed)
    high = _number(row[f"{column}_high"], digits, scale, signed)
    return Cell(ABSENT) if low.sort is None else Cell(f"{low.text} to {high.text}", low.sort)


def _significant(column: str, digits: int, row: Row) -> Cell:
    return Cell(figures(row[column], digits), _sortable(row[column]))


def _number(value: Any, digits: int, scale: float, signed: bool) -> Cell:
    if pd.isna(value):
        return Cell(ABSENT)
    return Cell(decimals(float(value) * scale, digits, signed=signed), _sortable(value))


def _sortable(value: Any) -> float | None:
    return None if pd.isna(value) else float(value) + 0.0
