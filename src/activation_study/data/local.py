"""Data sets from the user's own files: an .npz archive, or a folder of images. Nothing is read on trust."""

import math
import os
import zipfile
from pathlib import Path

import numpy as np

from activation_study.core.errors import StudyError
from activation_study.core.text import one_line, plain
from activation_study.data import identity, photos
from activation_study.data.arrays import MAX_BYTES, Raw

PACKED_MOST = 100
"""Times that an array may be larger than its place in the archive, if it is larger than UNPACKED_FREE."""
UNPACKED_FREE = 64 * 2**20
WHOLE, PARTED = ("x", "y"), ("x_train", "y_train", "x_test", "y_test")
TRAINING_PART, TEST_PART, OTHER_PARTS = "train", "test", ("val", "valid", "validation")


def npz(path: Path, key: str) -> Raw:
    """The arrays `x` [N, ...] and `y` [N] of an .npz file, or `x_train`, `y_train`, `x_test` and `y_test`.

    Sizes, as they are in the file and as they are kept, are checked before anything is read.

    Raises:
        StudyError: `key` and the file, when it is missing, damaged, pickled, too large or lacks an array.
    """
    where = f"{key}: {plain(path, 300)}"
    if identity.kind(path) != "file":
        raise StudyError(f"{where} is not a file; an .npz file with arrays x and y is needed")
    try:
        with zipfile.ZipFile(path) as archive:
            names = _arrays_of(archive, where)
            for name in names:
                _check_size(archive, name, where)
            headers = [_header(archive, name, where) for name in names]
            _check_kept(headers, where)
            arrays = dict(zip(names, (_npz_member(archive, name) for name in names), strict=True))
    except (StudyError, MemoryError):
        raise
    except Exception as error:  # zipfile, zlib and numpy have errors of many kinds for damaged files
        raise StudyError(f"{where} is not a readable .npz file ({one_line(error)})") from error
    source = f"npz file {plain(path.name)}"
    if names == WHOLE:
        return Raw(arrays["x"], arrays["y"], None, source, photos.axes(arrays["x"]))
    train, test = (arrays["x_train"], arrays["y_train"]), (arrays["x_test"], arrays["y_test"])
    for part, (x, y) in {"train": train, "test": test}.items():
        if x.ndim < 2 or y.ndim != 1 or len(x) != len(y) or x.shape[1:] != train[0].shape[1:]:
            raise StudyError(
                f"{key}: x_{part} has the shape {x.shape} and y_{part} {y.shape}; [N, ...] and [N] are needed, "
                f"alike in x_train and x_test{labels_hint(x, y)}"
            )
    kinds = train[1].dtype.kind, test[1].dtype.kind
    if ("U" in kinds or "S" in kinds) and len(set(kinds)) > 1:
        raise StudyError(f"{key}: y_train is {train[1].dtype} and y_test {test[1].dtype}; one type of label is needed")
    x, y = (np.concatenate(both) for both in zip(train, test, strict=True))
    return Raw(x, y, np.arange(len(y)) >= len(train[1]), source, photos.axes(x))


def labels_hint(x: np.ndarray, y: np.ndarray) -> str:
    """What to write where labels have the usual wrong shapes."""
    if y.ndim != 2 or x.ndim == 0 or len(y) != len(x):
        return ""
    return "; save y[:, 0]" if y.shape[1] == 1 else "; of one-hot labels save y.argmax(axis=1)"


