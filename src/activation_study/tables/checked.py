"""Tables that somebody else may have made, read with every check: what comes out of here breaks no reader.

Their Parquet is sound, texts are of the schema's patterns and numbers within its bounds, names are those of a config,
and no row stands there twice. Distinct values are looked at, so a table of a million rows takes a fraction of a second.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from activation_study.core.errors import StudyError
from activation_study.core.runs import RunId, as_text
from activation_study.core.text import plain, shown
from activation_study.tables import parquet
from activation_study.tables.columns import FACTORS, KEYS, OLDER, TABLES, Column

_KINDS = {
    "str": (pa.types.is_string, pa.types.is_large_string),
    "int": (pa.types.is_integer, pa.types.is_floating),  # pandas makes a count with gaps a float
    "float": (pa.types.is_floating, pa.types.is_integer),
    "bool": (pa.types.is_boolean,),
}
LARGEST = 1e100
"""Of a number that no bound is known for: float32 ends at 3.4e38, and squares and products still fit float64."""
MOST_CODES = 2**62
"""Of rows, as 64 bits hold them."""
_FORBIDDEN = ("Cc", "Cf", "Cs", "Zl", "Zp")
"""Unicode's kinds of characters that steer a terminal or turn the order of a text: they have no place in one."""
_JOINERS = "\u00ad\u200c\u200d"
"""Of those, what scripts and emoji need."""


def read(name: str, path: str | Path) -> pd.DataFrame:
    """The table of that name, whole and of this version. Raises StudyError, one line that names file and column."""
    return _held(name, parquet.read(name, path), path, TABLES[name])


def read_any(path: str | Path, needs: Sequence[str] = ()) -> pd.DataFrame:
    """A table of this or an older version, which may lack columns but for those in `needs`; its file names it.

    Raises:
        StudyError: one line that names file and column; also for a name that no table has.
    """
    name = Path(path).stem
    if name not in TABLES:
        raise StudyError(f"{plain(path)}: no table is called {shown(name)}; there are {', '.join(TABLES)}")
    table = parquet.read_any(path)
    if lacking := [column for column in needs if column not in table.column_names]:
        raise StudyError(f"{plain(path)}: lacks the column {', '.join(lacking)}; it is not a {name} table of a study")
    return _held(name, table, path, TABLES[name] | OLDER.get(name, {}))


def hold_together(held: Mapping[str, pd.DataFrame]) -> None:
    """Refuse tables of another study beside the runs. Raises StudyError naming the table and the value."""
    runs = held["runs"]
    known = {name: set(runs[name].unique()) for name in ("run", "activation", "dataset")}
    for table, frame in held.items():
        for column in known.keys() & set(frame) if table not in ("ledger", "ledger_cells") else ():
            if strange := [value for value in frame[column].unique() if value not in known[column]]:
                raise StudyError(
                    f"table {table}: column {column}: {shown(strange[0])} is in no row of the runs table; "
                    "all tables must be of one study"
                )


def _held(name: str, table: pa.Table, path: str | Path, spec: Mapping[str, Column]) -> pd.DataFrame:
    try:
        table.validate(full=True)  # also that texts are UTF-8
        for column in table.column_names:
            if table.column_names.count(column) > 1:
                raise StudyError(f"column {shown(column)}: stands there twice")
            if column in spec:
                _check(column, spec[column], table[column].combine_chunks())
        _check_keys(name, table)
        if name == "runs":
            _check_runs(table)
            _check_weights(table)
        return table.replace_schema_metadata(None).to_pandas()  # pandas' own metadata may say anything
    except (StudyError, pa.ArrowException) as error:
        raise StudyError(
            f"{plain(path)}: {plain(error, 300)}; if the study made it, delete it and run the study again"
        ) from None


def _check(name: str, spec: Column, values: pa.Array) -> None:
    where = f"column {name}"
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    if pa.types.is_null(values.type) and not len(values):
        return
    if not pa.types.is_null(values.type) and not any(fits(values.type) for fits in _KINDS[spec.type]):
        raise StudyError(f"{where}: holds {plain(values.type, 40)}, must be {spec.type}")
    if not spec.nullable and (values.null_count or pc.any(pc.is_null(values, nan_is_null=True)).as_py()):
        raise StudyError(f"{where}: a value is missing, and none may be")
    if pa.types.is_null(values.type) or not len(values):
        return
    if spec.type == "str":
        _check_texts(where, spec, pc.unique(values).to_pylist())
    elif spec.type != "bool":
        _check_numbers(where, spec, values)


