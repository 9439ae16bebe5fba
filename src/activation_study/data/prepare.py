"""Data sets: configuration entry → arrays in memory → prepared files that training jobs read."""

import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from activation_study.core import files
from activation_study.core.errors import StudyError
from activation_study.core.text import one_line, plain, shown
from activation_study.data import identity, local, public, transforms, vision
from activation_study.data.arrays import Arrays, DatasetUnavailable, content_sha256, write_prepared
from activation_study.data.public import Raw

SOURCES = ("digits", "mnist1d", "torchvision", "folder", "npz")
SCALES, MODES = ("per_feature", "global"), ("L", "RGB")
COMMON_KEYS = {"source", "target", "target_reason", "max_train", "max_test", "scale"}
OWN_KEYS = {
    "digits": set(),
    "mnist1d": set(),
    "folder": {"path", "size", "mode"},
    "npz": {"path", "unlabelled"},
    "torchvision": {"class", "size", "mode", "unlabelled", "allow_unchecked"},
}
LARGEST_SIDE = 4096  # of images, in pixels
PREPARING_MB = 1500
"""Of Python with NumPy and Pillow, which decodes images of up to 89 million pixels."""


def check_entry(name: str, entry: dict[str, Any]) -> None:
    """Check one entry of `datasets` without touching the disk, the network or torch.

    Raises:
        StudyError: the key, its value and what would be right.
    """
    key = f"datasets.{name}"
    if not isinstance(entry, dict):
        raise StudyError(f"{key}: {shown(entry)} is no mapping; an example is {{source: digits}}")
    source = entry.get("source")
    if source not in SOURCES:
        raise StudyError(f"{key}.source: {shown(source)} is unknown; one of {', '.join(SOURCES)} is needed")
    if source == "torchvision":
        if not (isinstance(entry.get("class"), str) and entry["class"].isidentifier()):
            raise StudyError(f"{key}.class: {shown(entry.get('class'))} is no class name; an example is FashionMNIST")
        if entry["class"] in vision.FOLDERS | vision.UNUSABLE.keys():
            vision.checked_class(entry["class"], entry, key)
        if reserved := sorted(vision.RESERVED_ARGUMENTS & entry.keys(), key=str):
            raise StudyError(f"{key}.{reserved[0]}: is set by the study; remove it")
        if entry["class"] == "FashionMNIST" and (unknown := entry.keys() - COMMON_KEYS - {"class"}):
            raise StudyError(f"{key}.{plain(min(unknown, key=str))}: FashionMNIST takes no arguments; remove it")
    elif unknown := entry.keys() - COMMON_KEYS - OWN_KEYS[source]:
        allowed = ", ".join(sorted(COMMON_KEYS | OWN_KEYS[source]))
        unknown = plain(min(unknown, key=str))
        raise StudyError(f"{key}.{unknown}: unknown key for the source {source}; it takes {allowed}")
    if source in ("folder", "npz") and not (isinstance(entry.get("path"), str) and entry["path"]):
        raise StudyError(f"{key}.path: {shown(entry.get('path'))} is no path; a text such as data/images is needed")
    for cap in ("max_train", "max_test"):
        value = entry.get(cap)
        if value is not None and (not _whole(value) or value < 1):
            raise StudyError(f"{key}.{cap}: {shown(value)} is wrong; a whole number of samples, 1 or more, is needed")
    target = entry.get("target")
    if target is not None and (isinstance(target, bool) or not isinstance(target, int | float) or not 0 < target < 1):
        raise StudyError(f"{key}.target: {shown(target)} is wrong; a validation accuracy between 0 and 1 is needed")
    if not isinstance(entry.get("target_reason", ""), str):
        raise StudyError(f"{key}.target_reason: {shown(entry['target_reason'])} is wrong; a sentence is needed")
    for name, allowed in {"scale": SCALES, "mode": MODES, "allow_unchecked": (True, False)}.items():
        if name in entry and not (type(entry[name]) is type(allowed[0]) and entry[name] in allowed):
            words = " or ".join(str(value).lower() if isinstance(value, bool) else value for value in allowed)
            raise StudyError(f"{key}.{name}: {shown(entry[name])} is wrong; {words} is needed")
    if "unlabelled" in entry and not _whole(entry["unlabelled"]):
        raise StudyError(f"{key}.unlabelled: {shown(entry['unlabelled'])} is wrong; a label such as -1 is needed")
    if "size" in entry and entry.get("class") != "FakeData":  # which has an argument of that name
        size = entry["size"]
        sides = size if isinstance(size, list) and len(size) == 2 else [size]
        if not all(_whole(side) and 1 <= side <= LARGEST_SIDE for side in sides):
            raise StudyError(
                f"{key}.size: {shown(size)} is wrong; 1 to {LARGEST_SIDE} pixels are needed, as 32 or [height, width]"
            )


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def examine(name: str, entry: dict[str, Any]) -> None:
    """Check what `check_entry` cannot without torchvision: its class, the packages it needs, its arguments.

    No data are touched and no network is asked; importing torchvision takes seconds, for its classes alone.

    Raises:
        StudyError: the key, its value and what would be right.
    """
    check_entry(name, entry)
    if entry["source"] == "torchvision" and entry["class"] != "FashionMNIST":
        allowed = entry.get("allow_unchecked", False)
        vision.checked_class(entry["class"], _arguments(entry), f"datasets.{name}", allow_unchecked=allowed)


