"""What a training job has done so far, on disk, so that a killed job goes on instead of starting again."""

from __future__ import annotations

import hashlib
import io
import stat
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from activation_study.core.errors import lacks_memory
from activation_study.core.files import replacing
from activation_study.training.group import ReplicaGroup

INTERVAL = 30.0
"""Seconds between two writes; on a GPU ten times that, as there all runs of a job come to write at once."""
DIGEST = 32  # bytes of SHA-256, before all others


class UnusableError(Exception):
    """A state that its group cannot go on from; the group may be half restored, so the run has to start again."""


class Checkpoint:
    """The states of a run's groups, by name.

    Args:
        path: the file; None keeps nothing, nor does a folder of that name.
        identity: what the states hold for (run, code, device …); a file with another identity is not used, nor is
            anything else that is no whole checkpoint.

    Attributes:
        used: whether a group took on a state from the file: what fails afterwards may be that state's fault, and the
            run has to start again.

    Raises:
        Exception: memory is short, as :func:`~activation_study.core.errors.lacks_memory` knows it.
    """

    def __init__(self, path: Path | None, identity: Mapping[str, Any], device: torch.device):
        self.path = None if path is None or path.is_dir() else path
        self.identity = dict(identity)
        self.used = False
        self._states: dict[str, Any] = {}
        self._written = time.monotonic()
        self._patience = 1 if device.type == "cpu" else 10
        if self.path is not None:
            self._states = _states(self.path, self.identity, device)

    def restore(self, name: str, group: ReplicaGroup) -> None:
        """Bring the group to its state in the file, if that has one.

        Raises:
            UnusableError: it has one that is no state of this group.
        """
        if name not in self._states:
            return
        self.used = True
        try:
            group.restore(self._states[name])
        except Exception as error:
            if lacks_memory(error):
                raise
            raise UnusableError(f"{name}: {error}") from error

    def forget(self) -> None:
        """Go on as if there had been no file."""
        self.used, self._states = False, {}

    @property
    def due(self) -> bool:
        """Whether the last write is long enough ago."""
        return self.path is not None and time.monotonic() - self._written >= INTERVAL * self._patience

    def keep(self, name: str, group: ReplicaGroup) -> None:
        """Note the group's state; write the file if the last write is long enough ago."""
        if self.path is None:
            return
        self._states[name] = group.state()
        if self.due:
            content = io.BytesIO()
            torch.save({"identity": self.identity, "states": self._states}, content)
            with replacing(self.path) as temporary:
                temporary.write_bytes(_digest(content.getvalue()) + content.getvalue())
            self._written = time.monotonic()


def _states(path: Path, identity: Mapping[str, Any], device: torch.device) -> dict[str, Any]:
    """Those in the file, if it is a whole one of this identity; none, whatever else there is.

    PyTorch reads tensors and plain values only, but takes wrong bits as they are.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # from a pipe one would read for ever
            return {}
        with path.open("rb") as file:
            if file.read(DIGEST) != hashlib.file_digest(file, "sha256").digest():
                return {}
            file.seek(DIGEST)
            saved = torch.load(io.BytesIO(file.read()), map_location=device, weights_only=True)
        states = saved["states"] if saved["identity"] == identity else {}
        return states if isinstance(states, dict) else {}
    except Exception as error:  # there is no end to what damaged or foreign files make of a reader
        if lacks_memory(error):
            raise
        return {}


def _digest(content: bytes) -> bytes:
    return hashlib.sha256(content).digest()
