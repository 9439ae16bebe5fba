"""Prepared data sets: what stands between the job that reads a source and those that train.

This module knows no source: how data are fetched is not what a training run depends on, only the data are.
"""

import hashlib
import math
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from activation_study.core import descriptions, files
from activation_study.core.errors import StudyError
from activation_study.core.text import one_line, plain


class DatasetUnavailable(StudyError):
    """The data are not available now, through no fault of the configuration: the rest of the study can go on."""


MAX_BYTES = 4 * 2**30  # data stay in memory; whatever declares more than this is refused before it is read


class Raw(NamedTuple):
    """Samples as a source gives them.

    x: [N, ...] numbers; y: [N] integer labels; official_test: [N] bool, or None where the source has no test
    set of its own; source: one line for the report; axes: a letter for each axis of a sample, L, H, W or C, or ""
    where its features have no order.
    """

    x: np.ndarray
    y: np.ndarray
    official_test: np.ndarray | None
    source: str
    axes: str = ""


@dataclass(frozen=True)
class Arrays:
    """A data set in memory.

    x: [N, D] uint8 or float32, raw feature values, where need be moved and scaled so that float32 holds them
    (`transforms.stored`); y: [N] int64, 0 … classes − 1; official_test: [N] bool, or None where the source has no
    test set of its own; sha256: of the contents, whatever the source; scale: whether inputs are standardised by
    one mean and deviation ("global") or each feature by its own ("per_feature"); note: what a reader of the
    results should know about the data, or ""; shape: the (length, channels) or (height, width, channels) that the D
    values of a sample are, in this order, or () where they have none, as in a table.
    """

    x: np.ndarray
    y: np.ndarray
    official_test: np.ndarray | None
    classes: int
    source: str
    sha256: str
    scale: str = "global"
    note: str = ""
    shape: tuple[int, ...] = ()


def write_prepared(data: Arrays, description: dict[str, Any], arrays: Path, manifest: Path) -> None:
    """Write arrays as .npz and their description, which holds their `sha256`, as JSON; no clock in either."""
    official_test = np.zeros(0, bool) if data.official_test is None else data.official_test
    with files.replacing(arrays) as temporary, temporary.open("wb") as file:
        np.savez(file, x=data.x, y=data.y, official_test=official_test)
    files.write_json(description, manifest)


def read_prepared(arrays: Path, manifest: Path) -> Arrays:
    """Read what `prepare` wrote.

    Raises:
        DatasetUnavailable: the manifest says so.
        StudyError: the files are damaged or do not belong together.
    """
    try:
        description = descriptions.dataset(manifest)
        if description["status"] != "available":
            raise DatasetUnavailable(description["message"])
        _check_sizes(arrays)
        with np.load(arrays, allow_pickle=False) as file:
            x, y = file["x"], file["y"]
            official_test = file["official_test"] if file["official_test"].size else None
        scale, note = description.get("scale", "global"), description.get("message", "")
        shape = tuple(description.get("shape", ()))
        found, expected = content_sha256(x, y, official_test, scale, shape), description["sha256"]
        if found != expected:
            raise ValueError(f"SHA-256 {found[:12]}… instead of {expected[:12]}…")
        return Arrays(x, y, official_test, description["classes"], description["source"], found, scale, note, shape)
    except (StudyError, MemoryError):
        raise
    except Exception as error:  # zipfile, zlib and numpy have errors of many kinds for damaged files
        reason = one_line(error, 200)
        raise StudyError(f"{plain(arrays)} is damaged ({reason}); delete it and run the study again") from error


def _check_sizes(arrays: Path) -> None:
    """Nothing is larger in memory than on the disk: `np.savez` packs nothing. Raises ValueError."""
    with zipfile.ZipFile(arrays) as archive:
        if sorted(archive.namelist()) != ["official_test.npy", "x.npy", "y.npy"]:
            raise ValueError("its arrays are not x, y and official_test")
        for info in archive.infolist():
            if info.compress_type != zipfile.ZIP_STORED or info.file_size != info.compress_size:
                raise ValueError(f"{info.filename} is packed, which no job does")
            with archive.open(info) as member:
                if np.lib.format.read_magic(member) != (1, 0):
                    raise ValueError(f"{info.filename} is not of npy format 1.0")
                shape, _, dtype = np.lib.format.read_array_header_1_0(member)
                if member.tell() + dtype.itemsize * math.prod(shape) != info.file_size:
                    raise ValueError(f"{info.filename} of shape {shape} does not fit its {info.file_size} bytes")


def content_sha256(
    x: np.ndarray,
    y: np.ndarray,
    official_test: np.ndarray | None,
    scale: str = "global",
    shape: tuple[int, ...] = (),
) -> str:
    """SHA-256 of types, shapes and values, of how they are to be scaled where that is not by one number, and of a
    sample's shape where it has one."""
    digest = hashlib.sha256()
    for array in (x, y, np.zeros(0, bool) if official_test is None else official_test):
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data)
    if scale != "global":
        digest.update(scale.encode())
    if shape:
        digest.update(str(shape).encode())
    return digest.hexdigest()
