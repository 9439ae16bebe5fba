"""Data are known by their content: neither times nor places count, every byte does."""

import os
import shutil
import time
from pathlib import Path

import numpy as np
import pytest

from activation_study.data import entries, identity


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, x=np.arange(12.0).reshape(6, 2), y=[0, 1] * 3)
    return path


@pytest.fixture
def folder(tmp_path):
    for part in ("train", "test"):
        for name in ("cat", "dog"):
            (tmp_path / "f" / part / name).mkdir(parents=True)
            (tmp_path / "f" / part / name / "0.png").write_bytes(f"{part} {name}".encode())
    return tmp_path / "f"


def known(path: Path, cache: Path | None = None) -> str:
    source = "folder" if path.is_dir() else "npz"
    return entries.fingerprint({"source": source, "path": str(path)}, cache or path.parent / "cache")


def later(path: Path) -> None:
    for place in [path, *path.rglob("*")]:
        os.utime(place, (time.time() + 100, time.time() + 100))


def test_a_touched_file_is_the_same(file):
    before = known(file)
    later(file)
    assert known(file) == before


def test_a_copied_or_touched_folder_is_the_same(folder, tmp_path):
    before = known(folder)
    later(folder)
    assert known(folder) == before
    shutil.copytree(folder, tmp_path / "copy")
    assert known(tmp_path / "copy") == before


def test_other_bytes_of_the_same_size_and_time_are_others(file, folder):
    for path in (file, folder / "test" / "dog" / "0.png"):
        top = path if path == file else folder
        before, status, content = known(top), path.stat(), path.read_bytes()
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
        assert known(top) != before
        path.write_bytes(content)
        assert known(top) == before


@pytest.mark.parametrize(
    "change",
    [
        lambda f: (f / "test" / "cat" / "0.png").rename(f / "test" / "cat" / "1.png"),
        lambda f: (f / "test" / "cat").rename(f / "test" / "elk"),
        lambda f: (f / "test").rename(f / "val"),
        lambda f: (f / "test" / "cat" / "1.png").write_bytes(b""),
        lambda f: (f / "test" / "cat" / "0.png").unlink(),
    ],
)
def test_names_and_places_within_a_folder_count(folder, change):
    before = known(folder)
    change(folder)
    assert known(folder) != before


def test_hidden_files_and_links_out_of_the_folder_are_not_read(folder, tmp_path):
    before = known(folder)
    (folder / "train" / ".DS_Store").write_bytes(b"x")
    assert known(folder) == before
    (tmp_path / "secret").write_bytes(b"one")
    (folder / "train" / "cat" / "1.png").symlink_to(tmp_path / "secret")
    linked = known(folder)
    (tmp_path / "secret").write_bytes(b"two")
    assert known(folder) == linked != before


def test_what_is_no_file_is_neither_opened_nor_waited_for(folder, tmp_path):
    os.mkfifo(folder / "train" / "cat" / "pipe.png")
    (folder / "train" / "cat" / "up").symlink_to(folder)
    (folder / "train" / "cat" / "self").symlink_to("self")
    assert known(folder) == known(folder) != ""
    os.mkfifo(tmp_path / "pipe.npz")
    for path in (tmp_path / "pipe.npz", Path("/dev/zero"), Path("/proc/self/mem")):
        assert isinstance(known(path, tmp_path), str)


def test_a_folder_full_of_links_to_itself_is_entered_once(folder):
    before = known(folder)
    for i in range(100):
        (folder / f"l{i}").symlink_to(".")
        (folder / "train" / f"l{i}").symlink_to("../train")
    assert len(list(identity._files(folder))) == 2 + 4 + 4 + 200
    assert known(folder) == known(folder) != before


def test_a_link_to_another_class_counts_by_what_it_holds(folder, tmp_path):
    """Wherever it is met: above, beside or below the folder that it leads to."""
    (folder / "train" / "cat" / "sub").mkdir()
    for place, target in (("a", "test"), ("z", "test"), ("train/a", "dog"), ("train/z", "../test/cat"), ("z", "train")):
        (folder / place).unlink(missing_ok=True)
        before = known(folder)
        (folder / place).symlink_to(target)
        linked = known(folder)
        shutil.copytree(folder, tmp_path / "copy", symlinks=True)
        assert known(tmp_path / "copy") == linked != before
        shutil.rmtree(tmp_path / "copy")
    seen = {known(folder)}
    for target in ("cat", "dog", "../test/dog", "../test/cat"):
        (folder / "train" / "a").unlink()
        (folder / "train" / "a").symlink_to(target)
        seen.add(known(folder))
    assert len(seen) == 4
    for file in ("train/cat", "train/dog", "test/cat", "test/dog"):
        before = known(folder)
        (folder / file / "0.png").write_bytes(b"other")
        assert known(folder) != before


def test_what_a_deep_link_was_met_first_by_still_counts(folder):
    (folder / "pool" / "one").mkdir(parents=True)
    (folder / "pool" / "one" / "0.png").write_bytes(b"a")
    (folder / "test" / "dog" / "deep").symlink_to("../../pool")
    (folder / "test" / "up").symlink_to("../pool")  # at its level the images of pool/ are too deep
    before = known(folder)
    (folder / "pool" / "one" / "0.png").write_bytes(b"b")
    assert known(folder) != before


def test_large_data_are_hashed_once(file, tmp_path, monkeypatch):
    monkeypatch.setattr(identity, "REMEMBERED_FROM", 1)
    monkeypatch.setattr(identity, "SETTLED", -1000.0)
    hashed = []
    real = identity._sha256
    monkeypatch.setattr(identity, "_sha256", lambda *given: hashed.append(given) or real(*given))
    before = known(file)
    assert [known(file), len(hashed)] == [before, 1]
    later(file)
    assert [known(file), len(hashed)] == [before, 2]  # looked at again, to the same end
    (memory,) = (tmp_path / "cache" / "fingerprints").iterdir()
    for junk in (b"", b"[]", b"\xff", b'{"": 3}', b'{"": [1]}', b'{"": [[1, 2, 3, 4], "0"]}'):
        memory.write_bytes(junk)
        assert known(file) == before
    shutil.rmtree(tmp_path / "cache")
    (tmp_path / "cache").write_text("a file where the folder should be")
    assert known(file) == before


def test_a_file_that_changed_a_moment_ago_is_not_remembered(file, tmp_path, monkeypatch):
    """Within one tick of the clock a second change would leave the same time."""
    monkeypatch.setattr(identity, "REMEMBERED_FROM", 1)
    known(file)
    assert not (tmp_path / "cache").exists()


def test_more_than_could_be_read_is_not_hashed(file, folder, monkeypatch):
    before = known(file), known(folder)
    monkeypatch.setattr(identity, "MOST_BYTES", 10)
    monkeypatch.setattr(identity, "_sha256", None)
    assert before[0] != known(file) != ""
    assert before[1] != known(folder) != ""
    monkeypatch.setattr(identity, "MOST_BYTES", 2**30)
    monkeypatch.setattr(identity, "MOST_FILES", 3)
    assert before[1] != known(folder) != ""
