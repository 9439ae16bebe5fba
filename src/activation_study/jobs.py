"""What every job of the workflow does alike: a log, errors as one line, a device."""

from __future__ import annotations

import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from activation_study.errors import StudyError

CHECKPOINT = "checkpoint.pt"


@contextmanager
def job(log_file: str | Path) -> Iterator[Callable[[str], None]]:
    """Gives a function that logs a line with the time; a StudyError ends the job with its line and exit code 1."""
    start = time.monotonic()
    with Path(log_file).open("w", encoding="utf-8") as file:

        def log(line: str) -> None:
            file.write(f"[{time.monotonic() - start:8.1f} s] {line}\n")
            file.flush()

        try:
            yield log
            log("done")
        except StudyError as error:
            log(f"error: {error}")
            sys.exit(f"error: {error}")
        except Exception:
            file.write(traceback.format_exc())
            raise


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
    """Train one run and write its tables; a run without data writes that."""
    from activation_study import files, outcomes, prepared, progress, provenance, tables

    began, where = time.time(), "none"
    constants = files.read_json(inputs.constants)["constants"]
    if files.read_json(inputs.manifest)["status"] == "unavailable":
        log("the dataset is unavailable: nothing to train")
        rows = outcomes.no_data_rows(params)
    else:
        from activation_study import activations, devices
        from activation_study.checkpoints import Checkpoint
        from activation_study.dependencies import sources_digest
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
            "code": sources_digest("training"),
            "arithmetic": where,
        }
        checkpoint = Checkpoint(Path(outputs.runs).with_name(CHECKPOINT), identity, device)
        rows = RunTraining(params, activation, constants, arrays, device, log, checkpoint=checkpoint).rows()
    rows["jobs"] = [provenance.of_job(params, began, where)]
    for name, part in rows.items():
        tables.write_parquet(tables.from_rows(name, part), outputs[name])
    # The tables hold all there is to know; a kill may also have left a half-written checkpoint.
    for file in Path(outputs.runs).parent.glob(f"*{CHECKPOINT}*"):
        file.unlink()
    print(progress.line(Path(outputs.runs).parents[4]), file=sys.stderr)
