"""Tables as files: Parquet that is written atomically, read with every check, and held against the schema."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from activation_study.core.errors import StudyError
from activation_study.core.files import MADE_BY, replacing
from activation_study.core.text import one_line, plain
from activation_study.tables.columns import LATER, SCHEMA_VERSION, TABLES

MOST_VALUES = 400_000_000
"""In one table: one value a thousand times takes no room on a disk, but it does in memory."""
FEW_VALUES = 1_000_000
"""Of a table that one thread reads."""
ROWS_AT_ONCE = 200_000
MOST_TEXT = 100_000
"""Bytes of one text: a config's has 10,000 characters at most, and few are put together."""
MOST_TEXTS = 2**31
"""Bytes of all texts of one table: one text a million times takes no room on a disk either. Arrow's texts end there."""
PACKED_MOST = 100
"""Times that a file's pages may be larger than the file, if they are larger than UNPACKED_FREE."""
UNPACKED_FREE = 2**28
ROWS = b"rows"
"""Key of a file's metadata."""

_NUMPY = {"int": np.int64, "float": np.float64, "bool": np.bool_}
_ARROW = {"str": pa.string(), "int": pa.int64(), "float": pa.float64(), "bool": pa.bool_()}
_PANDAS = {"str": "str", "int": "int64", "float": "float64", "bool": "bool"}


def arrow_table(name: str, columns: Mapping[str, Sequence[Any]]) -> pa.Table:
    """The columns as a typed table. Raises ValueError when a column is missing or unknown."""
    spec = TABLES[name]
    if set(columns) != set(spec):
        raise ValueError(f"table {name}: columns differ: {sorted(set(columns) ^ set(spec))}")
    arrays = [_array(columns[column], spec[column].type) for column in spec]
    return pa.Table.from_arrays(arrays, schema=_schema(name))


def _schema(name: str) -> pa.Schema:
    spec = TABLES[name]
    return pa.schema(
        [pa.field(column, _ARROW[spec[column].type], spec[column].nullable) for column in spec],
        metadata={"schema_version": str(SCHEMA_VERSION), "table": name},
    )