def fingerprint(entry: dict[str, Any], cache: Path | None = None) -> str:
    """Names and contents of the files that a `folder` or `npz` entry reads, as one hash; "" for other sources."""
    if "path" not in OWN_KEYS.get(entry["source"], set()):
        return ""
    try:
        return identity.digest(Path(entry["path"]).expanduser(), cache or default_cache())
    except (OSError, RuntimeError, ValueError):  # the job that reads it says what is wrong
        return ""


def mem_mb(entry: dict[str, Any]) -> int:
    """Memory that preparing this entry needs at most, in MB."""
    if "path" not in OWN_KEYS.get(entry["source"], set()):
        return 4000
    try:
        path = Path(entry["path"]).expanduser()
    except RuntimeError:  # no such user behind ~
        return PREPARING_MB
    return PREPARING_MB + math.ceil(local.bytes_needed(path, entry.get("size"), entry.get("mode")) / 1e6)


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
            raw = public.digits()
        case "mnist1d":
            raw = public.mnist1d()
        case "folder":
            raw = local.folder(_path(entry, key), f"{key}.path", entry.get("size"), entry.get("mode"))
        case "npz":
            raw = local.npz(_path(entry, key), f"{key}.path")
        case _ if entry["class"] == "FashionMNIST":
            raw = public.fashion_mnist(cache)
        case _:
            own = {k: v for k, v in entry.items() if k in _read_here(entry)}
            raw = public.torchvision_dataset(entry["class"], _arguments(entry), cache, key, **own)
    return _arrays(raw, entry, key)


def _read_here(entry: dict[str, Any]) -> set[str]:
    """The keys of a torchvision entry that say how to read it."""
    return {"mode", "allow_unchecked"} | ({"size"} if entry["class"] != "FakeData" else set())


def _arguments(entry: dict[str, Any]) -> dict[str, Any]:
    """The keys of a torchvision entry that its class takes."""
    ours = COMMON_KEYS | {"class", "unlabelled"} | _read_here(entry)
    return {k: v for k, v in entry.items() if k not in ours}


