"""Folders of images and .npz files: good, damaged and hostile."""

import os
import re
import shutil
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from activation_study.core.errors import StudyError
from activation_study.data import arrays as prepared
from activation_study.data import entries, local, prepare


def outcome(read, *arguments) -> str:
    """The SHA-256 of what is read, or the message why it is not."""
    try:
        return read(*arguments).sha256
    except StudyError as error:
        return str(error)


# --- folders of images -----------------------------------------------------------------------------------


@pytest.fixture
def images(tmp_path):
    """Two classes of two grey 3 × 2 images, whose pixels say which they are."""
    root = tmp_path / "images"
    for label, name in enumerate(["cat", "dog"]):
        (root / name).mkdir(parents=True)
        for i, file in enumerate(["b.png", "a.png"]):
            Image.fromarray(np.full((3, 2), 10 * label + i, np.uint8)).save(root / name / file)
    return root


def load_folder(root: Path) -> prepared.Arrays:
    return prepare.load("pics", {"source": "folder", "path": str(root)})


def test_folder_classes_and_files_come_in_the_order_of_their_names(images):
    (images / "dog" / ".DS_Store").write_text("ignored")
    arrays = load_folder(images)
    assert arrays.x.tolist() == [[1] * 6, [0] * 6, [11] * 6, [10] * 6]
    assert arrays.y.tolist() == [0, 0, 1, 1]


def test_folder_of_colour_images(images):
    for path in images.rglob("*.png"):
        Image.new("RGBA", (2, 3), (1, 2, 3, 4)).save(path)
    assert load_folder(images).x[0].tolist() == [1, 2, 3] * 6


def test_the_first_image_that_differs_is_named(images):
    Image.new("L", (2, 2)).save(images / "dog" / "a.png")
    Image.new("L", (5, 5)).save(images / "dog" / "b.png")
    with pytest.raises(StudyError, match=r"^datasets\.pics\.path: .*dog/a\.png is \(2, 2\).*\(3, 2\)"):
        load_folder(images)


def test_links_may_not_leave_the_folder(images, tmp_path):
    (images / "dog" / "c.png").symlink_to(images / "cat" / "a.png")
    assert len(load_folder(images).x) == 5
    Image.new("L", (2, 3)).save(tmp_path / "secret.png")
    (images / "dog" / "d.png").symlink_to(tmp_path / "secret.png")
    with pytest.raises(StudyError, match=r"dog/d\.png is a link to .*secret\.png, outside"):
        load_folder(images)


def test_a_linked_class_folder_may_not_leave_the_folder(images, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (images / "elk").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StudyError, match="elk is a link"):
        load_folder(images)


def _truncate(root):
    path = root / "dog" / "a.png"
    path.write_bytes(path.read_bytes()[:50])


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_truncate, r"dog/a\.png is not a readable image"),
        (lambda root: (root / "dog" / "notes.txt").write_text("x"), r"notes\.txt is not a readable image"),
        (lambda root: (root / "notes.txt").write_text("x"), r"notes\.txt is not a folder"),
        (lambda root: (root / "dog" / "deep").mkdir(), r"dog/deep is not a readable image"),
        (lambda root: (root / "empty").mkdir(), r"empty holds no image"),
        (lambda root: Image.new("F", (2, 3)).save(root / "dog" / "c.tiff"), r"c\.tiff has the mode F"),
        (lambda root: shutil.rmtree(root), r"images is not a folder"),
        (lambda root: [shutil.rmtree(path) for path in root.iterdir()], r"no sub-folders"),
        (lambda root: shutil.rmtree(root / "dog"), r"at least two classes"),
    ],
)
def test_bad_folders(images, spoil, message):
    spoil(images)
    with pytest.raises(StudyError, match=message) as error:
        load_folder(images)
    assert "\n" not in str(error.value)


def test_an_image_bomb_is_refused_before_it_is_decoded(images, monkeypatch):
    monkeypatch.setattr("PIL.Image.MAX_IMAGE_PIXELS", 5)
    with pytest.raises(StudyError, match="not a readable image"):
        load_folder(images)


def test_a_folder_larger_than_memory_is_refused(images, monkeypatch):
    monkeypatch.setattr(local, "MAX_BYTES", 20)
    with pytest.raises(StudyError, match="more than 20 bytes"):
        load_folder(images)


# --- npz -------------------------------------------------------------------------------------------------

X = np.arange(24, dtype=np.float64).reshape(6, 2, 2) / 7
Y = np.array([3, 3, -2, -2, 8, 8])