def from_rows(name: str, rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    """Rows as a typed table; a NaN or an infinity counts as missing."""
    return arrow_table(name, {c: [_missing(row[c]) for row in rows] for c in TABLES[name]})


def _array(values: Sequence[Any], kind: str) -> pa.Array:
    """Values, None where one is missing, as an Arrow array, by Arrow's own layout.

    pyarrow's conversion would import pandas, a second that no training job has to spare.
    """
    there = np.array([value is not None for value in values], dtype=bool)
    buffers = [None if there.all() else pa.py_buffer(np.packbits(there, bitorder="little"))]
    if kind == "str":
        texts = [b"" if value is None else str(value).encode() for value in values]
        ends = np.cumsum([0, *map(len, texts)], dtype=np.int32)
        buffers += [pa.py_buffer(ends), pa.py_buffer(b"".join(texts))]
    else:
        filler = _NUMPY[kind](0)
        known = np.array([filler if value is None else value for value in values])
        if len(known) and not np.can_cast(known.dtype, _NUMPY[kind], "safe"):
            raise ValueError(f"a column of type {kind} holds {known.dtype} values")
        known = known.astype(_NUMPY[kind])
        buffers.append(pa.py_buffer(np.packbits(known, bitorder="little") if kind == "bool" else known))
    return pa.Array.from_buffers(_ARROW[kind], len(values), buffers)


def _missing(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def write_parquet(table: pa.Table, path: str | Path, made_by: Mapping[str, Any] | None = None) -> None:
    """Write atomically: the file is there as a whole or not at all.

    Pages carry checksums, and the metadata the number of rows: so ``read`` notices each bit that turns.

    Args:
        table: one of ours.
        path: the file.
        made_by: the file's receipt, see ``receipts``.
    """
    receipt = {} if made_by is None else {MADE_BY: json.dumps(made_by, sort_keys=True)}
    noted = table.replace_schema_metadata({**table.schema.metadata, ROWS: str(table.num_rows), **receipt})
    with replacing(path) as temporary:
        pq.write_table(noted, temporary, compression="zstd", write_page_checksum=True)


def read(name: str, path: str | Path) -> pa.Table:
    """The table of that name that ``write_parquet`` wrote.

    Raises:
        StudyError: the file is damaged, or not such a table.
    """
    schema = _schema(name)
    with _readable(path):
        table = _with_later_columns(name, _read(path))
    noted = schema.with_metadata({**schema.metadata, ROWS: str(table.num_rows)})
    metadata = {key: value for key, value in (table.schema.metadata or {}).items() if key != MADE_BY.encode()}
    table = table.replace_schema_metadata(metadata)
    if not table.schema.equals(noted, check_metadata=True):
        raise StudyError(
            f"{plain(path)} is damaged, or no {name} table of schema version {SCHEMA_VERSION}; delete it and run the "
            "study again"
        )
    return table


def _with_later_columns(name: str, table: pa.Table) -> pa.Table:
    """With the columns that came after it was written."""
    later = LATER.get(name, {})
    if not set(TABLES[name]) - set(later) <= set(table.column_names):
        return table
    for place, column in enumerate(TABLES[name]):
        if column not in table.column_names:
            field, given = _schema(name).field(column), later[column]
            values = given(table) if callable(given) else [pa.array([given] * len(table), field.type)]
            table = table.add_column(place, field, values)
    return table


def read_any(path: str | Path) -> pa.Table:
    """Any table of this or an older version. Raises StudyError for a file that is damaged or not a table."""
    with _readable(path):
        return _read(path)


def _read(path: str | Path) -> pa.Table:
    """One regular file: of a folder Arrow would read all that lies in it, and a pipe it would wait for."""
    if os.path.exists(path) and not os.path.isfile(path):  # noqa: PTH110, PTH113
        raise ValueError("it is not a regular file")
    file = pq.ParquetFile(path)
    cells, schema = file.metadata, file.schema_arrow
    if cells.num_rows * cells.num_columns > MOST_VALUES:
        raise ValueError(f"it holds more than {MOST_VALUES:,} values")
    packed = Path(path).stat().st_size
    unpacked = sum(cells.row_group(i).total_byte_size for i in range(cells.num_row_groups))
    if unpacked > max(UNPACKED_FREE, PACKED_MOST * packed):
        raise ValueError(f"it declares {unpacked:,} bytes in {packed:,}, as bombs do")
    kinds = [_kind(field) for field in schema]
    texts = [field.name for field, kind in zip(schema, kinds, strict=True) if _is_text(kind)]
    few = cells.num_rows * cells.num_columns < FEW_VALUES  # to start threads takes longer
    file = pq.ParquetFile(path, metadata=cells, page_checksum_verification=True, read_dictionary=texts)
    return _decoded(file.read(use_threads=not few), kinds)


def _kind(field: pa.Field) -> pa.DataType:
    """The type of a column, if its values have a bounded size or are texts."""
    kind = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
    if not (pa.types.is_primitive(kind) or pa.types.is_null(kind) or _is_text(kind)):
        raise ValueError(f"column {plain(field.name, 100)} holds {plain(kind, 40)}, as no table of a study does")
    return kind


def _is_text(kind: pa.DataType) -> bool:
    return pa.types.is_string(kind) or pa.types.is_large_string(kind)


def _decoded(table: pa.Table, kinds: Sequence[pa.DataType]) -> pa.Table:
    """The table with plain texts, each of which it has once until they are known to be few and short enough."""
    total = 0
    for name, column in zip(table.column_names, table.columns, strict=True):
        for chunk in column.chunks if pa.types.is_dictionary(column.type) and _is_text(column.type.value_type) else ():
            lengths = pc.binary_length(chunk.dictionary).fill_null(0)
            if (longest := pc.max(lengths).as_py() or 0) > MOST_TEXT:
                raise ValueError(f"column {plain(name, 100)} holds a text of {longest:,} bytes; {MOST_TEXT:,} are read")
            total += pc.sum(pc.cast(lengths.take(chunk.indices), pa.int64())).as_py() or 0
    if total > MOST_TEXTS:
        raise ValueError(f"it holds more than {MOST_TEXTS:,} bytes of text")
    fields = [field.with_type(kind) for field, kind in zip(table.schema, kinds, strict=True)]
    return table.cast(pa.schema(fields, metadata=table.schema.metadata))


@contextmanager
def _readable(path: str | Path) -> Iterator[None]:
    """Any error but a lack of memory as a StudyError of one line."""
    try:
        yield
    except MemoryError:
        raise
    except Exception as error:  # Arrow and pandas have errors of many kinds for damaged files
        raise StudyError(
            f"{plain(path)} cannot be read as a table ({one_line(error, 200)}); if the study made it, delete it and "
            "run the study again"
        ) from None


def concatenated(name: str, paths: Sequence[str | Path]) -> pa.Table:
    """The parts of one table, in the given order. Raises StudyError naming a file that is not such a table."""
    parts = [read(name, path).replace_schema_metadata(_schema(name).metadata) for path in paths]
    return pa.concat_tables(parts) if parts else arrow_table(name, {column: [] for column in TABLES[name]})


def validate(name: str, table: pa.Table) -> None:
    """Hold a table against its schema. Raises SchemaErrors with the faults of the first rows that have one."""
    import pandera.pandas as pandera  # slow to import, and no training job validates

    columns = {}
    for column, spec in TABLES[name].items():
        checks = [
            check(bound)
            for check, bound in ((pandera.Check.ge, spec.low), (pandera.Check.le, spec.high))
            if bound is not None
        ]
        kind = (
            {"int": "Int64", "bool": "boolean"}.get(spec.type, _PANDAS[spec.type])
            if spec.nullable
            else _PANDAS[spec.type]
        )
        columns[column] = pandera.Column(kind, checks, nullable=spec.nullable, coerce=True)
    schema = pandera.DataFrameSchema(columns, strict=True, ordered=True)
    for first in range(0, max(len(table), 1), ROWS_AT_ONCE):  # as pandas has a table several times over
        schema.validate(table.slice(first, ROWS_AT_ONCE).to_pandas(), lazy=True)
