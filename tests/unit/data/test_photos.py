"""Photos of unlike sizes, folders with parts, formats that are not opened, names that are no text."""

import os
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from activation_study.core.errors import StudyError
from activation_study.data import entries, photos, prepare


def picture(path: Path, pixels, **options) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(pixels, np.uint8)).save(path, **options)


def load(root: Path, **more):
    return prepare.load("pics", {"source": "folder", "path": str(root)} | more)


def parts(root: Path, *names: str, classes: tuple[str, ...] = ("cat", "dog")) -> Path:
    """Two grey images per class and part; each pixel says part, class and image."""
    for p, part in enumerate(names):
        for c, name in enumerate(classes):
            for i in range(2):
                picture(root / part / name / f"{i}.png", np.full((2, 2), 100 * p + 10 * c + i))
    return root


# --- parts -----------------------------------------------------------------------------------------------


def test_train_and_test_folders_are_the_official_parts(tmp_path):
    arrays = load(parts(tmp_path, "train", "test"))
    assert arrays.x[:, 0].tolist() == [0, 1, 10, 11, 100, 101, 110, 111]
    assert arrays.y.tolist() == [0, 0, 1, 1] * 2
    assert arrays.official_test.tolist() == [False] * 4 + [True] * 4
    assert "(2 classes; train/ and test/ are taken)" in arrays.source


@pytest.mark.parametrize("name", ["val", "valid", "validation"])
def test_a_validation_folder_stands_in_for_a_missing_test_folder(tmp_path, name):
    arrays = load(parts(tmp_path, "train", name))
    assert arrays.official_test.sum() == 4
    assert f"train/ and {name}/ are taken" in arrays.source
    arrays = load(parts(tmp_path, "train", name, "test"))  # each part of which is written anew
    assert arrays.x[:, 0].tolist() == [0, 1, 10, 11, 200, 201, 210, 211]
    assert f"train/ and test/ are taken, {name}/ not read" in arrays.source


def test_a_training_folder_alone_is_the_whole(tmp_path):
    arrays = load(parts(tmp_path, "train"))
    assert (len(arrays.x), arrays.official_test) == (4, None)


def test_classes_may_be_called_train_and_test(tmp_path):
    for name in ("train", "test"):
        for i in range(2):
            picture(tmp_path / name / f"{i}.png", np.full((2, 2), i))
    arrays = load(tmp_path)
    assert (arrays.classes, arrays.official_test) == (2, None)
    parts(tmp_path / "boats", "train", "tug")
    assert load(tmp_path / "boats" / "train").classes == 2


def test_a_class_of_the_test_part_alone_is_refused(tmp_path):
    parts(tmp_path, "train", "test")
    picture(tmp_path / "test" / "elk" / "0.png", np.zeros((2, 2)))
    with pytest.raises(StudyError, match=r"^datasets\.pics\.path: .*test/elk is a class that train/ lacks"):
        load(tmp_path)


# --- sizes, modes, orientation ---------------------------------------------------------------------------


@pytest.fixture
def unlike(tmp_path):
    """A wide colour photo and a tall grey one, flat but for their halves."""
    wide, tall = np.zeros((20, 40, 3), np.uint8), np.zeros((60, 10), np.uint8)
    wide[:, 20:], tall[30:] = (200, 100, 50), 80
    picture(tmp_path / "a" / "0.png", wide)
    picture(tmp_path / "b" / "0.jpg", tall, quality=95)
    return tmp_path


