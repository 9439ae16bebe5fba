"""Tables that a study never wrote: the page, verify and recommend refuse each in one line that names what is wrong."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from activation_study.__main__ import main
from activation_study.core.errors import StudyError
from activation_study.core.factors import Factors
from activation_study.core.names import NAME
from activation_study.report.page import build
from activation_study.report.study_data import StudyData
from activation_study.tables import checked, parquet
from activation_study.tables.columns import KEYS, RUN, TABLES
from synthetic import PROVENANCE, Shape, _whole, write_tables

SHAPE = Shape(("relu", "elu"), ("digits", "mnist1d"), (2, 5), seeds=5)
LONG = "n" * 500
NAMES = [
    "a/b",
    "a\x00b",
    r"$\frac{$",
    LONG,
    "a\x1b[31mb",
    "a\u202eb",
    "",
    "-a",
    "a b",
    "relu\n",
    "</script>",
    "ＲＥＬＵ",
]
RUNS = [
    "digits",
    "digits/relu",
    "digits/relu/",
    "digits/relu/depth=2,colour=red",
    "digits/relu/depth=two",
    "../depth=2",
]
NUMBERS = [
    ("runs", "test_accuracy", 1.5, "must be at most 1"),
    ("runs", "test_accuracy", -0.1, "must be at least 0"),
    ("runs", "train_loss", np.inf, "inf must be finite"),
    ("runs", "learning_rate", -np.inf, "-inf must be finite"),
    ("runs", "train_loss", 1e101, "1e+101 must be finite, and at most 1e+100 in size"),
    ("runs", "learning_rate", np.nan, "a value is missing"),
    ("runs", "depth", 0, "must be at least 1"),
    ("runs", "depth", 2**62, "must be at most 1000"),
    ("layers", "dead", 7.0, "must be at most 1"),
    ("layers", "layer", -1, "must be at least 1"),
    ("cost", "median", -1.0, "must be at least 0"),
    ("datasets", "target", 2.0, "must be at most 1"),
    ("activations", "gain", np.nan, "a value is missing"),
    ("portraits", "value", np.inf, "must be finite"),
]
SETS = [
    ("runs", "role", "both"),
    ("runs", "status", "unknown"),
    ("runs", "optimiser", "magic"),
    ("datasets", "status", "perhaps"),
    ("ledger", "verdict", "proved"),
    ("ledger", "type", "vote"),
    ("ledger", "row", '"><b>'),
    ("ledger", "family", 'a"><img src=x onerror=alert(1)>'),
    ("activations", "kind", "pickle"),
    ("timings", "phase", "coffee"),
    ("cost", "unit", "euro"),
]
TEXTS = [("ledger", "quote"), ("ledger", "test"), ("datasets", "target_reason"), ("activations", "definition")]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_tables(tmp_path_factory.mktemp("whole"), SHAPE)
    run = {"run": "digits/relu/depth=2", "role": "evaluation", "replicate": 0, "learning_rate": 0.01, "threads": 1}
    for name, row in (
        ("jobs", run | {"precision": "float32"}),
        ("measurements", run | {"measurement": "tortuosity"}),
    ):  # it has none of them
        parquet.write_parquet(parquet.from_rows(name, [_whole(name, row)]), folder / f"{name}.parquet")
    return folder


@pytest.fixture
def folder(whole: Path, tmp_path: Path) -> Path:
    """A copy of the whole tables, to spoil."""
    folder = tmp_path / "tables"
    folder.mkdir()
    for file in whole.iterdir():
        os.link(file, folder / file.name)
    return folder


def _spoiled(folder: Path, name: str, change: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
    """The table written anew, with its checksums and its own schema, as somebody does who knows how."""
    path = folder / f"{name}.parquet"
    schema = parquet.read(name, path).schema
    frame = change(pd.read_parquet(path))
    path.unlink()
    made = pa.Table.from_pandas(frame, schema.remove_metadata(), preserve_index=False)
    parquet.write_parquet(made.replace_schema_metadata(schema.metadata), path)


def _planted(folder: Path, name: str, column: str, value: Any, row: int = 1) -> None:
    def change(frame: pd.DataFrame) -> pd.DataFrame:
        values = frame[column].astype(object)
        values.iloc[row] = value
        return frame.assign(**{column: values})

    spec = TABLES[name][column]
    if value != value and not spec.nullable:  # pandas would make a null of it, which Arrow refuses to write
        path = folder / f"{name}.parquet"
        table = parquet.read(name, path)
        path.unlink()
        values = table[column].to_numpy().copy()
        values[row] = value
        place = table.column_names.index(column)
        parquet.write_parquet(table.set_column(place, table.schema.field(column), pa.array(values)), path)
        return
    _spoiled(folder, name, change)


def _refusal(folder: Path) -> str:
    with pytest.raises(StudyError) as refused:
        StudyData.read("x", folder, PROVENANCE)
    line = str(refused.value)
    assert "\n" not in line
    assert line.isprintable()
    assert len(line) < 700
    return line


def test_a_whole_study_is_read(whole: Path):
    read = StudyData.read("x", whole, PROVENANCE).tables
    assert set(read) == set(TABLES)
    for name, frame in read.items():
        pd.testing.assert_frame_equal(frame, pd.read_parquet(whole / f"{name}.parquet"))


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES, ids=ascii)
@pytest.mark.parametrize(
    ("table", "column"), [("runs", "activation"), ("runs", "dataset"), ("experiments", "experiment")]
)
def test_a_name_that_no_config_has_is_refused(folder: Path, table: str, column: str, name: str):
    _planted(folder, table, column, name)
    assert f"{folder / table}.parquet: column {column}: " in _refusal(folder)


@pytest.mark.parametrize("table", ["activations", "portraits", "cost", "datasets"])
def test_so_it_is_wherever_it_stands(folder: Path, table: str):
    column = "dataset" if table == "datasets" else "activation"
    _planted(folder, table, column, r"$\frac{$")
    assert f"column {column}: '$\\\\frac{{$' is not what a study writes there" in _refusal(folder)


@pytest.mark.slow
@pytest.mark.parametrize("run", RUNS)
@pytest.mark.parametrize("table", ["runs", "curves", "experiments"])
def test_a_run_whose_id_does_not_parse_is_refused(folder: Path, table: str, run: str):
    _planted(folder, table, "run", run)
    assert "column run: " in _refusal(folder)


def test_a_run_s_id_says_what_it_is(folder: Path):
    _planted(folder, "runs", "run", "digits/gelu/depth=2")
    assert "'digits/gelu/depth=2' is not a run of dataset digits, activation relu and depth 2" in _refusal(folder)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"weight": lambda runs: runs["weight"] / 2}, "column weight: those of run 'digits/relu/depth=2' sum to 0.5"),
        ({"weight": lambda runs: (runs["learning_rate"] == 0.1) / 1.0}, "column selected: must be true for the rate"),
        ({"selected": lambda runs: False}, "column selected: must be true for the rate of largest weight of run"),
        ({"selected": lambda runs: True}, "column selected: must be true for the rate of largest weight of run"),
    ],
)
def test_weights_select_one_rate_of_a_run(folder: Path, change: dict[str, Any], fault: str):
    _spoiled(folder, "runs", lambda runs: runs.assign(**change))
    assert fault in _refusal(folder)


def test_a_run_s_factors_are_those_of_its_id(folder: Path):
    _planted(folder, "runs", "run", "digits/relu/depth=2,width=65")
    assert "column width: 64 is not what run 'digits/relu/depth=2,width=65' says" in _refusal(folder)


@pytest.mark.slow
@pytest.mark.parametrize(("table", "column", "value", "fault"), NUMBERS)
def test_a_number_out_of_bounds_is_refused(folder: Path, table: str, column: str, value: float, fault: str):
    _planted(folder, table, column, value)
    line = _refusal(folder)
    assert f"column {column}: " in line
    assert fault in line


@pytest.mark.slow
@pytest.mark.parametrize(("table", "column", "value"), SETS)
def test_a_word_that_is_none_of_its_set_is_refused(folder: Path, table: str, column: str, value: str):
    _planted(folder, table, column, value)
    assert f"{table}.parquet: column {column}: " in _refusal(folder)


@pytest.mark.slow
@pytest.mark.parametrize(("table", "column"), TEXTS)
@pytest.mark.parametrize("character", ["\x00", "\x1b", "\x85", "\u202e", "\u2066", "\u2028", "\ufeff"], ids=ascii)
def test_free_text_has_no_control_character(folder: Path, table: str, column: str, character: str):
    _planted(folder, table, column, f"said {character} so")
    assert f"column {column}: 'said {ascii(character)[1:-1]} so' holds the control character" in _refusal(folder)


@pytest.mark.slow
@pytest.mark.parametrize(
    "text", ["a\nb\tc", 'x < y & "z" \'', "é ∞ 漢字 👩\u200d🔬 नमस्\u200dते", "=cmd()", "x" * 20_000], ids=ascii
)
def test_other_free_text_is_read(folder: Path, text: str):
    _planted(folder, "datasets", "target_reason", text)
    assert text in StudyData.read("x", folder, PROVENANCE).tables["datasets"]["target_reason"].tolist()


@pytest.mark.slow
@pytest.mark.parametrize("table", KEYS)
def test_a_row_that_stands_there_twice_is_refused(folder: Path, table: str):
    _spoiled(folder, table, lambda frame: pd.concat([frame, frame.iloc[:1]]))
    assert f"{table}.parquet: {KEYS[table][0]} " in _refusal(folder)


@pytest.mark.parametrize("most", [checked.MOST_CODES, 20], ids=["in one", "packed"])
@pytest.mark.parametrize("repeated", [None, 0, 3])
def test_rows_are_told_apart_by_all_their_keys(most: int, repeated: int | None, monkeypatch):
    """Also where a key is missing, and where 64 bits would not number all that there could be."""
    monkeypatch.setattr(checked, "MOST_CODES", most)
    rows = [(run, role, rate) for run in "abc" for role in ("tuning", None) for rate in (0.1, None, 0.3)]
    rows += [rows[repeated]] if repeated is not None else []
    names = ("run", "role", "learning_rate")
    table = pa.table(dict(zip(names, map(list, zip(*rows, strict=True)), strict=True)))
    monkeypatch.setitem(checked.KEYS, "curves", names)
    if repeated is None:
        checked._check_keys("curves", table)
    else:
        with pytest.raises(
            StudyError, match=rf"run {rows[repeated][0]}, role {rows[repeated][1]}, .*: stands there 2 times"
        ):
            checked._check_keys("curves", table)


@pytest.mark.slow
@pytest.mark.parametrize("table", ["curves", "layers", "timings", "experiments"])
def test_a_run_of_another_study_is_refused(folder: Path, table: str):
    _planted(folder, table, "run", "digits/relu/depth=77")
    assert f"table {table}: column run: 'digits/relu/depth=77' is in no row of the runs table" in _refusal(folder)


def test_another_study_s_activation_is_refused(folder: Path):
    _planted(folder, "cost", "activation", "gelu")
    assert "table cost: column activation: 'gelu' is in no row of the runs table" in _refusal(folder)


def _unsound_text(path: Path) -> None:
    """A table whose text is not UTF-8: Parquet does not say so."""
    table = parquet.read("datasets", path)
    path.unlink()
    size = len(table)
    ends = pa.py_buffer(np.arange(size + 1, dtype=np.int32))
    wrong = pa.Array.from_buffers(pa.string(), size, [None, ends, pa.py_buffer(b"\xff" * size)])
    place = table.column_names.index("source")
    parquet.write_parquet(table.set_column(place, table.schema.field("source"), wrong), path)


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _huge(path: Path) -> None:
    """A column that takes no room on the disk."""
    path.unlink()
    column = pa.array(np.zeros(4_000_000, dtype=np.int8))
    pq.write_table(pa.table({f"c{number}": column for number in range(101)}), path, compression="zstd")


def _one_text(size: int, rows: int, path: Path) -> None:
    """A text that takes its room on the disk once, and in memory once for each row."""
    path.unlink()
    texts = pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, np.int32)), pa.array(["x" * size]))
    pq.write_table(pa.table({"source": texts}), path, compression="zstd", store_schema=False)


def _unpacked(path: Path) -> None:
    """The same, written out for each row."""
    path.unlink()
    texts = pa.array(["x" * 90_000] * 4000)
    pq.write_table(pa.table({"source": texts}), path, compression="zstd", use_dictionary=False)


def _nested(path: Path) -> None:
    path.unlink()
    pq.write_table(pa.table({"source": [["x"]]}), path)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("spoil", "fault"),
    [
        (partial(_one_text, 2_000_000, 400), "column source holds a text of 2,000,000 bytes"),
        (partial(_one_text, 90_000, 30_000), "it holds more than 2,147,483,648 bytes of text"),
        (_unpacked, "as bombs do"),
        (_nested, "column source holds list<"),
        (_unsound_text, "Invalid UTF8"),
        (_folder, "it is not a regular file"),
        (_pipe, "it is not a regular file"),
        (_huge, "it holds more than 400,000,000 values"),
    ],
)
def test_what_is_not_a_sound_file_is_refused(folder: Path, spoil: Callable[[Path], None], fault: str):
    spoil(folder / "datasets.parquet")
    assert fault in _refusal(folder)


@pytest.mark.parametrize("column", ["run", "role", "status", "test_accuracy"])
def test_recommend_and_verify_name_a_column_that_is_missing(folder: Path, whole: Path, column: str, tmp_path: Path):
    frame = pd.read_parquet(folder / "runs.parquet").drop(columns=column)
    (folder / "runs.parquet").unlink()
    frame.to_parquet(folder / "runs.parquet")
    commands = {"recommend": ["--depth", "5"], "verify": ["--reference", str(whole)]}
    for command, more in commands.items():
        if (command, column) == ("verify", "status"):
            continue  # its rules do not rest on it: another set of columns is a difference
        with pytest.raises(SystemExit) as ended:
            main([command, "--tables", str(folder), *more])
        assert f"runs.parquet: lacks the column {column}; it is not a runs table of a study" in str(ended.value)
        assert "\n" not in str(ended.value)


@pytest.mark.slow
@pytest.mark.parametrize(
    "spoil",
    [
        partial(_planted, name="runs", column="run", value="digits"),
        partial(_planted, name="runs", column="activation", value=r"$\frac{$"),
        partial(_planted, name="runs", column="status", value="unknown"),
        partial(_planted, name="runs", column="test_accuracy", value=np.inf),
        partial(_spoiled, name="runs", change=lambda frame: pd.concat([frame, frame])),
        partial(_planted, name="experiments", column="run", value="digits/relu/depth=77"),
        partial(_planted, name="experiments", column="experiment", value="a\x00b"),
    ],
)
def test_recommend_and_verify_refuse_what_the_page_does(folder: Path, whole: Path, spoil: Callable[..., None]):
    spoil(folder)
    with pytest.raises(SystemExit) as ended:
        main(["recommend", "--tables", str(folder), "--depth", "5"])
    assert str(ended.value).startswith("error: ")
    assert "\n" not in str(ended.value)
    with pytest.raises(SystemExit) as ended:
        main(["verify", "--tables", str(folder), "--reference", str(whole)])
    assert "\n" not in str(ended.value)


def test_the_report_is_not_half_written(folder: Path, tmp_path: Path):
    _planted(folder, "runs", "activation", "a/b")
    with pytest.raises(StudyError, match="column activation"):
        build("x", folder, tmp_path / "x.html", PROVENANCE)
    assert [path.name for path in tmp_path.iterdir()] == ["tables"]


def test_a_file_of_another_name_is_no_table(folder: Path):
    (folder / "runs.parquet").rename(folder / "walks.parquet")
    with pytest.raises(StudyError, match="no table is called 'walks'"):
        checked.read_any(folder / "walks.parquet")


def test_the_patterns_are_the_config_s():
    assert Factors.model_json_schema()["properties"]["activation"]["pattern"] == f"^{NAME}$"
    columns = [(spec, column) for table in TABLES.values() for column, spec in table.items()]
    assert all(spec.pattern == RUN.pattern for spec, column in columns if column == "run")
    assert all(spec.pattern is None or spec.type == "str" for spec, _ in columns)


def test_every_key_is_of_the_table():
    assert set(KEYS) == set(TABLES)
    assert all(set(key) <= set(TABLES[table]) for table, key in KEYS.items())
