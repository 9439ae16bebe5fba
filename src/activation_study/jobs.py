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

from activation_study.errors import StudyError
from activation_study.text import plain

CHECKPOINT = "checkpoint.pt"
DISK = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO}
"""What is wrong with a disk, not with the program."""
ALLOCATORS = ("can't allocate memory", "not enough memory", "out of memory", "CUBLAS_STATUS_ALLOC_FAILED")
"""What PyTorch's RuntimeErrors say when there is no memory left."""


@contextmanager
def job(log_file: str | Path) -> Iterator[Callable[[str], None]]:
    """Gives a function that logs a line with the time; a StudyError ends the job with its line and exit code 1.

    So does a disk that is full or read-only, or a lack of memory: the same command goes on when there is room.
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


def lacks_memory(error: Exception) -> bool:
    """Whether it is an allocator's: Python's, NumPy's, or PyTorch's on a CPU or a GPU."""
    return isinstance(error, MemoryError) or any(words in str(error) for words in ALLOCATORS)


def describe_activation(params: dict[str, Any], path: str | Path) -> None:
    """Check one activation and write its constants and portrait as JSON.

    Raises:
        StudyError: the entry is no elementwise activation that can be trained.
    """
    from activation_study import activations, files, portraits

    activation = activations.from_entry(params["name"], params["entry"], params["allow_modules"])
    files.write_json(portraits.description(activation), path)


def measure_cost(params: dict[str, Any], constants: str, path: str, log: Callable[[str], None]) -> None:
    """Measure what one activation costs beside ReLU, and write its rows of the ``cost`` table."""
    from activation_study import activations, cost, files, tables

    activation = activations.from_entry(params["name"], params["entry"], params["allow_modules"])
    rows = cost.measure(activation, files.read_json(constants)["constants"], **params["settings"])
    for row in rows:
        if row["quantity"] in ("step", "inference"):
            log("{quantity} at width {width}: {median:.3g} ms, {ratio_to_relu:.3f} × ReLU".format(**row))
    tables.write_parquet(tables.from_rows("cost", rows), path)


def train(params: dict[str, Any], inputs: Any, outputs: Any, log: Callable[[str], None]) -> None:
    """Train one run and write its tables; a run without data writes that.

    Raises:
        StudyError: the data are damaged, or the networks that are trained at once do not fit into memory.
    """
    from activation_study import files, outcomes, prepared, progress, provenance, tables

    began, where = time.time(), "none"
    constants = files.read_json(inputs.constants)["constants"]
    if files.read_json(inputs.manifest)["status"] == "unavailable":
        log("the dataset is unavailable: nothing to train")
        rows = outcomes.no_data_rows(params)
    else:
        from activation_study import activations, devices
        from activation_study.checkpoints import Checkpoint
        from activation_study.training import RunTraining

        settings = params["settings"]
        device, product = devices.prepare(settings["device"])
        where = f"{device.type} {product}"
        log(f"device {device.type}, float32 products {product}")
        arrays = prepared.read_prepared(Path(inputs.arrays), Path(inputs.manifest))
        activation = activations.from_entry(
            params["factors"]["activation"], settings["activation"], settings["allow_modules"]
        )
        identity = {
            "run": params,
            "constants": constants,
            "data": arrays.sha256,
            "code": provenance.training_digest(params),
            "arithmetic": where,
        }
        checkpoint = Checkpoint(Path(outputs.runs).with_name(CHECKPOINT), identity, device)
        try:
            rows = RunTraining(params, activation, constants, arrays, device, log, checkpoint=checkpoint).rows()
        except (MemoryError, RuntimeError) as error:
            if not lacks_memory(error):
                raise
            raise StudyError(
                f"training.replicas_per_chunk.{device.type}: {settings['replicas_per_chunk'][device.type]} networks at "
                f"once need more memory than there is for {params['id']}; a smaller number needs less"
            ) from None
    rows["jobs"] = [provenance.of_job(params, began, where)]
    for name, part in rows.items():
        tables.write_parquet(tables.from_rows(name, part), outputs[name])
    # The tables hold all there is to know; a kill may also have left a half-written checkpoint.
    for file in Path(outputs.runs).parent.glob(f"*{CHECKPOINT}*"):
        file.unlink()
    print(progress.line(Path(outputs.runs).parents[4]), file=sys.stderr)
