"""Files that are there as a whole or not at all."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from activation_study.errors import StudyError
from activation_study.text import one_line, plain

MADE_BY = "made_by"
"""Key of a result file, JSON or Parquet, that holds its receipt."""
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


def read_json(path: str | Path) -> dict[str, Any]:
    """What ``write_json`` wrote.

    Raises:
        StudyError: the file is damaged.
    """
    try:
        value = json.loads(Path(path).read_text(encoding="utf-8"))
        if value.pop(CHECKSUM) != _sha256(value):
            raise ValueError("its checksum is another")
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError) as error:
        reason = one_line(error, 100)
        raise StudyError(f"{plain(path)} is damaged ({reason}); delete it and run the study again") from None
    return value


def _text(value: Mapping[str, Any]) -> str:
    return json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def _sha256(value: Mapping[str, Any]) -> str:
    return hashlib.sha256(_text(value).encode()).hexdigest()
