"""Datasets: an entry of the config → arrays in memory → prepared files that training jobs read."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from activation_study.core import files
from activation_study.core.errors import StudyError
from activation_study.core.text import one_line, plain, shown
from activation_study.data import corpus, local, public, transforms
from activation_study.data.arrays import Arrays, DatasetUnavailable, Raw, content_sha256, write_prepared
from activation_study.data.entries import TABLES, WINDOW, arguments, check_entry, default_cache, read_here


def load(name: str, entry: dict[str, Any], cache: Path | None = None) -> Arrays:
    """Read one data set from its source; downloads are kept in `cache`.

    Raises:
        StudyError: the entry or the data are wrong.
        DatasetUnavailable: the data are not available now.
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
        case "novels":
            raw = corpus.novels(entry.get("length", WINDOW), cache, key)
        case "text":
            raw = corpus.text(_path(entry, key), entry.get("length", WINDOW), key)
        case "csv" | "keel" | "mlbench" | "mnist_5k" | "openml":
            raw = _table(entry, cache, key)
        case _ if entry["class"] == "FashionMNIST":
            raw = public.fashion_mnist(cache, debian=entry.get("debian", False))
        case _:
            own = {k: v for k, v in entry.items() if k in read_here(entry)}
            raw = public.torchvision_dataset(entry["class"], arguments(entry), cache, key, **own)
    return _arrays(raw, entry, key)


def _table(entry: dict[str, Any], cache: Path, key: str) -> Raw:
    from activation_study.data import repositories, tabular  # and with them pandas

    match entry["source"]:
        case "csv":
            return tabular.csv(_path(entry, key), key, entry["label"], entry.get("categorical", ()))
        case "keel":
            return repositories.keel(entry["name"], cache)
        case "mlbench":
            return repositories.mlbench(entry["name"], cache, key)
        case "openml":
            return repositories.openml(entry["id"], cache, key)
    return repositories.mnist_5k(cache)


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

    Data that are not available, or wrong, are not an error: `x` is then [0, 0], and the manifest says "unavailable" or
    "refused" with the reason; the other datasets go on.

    Returns:
        The manifest: name, status, message (why there are no data, or a note on them), samples, features, classes,
        source, scale, shape, sha256, official_test, and `made_by`, its receipt.
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
        "shape": list(data.shape),
        "sha256": data.sha256,
        "official_test": data.official_test is not None,
        files.MADE_BY: dict(made_by or {}),
    }
    write_prepared(data, description, arrays, manifest)
    return description


def _arrays(raw: Raw, entry: dict[str, Any], key: str) -> Arrays:
    """Flatten, channels last, renumber the classes, and refuse what no network could be trained on."""
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
    table = entry["source"] in TABLES and x.ndim == 2 and "axes" not in entry
    scale = entry.get("scale") or ("per_feature" if table else "global")
    x, shape = _shaped(x, entry.get("axes") or raw.axes, key)
    x = x.reshape(len(x), -1)
    kept, y = transforms.stored(x, key, per_feature=scale == "per_feature"), y.astype(np.int64)
    if kept.dtype != np.uint8 and kept.min() == kept.max():  # numbers that are moved no longer say what they were
        raise StudyError(f"{key}: every value of x is {plain(x[0, 0])}; inputs must vary")
    note = _note(transforms.unlikeness(x), scale, given="scale" in entry) if table and "path" in entry else ""
    source = f"{raw.source}, each feature on its own scale" if scale == "per_feature" else raw.source
    sha256 = content_sha256(kept, y, official_test, scale, shape)
    return Arrays(kept, y, official_test, len(labels), source, sha256, scale, note, shape)


def _shaped(x: np.ndarray, axes: str, key: str) -> tuple[np.ndarray, tuple[int, ...]]:
    """Samples with their channels last, and the shape of one; () where no axes are known."""
    if not axes:
        return x, ()
    if len(axes) != x.ndim - 1:
        needed = ", ".join(["N", *axes])
        raise StudyError(f"{key}.axes: {axes} is x of the axes [{needed}], but its shape is {x.shape}")
    x = np.moveaxis(x, 1 + axes.index("C"), -1) if "C" in axes else x[..., None]
    return x, x.shape[1:]


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
