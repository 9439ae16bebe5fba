"""Images of unlike sizes and colours → arrays; nothing but known formats of pixels is opened."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np

from activation_study.core.errors import StudyError
from activation_study.core.text import one_line, plain

FORMATS = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP", "PPM")
"""Pillow knows others: an EPS would start Ghostscript."""
GREY_MODES, COLOUR_MODES = {"1", "L", "LA"}, {"P", "RGB", "RGBA"}
CONVERTED_MODES = GREY_MODES | COLOUR_MODES | {"CMYK", "YCbCr"}  # when the entry says what they are to become


def shape_of(size: int | list[int] | None) -> tuple[int, int] | None:
    """Height and width of an entry's `size`."""
    if isinstance(size, int):
        return size, size
    return (size[0], size[1]) if size else None


def read(path: Path, key: str, size: int | list[int] | None = None, mode: str | None = None) -> np.ndarray:
    """uint8 [H, W] or [H, W, 3] of one file, turned as its EXIF orientation says.

    Raises:
        StudyError: `key` and the file.
    """
    from PIL import Image, ImageOps

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about palettes and damaged EXIF
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path, formats=FORMATS) as image:
                if image.mode not in (CONVERTED_MODES if mode else GREY_MODES | COLOUR_MODES):
                    raise StudyError(
                        f"{key}: {plain(path, 300)} has the mode {plain(image.mode)}; 8-bit greyscale or RGB is needed"
                    )
                wanted = mode or ("L" if image.mode in GREY_MODES else "RGB")
                return np.asarray(fitted(ImageOps.exif_transpose(image), size, wanted))
    except (StudyError, MemoryError):
        raise
    except Exception as error:  # Pillow has errors of many kinds for damaged files
        raise StudyError(f"{key}: {plain(path, 300)} is not a readable image ({one_line(error)})") from error


def header(path: Path) -> tuple[int, int, int]:
    """Height, width and channels, without decoding. Raises errors of many kinds."""
    from PIL import Image

    with Image.open(path, formats=FORMATS) as image:
        return image.height, image.width, 1 if image.mode in GREY_MODES else 3


def fitted(image: Any, size: int | list[int] | None, mode: str | None) -> Any:
    """A Pillow image in this mode, stretched to this size by Pillow's bilinear filter, which averages what shrinks."""
    from PIL import Image

    if mode and image.mode != mode:
        image = image.convert(mode)
    shape = shape_of(size)
    if shape and (image.height, image.width) != shape:
        image = image.resize((shape[1], shape[0]), Image.Resampling.BILINEAR)
    return image


def axes(x: np.ndarray) -> str:
    """Those of the samples of x [N, ...], as ``Raw`` has them: of images, if x can be no more than that."""
    if x.ndim == 4 and x.shape[3] in (1, 3, 4):
        return "HWC"
    return "HW" if x.ndim == 3 else ""


def described(size: int | list[int] | None, mode: str | None) -> str:
    """For the line that says where data come from."""
    shape = shape_of(size)
    changes = [f"stretched to {shape[0]} × {shape[1]} pixels (bilinear)"] if shape else []
    changes += [f"converted to {mode}"] if mode else []
    return f", {' and '.join(changes)}" if changes else ""