def test_photos_of_unlike_sizes_and_modes_are_brought_to_one(unlike):
    with pytest.raises(StudyError, match=r"alike, or be made so by size: 32 and mode: L or RGB"):
        load(unlike)
    with pytest.raises(StudyError, match="mode: L or RGB"):
        load(unlike, size=4)
    arrays = load(unlike, size=[2, 4], mode="RGB")
    colour, grey = arrays.x.reshape(2, 2, 4, 3)
    assert colour[:, 0].tolist() == [[0, 0, 0]] * 2
    assert colour[:, 3].tolist() == [[200, 100, 50]] * 2
    # The triangle filter, by hand: of 60 rows the upper one of 2 sees those within 30 of its middle.
    weights = np.maximum(0, 1 - np.abs(np.arange(60) + 0.5 - 15) / 30)
    upper = 80 * weights[30:].sum() / weights.sum()
    assert np.abs(grey.astype(int) - [[[upper]], [[80 - upper]]]).max() <= 3
    assert "stretched to 2 × 4 pixels (bilinear) and converted to RGB" in arrays.source
    assert load(unlike, size=3, mode="L").x.shape == (2, 9)


def test_what_shrinks_is_averaged(tmp_path):
    """A chequerboard becomes grey, where taking every tenth pixel would leave it black."""
    board = np.indices((40, 40)).sum(0) % 2 * 200
    for name in ("a", "b"):
        picture(tmp_path / name / "0.png", board)
    np.testing.assert_allclose(load_raw(tmp_path, size=4), 100, atol=3)


def load_raw(root: Path, **more) -> np.ndarray:
    from activation_study.data import local

    return local.folder(root, "k", more.get("size"), more.get("mode")).x


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_exif_orientation_is_applied(tmp_path, orientation):
    """Independent of Pillow: what each of the eight orientations means, as array operations."""
    seen = np.arange(6).reshape(2, 3) * 40
    stored = {
        1: seen,
        2: seen[:, ::-1],
        3: seen[::-1, ::-1],
        4: seen[::-1],
        5: seen.T,
        6: seen.T[::-1],
        7: seen[::-1, ::-1].T,
        8: seen.T[:, ::-1],
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    for name in ("a", "b"):
        picture(tmp_path / name / "0.png", stored, exif=exif)
    np.testing.assert_array_equal(load_raw(tmp_path)[0], seen)


def test_damaged_exif_data_are_no_obstacle(tmp_path):
    for name in ("a", "b"):
        picture(tmp_path / name / "0.jpg", np.eye(4) * 200, exif=b"Exif\x00\x00MM\x00*\xff\xff\xff\xff")
    assert load(tmp_path).x.shape == (2, 16)


@pytest.mark.parametrize("mode", ["CMYK", "YCbCr", "P", "LA", "RGBA", "1"])
def test_a_declared_mode_takes_what_can_be_converted(tmp_path, mode):
    for name, colour in {"a": "white", "b": "black"}.items():
        (tmp_path / name).mkdir()
        suffix = "jpg" if mode in ("CMYK", "YCbCr") else "png"
        Image.new("RGB", (4, 4), colour).convert(mode).save(tmp_path / name / f"0.{suffix}")
    np.testing.assert_allclose(load(tmp_path, mode="RGB").x[:, 0], [255, 0], atol=2)


@pytest.mark.parametrize("mode", ["I;16", "I", "F"])
def test_deep_pixels_are_refused_in_any_case(tmp_path, mode):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        Image.new(mode, (2, 2)).save(tmp_path / name / "0.tiff")
    for more in ({}, {"mode": "L"}):
        with pytest.raises(StudyError, match=rf"0\.tiff has the mode {re.escape(mode)}"):
            load(tmp_path, **more)


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"size": 0}, "size"),
        ({"size": 5000}, "size"),
        ({"size": "32"}, "size"),
        ({"size": [32]}, "size"),
        ({"size": [32, True]}, "size"),
        ({"size": [1, 2, 3]}, "size"),
        ({"mode": "CMYK"}, "mode"),
        ({"mode": ["L"]}, "mode"),
        ({"unlabelled": -1}, "unlabelled"),
    ],
)
def test_wrong_sizes_and_modes(change, key):
    with pytest.raises(StudyError, match=rf"^datasets\.t\.{key}: "):
        entries.check_entry("t", {"source": "folder", "path": "x"} | change)


