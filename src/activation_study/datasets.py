"""Data sets: configuration entry → arrays in memory → prepared files that training jobs read."""

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from activation_study import files, local_files, sources
from activation_study.errors import StudyError
from activation_study.prepared import (
    Arrays,
    DatasetUnavailable,
    content_sha256,
    write_prepared,
)
from activation_study.sources import Raw

SOURCES = ("digits", "mnist1d", "torchvision", "folder", "npz")
COMMON_KEYS = {"source", "target", "target_reason", "max_train", "max_test"}
OWN_KEYS = {"digits": set(), "mnist1d": set(), "folder": {"path"}, "npz": {"path"}}


def check_entry(name: str, entry: dict[str, Any]) -> None:
    """Check one entry of `datasets` without touching the disk, the network or torch.

    Raises:
        StudyError: the key, its value and what would be right.
    """
    key = f"datasets.{name}"
    if not isinstance(entry, dict):
        raise StudyError(f"{key}: {entry!r} is no mapping; an example is {{source: digits}}")
    source = entry.get("source")
    if source not in SOURCES:
        raise StudyError(f"{key}.source: {source!r} is unknown; one of {', '.join(SOURCES)} is needed")
    if source == "torchvision":
        if not (isinstance(entry.get("class"), str) and entry["class"].isidentifier()):
            raise StudyError(f"{key}.class: {entry.get('class')!r} is no class name; an example is FashionMNIST")
        if reserved := sorted(sources.RESERVED_ARGUMENTS & entry.keys(), key=str):
            raise StudyError(f"{key}.{reserved[0]}: is set by the study; remove it")
        if entry["class"] == "FashionMNIST" and (unknown := entry.keys() - COMMON_KEYS - {"class"}):
            raise StudyError(f"{key}.{min(unknown, key=str)}: FashionMNIST takes no arguments; remove it")
    elif unknown := entry.keys() - COMMON_KEYS - OWN_KEYS[source]:
        allowed = ", ".join(sorted(COMMON_KEYS | OWN_KEYS[source]))
        raise StudyError(f"{key}.{min(unknown, key=str)}: unknown key for the source {source}; it takes {allowed}")
    if source in ("folder", "npz") and not (isinstance(entry.get("path"), str) and entry["path"]):
        raise StudyError(f"{key}.path: {entry.get('path')!r} is no path; a text such as data/images is needed")
    for cap in ("max_train", "max_test"):
        value = entry.get(cap)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
            raise StudyError(f"{key}.{cap}: {value!r} is wrong; a whole number of samples, 1 or more, is needed")
    target = entry.get("target")
    if target is not None and (isinstance(target, bool) or not isinstance(target, int | float) or not 0 < target < 1):
        raise StudyError(f"{key}.target: {target!r} is wrong; a validation accuracy between 0 and 1 is needed")
    if not isinstance(entry.get("target_reason", ""), str):
        raise StudyError(f"{key}.target_reason: {entry['target_reason']!r} is wrong; a sentence is needed")


def fingerprint(entry: dict[str, Any]) -> str:
    """Names, sizes and times of the files that a `folder` or `npz` entry reads, as one hash; "" for other sources."""
    if "path" not in OWN_KEYS.get(entry["source"], set()):
        return ""
    try:
        path = Path(entry["path"]).expanduser()
        # Images lie two levels deep; whatever is below a path like / is not looked at.
        files = sorted([*path.glob("*"), *path.glob("*/*")]) if path.is_dir() else [path]
        stats = [(str(file), file.stat()) for file in files if file.is_file()]
    except (OSError, RuntimeError):  # the job that reads it says what is wrong
        return ""
    listed = [(name, stat.st_size, stat.st_mtime_ns) for name, stat in stats]
    return hashlib.sha256(repr(listed).encode()).hexdigest()


def default_cache() -> Path:
    """$ACTIVATION_STUDY_CACHE, or ~/.cache/activation-study."""
    return Path(os.environ.get("ACTIVATION_STUDY_CACHE") or Path.home() / ".cache" / "activation-study")


