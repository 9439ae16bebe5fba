"""Entries of the config's `datasets`: what they may say, and what identifies the files that they name."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

from activation_study.core.errors import StudyError
from activation_study.core.text import plain, shown
from activation_study.data import identity, local, vision

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
        if entry["class"] == "FashionMNIST" and (unknown := entry.keys() - COMMON_KEYS - {"class", "debian"}):
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
    for name, allowed in {
        "scale": SCALES,
        "mode": MODES,
        "allow_unchecked": (True, False),
        "debian": (True, False),
    }.items():
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
        vision.checked_class(entry["class"], arguments(entry), f"datasets.{name}", allow_unchecked=allowed)


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


def read_here(entry: dict[str, Any]) -> set[str]:
    """The keys of a torchvision entry that say how to read it."""
    return {"mode", "allow_unchecked"} | ({"size"} if entry["class"] != "FakeData" else set())


def arguments(entry: dict[str, Any]) -> dict[str, Any]:
    """The keys of a torchvision entry that its class takes."""
    ours = COMMON_KEYS | {"class", "unlabelled"} | read_here(entry)
    return {k: v for k, v in entry.items() if k not in ours}
