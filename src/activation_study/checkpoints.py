"""What a training job has done so far, on disk, so that a killed job goes on instead of starting again."""

from __future__ import annotations

import hashlib
import io
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from activation_study.chunks import Chunk
from activation_study.files import replacing

INTERVAL = 30.0  # seconds between two writes


class Checkpoint:
    """The states of a run's chunks, by name.

    Args:
        path: the file; None keeps nothing.
        identity: what the states hold for (run, code, device …); a file with another identity is not used.
    """

    def __init__(self, path: Path | None, identity: Mapping[str, Any], device: torch.device):
        self.path, self.identity = path, dict(identity)
        self._states: dict[str, Any] = {}
        self._written = time.monotonic()
        if path is not None and path.exists():
            saved = _read(path, device)
            if saved.get("identity") == self.identity:
                self._states = saved["states"]

    def restore(self, name: str, chunk: Chunk) -> None:
        """Bring the chunk to its state in the file, if that has one."""
        if name in self._states:
            chunk.restore(self._states[name])

    def keep(self, name: str, chunk: Chunk) -> None:
        """Note the chunk's state; write the file if the last write is long enough ago."""
        if self.path is None:
            return
        self._states[name] = chunk.state()
        if time.monotonic() - self._written >= INTERVAL:
            content = io.BytesIO()
            torch.save({"identity": self.identity, "states": self._states}, content)
            with replacing(self.path) as temporary:
                temporary.write_bytes(_digest(content.getvalue()) + content.getvalue())
            self._written = time.monotonic()


def _read(path: Path, device: torch.device) -> dict[str, Any]:
    """Tensors and plain values only; a damaged file counts as none (PyTorch itself reads wrong bits as they are)."""
    data = path.read_bytes()
    if data[:32] != _digest(data[32:]):
        return {}
    return torch.load(io.BytesIO(data[32:]), map_location=device, weights_only=True)


def _digest(content: bytes) -> bytes:
    return hashlib.sha256(content).digest()
