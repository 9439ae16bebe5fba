"""A training job: some runs of one shape, one after the other or, on a GPU, together."""

from __future__ import annotations

import hashlib
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from activation_study.core import descriptions
from activation_study.core.errors import StudyError, lacks_memory
from activation_study.core.text import one_line, plain
from activation_study.jobs import provenance
from activation_study.jobs.console import DONE, KEPT
from activation_study.jobs.kept import KeptRuns
from activation_study.study import receipts
from activation_study.tables import described, parquet
from activation_study.training.rows import Rows, no_data_rows

if TYPE_CHECKING:
    from activation_study.training.run import RunTraining

CHECKPOINT = "checkpoint.pt"
FORWARD = ("activation_study.networks.modules", "_call")
"""What calls a network of somebody else's."""
ACTIVATION = ("activation_study.networks.places", "forward")
"""And what calls the activations in it."""
Log = Callable[[str], None]
Params = Mapping[str, Any]
Outcomes = Mapping[str, tuple[Rows | Exception, str]]
"""By run: the rows of its tables but ``jobs``, or why there are none; and the device and its arithmetic."""


def train(runs: Sequence[Params], inputs: Any, outputs: Any, log: Log) -> None:
    """Train what is not there yet, and write the tables of all; a run without data or activation writes that.

    A run that fails keeps no other from its end: what is done is kept for the next call.

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

    def about(run: Params) -> tuple[dict[str, Any], dict[str, Any]]:
        return constants[run["factors"]["activation"]], manifests[run["factors"]["dataset"]]

    wanted = {run["id"]: receipts.of_run(run, *about(run)) for run in runs}
    kept = KeptRuns(Path(outputs.jobs).parent, wanted)
    missing, since, failures = set(kept.missing), time.time(), list[Exception]()
    for run in wanted:
        if run not in missing:
            log(f"{KEPT}{run}")

    def outcomes() -> Iterator[Outcomes]:
        available = []
        for run in (run for run in runs if run["id"] in missing):
            activation, manifest = about(run)
            if activation["status"] == manifest["status"] == "available":
                available.append(run)
            else:
                log(f"activation {activation['status']}, dataset {manifest['status']}: nothing to train")
                yield {run["id"]: (no_data_rows(run), "none")}
        if available:
            arrays = {Path(path).stem: Path(path) for path in inputs.arrays}
            yield from _Trainer(constants, wanted, arrays, kept.folder.parent, log).outcomes(available)

    for ended in outcomes():
        done = {}
        for run, (outcome, where) in ended.items():
            if isinstance(outcome, Exception):
                log(f"failed: {run}: {plain(outcome)}")
                failures.append(outcome)
            else:
                rows = outcome | {"jobs": [provenance.of_job(wanted[run], since, where)]}
                done[run] = {table: parquet.from_rows(table, part) for table, part in rows.items()}
        kept.add(done)
        for run in done:
            for file in kept.folder.parent.glob(f"*{_checkpoint(run)}*"):  # a kill may have left half of one
                if not file.is_dir():  # which no job makes
                    file.unlink()
            log(f"{DONE}{run}")
        since = time.time()
    if failures:
        raise failures[0]
    kept.finish()


def _checkpoint(run: str) -> str:
    """The name of its file, which lies beside the sets of its shape: another grouping finds it too."""
    return f".{hashlib.sha256(run.encode()).hexdigest()[:12]}.{CHECKPOINT}"


class _Trainer:
    """Trains runs on one device, with every dataset read once.

    Args:
        constants: the activations' descriptions. wanted: the runs' receipts. arrays: the datasets' files, each with its
            manifest beside it.
        folder: of the checkpoints.
    """

    def __init__(
        self,
        constants: Mapping[str, Mapping[str, Any]],
        wanted: Mapping[str, receipts.Receipt],
        arrays: Mapping[str, Path],
        folder: Path,
        log: Log,
    ):
        self._constants, self._wanted, self._files, self._folder, self._log = constants, wanted, arrays, folder, log
        self._read: dict[str, Any] = {}

    def outcomes(self, runs: Sequence[Params]) -> Iterator[Outcomes]:
        """Of the runs that have ended the rows of their tables but ``jobs``, or why there are none, and the device.

        On a GPU they train together. What fails so is tried alone, where no run suffers from another; its device says
        so, since its last bits are others then.
        """
        from activation_study.training import device as devices

        settings = runs[0]["settings"]
        self._device, product = devices.prepare(settings["device"], settings["precision"])
        self._where = f"{self._device.type} {product}"
        self._log(f"device {self._device.type}, float32 products {product}")
        where, left = self._where, {run["id"]: run for run in runs}
        if self._device.type != "cpu":
            where = f"{self._where} alone"
            for ended in self._together(runs):
                for name in ended:
                    del left[name]
                yield ended
        for name, run in left.items():
            try:
                outcome: Rows | Exception = self._alone(run)
            except OSError:
                raise
            except Exception as error:  # there is no end to what one's own activation may do
                outcome = self._named(run, error)
            yield {name: (outcome, where)}

    def _together(self, runs: Sequence[Params]) -> Iterator[Outcomes]:
        """Those that can be trained together; where memory is short, half as many at a time."""
        from activation_study.training.together import train_together

        left = {run["id"]: run for run in runs}
        try:
            for ended in train_together([self._training(run) for run in runs]):
                for training, _ in ended:
                    del left[training.params["id"]]
                yield {training.params["id"]: (rows, self._where) for training, rows in ended}
        except OSError:
            raise
        except Exception as error:
            short = lacks_memory(error)
            self._log(f"{len(left)} runs cannot be trained together ({plain(error)})")
            for run in left:  # one of them may be what cannot be used
                (self._folder / _checkpoint(run)).unlink(missing_ok=True)
        rest = list(left.values())
        if rest and short and len(rest) > 1:
            half = len(rest) // 2
            yield from self._together(rest[:half])
            yield from self._together(rest[half:])

    def _alone(self, run: Params) -> Rows:
        settings, training = run["settings"], self._training(run)
        try:
            try:
                return training.rows()
            except Exception as error:  # there is no end to what a wrong state makes of training
                if not training.checkpoint.used or isinstance(error, StudyError | OSError) or lacks_memory(error):
                    raise
                self._log(f"the checkpoint cannot be used ({plain(error)}): the run starts again")
                training = self._training(run)
                training.checkpoint.forget()
                return training.rows()
        except (MemoryError, RuntimeError) as error:
            if not lacks_memory(error):
                raise
            kind, rates = self._device.type, len(training.rates)
            # Evaluation seeds train the selected rate together, and all others that count, which went on, together.
            others = max(1, min(rates, settings["pruning"]["keep"]) - 1)
            most = max(rates * settings["tuning_seeds"], others * settings["evaluation_seeds"])
            raise StudyError(
                f"training.replicas_per_chunk.{kind}: {min(settings['replicas_per_chunk'][kind], most)} networks at "
                f"once need more memory than there is for {run['id']}; a smaller number needs less"
            ) from None

    def _named(self, run: Params, error: Exception) -> Exception:
        """What a network of one's own does in its forward as the line that names it; any other error as it is."""
        frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
        called = {(frame.f_globals.get("__name__"), frame.f_code.co_name) for frame in frames}
        if run["settings"]["network"] is None or isinstance(error, StudyError):
            return error
        if FORWARD not in called or ACTIVATION in called:
            return error
        factors, arrays = run["factors"], self._arrays(run["factors"]["dataset"])
        shape, hint = arrays.shape, "a forward takes a batch of the data's shape"
        if not shape:
            hint = "its samples have no shape; axes: says what an npz holds, as axes: CHW"
        inputs = [factors["batch_size"], *((*shape[-1:], *shape[:-1]) or arrays.x.shape[1:])]
        said = f"{type(error).__name__}: {one_line(error, 200)}"
        where = f"networks.{factors['network']}: fails on inputs {inputs} of {factors['dataset']}"
        named = StudyError(plain(f"{where}: {said}; {hint}", 600))
        named.__cause__ = error
        return named

    def _training(self, run: Params) -> RunTraining:
        from activation_study.activations import activation as activations
        from activation_study.training.checkpoint import Checkpoint
        from activation_study.training.run import RunTraining

        settings, factors = run["settings"], run["factors"]
        name, entry, allowed = factors["activation"], settings["activation"], settings["allow_modules"]
        activation = activations.from_entry(name, entry, allowed, [factors["width"]])
        identity = self._wanted[run["id"]] | {"arithmetic": self._where}
        checkpoint = Checkpoint(self._folder / _checkpoint(run["id"]), identity, self._device)
        constants, arrays = self._constants[name]["constants"], self._arrays(factors["dataset"])
        return RunTraining(run, activation, constants, arrays, self._device, self._log, checkpoint=checkpoint)

    def _arrays(self, dataset: str) -> Any:
        from activation_study.data import arrays as prepared

        if dataset not in self._read:
            file = self._files[dataset]
            self._read[dataset] = prepared.read_prepared(file, file.with_suffix(".json"))
        return self._read[dataset]
