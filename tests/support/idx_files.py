"""Files as MNIST's."""

import gzip
import hashlib
import struct
from pathlib import Path

import numpy as np


def idx(array: np.ndarray) -> bytes:
    """The idx format of MNIST: type, number of dimensions, sizes (big-endian), bytes."""
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()


def write_gz(folder: Path, files: dict[str, bytes]) -> list[tuple[str, str]]:
    """Write gzipped files; returns torchvision's list of (name, MD5)."""
    folder.mkdir(parents=True, exist_ok=True)
    resources = []
    for name, content in files.items():
        packed = gzip.compress(content)
        (folder / f"{name}.gz").write_bytes(packed)
        resources.append((f"{name}.gz", hashlib.md5(packed).hexdigest()))
    return resources
