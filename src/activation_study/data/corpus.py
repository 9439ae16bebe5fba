"""Running text as data: from some characters, which one comes next."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import importlib.util
import io
import lzma
import re
import zlib
from pathlib import Path

import numpy as np

from activation_study.core.errors import StudyError
from activation_study.core.files import read_regular
from activation_study.core.text import one_line, plain
from activation_study.data import downloads, identity
from activation_study.data.arrays import Raw

RARE = 2000
"""Characters that are fewer than one in so many are one class, so that each part of the data has every class."""
MOST_BYTES = 2**27
"""Of a text; a byte becomes some forty numbers."""
NOVELS_SHA256 = "1f48a6d7751aa60776b8aacf34d3b6898c46f4ee0fd103d733dd04f45e761841"
"""Of the six novels' lines, one under the other, whatever the package that brings them was compressed with."""


def novels(length: int, cache: Path, key: str) -> Raw:
    """Jane Austen's six novels, in the public domain, four million characters, from R's package janeaustenr.

    Raises:
        DatasetUnavailable: neither the cache, nor an installed R, nor Debian has it.
        StudyError: the package rdata is not installed.
    """
    if importlib.util.find_spec("rdata") is None:
        raise StudyError(f"{key}.source: novels needs the package rdata, which is not installed")
    return windows(_novels(downloads.of_r("janeaustenr", cache, _files)), length, "Jane Austen's six novels", key)


def text(path: Path, length: int, key: str) -> Raw:
    """A text file in UTF-8.

    Raises:
        StudyError: `key` and the file, when it is missing, too large, no such text, or too short.
    """
    where = f"{key}.path: {plain(path, 300)}"
    if identity.kind(path) != "file":
        raise StudyError(f"{where} is not a file; a text in UTF-8 is needed")
    try:
        if path.stat().st_size > MOST_BYTES:
            raise StudyError(f"{where} has more than {MOST_BYTES} bytes; a part of it is needed")
        content = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise StudyError(f"{where} is no text in UTF-8 that can be read ({one_line(error)})") from None
    return windows(content, length, f"text {plain(path.name)}", key)


def windows(content: str, length: int, source: str, key: str) -> Raw:
    """Cut a text, in lower case and with one blank for any white space, into windows that do not overlap.

    Each is `length` characters, one-hot [length, symbols], and the one that follows, which is to be predicted.

    Raises:
        StudyError: `key`: the text has fewer than a hundred windows.
    """
    codes = np.frombuffer(re.sub(r"\s+", " ", content.lower()).strip().encode("utf-32-le"), "<u4")
    found, inverse, counts = np.unique(codes, return_inverse=True, return_counts=True)
    # The most frequent first; of equally frequent ones the lower code, so that the same text gives the same classes.
    rank = np.empty(len(found), np.int64)
    rank[np.lexsort((found, -counts))] = np.arange(len(found))
    symbols = np.minimum(rank[inverse], (counts * RARE >= len(codes)).sum())
    count = len(symbols) // (length + 1)
    if count < (least := 100):
        needed = f"at least {least * (length + 1)} are needed, for {least} windows"
        raise StudyError(f"{key}: {source} has {len(symbols)} characters; {needed}")
    symbols = symbols[: count * (length + 1)].reshape(count, length + 1)
    one_hot = np.eye(symbols.max() + 1, dtype=np.uint8)[symbols[:, :-1]]
    return Raw(one_hot, symbols[:, -1], None, f"{source}, {length} characters and the next", "LC")


def _files(folder: Path) -> dict[str, bytes]:
    """The package's two files of data; ValueError for other texts than those that are known."""
    files = {name: read_regular(folder / name, 2**24) for name in ("Rdata.rdx", "Rdata.rdb")}
    found = hashlib.sha256(_novels(files).encode()).hexdigest()
    if found != NOVELS_SHA256:
        raise ValueError(f"the novels have SHA-256 {found[:12]}…, not {NOVELS_SHA256[:12]}…")
    return files


def _novels(files: dict[str, bytes]) -> str:
    """R's database of lazily loaded objects: an index of places and lengths, and compressed objects one by one."""
    import rdata

    index = rdata.read_rds(io.BytesIO(gzip.decompress(files["Rdata.rdx"])))
    lines: list[str] = []
    for _, (place, length) in sorted(index["variables"].items()):
        packed = files["Rdata.rdb"][place + 4 : place + length]  # after four bytes that say how long it will be
        unpack = {b"2": bz2.decompress, b"Z": lzma.decompress}.get(packed[:1])
        content = unpack(packed[1:]) if unpack else zlib.decompress(packed)
        lines += rdata.read_rds(io.BytesIO(content)).tolist()
    return "\n".join(lines)
