"""The tables keep what is put into them, and refuse what does not belong."""

import json
import math

import numpy as np
import pandas as pd
import pandera.errors
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from activation_study.core import files
from activation_study.core.errors import StudyError
from activation_study.tables import columns as schemas
from activation_study.tables import parquet
from activation_study.tables.columns import TABLES

_VALUES = {"str": "a", "int": 2, "float": 0.5, "bool": True}


def _row(name, **changes):
    return {column: _VALUES[spec.type] for column, spec in TABLES[name].items()} | changes


@pytest.mark.parametrize("name", TABLES)
def test_round_trip_keeps_values_types_and_gaps(name, tmp_path):
    gaps = {column: None for column, spec in TABLES[name].items() if spec.nullable}
    written = parquet.from_rows(name, [_row(name), _row(name, **gaps)])
    parquet.validate(name, written)
    parquet.write_parquet(written, tmp_path / "t.parquet")
    assert pq.read_table(tmp_path / "t.parquet").to_pylist() == [_row(name), _row(name, **gaps)]
    assert parquet.concatenated(name, [tmp_path / "t.parquet"] * 2).num_rows == 4
    assert list(pd.read_parquet(tmp_path / "t.parquet").columns) == list(TABLES[name])


@pytest.mark.parametrize("name", TABLES)
def test_an_empty_table_is_valid_and_has_its_types(name):
    empty = parquet.concatenated(name, [])
    assert empty.num_rows == 0
    assert empty.schema == parquet.from_rows(name, [_row(name)]).schema
    parquet.validate(name, empty)


def test_nan_counts_as_missing():
    row = _row("layers", mean=math.nan, sd=0.25)
    table = parquet.from_rows("layers", [row])
    assert table["mean"].null_count == 1
    assert table["sd"].to_pylist() == [0.25]


def test_a_missing_value_where_one_must_be_is_refused():
    for wrong in (None, math.nan):
        with pytest.raises(pandera.errors.SchemaErrors, match="learning_rate"):
            parquet.validate("curves", parquet.from_rows("curves", [_row("curves", learning_rate=wrong)]))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "column", "value"),
    [
        ("runs", "test_accuracy", 1.01),
        ("runs", "validation_accuracy", -0.01),
        ("runs", "depth", 0),
        ("runs", "replicate", -1),
        ("runs", "learning_rate", -1e-9),
        ("layers", "dead", 1.5),
        ("layers", "layer", 0),
        ("layers", "saturated_high", -1e-9),
        ("layers", "sd", -1.0),
        ("timings", "seconds", -0.1),
        ("datasets", "target", 1.5),
    ],
)
def test_values_out_of_range_are_found(name, column, value):
    table = parquet.from_rows(name, [_row(name), _row(name, **{column: value})])
    with pytest.raises(pandera.errors.SchemaErrors) as caught:
        parquet.validate(name, table)
    assert caught.value.failure_cases["column"].tolist() == [column]
    assert caught.value.failure_cases["failure_case"].tolist() == [value]


def test_all_faults_are_reported_at_once():
    rows = [_row("runs", depth=0), _row("runs", test_accuracy=2.0)]
    with pytest.raises(pandera.errors.SchemaErrors) as caught:
        parquet.validate("runs", parquet.from_rows("runs", rows))
    assert set(caught.value.failure_cases["column"]) == {"depth", "test_accuracy"}


def test_columns_that_are_missing_or_unknown_are_refused():
    columns = {column: [] for column in TABLES["timings"]}
    with pytest.raises(ValueError, match=r"table timings: .*\['extra'\]"):
        parquet.arrow_table("timings", columns | {"extra": []})
    del columns["phase"]
    with pytest.raises(ValueError, match=r"table timings: .*\['phase'\]"):
        parquet.arrow_table("timings", columns)


def test_a_column_in_the_wrong_place_is_refused():
    table = parquet.from_rows("timings", [_row("timings")])
    with pytest.raises(pandera.errors.SchemaErrors):
        parquet.validate("timings", table.select(list(reversed(table.column_names))))


@pytest.mark.parametrize(("column", "value"), [("seconds", "fast"), ("replica_steps", 1.5), ("replica_steps", "1")])
def test_a_value_of_the_wrong_type_is_refused(column, value):
    with pytest.raises(ValueError, match="a column of type"):
        parquet.from_rows("timings", [_row("timings", **{column: value})])


def test_arrays_are_those_that_arrow_would_make():
    values = {
        "str": ["σ", None, "", "long text"],
        "int": [1, None, -(2**62), 0],
        "float": [0.1, None, math.inf, -0.0],
        "bool": [True, None, False, True] * 5,
    }
    for kind, column in values.items():
        for part in (column, [value for value in column if value is not None], []):
            ours = parquet._array(part, kind)
            ours.validate(full=True)
            assert ours.equals(pa.array(part, type=parquet._ARROW[kind]))


def test_another_table_is_refused_by_name(tmp_path):
    parquet.write_parquet(parquet.from_rows("curves", [_row("curves")]), tmp_path / "curves.parquet")
    with pytest.raises(ValueError, match=r"curves\.parquet is damaged, or no runs table of schema version"):
        parquet.concatenated("runs", [tmp_path / "curves.parquet"])