def load_npz(path: Path) -> prepared.Arrays:
    return prepare.load("mine", {"source": "npz", "path": str(path)})


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_npz_arrays_are_flattened_and_their_classes_renumbered(tmp_path, save):
    save(tmp_path / "a.npz", x=X, y=Y, more=np.array([None]))  # what is not asked for is not read
    arrays = load_npz(tmp_path / "a.npz")
    # X is no float32: it is kept centred, scaled by a power of two, and as exact as float32 is there.
    slope, origin = np.polyfit(arrays.x.ravel().astype(np.float64), X.ravel(), 1)
    assert np.log2(slope) == pytest.approx(np.rint(np.log2(slope)), abs=1e-6)
    np.testing.assert_allclose(arrays.x * slope + origin, X.reshape(6, 4), rtol=0, atol=1e-7 * X.max())
    assert (arrays.x.dtype, arrays.y.dtype) == (np.float32, np.int64)
    assert (arrays.y.tolist(), arrays.classes) == ([1, 1, 0, 0, 2, 2], 3)


def _with(index, value):
    changed = X.copy()
    changed[index] = value
    return changed


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"x": X}, "no array 'y'"),
        ({"y": Y}, "no array 'x'"),
        ({"x": X.astype(object), "y": Y}, "pickled"),
        ({"x": X, "y": Y.astype(object)}, "pickled"),
        ({"x": X[:5], "y": Y}, r"\(5, 2, 2\) and y \(6,\)"),
        ({"x": X[:, 0, 0], "y": Y}, r"\(6,\)"),
        ({"x": X, "y": Y[:, None]}, r"\(6, 1\)"),
        ({"x": X[:0], "y": Y[:0]}, "not empty"),
        ({"x": X[:, :0], "y": Y}, "not empty"),
        ({"x": _with((4, 1, 0), np.nan), "y": Y}, "sample 4, feature 2"),
        ({"x": _with((4, 1, 0), -np.inf), "y": Y}, "sample 4, feature 2"),
        ({"x": X + 1j, "y": Y}, "complex"),
        ({"x": X.astype(str), "y": Y}, "real numbers"),
        ({"x": X, "y": Y + 0.5}, "integer class labels"),
        ({"x": X, "y": np.where(Y == -2, -1, Y)}, r"2 samples have the label -1.*unlabelled: -1"),
        ({"x": X, "y": np.zeros(6, int)}, "at least two classes"),
    ],
)
def test_bad_arrays(tmp_path, members, message):
    np.savez(tmp_path / "a.npz", **members)
    with pytest.raises(StudyError, match=rf"^datasets\.mine.*{message}") as error:
        load_npz(tmp_path / "a.npz")
    assert "\n" not in str(error.value)


def test_pickled_objects_are_never_loaded(tmp_path):
    class Hostile:
        def __reduce__(self):
            return Path.touch, (tmp_path / "executed",)

    np.savez(tmp_path / "a.npz", x=np.array([Hostile()], dtype=object), y=Y)
    with pytest.raises(StudyError, match="pickled"):
        load_npz(tmp_path / "a.npz")
    assert not (tmp_path / "executed").exists()


def test_a_zip_bomb_is_refused_by_its_declared_size(tmp_path, monkeypatch):
    np.savez_compressed(tmp_path / "a.npz", x=np.zeros((1000, 1000)), y=np.arange(1000))
    assert (tmp_path / "a.npz").stat().st_size < 20_000
    monkeypatch.setattr(local, "MAX_BYTES", 10**6)
    monkeypatch.setattr(zipfile.ZipFile, "open", None)  # nothing may be read
    with pytest.raises(StudyError, match="declares 8000128 bytes"):
        load_npz(tmp_path / "a.npz")


@pytest.mark.slow
def test_a_zip_bomb_is_refused_by_its_ratio(tmp_path, monkeypatch):
    """1 MB that becomes a gigabyte in memory and four of results; what is saved uncompressed is as large as it is."""
    monkeypatch.setattr(local, "UNPACKED_FREE", 10**6)
    members = {"x": np.zeros((1000, 10_000), bool), "y": np.arange(1000) % 2}
    np.savez_compressed(tmp_path / "a.npz", **members)
    with pytest.raises(StudyError, match=r"array x declares 10000128 bytes in \d+ of the archive.*np\.savez") as error:
        load_npz(tmp_path / "a.npz")
    assert "\n" not in str(error.value)
    np.savez(tmp_path / "b.npz", **(members | {"x": members["x"] | (np.arange(1000) % 2 > 0)[:, None]}))
    assert load_npz(tmp_path / "b.npz").x.shape == (1000, 10_000)


