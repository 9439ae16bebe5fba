"""Tables as csv: what is read, and one line for everything that is wrong with one."""

import re

import numpy as np
import pytest

from activation_study.core.errors import StudyError
from activation_study.data import entries, prepare, tabular

HEADER = "size,colour,kind"
ROWS = ("1.5,red,a", "-2,green,b", "1e3,red,b", "0,blue,a")


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "table.csv"

    def load(text: str | bytes, **entry):
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return prepare.load("mine", {"source": "csv", "path": str(path), "label": "kind", **entry})

    return load


def test_numbers_stay_and_categories_become_columns_of_0_and_1(table, tmp_path):
    arrays = table("\n".join([HEADER, *ROWS]), categorical=["colour"])
    size, blue, green, red = tabular.csv(tmp_path / "table.csv", "datasets.mine", "kind", ["colour"]).x.T
    assert size.tolist() == [1.5, -2, 1000, 0]
    assert (blue.tolist(), green.tolist(), red.tolist()) == ([0, 0, 0, 1], [0, 1, 0, 0], [1, 0, 1, 0])
    assert arrays.y.tolist() == [0, 1, 1, 0]
    assert (arrays.classes, arrays.official_test) == (2, None)
    assert arrays.source == "csv file table.csv (one-hot columns: colour), each feature on its own scale"


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_table_is_what_its_numbers_are_as_npz(table, tmp_path, separator, end):
    x = np.random.default_rng(0).normal(50, [1, 1000, 1e-7], (40, 3))
    y = np.arange(40) % 3
    rows = [
        (repr(float(one)), repr(float(two)), str(k), repr(float(three)))
        for (one, two, three), k in zip(x, y, strict=True)
    ]
    lines = [("a", "b", "kind", "a third, one"), *rows]
    quoted = [separator.join(f'"{value}"' if "," in value else value for value in line) for line in lines]
    found = table("\ufeff" + end.join(quoted) + end)
    np.savez(tmp_path / "same.npz", x=x, y=y)
    assert found.sha256 == prepare.load("mine", {"source": "npz", "path": str(tmp_path / "same.npz")}).sha256
    assert found.scale == "per_feature"
    assert "differ by a factor of" in found.note


def test_labels_are_texts_even_where_they_look_like_numbers(table):
    assert table("x,kind\n1,01\n2,1\n3,01").y.tolist() == [0, 1, 0]


def test_constant_columns_are_left_out_and_named(table):
    found = table("x,one,word,kind\n1,5,so,a\n2,5,so,b\n4,5,so,b", categorical=["word"])
    assert found.x.shape == (3, 1)
    assert "(constant columns, left out: one, word)" in found.source


BAD = {
    "no such column": ("x,k\n1,a\n2,b", {}, "datasets.mine.label: 'kind' is no column of the table; it has x, k"),
    "no such category": (
        "x,kind\n1,a\n2,b",
        {"categorical": ["colour"]},
        "datasets.mine.categorical: 'colour' is no column of the table; it has x, kind",
    ),
    "label a category": (
        "x,kind\n1,a\n2,b",
        {"categorical": ["kind"]},
        "datasets.mine.categorical: 'kind' is the label",
    ),
    "text": (
        "x,colour,kind\n1,2,a\n2,red,b",
        {},
        "column 'colour' holds 'red' in row 2, which is no number; if it is a category, name its column in "
        "datasets.mine.categorical",
    ),
    "decimal comma": ("x;kind\n1,5;a\n2,5;b", {}, "column 'x' holds '1,5' in row 1, which is no number"),
    "missing number": (
        "x,y,kind\n1,2,a\n2,?,b\n,3,b",
        {},
        "column 'y' has no value in row 2, and 2 values are missing",
    ),
    "missing label": ("x,kind\n1,a\n2,", {}, "column 'kind' has no value in row 2"),
    "missing category": ("x,c,kind\n1,NA,a\n2,3,b", {"categorical": ["c"]}, "column 'c' has no value in row 1"),
    "short line": ("x,y,kind\n1,2,a\n2,3\n", {}, "column 'kind' has no value in row 2"),
    "long line": ("x,kind\n1,a\n2,b,c\n", {}, "is not a readable table"),
    "infinite": ("x,kind\n1,a\ninf,b", {}, "column 'x' holds an infinite number"),
    "huge": ("x,kind\n1,a\n1e999,b", {}, "column 'x' holds an infinite number"),
    "twice": ("x,x,kind\n1,2,a\n2,3,b", {}, "two columns have the name 'x'"),
    "nameless": ("x,,kind\n1,2,a\n2,3,b", {}, "column 2 has no name"),
    "nothing varies": ("x,kind\n1,a\n1,b", {}, "no column of features varies"),
    "one class": ("x,kind\n1,a\n2,a", {}, "every sample has the label a"),
    "header alone": ("x,kind\n", {}, "has no samples"),
    "labels alone": ("kind\na\nb", {}, "has no samples, or no column beside 'kind'"),
    "empty": ("", {}, "is not a readable table"),
    "latin 1": ("größe,kind\n1,a\n2,b".encode("latin-1"), {}, "is not a readable table in UTF-8"),
    "bytes": (b"\x1f\x8b\x08\x00\x00kind\n", {}, "is not a readable table in UTF-8"),
}


@pytest.mark.parametrize(("text", "entry", "message"), BAD.values(), ids=BAD)
def test_what_is_wrong_is_said_in_one_line(table, text, entry, message):
    with pytest.raises(StudyError, match=re.escape(message)) as error:
        table(text, **entry)
    assert "\n" not in str(error.value)
    assert str(error.value).startswith("datasets.mine")


def test_categories_that_are_as_many_as_samples_stop_before_memory_does(table, monkeypatch):
    monkeypatch.setattr(tabular, "MAX_BYTES", 10_000)
    rows = "\n".join(f"{i},n{i},{i % 2}" for i in range(100))
    with pytest.raises(StudyError, match="has 101 features with one for each category"):
        table(f"x,name,kind\n{rows}", categorical=["name"])


def test_a_file_that_is_none_or_too_large(table, tmp_path, monkeypatch):
    with pytest.raises(StudyError, match="is not a file"):
        prepare.load("mine", {"source": "csv", "path": str(tmp_path), "label": "kind"})
    monkeypatch.setattr(tabular, "LARGEST_CSV", 10)
    with pytest.raises(StudyError, match="save it as an npz file"):
        table("x,kind\n1,a\n2,b")


def test_a_changed_file_is_other_data_that_need_memory_as_it_is_large(tmp_path):
    path = tmp_path / "table.csv"
    entry = {"source": "csv", "path": str(path), "label": "kind"}
    assert (entries.fingerprint(entry, tmp_path), entries.mem_mb(entry)) == ("", entries.PREPARING_MB)
    path.write_text("x,kind\n1,a\n")
    before = entries.fingerprint(entry, tmp_path)
    path.write_text("x,kind\n2,a\n" + 10**6 * " ")
    assert before != entries.fingerprint(entry, tmp_path) != ""
    assert entries.mem_mb(entry) == entries.PREPARING_MB + 21
