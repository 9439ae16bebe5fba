"""Texts as data: what a window is, novels in R's own format in small, and what cannot be used."""

import bz2
import collections
import gzip
import hashlib
import importlib.util
import lzma
import struct
import zlib

import numpy as np
import pytest

from activation_study.core.errors import StudyError
from activation_study.data import corpus, downloads, prepare
from activation_study.data.arrays import DatasetUnavailable

TEXT = "The quick  brown\tfox\njumps over the lazy dog; 0123456789. " * 100 + "été — naïve?"


def read_back(x, y, length):
    """The characters of one-hot windows [N, length × symbols], as numbers, each with the one that follows."""
    return [[*row.reshape(length, -1).argmax(1).tolist(), int(after)] for row, after in zip(x, y, strict=True)]


def test_windows_are_the_text_one_after_the_other(tmp_path):
    (tmp_path / "t.txt").write_text(TEXT, encoding="utf-8")
    found = prepare.load("t", {"source": "text", "path": str(tmp_path / "t.txt"), "length": 6})
    plain = " ".join(TEXT.lower().split())
    frequent = sorted(collections.Counter(plain).items(), key=lambda pair: (-pair[1], pair[0]))
    kept = [character for character, count in frequent if count >= len(plain) / 2000]
    code = {character: kept.index(character) if character in kept else len(kept) for character, _ in frequent}
    assert len(frequent) > len(kept) + 1  # so that some share the last class
    expected = [[code[c] for c in plain[i : i + 7]] for i in range(0, len(plain) - 6, 7)]
    classes = sorted({window[-1] for window in expected})  # numbered anew, as some characters may end no window
    assert read_back(found.x, [classes[label] for label in found.y], 6) == expected
    assert (found.shape, found.scale, found.x.dtype) == ((6, len(kept) + 1), "global", np.uint8)
    assert found.official_test is None


@pytest.mark.parametrize(
    ("content", "entry", "said"),
    [
        (b"\xff\xfe\x00", {}, r"datasets\.t\.path: .*t\.txt is no text in UTF-8"),
        (b"too short", {}, r"datasets\.t: text t\.txt has 9 characters; at least 4100 are needed"),
        (b"", {}, r"datasets\.t: text t\.txt has 0 characters"),
        (b"a" * 5000, {}, r"datasets\.t: every sample has the label 0; at least two classes"),
        (b"ab", {"length": 0}, r"datasets\.t\.length: 0 must be at least 1"),
        (b"ab", {"path": "elsewhere.txt"}, r"datasets\.t\.path: elsewhere\.txt is not a file"),
    ],
)
def test_what_is_no_text_is_refused(tmp_path, content, entry, said):
    (tmp_path / "t.txt").write_bytes(content)
    with pytest.raises(StudyError, match=said):
        prepare.load("t", {"source": "text", "path": str(tmp_path / "t.txt")} | entry)


def test_a_text_that_would_not_fit_is_refused_before_it_is_read(tmp_path):
    with (tmp_path / "t.txt").open("wb") as file:
        file.truncate(corpus.MOST_BYTES + 1)
    with pytest.raises(StudyError, match=r"t\.txt has more than \d+ bytes; a part of it is needed"):
        prepare.load("t", {"source": "text", "path": str(tmp_path / "t.txt")})


@pytest.fixture
def novels(tmp_path, monkeypatch):
    """Three short novels as R packs them, each in another way, in an installed R; Debian has none."""
    rdata = pytest.importorskip("rdata")
    lines = {name: [f"{name} {number} Dear {'abcdefghij'[number % 10]}" for number in range(200)] for name in "cab"}
    packed, places = b"", {}
    packs = zlib.compress, lambda content: b"2" + bz2.compress(content), lambda content: b"Z" + lzma.compress(content)
    for name, pack in zip(lines, packs, strict=True):
        rdata.write_rds(tmp_path / "one.rds", np.array(lines[name]), compression=None)
        content = (tmp_path / "one.rds").read_bytes()
        one = struct.pack(">I", len(content)) + pack(content)
        places[name] = np.array([len(packed), len(one)], dtype=np.int32)
        packed += one
    folder = tmp_path / "system" / "janeaustenr" / "data"
    folder.mkdir(parents=True)
    rdata.write_rds(tmp_path / "index.rds", {"variables": places, "references": {}}, compression=None)
    (folder / "Rdata.rdx").write_bytes(gzip.compress((tmp_path / "index.rds").read_bytes()))
    (folder / "Rdata.rdb").write_bytes(packed)
    whole = "\n".join(line for name in "abc" for line in lines[name])
    monkeypatch.setattr(corpus, "NOVELS_SHA256", hashlib.sha256(whole.encode()).hexdigest())
    monkeypatch.setattr(downloads, "SYSTEM_R", tmp_path / "system")
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    return folder, whole


def test_novels_are_read_from_an_installed_r_and_kept(novels, tmp_path):
    folder, whole = novels
    found = prepare.load("n", {"source": "novels", "length": 8}, tmp_path / "cache")
    expected = corpus.windows(whole, 8, "", "")
    np.testing.assert_array_equal(found.x, expected.x.reshape(len(expected.x), -1))
    (folder / "Rdata.rdb").unlink()
    assert prepare.load("n", {"source": "novels", "length": 8}, tmp_path / "cache").sha256 == found.sha256


def test_other_texts_under_the_novels_name_are_not_taken(novels, tmp_path, monkeypatch):
    monkeypatch.setattr(corpus, "NOVELS_SHA256", "0" * 64)
    with pytest.raises(DatasetUnavailable, match=r"janeaustenr is unavailable; .*the novels have SHA-256"):
        prepare.load("n", {"source": "novels"}, tmp_path / "cache")


def test_novels_without_their_reader_say_what_they_need(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(StudyError, match=r"datasets\.n\.source: novels needs the package rdata"):
        prepare.load("n", {"source": "novels"}, tmp_path)
