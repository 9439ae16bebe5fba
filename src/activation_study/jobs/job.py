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

CHECKPOINT = "checkpoint.pt"
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


def train(params: dict[str, Any], inputs: Any, outputs: Any, log: Callable[[str], None]) -> None:
    """Train one run and write its tables; a run without data, or without its activation, writes that.

    Raises:
        StudyError: the data are damaged, or the networks that are trained at once do not fit into memory.
    """
    from activation_study.core import descriptions
    from activation_study.jobs import provenance
    from activation_study.study import receipts
    from activation_study.tables import described, parquet
    from activation_study.training import rows as outcomes

    began, where = time.time(), "none"
    description, manifest = described.activation(inputs.constants), descriptions.dataset(inputs.manifest)
    receipt = receipts.of_run(params, description, manifest)
    if description["status"] == manifest["status"] == "available":
        made, where = _trained(params, description["constants"], receipt, inputs, outputs, log)
    else:
        log(f"activation {description['status']}, dataset {manifest['status']}: nothing to train")
        made = _tables(outcomes.no_data_rows(params))
    made |= _tables({"jobs": [provenance.of_job(receipt, began, where)]})
    for name, table in made.items():
        parquet.write_parquet(table, outputs[name], receipt if name == "jobs" else None)
    # The tables hold all there is to know; a kill may also have left a half-written checkpoint.
    for file in Path(outputs.runs).parent.glob(f"*{CHECKPOINT}*"):
        if not file.is_dir():  # which no job makes
            file.unlink()


def _trained(
    params: dict[str, Any],
    constants: dict[str, Any],
    receipt: dict[str, Any],
    inputs: Any,
    outputs: Any,
    log: Callable[[str], None],
) -> tuple[dict[str, Any], str]:
    """The run's tables but ``jobs``, and the device and arithmetic that they come from."""
    from activation_study.activations import activation as activations
    from activation_study.data import arrays as prepared
    from activation_study.training import device as devices
    from activation_study.training.checkpoint import Checkpoint
    from activation_study.training.run import RunTraining

    settings, factors = params["settings"], params["factors"]
    device, product = devices.prepare(settings["device"], settings["precision"])
    where = f"{device.type} {product}"
    log(f"device {device.type}, float32 products {product}")
    arrays = prepared.read_prepared(Path(inputs.arrays), Path(inputs.manifest))
    entry, allowed = settings["activation"], settings["allow_modules"]
    activation = activations.from_entry(factors["activation"], entry, allowed, [factors["width"]])
    checkpoint = Checkpoint(Path(outputs.runs).with_name(CHECKPOINT), receipt | {"arithmetic": where}, device)

    def training() -> dict[str, Any]:
        run = RunTraining(params, activation, constants, arrays, device, log, checkpoint=checkpoint)
        return _tables(run.rows())

    try:
        try:
            return training(), where
        except Exception as error:  # there is no end to what a wrong state makes of training
            if not checkpoint.used or isinstance(error, StudyError | OSError) or lacks_memory(error):
                raise
            log(f"the checkpoint cannot be used ({plain(error)}): the run starts again")
            checkpoint.forget()
            return training(), where
    except (MemoryError, RuntimeError) as error:
        if not lacks_memory(error):
            raise
        raise StudyError(
            f"training.replicas_per_chunk.{device.type}: {settings['replicas_per_chunk'][device.type]} networks at "
            f"once need more memory than there is for {params['id']}; a smaller number needs less"
        ) from None


def _tables(rows: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    from activation_study.tables import parquet

    return {name: parquet.from_rows(name, part) for name, part in rows.items()}