def folder(path: Path, key: str, size: int | list[int] | None = None, mode: str | None = None) -> Raw:
    """Images in one sub-folder per class, in the order of their names, or in train/<class> and test/<class>.

    Greyscale images give [H, W], all others are read as RGB [H, W, 3]; all must be alike, unless `size` and `mode`
    make them so. Hidden files are skipped. Without test/ the images of val/, valid/ or validation/ are the test set;
    beside it they are not read.

    Raises:
        StudyError: `key` and the first file that is not an image, differs in size or colour, or lies elsewhere.
    """
    if identity.kind(path) != "folder":
        shown = plain(path, 300)
        raise StudyError(f"{key}: {shown} is not a folder; a folder with one sub-folder of images per class is needed")
    training, test, note = _parts(path, key)
    classes = [place.name for place in _class_folders(training, key)]
    files, labels = _class_files(training, classes, key)
    count = len(files)
    if test:
        held_out = _class_files(test, classes, key)
        files, labels = files + held_out[0], labels + held_out[1]
    if not files:
        raise StudyError(f"{key}: {plain(path, 300)} has no sub-folders; one sub-folder of images per class is needed")
    root = path.resolve()
    pixels: np.ndarray | None = None
    for index, file in enumerate(files):
        _check_inside(file, root, key)
        if (kind := identity.kind(file)) != "file":  # opening a pipe would wait for ever
            reason = "it is not a file, but a folder" if kind == "folder" else kind
            raise StudyError(f"{key}: {plain(file, 300)} is not a readable image ({reason})")
        image = photos.read(file, key, size, mode)
        if pixels is None:
            if len(files) * image.nbytes > MAX_BYTES:
                raise StudyError(
                    f"{key}: {plain(path, 300)} has more than {MAX_BYTES} bytes of pixels; use fewer images, or "
                    f"smaller ones with size: 32"
                )
            pixels = np.empty((len(files), *image.shape), np.uint8)
        elif image.shape != pixels.shape[1:]:
            raise StudyError(
                f"{key}: {plain(file, 300)} is {image.shape}, the images before it are {pixels.shape[1:]}; all must be "
                f"alike, or be made so by size: 32 and mode: L or RGB"
            )
        pixels[index] = image
    assert pixels is not None
    official_test = np.arange(len(files)) >= count if test else None
    line = f"image folder {plain(path.name)} ({len(classes)} classes{note}){photos.described(size, mode)}"
    return Raw(pixels, np.array(labels), official_test, line, photos.axes(pixels))


def bytes_needed(path: Path, size: int | list[int] | None = None, mode: str | None = None) -> int:
    """About how much memory `npz` or `folder` needs for the data, with what becomes of them; 0 where they fail."""
    try:
        if identity.kind(path) == "folder":
            training, test, _ = _parts(path, "")
            files = [file for part in (training, test) if part for file in sorted(part.glob("*/*"))]
            height, width, channels = photos.header(next(file for file in files if identity.kind(file) == "file"))
            height, width = photos.shape_of(size) or (height, width)
            return min(MAX_BYTES, len(files) * height * width * ({"L": 1, "RGB": 3}.get(mode or "") or channels))
        if identity.kind(path) != "file":
            return 0
        with zipfile.ZipFile(path) as archive:
            names = _arrays_of(archive, "")
            for name in names:
                _check_size(archive, name, "")
            headers = [_header(archive, name, "") for name in names]
            read = sum(archive.getinfo(f"{name}.npy").file_size for name in names)
            return 2 * read + sum(_kept_bytes(*header) for header in headers)  # parts are joined, or orders changed
    except Exception:  # what is wrong is the job's to say
        return 0


def _arrays_of(archive: zipfile.ZipFile, where: str) -> tuple[str, ...]:
    """The names of the arrays to read: x and y, or those of two parts."""
    found = {name.removesuffix(".npy") for name in archive.namelist()}
    if not found & {"x_train", "x_test"}:
        wanted: tuple[str, ...] = WHOLE
    elif "x" in found:
        raise StudyError(f"{where} has both x and x_train or x_test; which is meant? Save x and y, or the four parts")
    else:
        wanted = PARTED
    for name in wanted:
        if name not in found:
            needed = "arrays x [N, ...] and y [N]" if wanted == WHOLE else ", ".join(PARTED)
            raise StudyError(f"{where} has no array {name!r}; {needed} are needed")
    return wanted


def _check_size(archive: zipfile.ZipFile, name: str, where: str) -> None:
    info = archive.getinfo(f"{name}.npy")
    if info.file_size > MAX_BYTES:
        raise StudyError(f"{where}: array {name} declares {info.file_size} bytes; at most {MAX_BYTES} are read")
    if info.file_size > max(UNPACKED_FREE, PACKED_MOST * info.compress_size):
        raise StudyError(
            f"{where}: array {name} declares {info.file_size} bytes in {info.compress_size} of the archive, as bombs "
            f"do; if it is none, save it by np.savez, uncompressed"
        )


