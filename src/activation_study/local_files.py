"""Data sets from the user's own files: an .npz archive, or a folder of images. Nothing is read on trust."""

import warnings
import zipfile
from pathlib import Path

import numpy as np

from activation_study.errors import StudyError
from activation_study.sources import MAX_BYTES, Raw, one_line

GREY_MODES, COLOUR_MODES = {"1", "L", "LA"}, {"P", "RGB", "RGBA"}


def npz(path: Path, key: str) -> Raw:
    """The arrays `x` [N, ...] and `y` [N] of an .npz file; sizes are checked before anything is read.

    Raises:
        StudyError: `key` and the file, when it is missing, damaged, pickled, too large or lacks an array.
    """
    if not path.is_file():
        raise StudyError(f"{key}: {path} is no file; an .npz file with arrays x and y is needed")
    try:
        with zipfile.ZipFile(path) as archive:
            x, y = (_npz_member(archive, name, f"{key}: {path}") for name in ("x", "y"))
    except (StudyError, MemoryError):
        raise
    except Exception as error:  # zipfile, zlib and numpy have errors of many kinds for damaged files
        raise StudyError(f"{key}: {path} is not a readable .npz file ({one_line(error)})") from error
    return Raw(x, y, None, f"npz file {path.name}")


def folder(path: Path, key: str) -> Raw:
    """Images of one size, one sub-folder per class, in the order of their names.

    Greyscale images give [H, W], all others are read as RGB [H, W, 3]. Hidden files are skipped.

    Raises:
        StudyError: `key` and the first file that is no image, differs in size or colour, or lies elsewhere.
    """
    if not path.is_dir():
        raise StudyError(f"{key}: {path} is no folder; a folder with one sub-folder of images per class is needed")
    root = path.resolve()
    images: list[np.ndarray] = []
    labels: list[int] = []
    classes = _visible(path, key)
    for label, class_folder in enumerate(classes):
        _check_inside(class_folder, root, key)
        if not class_folder.is_dir():
            raise StudyError(f"{key}: {class_folder} is not a folder; only sub-folders, one per class, are expected")
        files = _visible(class_folder, key)
        if not files:
            raise StudyError(f"{key}: {class_folder} holds no image; remove the folder or fill it")
        for file in files:
            _check_inside(file, root, key)
            if not file.is_file():  # opening a pipe would wait for ever
                raise StudyError(f"{key}: {file} is not a readable image (it is no file)")
            images.append(_image(file, images[0].shape if images else None, key))
            labels.append(label)
            if len(images) * images[0].nbytes > MAX_BYTES:
                raise StudyError(f"{key}: {path} has more than {MAX_BYTES} bytes of pixels; use fewer images")
    if not images:
        raise StudyError(f"{key}: {path} has no sub-folders; one sub-folder of images per class is needed")
    return Raw(np.stack(images), np.array(labels), None, f"image folder {path.name} ({len(classes)} classes)")


def _npz_member(archive: zipfile.ZipFile, name: str, where: str) -> np.ndarray:
    """One array, read only when its header agrees with the size that the archive declares."""
    try:
        info = archive.getinfo(f"{name}.npy")
    except KeyError:
        raise StudyError(f"{where} has no array {name!r}; arrays x [N, ...] and y [N] are needed") from None
    if info.file_size > MAX_BYTES:
        raise StudyError(f"{where}: array {name} declares {info.file_size} bytes; at most {MAX_BYTES} are read")
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
        if member.tell() + dtype.itemsize * int(np.prod(shape, dtype=object)) != info.file_size:
            raise StudyError(f"{where}: array {name} of shape {shape} does not fit its {info.file_size} bytes")
    with archive.open(info) as member:
        return np.lib.format.read_array(member, allow_pickle=False)


def _visible(path: Path, key: str) -> list[Path]:
    try:
        return sorted((file for file in path.iterdir() if not file.name.startswith(".")), key=lambda file: file.name)
    except OSError as error:
        raise StudyError(f"{key}: {path} cannot be read ({error.strerror})") from None


def _check_inside(path: Path, root: Path, key: str) -> None:
    if not path.resolve().is_relative_to(root):
        raise StudyError(f"{key}: {path} is a link to {path.resolve()}, outside the folder; copy the files into it")


def _image(path: Path, shape: tuple[int, ...] | None, key: str) -> np.ndarray:
    """uint8 [H, W] or [H, W, 3]; compared with `shape` before the pixels are decoded."""
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as image:
                if image.mode not in GREY_MODES | COLOUR_MODES:
                    raise StudyError(f"{key}: {path} has the mode {image.mode}; 8-bit greyscale or RGB is needed")
                grey = image.mode in GREY_MODES
                found = (image.height, image.width) if grey else (image.height, image.width, 3)
                if shape not in (None, found):
                    raise StudyError(f"{key}: {path} is {found}, the images before it are {shape}; all must be alike")
                return np.asarray(image.convert("L" if grey else "RGB"))
    except (StudyError, MemoryError):
        raise
    except Exception as error:  # Pillow has errors of many kinds for damaged files
        raise StudyError(f"{key}: {path} is not a readable image ({one_line(error)})") from error
