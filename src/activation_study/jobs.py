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


@contextmanager
def job(log_file: str | Path) -> Iterator[Callable[[str], None]]:
    """Gives a function that logs a line with the time; a StudyError inside ends the job with its line and exit code 1."""
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
    from activation_study import activations, portraits, tables

    activation = activations.from_entry(params["name"], params["entry"], params["allow_modules"])
    tables.write_json(portraits.description(activation), path)


def train(params: dict[str, Any], inputs: Any, outputs: Any, log: Callable[[str], None]) -> None:
    """Train one run and write its four tables; a run without data writes that."""
    from activation_study import outcomes, prepared, tables

    constants = tables.read_json(inputs.constants)["constants"]
    if tables.read_json(inputs.manifest)["status"] == "unavailable":
        log("the dataset is unavailable: nothing to train")
        rows = outcomes.no_data_rows(params)
    else:
        from activation_study import activations, devices
        from activation_study.training import RunTraining

        settings = params["settings"]
        device, product = devices.prepare(settings["device"])
        log(f"device {device.type}, float32 products {product}")
        arrays = prepared.read_prepared(Path(inputs.arrays), Path(inputs.manifest))
        activation = activations.from_entry(
            params["factors"]["activation"], settings["activation"], settings["allow_modules"]
        )
        rows = RunTraining(params, activation, constants, arrays, device, log).rows()
    for name, part in rows.items():
        tables.write_parquet(tables.from_rows(name, part), outputs[name])
