"""Files are written as a whole or not at all."""

import pytest

from activation_study import files


def test_json_round_trip_in_a_folder_that_was_not_there(tmp_path):
    path = tmp_path / "new" / "value.json"
    files.write_json({"σ": [1, None, 0.1]}, path)
    assert files.read_json(path) == {"σ": [1, None, 0.1]}
    assert [f.name for f in path.parent.iterdir()] == ["value.json"]


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "value.txt"
    path.write_text("old")

    def fail():
        with files.replacing(path) as temporary:
            temporary.write_text("half")
            raise RuntimeError("disk on fire")

    with pytest.raises(RuntimeError, match="fire"):
        fail()
    assert path.read_text() == "old"
    assert [f.name for f in tmp_path.iterdir()] == ["value.txt"]


def test_what_cannot_be_json_leaves_nothing(tmp_path):
    with pytest.raises(TypeError):
        files.write_json({"bad": object()}, tmp_path / "value.json")
    assert list(tmp_path.iterdir()) == []
