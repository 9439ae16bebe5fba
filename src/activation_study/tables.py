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
import pyarrow.parquet as pq

from activation_study.errors import StudyError
from activation_study.files import MADE_BY, replacing
from activation_study.schemas import SCHEMA_VERSION, TABLES
from activation_study.text import one_line, plain

MOST_VALUES = 400_000_000
"""In one table: one value a thousand times takes no room on a disk, but it does in memory."""
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
        table = _read(path)
    noted = schema.with_metadata({**schema.metadata, ROWS: str(table.num_rows)})
    metadata = {key: value for key, value in (table.schema.metadata or {}).items() if key != MADE_BY.encode()}
    table = table.replace_schema_metadata(metadata)
    if not table.schema.equals(noted, check_metadata=True):
        raise StudyError(
            f"{plain(path)} is damaged, or no {name} table of schema version {SCHEMA_VERSION}; delete it and run the "
            "study again"
        )
    return table


def read_any(path: str | Path) -> pa.Table:
    """Any table of this or an older version. Raises StudyError for a file that is damaged or not a table."""
    with _readable(path):
        return _read(path)


def _read(path: str | Path) -> pa.Table:
    """One regular file: of a folder Arrow would read all that lies in it, and a pipe it would wait for."""
    if os.path.exists(path) and not os.path.isfile(path):  # noqa: PTH110, PTH113
        raise ValueError("it is not a regular file")
    cells = pq.read_metadata(path)
    if cells.num_rows * cells.num_columns > MOST_VALUES:
        raise ValueError(f"it holds more than {MOST_VALUES:,} values")
    return pq.read_table(path, page_checksum_verification=True)


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
    """Hold a table against its schema. Raises pandera's SchemaErrors with every fault."""
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
    pandera.DataFrameSchema(columns, strict=True, ordered=True).validate(table.to_pandas(), lazy=True)
