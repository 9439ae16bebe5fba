"""Which data a path holds: a hash of names and contents, cheap to ask for again."""

import contextlib
import hashlib
import json
import os
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from activation_study.core.files import replacing
from activation_study.core.text import one_line

MOST_BYTES = 8 * 2**30  # twice what is ever read of a data set
MOST_FILES = 1_000_000
DEPTH = 3  # <part>/<class>/<image>
REMEMBERED_FROM = 16 * 2**20  # bytes; fewer are hashed faster than looked up
SETTLED = 2.0  # seconds after which a file that changes again gets another time


def digest(path: Path, cache: Path) -> str:
    """SHA-256 over the names and contents of a file, or of what a folder holds in up to three levels.

    Hidden files, and links that lead out of the folder, are not followed, and no folder is entered twice; of what is
    not a regular file only the name counts. Hashes of large data are kept in `cache` with each file's size, times and
    inode: whoever touches a file has it hashed again, to the same end. A path that holds more than could be read is
    identified by sizes alone.

    Raises:
        OSError: the path itself cannot be looked at.
    """
    found = list(_files(path))
    size = sum(status.st_size for _, _, status in found if status)
    if len(found) > MOST_FILES or size > MOST_BYTES:
        listed = [(name, status and status.st_size) for name, _, status in found]
        return hashlib.sha256(repr(("too much to read", listed)).encode()).hexdigest()
    memory = cache / "fingerprints" / f"{hashlib.sha256(os.fsencode(path.absolute())).hexdigest()[:32]}.json"
    known = _remembered(memory) if size >= REMEMBERED_FROM else {}
    contents, remembered = [], {}
    for name, file, status in found:
        if status is None:
            contents.append((name, ""))
            continue
        state = [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]
        entry = known.get(name)
        sha256 = entry[1] if isinstance(entry, list) and entry[:1] == [state] else _sha256(file, status)
        contents.append((name, sha256))
        if sha256 and time.time() - max(status.st_mtime, status.st_ctime) > SETTLED:
            remembered[name] = [state, sha256]
    if size >= REMEMBERED_FROM and remembered != known:
        # A cache that cannot be written costs time, not the study.
        with contextlib.suppress(OSError), replacing(memory) as temporary:
            temporary.write_text(json.dumps(remembered), encoding="utf-8")
    return hashlib.sha256(repr(contents).encode()).hexdigest()


def kind(path: Path) -> str:
    """ "file" or "folder", or else in words why it is neither. Raises nothing."""
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError) as error:
        absent = isinstance(error, FileNotFoundError | ValueError)
        return "it is not a file" if absent else f"it is not a file: {one_line(error)}"
    return "folder" if stat.S_ISDIR(mode) else "file" if stat.S_ISREG(mode) else "it is not a file"


def _files(path: Path) -> Iterator[tuple[str, Path, os.stat_result | None]]:
    """Name within the path, place, and status where it is a regular file; in the order of names."""
    top = path.stat()
    if not stat.S_ISDIR(top.st_mode):
        yield "", path, top if stat.S_ISREG(top.st_mode) else None
        return
    root = Path(os.path.realpath(path))
    waiting, count = [("", root, 1)], 0
    entered = {(top.st_dev, top.st_ino): 1}  # with the level, since what lies below DEPTH was not looked at
    while waiting:
        inside, folder, level = waiting.pop()
        places: list[Path] = []
        with contextlib.suppress(OSError):  # the job that reads it says what is wrong
            places = sorted(place for place in folder.iterdir() if not place.name.startswith("."))
        for place in places:
            count += 1
            if count > MOST_FILES + 1:
                return
            name, real = f"{inside}/{place.name}", Path(os.path.realpath(place))
            status: os.stat_result | None = None
            if real.is_relative_to(root):
                with contextlib.suppress(OSError):
                    status = place.stat()
            if status and stat.S_ISDIR(status.st_mode) and level < DEPTH:
                known = status.st_dev, status.st_ino
                if entered.get(known, DEPTH + 1) > level + 1:
                    entered[known] = level + 1
                    waiting.append((name, place, level + 1))
                else:  # a link to what counts under another name, or whatever such a link led to first
                    name += f" -> {real.relative_to(root)}"
            yield name, place, status if status and stat.S_ISREG(status.st_mode) else None


def _sha256(file: Path, status: os.stat_result) -> str:
    """Of as many bytes as the status promises; "" where it cannot be read."""
    found, left = hashlib.sha256(), status.st_size
    try:
        with os.fdopen(os.open(file, os.O_RDONLY | os.O_NONBLOCK), "rb") as opened:  # a pipe by now would not block
            while left and (block := opened.read(min(left, 2**20))):
                found.update(block)
                left -= len(block)
    except OSError:
        return ""
    return found.hexdigest()


def _remembered(memory: Path) -> dict[str, list[Any]]:
    try:
        known = json.loads(memory.read_text(encoding="utf-8"))
        return known if isinstance(known, dict) else {}
    except (OSError, ValueError, RecursionError):
        return {}
