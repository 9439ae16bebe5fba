"""Files that are there as a whole or not at all."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from activation_study.core.errors import StudyError
from activation_study.core.text import one_line, plain

MADE_BY = "made_by"
"""Key of a result file, JSON or Parquet, that holds its receipt."""
MOST_JSON = 64 * 2**20
CHECKSUM = "checksum"
"""Key of a JSON file that holds the SHA-256 of the rest."""


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """A temporary name beside ``path``, moved over it when the block ends well and removed when it does not."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(value: Mapping[str, Any], path: str | Path) -> None:
    """Write atomically, keys sorted, with a checksum."""
    with replacing(path) as temporary:
        temporary.write_text(_text({**value, CHECKSUM: _sha256(value)}), encoding="utf-8")


def read_regular(path: str | Path, most: int, *, part: bool = False) -> bytes:
    """The bytes of a regular file: a pipe would wait for ever, a device has no end.

    Args:
        path: the file.
        most: bytes that it may have, or, for a `part`, that are read of it.

    Raises:
        OSError: it cannot be read.
        StudyError: it is something else than a file, or larger.
    """
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise StudyError(f"{plain(path)} is not a regular file; delete it and run the study again")
        if status.st_size > most and not part:
            raise StudyError(f"{plain(path)} has more than {most} bytes; delete it and run the study again")
        return file.read(most)


def read_json(path: str | Path) -> dict[str, Any]:
    """What ``write_json`` wrote.

    Raises:
        StudyError: the file is damaged.
    """
    try:
        value: dict[str, Any] = json.loads(read_regular(path, MOST_JSON))
        if value.pop(CHECKSUM) != _sha256(value):
            raise ValueError("its checksum is another")
    except StudyError:
        raise
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError) as error:
        reason = one_line(error, 100)
        raise StudyError(f"{plain(path)} is damaged ({reason}); delete it and run the study again") from None
    return value


def _text(value: Mapping[str, Any]) -> str:
    return json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def _sha256(value: Mapping[str, Any]) -> str:
    return hashlib.sha256(_text(value).encode()).hexdigest()