# --- what is not opened ----------------------------------------------------------------------------------

EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 2 2\n%%EndComments\n(x) (w) file\nshowpage\n%%EOF\n"


@pytest.fixture
def two(tmp_path):
    for name in ("a", "b"):
        picture(tmp_path / name / "0.png", np.eye(2) * 9)
    return tmp_path


def test_postscript_never_starts_ghostscript(two, monkeypatch):
    from PIL import EpsImagePlugin

    def started(*_, **__):
        raise AssertionError("Ghostscript was started")

    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", started)
    (two / "b" / "0.png").write_bytes(EPS)
    with pytest.raises(StudyError, match=r"b/0\.png is not a readable image") as error:
        load(two)
    assert "Ghostscript" not in str(error.value)


def test_only_formats_of_pixels_are_opened(two):
    assert set(photos.FORMATS).isdisjoint({"EPS", "WMF", "FPX", "MIC", "FITS", "GRIB", "HDF5", "BUFR"})
    Image.new("L", (2, 2)).save(two / "b" / "1.ico")
    with pytest.raises(StudyError, match=r"1\.ico is not a readable image"):
        load(two)


def _undecodable(folder: Path) -> None:
    with open(os.fsencode(folder) + b"/\xff\xfe\x1b[31m.png", "wb") as file:  # noqa: PTH123  # no text names it
        file.write(b"no image")


ODD = {
    "a name that is not UTF-8": (_undecodable, r"\\udcff\\udcfe\\x1b\[31m\.png is not a readable image"),
    "a link to itself": (lambda folder: (folder / "1.png").symlink_to("1.png"), r"1\.png is not a readable image"),
    "links in a ring": (
        lambda folder: [(folder / "1.png").symlink_to("2.png"), (folder / "2.png").symlink_to("1.png")],
        r"1\.png is not a readable image",
    ),
    "a pipe": (lambda folder: os.mkfifo(folder / "1.png"), r"1\.png is not a readable image \(it is not a file"),
    "a link to a device": (lambda folder: (folder / "1.png").symlink_to("/dev/zero"), "outside the folder"),
    "a class that is a link to itself": (lambda folder: (folder.parent / "c").symlink_to("c"), "c is not a folder"),
}


@pytest.mark.parametrize("kind", ODD)
def test_odd_files_get_one_line(two, kind):
    make, words = ODD[kind]
    make(two / "b")
    entry = {"source": "folder", "path": str(two)}
    with pytest.raises(StudyError, match=words) as error:
        prepare.load("pics", entry)
    assert str(error.value).isprintable()
    assert entries.fingerprint(entry) != ""
    assert entries.mem_mb(entry) >= entries.PREPARING_MB


def test_a_folder_of_a_name_that_is_not_utf8(tmp_path):
    root = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff"))
    for name in ("a", "b"):
        picture(root / name / "0.png", np.eye(2) * (9 if name == "a" else 3))
    manifest = prepare.prepare("p", {"source": "folder", "path": str(root)}, tmp_path / "d.npz", tmp_path / "d.json")
    assert (manifest["status"], manifest["samples"]) == ("available", 2)


@pytest.mark.parametrize("method", ["iterdir", "stat"])
def test_a_lack_of_permission_gets_one_line(two, monkeypatch, method):
    """Of a folder or of a file in it; root may read all, so it is planted."""
    real = getattr(Path, method)

    def denied(self, **options):
        if self.name == ("b" if method == "iterdir" else "0.png"):
            raise PermissionError(13, "Permission denied")
        return real(self, **options)

    monkeypatch.setattr(Path, method, denied)
    with pytest.raises(StudyError, match=r"^datasets\.pics\.path: .*Permission denied"):
        load(two)
    assert entries.fingerprint({"source": "folder", "path": str(two)}) != ""
