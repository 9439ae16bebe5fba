"""A training job: some runs of one shape, one after the other or, on a GPU, together."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from activation_study.core import descriptions
from activation_study.core.errors import StudyError, lacks_memory
from activation_study.core.text import plain
from activation_study.jobs import provenance
from activation_study.jobs.console import DONE, KEPT
from activation_study.jobs.kept import KeptRuns
from activation_study.study import receipts
from activation_study.tables import described, parquet
from activation_study.training import rows as outcomes

CHECKPOINT = "checkpoint.pt"
Log = Callable[[str], None]
Params = Mapping[str, Any]


def train(runs: Sequence[Params], inputs: Any, outputs: Any, log: Log) -> None:
    """Train what is not there yet, and write the tables of all; a run without data or activation writes that.

    A run that fails keeps the others from nothing: they are trained, and kept for the next call.

    Args:
        runs: ``Run.params`` of each.
        inputs: with the paths ``constants``, one per activation, ``manifests`` and ``arrays``, one per dataset, each
            file called as what it is about.
        outputs: with a path for each of ``RUN_TABLES``, in one folder.

    Raises:
        StudyError: the data are damaged, or the networks that are trained at once do not fit into memory.
    """
    constants = {Path(path).stem: described.activation(path) for path in inputs.constants}
    manifests = {Path(path).stem: descriptions.dataset(path) for path in inputs.manifests}
    wanted = {
        run["id"]: receipts.of_run(run, constants[run["factors"]["activation"]], manifests[run["factors"]["dataset"]])
        for run in runs
    }
    kept = KeptRuns(Path(outputs.jobs).parent, wanted)
    missing = set(kept.missing)
    for run in wanted:
        if run not in missing:
            log(f"{KEPT}{run}")
    trainer = _Trainer({Path(path).stem: Path(path) for path in inputs.arrays}, log)
    failures: list[Exception] = []
    for run in (run for run in runs if run["id"] in missing):
        name, began, where = run["id"], time.time(), "none"
        activation, manifest = constants[run["factors"]["activation"]], manifests[run["factors"]["dataset"]]
        # Beside the sets of its shape: another grouping finds it too.
        checkpoint = kept.folder.with_name(f".{hashlib.sha256(name.encode()).hexdigest()[:12]}.{CHECKPOINT}")
        try:
            if activation["status"] == manifest["status"] == "available":
                rows, where = trainer.rows(run, activation["constants"], wanted[name], checkpoint)
            else:
                log(f"activation {activation['status']}, dataset {manifest['status']}: nothing to train")
                rows = outcomes.no_data_rows(run)
        except OSError:
            raise
        except Exception as error:  # there is no end to what one's own activation may do
            log(f"failed: {name}: {plain(error)}")
            failures.append(error)
            continue
        rows["jobs"] = [provenance.of_job(wanted[name], began, where)]
        kept.add(name, {table: parquet.from_rows(table, part) for table, part in rows.items()})
        log(f"{DONE}{name}")
        for file in checkpoint.parent.glob(f"*{checkpoint.name}*"):  # a kill may have left half of one
            if not file.is_dir():  # which no job makes
                file.unlink()
    if failures:
        kept.flush()
        raise failures[0]
    kept.finish()


class _Trainer:
    """Trains runs on one device, with every dataset read once.

    Args:
        arrays: the files, by dataset; the manifest lies beside each.
    """

    def __init__(self, arrays: Mapping[str, Path], log: Log):
        self._files, self._log = arrays, log
        self._read: dict[str, Any] = {}
        self._prepared: tuple[Any, str] | None = None

    def rows(
        self, run: Params, constants: Mapping[str, Any], receipt: receipts.Receipt, checkpoint: Path
    ) -> tuple[outcomes.Rows, str]:
        """The rows of a run's tables but ``jobs``, and the device and arithmetic that they come from."""
        from activation_study.activations import activation as activations
        from activation_study.training import device as devices
        from activation_study.training.checkpoint import Checkpoint
        from activation_study.training.run import RunTraining

        settings, factors = run["settings"], run["factors"]
        if self._prepared is None:
            self._prepared = devices.prepare(settings["device"])
            self._log("device {.type}, float32 products {}".format(*self._prepared))
        device, product = self._prepared
        where = f"{device.type} {product}"
        entry, allowed = settings["activation"], settings["allow_modules"]
        activation = activations.from_entry(factors["activation"], entry, allowed, [factors["width"]])
        kept = Checkpoint(checkpoint, receipt | {"arithmetic": where}, device)
        arrays = self._arrays(factors["dataset"])

        def training() -> outcomes.Rows:
            return RunTraining(run, activation, constants, arrays, device, self._log, checkpoint=kept).rows()

        try:
            try:
                return training(), where
            except Exception as error:  # there is no end to what a wrong state makes of training
                if not kept.used or isinstance(error, StudyError | OSError) or lacks_memory(error):
                    raise
                self._log(f"the checkpoint cannot be used ({plain(error)}): the run starts again")
                kept.forget()
                return training(), where
        except (MemoryError, RuntimeError) as error:
            if not lacks_memory(error):
                raise
            raise StudyError(
                f"training.replicas_per_chunk.{device.type}: {settings['replicas_per_chunk'][device.type]} networks at "
                f"once need more memory than there is for {run['id']}; a smaller number needs less"
            ) from None

    def _arrays(self, dataset: str) -> Any:
        from activation_study.data import arrays as prepared

        if dataset not in self._read:
            file = self._files[dataset]
            self._read[dataset] = prepared.read_prepared(file, file.with_suffix(".json"))
        return self._read[dataset]