@pytest.mark.parametrize("names", [("x", "y"), ("x_train", "y_train", "x_test", "y_test")])
@pytest.mark.parametrize(("kind", "each"), [(np.uint8, 1), (bool, 4), (np.int8, 4), (np.float16, 4), (np.float64, 4)])
def test_sizes_are_bounded_as_they_are_kept(tmp_path, monkeypatch, kind, each, names):
    """Bytes stay bytes; whatever else becomes float32, which may be larger than what was read."""
    arrays = {name: np.arange(1000).reshape(10, 100) % 2 if name[0] == "x" else np.arange(10) % 2 for name in names}
    arrays = {name: array.astype(kind if name[0] == "x" else np.uint8) for name, array in arrays.items()}
    np.savez(tmp_path / "a.npz", **arrays)
    kept = sum(array.size * (each if name[0] == "x" else 1) for name, array in arrays.items())
    monkeypatch.setattr(local, "MAX_BYTES", 9000 + kept)
    load_npz(tmp_path / "a.npz")
    if each > np.dtype(kind).itemsize:
        monkeypatch.setattr(local, "MAX_BYTES", kept - 1)
        monkeypatch.setattr(np.lib.format, "read_array", None)  # nothing may be read
        with pytest.raises(StudyError, match=f"becomes {kept} bytes as float32; at most {kept - 1} are kept"):
            load_npz(tmp_path / "a.npz")


def test_the_memory_that_preparing_needs_follows_the_files(tmp_path, images):
    base = entries.PREPARING_MB
    np.savez(tmp_path / "small.npz", x=X, y=Y)
    np.savez(tmp_path / "large.npz", x=np.zeros((1000, 3000)), y=np.zeros(1000, int))
    np.savez_compressed(tmp_path / "packed.npz", x=np.zeros((1000, 3000)), y=np.zeros(1000, int))

    def needed(name: str, **more) -> int:
        return entries.mem_mb({"source": "npz", "path": str(tmp_path / name)} | more)

    assert needed("small.npz") <= base + 1
    assert needed("large.npz") == needed("packed.npz") == pytest.approx(base + 2 * 24 + 12, abs=2)
    (tmp_path / "junk.npz").write_bytes(b"junk")
    for name in ("missing.npz", "junk.npz", "x" * 300, "a\0b"):
        assert needed(name) == base
    assert entries.mem_mb({"source": "npz", "path": "~no-such-user/a.npz"}) == base
    folder = {"source": "folder", "path": str(images)}
    assert entries.mem_mb(folder) <= base + 1
    assert entries.mem_mb(folder | {"size": 1000, "mode": "RGB"}) == base + 12
    assert entries.mem_mb({"source": "digits"}) == 4000


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's account of memory")
def test_preparing_takes_no_more_memory_than_it_says(tmp_path):
    """In a process of its own; what Python and NumPy take by themselves is in the base."""
    source = np.random.default_rng(0).normal(size=(10_000, 2000))
    np.savez(tmp_path / "a.npz", x=np.asfortranarray(source), y=np.arange(10_000) % 2)
    code = (
        "import sys; from pathlib import Path; from activation_study.data import entries, prepare\n"
        "entry = {'source': 'npz', 'path': sys.argv[1] + '/a.npz'}\n"
        "prepare.prepare('m', entry, Path(sys.argv[1], 'd.npz'), Path(sys.argv[1], 'd.json'))\n"
        "peak = Path('/proc/self/status').read_text().split('VmHWM:')[1].split()[0]\n"
        "print(int(peak) / 1024, entries.mem_mb(entry))\n"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(prepare.__file__).parents[2])}
    command = [sys.executable, "-c", code, str(tmp_path)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    used, declared = map(float, done.stdout.split())
    assert used - 150 < declared - entries.PREPARING_MB


@pytest.mark.parametrize("shape", ["(100000000, 1000)", "(-6, -4)", "(6, 5)", "(6,", "(6.0, 4)"])
def test_a_header_that_asks_for_other_data_is_refused(tmp_path, shape):
    header = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    content = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + X.tobytes()
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("x.npy", content)
        archive.writestr("y.npy", b"")
    with pytest.raises(StudyError, match=r"does not fit its|not a readable"):
        load_npz(tmp_path / "a.npz")


def test_every_truncation_and_many_bit_flips_give_one_line(tmp_path):
    path = tmp_path / "a.npz"
    np.savez_compressed(path, x=X, y=Y)
    whole = path.read_bytes()
    expected = load_npz(path).sha256
    for end in range(0, len(whole), 7):
        path.write_bytes(whole[:end])
        with pytest.raises(StudyError):
            load_npz(path)
    for position in range(0, len(whole), 3):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 0x10]) + whole[position + 1 :])
        found = outcome(load_npz, path)  # a flip in a time stamp is harmless; one that changes the data is not
        assert found == expected or re.fullmatch(r"datasets\.mine.*", found)


@pytest.mark.parametrize("content", [None, b"", b"no archive"])
def test_what_is_no_npz_file(tmp_path, content):
    if content is not None:
        (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(StudyError, match=r"^datasets\.mine\.path: .*a\.npz is (not a file|not a readable)"):
        load_npz(tmp_path / "a.npz")


def test_one_number_for_samples_is_one_line(tmp_path):
    """Beside labels of the shape that has a hint."""
    np.savez(tmp_path / "a.npz", x=np.float64(3), y=np.zeros((4, 1), int))
    with pytest.raises(StudyError, match=r"x has the shape \(\)"):
        prepare.load("mine", {"source": "npz", "path": str(tmp_path / "a.npz")})
