"""What every job of the workflow does alike: a log, errors as one line, a device."""

from __future__ import annotations

import errno
import gc
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NoReturn

from activation_study.core.errors import StudyError, lacks_memory
from activation_study.core.text import plain

DISK = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO}
"""What is wrong with a disk, not with the program."""


@contextmanager
def job(log_file: str | Path) -> Iterator[Callable[[str], None]]:
    """Gives a function that logs a line with the time; a StudyError ends the job with its line and exit code 1.

    So does a disk that is full or read-only, or a lack of memory: the same command goes on when there is room. Scripts
    import this module alone outside of the block, which imports little: what an import lacks then gets its line too.
    """
    start = time.monotonic()
    # Importing PyTorch makes some half a million objects that stay. To look through them for garbage time and again,
    # and once more at exit, costs as much as to train a small network.
    gc.set_threshold(100_000)

    def log(line: str) -> None:
        with Path(log_file).open("a", encoding="utf-8") as file:
            file.write(f"[{time.monotonic() - start:8.1f} s] {line}\n")

    def end(line: str) -> NoReturn:
        with suppress(OSError):  # the log may lie on the disk that is full
            log(f"error: {line}")
        sys.exit(f"error: {line}")

    try:
        Path(log_file).write_bytes(b"")
        yield log
        log("done")
        gc.freeze()
    except StudyError as error:
        end(str(error))
    except Exception as error:
        if (line := _trouble(error)) is not None:
            end(line)
        log(traceback.format_exc())
        raise


def _trouble(error: Exception) -> str | None:
    """The line for what the machine lacks; None for a bug."""
    if isinstance(error, OSError) and error.errno in DISK:
        where = plain(error.filename or "the results folder")
        return f"{where}: cannot be written ({error.strerror}); make room for it and give the same command again"
    if lacks_memory(error):
        return "this job needs more memory than there is; run fewer jobs at a time (--cores), or on a larger machine"
    return None


def describe_activation(params: dict[str, Any], path: str | Path) -> str:
    """Check one activation and write its constants and portrait as JSON.

    One that is refused is no error: its `status` says so, with the reason as `message`, and the others go on.
    """
    from activation_study.activations import activation as activations
    from activation_study.activations import portrait
    from activation_study.core import files
    from activation_study.study import receipts

    try:
        activation = activations.from_entry(params["name"], params["entry"], params["allow_modules"], params["widths"])
        description = portrait.description(activation) | {"status": "available", "message": ""}
    except StudyError as error:
        description = {"constants": None, "portrait": None, "status": "refused", "message": str(error)}
    files.write_json(description | {files.MADE_BY: receipts.of_activation(params)}, path)
    return description["message"] or "available"


def measure_cost(params: dict[str, Any], constants: str, path: str, log: Callable[[str], None]) -> None:
    """Measure what one activation costs beside ReLU, and write its rows of the ``cost`` table."""
    from activation_study.activations import activation as activations
    from activation_study.cost import measure
    from activation_study.study import receipts
    from activation_study.tables import described, parquet

    rows: list[dict[str, Any]] = []
    description = described.activation(constants)
    if description["status"] == "available":
        activation = activations.from_entry(params["name"], params["entry"], params["allow_modules"], params["widths"])
        rows = measure.measure(activation, description["constants"], **params["settings"])
    for row in rows:
        if row["quantity"] in ("step", "inference"):
            log("{quantity} at width {width}: {median:.3g} ms, {ratio_to_relu:.3f} × ReLU".format(**row))
    parquet.write_parquet(parquet.from_rows("cost", rows), path, receipts.of_cost(params, description))