def _path(entry: dict[str, Any], key: str) -> Path:
    try:
        path = Path(entry["path"]).expanduser()
        path.exists()
    except (OSError, RuntimeError, ValueError) as error:  # too long a name, no permission; no such user behind ~
        raise StudyError(f"{key}.path: {shown(entry['path'])} cannot be read ({one_line(error)})") from None
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
        The manifest: name, status, message (why there are no data, or a note on them), samples, features, classes,
        source, scale, sha256, official_test, and `made_by`, its receipt.
    """
    try:
        data = load(name, entry, cache)
        status, message = "available", data.note
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
        "scale": data.scale,
        "sha256": data.sha256,
        "official_test": data.official_test is not None,
        files.MADE_BY: dict(made_by or {}),
    }
    write_prepared(data, description, arrays, manifest)
    return description


def _arrays(raw: Raw, entry: dict[str, Any], key: str) -> Arrays:
    """Flatten, renumber the classes, and refuse what no network could be trained on."""
    x, y, official_test = raw.x, raw.y, raw.official_test
    if x.ndim < 2 or y.ndim != 1 or len(x) != len(y) or x.size == 0:
        hint = local.labels_hint(x, y)
        raise StudyError(
            f"{key}: x has the shape {x.shape} and y {y.shape}; [N, ...] and [N], not empty, are needed{hint}"
        )
    if x.dtype.kind not in "biuf":
        raise StudyError(f"{key}: x has the type {plain(x.dtype)}; real numbers are needed{_type_hint(x.dtype)}")
    if y.dtype.kind not in "biuUS":
        hint = "; of whole numbers save y.astype(int)" if y.dtype.kind == "f" else ""
        raise StudyError(f"{key}: y has the type {plain(y.dtype)}; integer class labels, or texts, are needed{hint}")
    if (labelled := _labelled(y, entry, key)) is not None:
        x, y = x[labelled], y[labelled]
        official_test = None if official_test is None else official_test[labelled]
    labels, y = np.unique(y, return_inverse=True)
    if len(labels) < 2:
        found = f"every sample has the label {plain(labels[0])}" if len(labels) else "no sample has a label"
        raise StudyError(f"{key}: {found}; at least two classes are needed")
    table = entry["source"] == "npz" and x.ndim == 2
    scale = entry.get("scale") or ("per_feature" if table else "global")
    x = x.reshape(len(x), -1)
    kept, y = transforms.stored(x, key, per_feature=scale == "per_feature"), y.astype(np.int64)
    if kept.dtype != np.uint8 and kept.min() == kept.max():  # numbers that are moved no longer say what they were
        raise StudyError(f"{key}: every value of x is {plain(x[0, 0])}; inputs must vary")
    note = _note(transforms.unlikeness(x), scale, given="scale" in entry) if table else ""
    source = f"{raw.source}, each feature on its own scale" if scale == "per_feature" else raw.source
    sha256 = content_sha256(kept, y, official_test, scale)
    return Arrays(kept, y, official_test, len(labels), source, sha256, scale, note)


def _type_hint(dtype: np.dtype) -> str:
    return {
        "c": ": of complex ones save real and imaginary parts as features",
        "M": ": of dates save a difference in days, as numbers",
        "m": ": of durations save x / np.timedelta64(1, 's')",
        "U": ": of texts save x.astype(float), or one-hot columns of categories",
        "S": ": of texts save x.astype(float), or one-hot columns of categories",
        "V": ": of records save np.stack([x[name] for name in x.dtype.names], axis=1)",
    }.get(dtype.kind, "")


def _labelled(y: np.ndarray, entry: dict[str, Any], key: str) -> np.ndarray | None:
    """Which samples have a label, or None where all have one."""
    if (unlabelled := entry.get("unlabelled")) is not None:
        if y.dtype.kind not in "biu":
            raise StudyError(f"{key}.unlabelled: {unlabelled} is a number, but the labels are texts")
        return y != unlabelled
    # -1 and 1 are a usual pair of classes; beside others -1 usually says that there is none.
    if y.dtype.kind == "i" and (count := int((y == -1).sum())) and len(np.unique(y)) > 2:
        raise StudyError(
            f"{key}: {count} samples have the label -1, which usually means unlabelled; unlabelled: -1 leaves them "
            f"out; if it is a class, number the classes from 0"
        )
    return None


def _note(unlikeness: float, scale: str, *, given: bool) -> str:
    """What to know about a table whose columns' spreads are far apart; "" where it does not matter."""
    if unlikeness <= transforms.UNLIKE or (given and scale == "per_feature"):
        return ""
    found = f"the standard deviations of its columns differ by a factor of {unlikeness:.3g}"
    if scale == "global":
        return f"{found}; scale: global keeps that, so the widest columns dominate; scale: per_feature ends it"
    return f"{found}; each is standardised by its own (scale: per_feature, the default); scale: global keeps the factor"