def load(name: str, entry: dict[str, Any], cache: Path | None = None) -> Arrays:
    """Read one data set from its source; downloads are kept in `cache`.

    Raises:
        StudyError: the entry or the data are wrong.
        DatasetUnavailable: the data cannot be had now.
    """
    check_entry(name, entry)
    key, cache = f"datasets.{name}", cache or default_cache()
    match entry["source"]:
        case "digits":
            raw = sources.digits()
        case "mnist1d":
            raw = sources.mnist1d()
        case "folder":
            raw = local_files.folder(_path(entry, key), f"{key}.path")
        case "npz":
            raw = local_files.npz(_path(entry, key), f"{key}.path")
        case _ if entry["class"] == "FashionMNIST":
            raw = sources.fashion_mnist(cache)
        case _:
            arguments = {k: v for k, v in entry.items() if k not in COMMON_KEYS | {"class"}}
            raw = sources.torchvision_dataset(entry["class"], arguments, cache, key)
    return _arrays(raw, key)


def _path(entry: dict[str, Any], key: str) -> Path:
    try:
        path = Path(entry["path"]).expanduser()
        path.exists()
    except (OSError, RuntimeError) as error:  # too long a name, no permission; no such user behind ~
        raise StudyError(f"{key}.path: {entry['path'][:60]!r} cannot be read ({sources.one_line(error)})") from None
    return path


def prepare(
    name: str,
    entry: dict[str, Any],
    arrays: Path,
    manifest: Path,
    made_by: Mapping[str, Any] | None = None,
    cache: Path | None = None,
) -> dict[str, Any]:
    """Write one data set as an .npz file and its description as JSON; both atomic, their bytes deterministic.

    Data that cannot be had, or that are wrong, are no error: `x` is then [0, 0], and the manifest says "unavailable" or
    "refused" with the reason; the other datasets go on.

    Returns:
        The manifest: name, status, message, samples, features, classes, source, sha256, and `made_by`, its receipt.
    """
    try:
        data = load(name, entry, cache)
        status, message = "available", ""
    except StudyError as error:
        empty = np.zeros((0, 0), np.float32), np.zeros(0, np.int64), None
        data = Arrays(*empty, classes=0, source="", sha256=content_sha256(*empty))
        status, message = "unavailable" if isinstance(error, DatasetUnavailable) else "refused", str(error)
    description = {
        "name": name,
        "status": status,
        "message": message,
        "samples": data.x.shape[0],
        "features": data.x.shape[1],
        "classes": data.classes,
        "source": data.source,
        "sha256": data.sha256,
        "official_test": data.official_test is not None,
        files.MADE_BY: dict(made_by or {}),
    }
    write_prepared(data, description, arrays, manifest)
    return description


def _arrays(raw: Raw, key: str) -> Arrays:
    """Flatten, renumber the classes, and refuse what no network could be trained on."""
    x, y = raw.x, raw.y
    if x.ndim < 2 or y.ndim != 1 or len(x) != len(y) or x.size == 0:
        raise StudyError(f"{key}: x has the shape {x.shape} and y {y.shape}; [N, ...] and [N], not empty, are needed")
    if x.dtype.kind not in "biuf":
        raise StudyError(f"{key}: x has the type {x.dtype}; real numbers are needed")
    if y.dtype.kind not in "biu":
        raise StudyError(f"{key}: y has the type {y.dtype}; integer class labels are needed")
    x = x.reshape(len(x), -1)
    if x.dtype != np.uint8:
        with np.errstate(over="ignore"):
            x = x.astype(np.float32)
        if not np.isfinite(x).all():
            row, column = np.argwhere(~np.isfinite(x))[0]
            raise StudyError(f"{key}: x is not a finite float32 in sample {row}, feature {column}; every value must be")
    labels, y = np.unique(y, return_inverse=True)
    if len(labels) < 2:
        raise StudyError(f"{key}: every sample has the label {labels[0]}; at least two classes are needed")
    x, y = np.ascontiguousarray(x), y.astype(np.int64)
    return Arrays(x, y, raw.official_test, len(labels), raw.source, content_sha256(x, y, raw.official_test))