def _check_texts(where: str, spec: Column, distinct: Sequence[str | None]) -> None:
    pattern = re.compile(spec.pattern, re.ASCII) if spec.pattern else None
    for text in distinct:
        if text is None:
            continue
        if pattern and not pattern.fullmatch(text):
            raise StudyError(f"{where}: {shown(text)} is not what a study writes there: {spec.meaning.split(';')[0]}")
        if not text.isascii() or not text.isprintable():
            for character in text:
                if unicodedata.category(character) in _FORBIDDEN and character not in f"\n\t{_JOINERS}":
                    raise StudyError(f"{where}: {shown(text)} holds the control character {shown(character)}")


def _check_numbers(where: str, spec: Column, values: pa.Array) -> None:
    if pa.types.is_floating(values.type):
        values = pc.filter(values, pc.invert(pc.is_null(values, nan_is_null=True)))
        if spec.type == "int" and not pc.all(pc.equal(pc.floor(values), values), min_count=0).as_py():
            raise StudyError(f"{where}: must hold whole numbers")
    ends = pc.min_max(values).as_py()
    for end, beyond, word in (("min", spec.low, "at least"), ("max", spec.high, "at most")):
        value = ends[end]
        if value is None:
            continue
        if isinstance(value, float) and not abs(value) <= LARGEST:
            raise StudyError(f"{where}: {value:g} must be finite, and at most {LARGEST:g} in size")
        if beyond is not None and (value < beyond if end == "min" else value > beyond):
            raise StudyError(f"{where}: {shown(value)} must be {word} {beyond:g}")


def _check_keys(name: str, table: pa.Table) -> None:
    """A row that stands there twice counts twice, and multiplies in every join."""
    keys = KEYS[name]
    if not set(keys) <= set(table.column_names) or not len(table):
        return
    codes = np.zeros(len(table), np.int64)
    for key in keys:  # Arrow's own groups take ten times the memory and the time
        distinct = table[key].combine_chunks().dictionary_encode()
        number = len(distinct.dictionary) + 1  # one more is missing
        own = distinct.indices.fill_null(number - 1).to_numpy()
        if (int(codes.max()) + 1) * number > MOST_CODES:
            codes = pd.factorize(codes)[0]
        codes = codes * number + own
    in_order = np.sort(codes)
    if (in_order[1:] == in_order[:-1]).any():
        _, place, count = np.unique(codes, return_inverse=True, return_counts=True)
        row = int(np.argmax(count[place] > 1))
        first = table.select(list(keys)).slice(row, 1).to_pylist()[0]
        named = ", ".join(f"{key} {plain(first[key], 100)}" for key in keys)
        raise StudyError(f"{named}: stands there {count[place[row]]} times, and must once")


def _check_runs(table: pa.Table) -> None:
    """A run's id says its dataset, activation, depth and each factor that is not at its default."""
    parts = ("run", "dataset", "activation", "depth")
    if not set(parts) <= set(table.column_names):
        return
    others = [name for name in FACTORS if name in table.column_names and name not in parts]
    for row in table.select(["run", *others]).group_by(["run", *others]).aggregate([]).to_pylist():
        named = RunId.read(row["run"]).factors
        for name in others:
            if name in named and named[name] != as_text(row[name]):
                raise StudyError(f"column {name}: {shown(row[name])} is not what run {shown(row['run'], 200)} says")
    for row in table.select(list(parts)).group_by(list(parts)).aggregate([]).to_pylist():
        run = RunId.read(row["run"])
        said = run.dataset, run.activation, int(run.factors["depth"])
        if said != tuple(row[part] for part in parts[1:]):
            raise StudyError(
                f"column run: {shown(row['run'], 100)} is not a run of dataset {row['dataset']}, activation "
                f"{row['activation']} and depth {row['depth']:g}"
            )


def _check_weights(table: pa.Table) -> None:
    """A run's learning rates have weights that sum to one, and the one that is selected has the largest of them, of
    equal ones the smaller rate; a run without data has none."""
    columns = ["run", "learning_rate", "weight", "selected"]
    if not {*columns, "status"} <= set(table.column_names):
        return
    rates = table.filter(pc.not_equal(table["status"], "no_data")).select(columns).group_by(columns).aggregate([])
    of_run: dict[str, list[tuple[float, float, bool]]] = {}
    for run, rate, weight, selected in zip(*(rates[name].to_pylist() for name in columns), strict=True):
        of_run.setdefault(run, []).append((-weight, rate, selected))
    for run, found in of_run.items():
        total = -sum(weight for weight, *_ in found)
        if not math.isclose(total, 1, abs_tol=1e-6):
            raise StudyError(f"column weight: those of run {shown(run, 200)} sum to {total:g}, and must to 1")
        if [selected for *_, selected in sorted(found)] != [True] + [False] * (len(found) - 1):
            raise StudyError(
                f"column selected: must be true for the rate of largest weight of run {shown(run, 200)} alone"
            )
