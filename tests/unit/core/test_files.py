"""Files are written as a whole or not at all."""

import pytest

from activation_study.core import files
from activation_study.core.errors import StudyError


def test_json_round_trip_in_a_folder_that_was_not_there(tmp_path):
    path = tmp_path / "new" / "value.json"
    files.write_json({"σ": [1, None, 0.1]}, path)
    assert files.read_json(path) == {"σ": [1, None, 0.1]}
    assert [f.name for f in path.parent.iterdir()] == ["value.json"]


@pytest.mark.slow
def test_every_bit_of_json_that_turns_is_noticed_or_harmless(tmp_path):
    path, value = tmp_path / "value.json", {"gain": 1.5926, "names": ["σ", None], "nested": {"a": -1}}
    files.write_json(value, path)
    content, noticed = path.read_bytes(), []
    for place in range(8 * len(content)):
        changed = bytearray(content)
        changed[place // 8] ^= 1 << place % 8
        path.write_bytes(changed)
        try:
            assert files.read_json(path) == value, place
        except StudyError as error:
            noticed.append(str(error))
    assert len(noticed) > 7 * len(content)
    assert all(line.startswith(f"{path} is damaged (") and "\n" not in line for line in noticed)
    for other in ("[1]", "3", "null", '{"gain": 1.5}', "", "[" * 100_000):
        path.write_text(other)
        with pytest.raises(StudyError, match="is damaged"):
            files.read_json(path)


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