def _kept_bytes(shape: tuple[int, ...], dtype: np.dtype) -> int:
    return math.prod(shape) * (1 if dtype == np.uint8 else 4)


def _check_kept(headers: list[tuple[tuple[int, ...], np.dtype]], where: str) -> None:
    held = sum(_kept_bytes(*header) for header in headers)
    if held > MAX_BYTES:
        raise StudyError(f"{where}: becomes {held} bytes as float32; at most {MAX_BYTES} are kept")


def _header(archive: zipfile.ZipFile, name: str, where: str) -> tuple[tuple[int, ...], np.dtype]:
    """Shape and type of one array, when they agree with the size that the archive declares."""
    info = archive.getinfo(f"{name}.npy")
    with archive.open(info) as member:  # never yields more than info.file_size bytes
        version = np.lib.format.read_magic(member)
        read_header = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }
        if version not in read_header:
            raise StudyError(f"{where}: array {name} has npy format {version}; 1.0 or 2.0 is needed")
        shape, _, dtype = read_header[version](member)
        if dtype.hasobject:
            raise StudyError(f"{where}: array {name} holds pickled objects, which are never loaded; use numbers")
        # A header may ask for more memory than there are data.
        if member.tell() + dtype.itemsize * math.prod(shape) != info.file_size:
            raise StudyError(f"{where}: array {name} of shape {shape} does not fit its {info.file_size} bytes")
    return shape, dtype


def _npz_member(archive: zipfile.ZipFile, name: str) -> np.ndarray:
    with archive.open(archive.getinfo(f"{name}.npy")) as member:
        return np.lib.format.read_array(member, allow_pickle=False)


def _parts(path: Path, key: str) -> tuple[Path, Path | None, str]:
    """The folder of the training part (the whole where there are no parts), that of the test, and what is left out."""
    parts = {place.name: place for place in _visible(path, key)}
    known = {TRAINING_PART, TEST_PART, *OTHER_PARTS}
    if not parts.keys() <= known or TRAINING_PART not in parts:
        return path, None, ""
    if not any(identity.kind(inside) == "folder" for inside in _visible(parts[TRAINING_PART], key)):
        return path, None, ""  # classes that happen to have such names
    held_out = [name for name in (TEST_PART, *OTHER_PARTS) if name in parts]
    taken = f"; {TRAINING_PART}/ and {held_out[0]}/ are taken" if held_out else f"; {TRAINING_PART}/ is taken"
    left = f", {' and '.join(f'{name}/' for name in held_out[1:])} not read" if held_out[1:] else ""
    return parts[TRAINING_PART], parts[held_out[0]] if held_out else None, taken + left


def _class_folders(part: Path, key: str) -> list[Path]:
    folders = _visible(part, key)
    root = part.resolve()
    for place in folders:
        _check_inside(place, root, key)
        if identity.kind(place) != "folder":
            raise StudyError(
                f"{key}: {plain(place, 300)} is not a folder; only sub-folders, one per class, are expected"
            )
    return folders


def _class_files(part: Path, classes: list[str], key: str) -> tuple[list[Path], list[int]]:
    files: list[Path] = []
    labels: list[int] = []
    for place in _class_folders(part, key):
        if place.name not in classes:
            raise StudyError(f"{key}: {plain(place, 300)} is a class that {TRAINING_PART}/ lacks; it can't be learned")
        if not (found := _visible(place, key)):
            raise StudyError(f"{key}: {plain(place, 300)} holds no image; remove the folder or fill it")
        files += found
        labels += [classes.index(place.name)] * len(found)
    return files, labels


def _visible(path: Path, key: str) -> list[Path]:
    try:
        return sorted((file for file in path.iterdir() if not file.name.startswith(".")), key=lambda file: file.name)
    except OSError as error:
        raise StudyError(f"{key}: {plain(path, 300)} cannot be read ({error.strerror})") from None


def _check_inside(path: Path, root: Path, key: str) -> None:
    place = Path(os.path.realpath(path))  # which has an answer for a link to itself too
    if not place.is_relative_to(root):
        shown = plain(path, 300), plain(place, 300)
        raise StudyError(f"{key}: {shown[0]} is a link to {shown[1]}, outside the folder; copy the files into it")