def test_a_table_of_an_older_version_is_refused(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(parquet, "SCHEMA_VERSION", 0)
        parquet.write_parquet(parquet.from_rows("curves", [_row("curves")]), tmp_path / "old.parquet")
    with pytest.raises(ValueError, match=r"old\.parquet"):
        parquet.concatenated("curves", [tmp_path / "old.parquet"])


def test_a_foreign_parquet_file_is_refused(tmp_path):
    pq.write_table(pa.table({"x": [1]}), tmp_path / "foreign.parquet")
    with pytest.raises(ValueError, match=r"foreign\.parquet is damaged, or no curves table"):
        parquet.concatenated("curves", [tmp_path / "foreign.parquet"])


def test_a_crash_while_writing_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "t.parquet"
    parquet.write_parquet(parquet.from_rows("timings", [_row("timings")]), path)
    before = path.read_bytes()

    def half(table, where, **options):
        where.write_bytes(b"PAR1 half a file")
        raise OSError("disk full")

    monkeypatch.setattr(pq, "write_table", half)
    with pytest.raises(OSError, match="disk full"):
        parquet.write_parquet(parquet.from_rows("timings", []), path)
    assert path.read_bytes() == before
    with pytest.raises(OSError, match="disk full"):
        parquet.write_parquet(parquet.from_rows("timings", []), tmp_path / "new" / "t.parquet")
    assert [file.name for file in tmp_path.rglob("*") if file.is_file()] == ["t.parquet"]


@pytest.mark.slow
def test_every_bit_that_turns_is_noticed_or_harmless(tmp_path):
    """One bit of every byte, in turn: in a small file most of them are the footer's."""
    path = tmp_path / "timings.parquet"
    whole = parquet.from_rows("timings", [_row("timings", seconds=1.5 * number) for number in range(50)])
    parquet.write_parquet(whole, path)
    expected, content, noticed = parquet.read("timings", path), path.read_bytes(), []
    assert expected.equals(whole)
    for place in range(len(content)):
        path.write_bytes(content[:place] + bytes([content[place] ^ 1 << place % 8]) + content[place + 1 :])
        try:
            assert parquet.read("timings", path).equals(expected), place
        except StudyError as error:
            noticed.append(str(error))
    assert len(noticed) > len(content) / 3
    assert all(line.startswith(str(path)) and "\n" not in line for line in noticed)
    for end in range(0, len(content), 50):
        path.write_bytes(content[:end])
        with pytest.raises(StudyError, match="delete it and run the study again"):
            parquet.read("timings", path)


def test_json_round_trip_is_atomic_and_sorted(tmp_path):
    value = {"b": [1.5, None, True], "a": {"ü": "–"}}
    files.write_json(value, tmp_path / "new" / "v.json")
    assert files.read_json(tmp_path / "new" / "v.json") == value
    text = (tmp_path / "new" / "v.json").read_text(encoding="utf-8")
    assert text.index('"a"') < text.index('"b"')
    with pytest.raises(TypeError):
        files.write_json({"x": np.float32(1)}, tmp_path / "new" / "v.json")
    assert json.loads(text) == value | {"checksum": json.loads(text)["checksum"]}
    assert [file.name for file in (tmp_path / "new").iterdir()] == ["v.json"]


def test_a_factor_that_came_later_had_its_default(tmp_path):
    """So a new one leaves the tables of before as good as they were."""
    whole = parquet.from_rows("runs", [_row("runs", network="mlp", clip=None)])
    old = whole.drop_columns(["network", "clip"])
    parquet.write_parquet(old, tmp_path / "runs.parquet")
    (row,) = parquet.read("runs", tmp_path / "runs.parquet").to_pylist()
    assert row == _row("runs", network="mlp", clip=None)
    for lacking in ("depth", "optimiser"):
        parquet.write_parquet(whole.drop_columns([lacking]), tmp_path / "runs.parquet")
        with pytest.raises(StudyError, match=r"no runs table"):
            parquet.read("runs", tmp_path / "runs.parquet")


@pytest.mark.parametrize("selected", [True, False])
def test_before_there_were_weights_the_selected_rate_had_all(selected, tmp_path):
    whole = parquet.from_rows("runs", [_row("runs", selected=selected, weight=float(selected))])
    parquet.write_parquet(whole.drop_columns(["weight", "clip"]), tmp_path / "runs.parquet")
    assert parquet.read("runs", tmp_path / "runs.parquet")["weight"].to_pylist() == [float(selected)]


def test_before_there_was_a_choice_products_were_of_float32(tmp_path):
    texts = {name: "any" for name, spec in schemas.TABLES["jobs"].items() if spec.type == "str"}
    row = texts | {"seconds": 1.0, "threads": 1, "deterministic": True, "precision": "float32"}
    old = parquet.from_rows("jobs", [row]).drop_columns(["precision"])
    parquet.write_parquet(old, tmp_path / "jobs.parquet")
    assert parquet.read("jobs", tmp_path / "jobs.parquet").to_pylist() == [row]


def test_the_data_dictionary_names_every_column_once():
    text = schemas.data_dictionary()
    for name, columns in TABLES.items():
        part = text.split(f"\n## {name}\n")[1].split("\n## ")[0]
        rows = [line.split(" | ") for line in part.splitlines() if line.startswith("| ")][1:]
        assert [row[0].removeprefix("| ") for row in rows] == list(columns)
        assert [row[1].endswith("may be missing") for row in rows] == [c.nullable for c in columns.values()]
        assert all(len(row) == 3 and row[2].strip(" |") for row in rows)


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.dictionary(pa.int32(), pa.string())])
def test_texts_come_back_as_plain_ones_in_every_group_of_rows(kind, tmp_path):
    texts = ["a", None, "bb", "a"] * 50 + ["x" * 100_000]
    table = pa.table({"n": range(201), "s": pa.array(texts, pa.string()).cast(kind), "t": pa.nulls(201, pa.string())})
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=37)
    read = parquet.read_any(tmp_path / "a.parquet")
    assert read["s"].to_pylist() == texts
    assert read["t"].null_count == 201
    plain = kind.value_type if pa.types.is_dictionary(kind) else kind
    assert read.schema.types == [pa.int64(), plain, pa.string()]
