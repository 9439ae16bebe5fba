"""torchvision's datasets: which may be used, what is said before training, what its readers may not do."""

import contextlib
import hashlib
import importlib
import inspect
import io
import json
import os
import pickle
import subprocess
import sys
import tarfile
import tempfile
import time
import types
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from activation_study.core.errors import StudyError
from activation_study.data import entries, prepare, public, vision
from activation_study.data.arrays import DatasetUnavailable

EXAMPLES = {"EMNIST": {"split": "letters"}}
"""Arguments that a class cannot do without."""


def examine(class_name: str, **more) -> None:
    entries.examine("t", {"source": "torchvision", "class": class_name, "target": 0.5} | more)


def in_torchvision() -> dict[str, type]:
    from torchvision import datasets as there

    classes = {name: getattr(there, name) for name in there.__all__}
    return {n: c for n, c in classes.items() if inspect.isclass(c) and issubclass(c, there.VisionDataset)}


# --- the list of classes ---------------------------------------------------------------------------------


@pytest.mark.slow
def test_every_class_of_torchvision_was_reviewed():
    lists = [set(vision.CHECKED), set(vision.UNCHECKED), set(vision.UNUSABLE), vision.FOLDERS]
    assert set.union(*lists) == set(in_torchvision())
    assert sum(map(len, lists)) == len(in_torchvision())


@pytest.mark.parametrize("name", sorted(vision.CHECKED))
def test_whatever_a_checked_class_downloads_has_a_checksum(name, monkeypatch, tmp_path):
    """Its constructor is led through its downloads, none of which fetches anything."""
    cls = in_torchvision()[name]
    module = importlib.import_module(cls.__module__)
    asked = []

    def record(function):
        def asks(*given, **named):
            bound = inspect.signature(function).bind(*given, **named)
            asked.append(bound.arguments.get("md5"))

        return asks

    for function in ("download_url", "download_and_extract_archive", "download_file_from_google_drive"):
        if hasattr(module, function):
            monkeypatch.setattr(module, function, record(getattr(module, function)))
    monkeypatch.setitem(sys.modules, "h5py", types.ModuleType("h5py"))  # asked for first, used later
    with contextlib.suppress(Exception):  # nothing was fetched, so nothing can be read
        vision.construct(cls, EXAMPLES.get(name, {}), tmp_path, download=True)
    assert all(isinstance(md5, str) and len(md5) == 32 for md5 in asked), asked
    downloads = {"FakeData", "FER2013", "ImageNet"}  # made up; and two whose files are checked where the user puts them
    assert bool(asked) != (name in downloads)


@pytest.mark.parametrize("name", sorted(vision.CHECKED | vision.UNCHECKED))
def test_a_usable_class_passes_or_names_the_package_it_lacks(name):
    needed = (vision.CHECKED | vision.UNCHECKED)[name]
    options = {"allow_unchecked": True} if name in vision.UNCHECKED else {}
    lacking = needed and importlib.util.find_spec(needed) is None
    with pytest.raises(StudyError) if lacking else contextlib.nullcontext() as error:
        examine(name, **EXAMPLES.get(name, {}), **options)
    if lacking:
        assert str(error.value) == f"datasets.t.class: {name} needs the package {needed}, which is not installed"


@pytest.mark.parametrize(
    ("name", "more", "words"),
    [
        ("ImageFolder", {"root": "folders/plain"}, r"class: ImageFolder is written as source: folder, path: 'fol"),
        ("DatasetFolder", {}, r"class: DatasetFolder is written as source: folder"),
        ("LSUN", {"allow_unchecked": True}, r"class: LSUN cannot be used: it unpickles"),
        ("CelebA", {}, r"class: CelebA cannot be used: its labels"),
        ("VOCDetection", {}, r"class: VOCDetection cannot be used: it is not one of images with a class each"),
        ("FGVCAircraft", {}, r"class: the files of FGVCAircraft have no checksum.*allow_unchecked: true"),
        ("os", {}, r"class: 'os' is not a torchvision dataset"),
        ("CIFAR1O", {}, r"class: 'CIFAR1O' is not a torchvision dataset"),
        ("CIFAR10", {"colour": 3}, r"colour: CIFAR10 has no such argument; it takes none"),
        ("EMNIST", {}, r"split: is missing"),
        ("EMNIST", {"split": "greek"}, r"torchvision refuses EMNIST\(split=greek\)"),
        ("EMNIST", {"split": ["letters"]}, r"torchvision refuses EMNIST"),
        ("Caltech101", {"target_type": "breed"}, r"torchvision refuses Caltech101\(target_type=breed\)"),
        ("STL10", {"split": 3}, r"torchvision refuses STL10"),
        ("Imagenette", {"size": "160px"}, r"size: '160px' is wrong"),
        ("FakeData", {"size": 10**9}, r"size: FakeData would make up"),
        ("FakeData", {"image_size": [100_000, 100_000, 3]}, r"size: FakeData would make up"),
        ("FakeData", {"image_size": "large"}, r"image_size: 'large' is wrong"),
        ("FakeData", {"num_classes": 0}, r"num_classes: 0 is wrong"),
        ("CIFAR10", {"allow_unchecked": "yes"}, r'allow_unchecked: "yes" must be a boolean, true or false$'),
        ("CIFAR10", {"mode": "HSV"}, r'mode: "HSV" must be one of L, RGB$'),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_said_before_training(name, more, words):
    with pytest.raises(StudyError, match=rf"^datasets\.t.*{words}") as error:
        examine(name, **more)
    assert not isinstance(error.value, DatasetUnavailable)
    assert str(error.value).isprintable()


def test_a_missing_package_is_said_before_training(monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "scipy" else find(name))
    with pytest.raises(StudyError, match=r"^datasets\.t\.class: SVHN needs the package scipy, which is not installed"):
        examine("SVHN")


def test_folders_and_unusable_classes_are_refused_without_torchvision():
    for name in (*vision.FOLDERS, *vision.UNUSABLE):
        with pytest.raises(StudyError, match=r"^datasets\.t\.class: "):
            entries.check_entry("t", {"source": "torchvision", "class": name, "root": "x"})


def test_other_sources_are_examined_without_torch():
    code = (
        "import sys; from activation_study.data import entries\n"
        "for entry in ({'source': 'digits'}, {'source': 'npz', 'path': 'a.npz'},\n"
        "              {'source': 'torchvision', 'class': 'FashionMNIST'}):\n"
        "    entries.examine('d', entry); entries.fingerprint(entry); entries.mem_mb(entry)\n"
        "print([m for m in ('torch', 'torchvision', 'PIL', 'unittest.mock') if m in sys.modules])"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(prepare.__file__).parents[2])}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_an_examination_leaves_nothing_behind(monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    for name in ("USPS", "SEMEION", "Places365", "CIFAR10"):
        examine(name)
    assert list(tmp_path.iterdir()) == []


# --- archives that lie in the cache ----------------------------------------------------------------------


def packed(path: Path, members: dict[str, bytes]) -> str:
    """A .tar.gz of these files; its MD5."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return hashlib.md5(path.read_bytes()).hexdigest()


@pytest.fixture
def cifar(tmp_path, monkeypatch):
    """A tiny CIFAR-10 whose archive was put into the cache by hand; nothing can be downloaded."""

    def build(change=lambda members: None, plant=lambda path: None):
        generator = np.random.default_rng(2)
        members = {
            name: pickle.dumps({"data": generator.integers(0, 256, (4, 3072), np.uint8), "labels": [0, 1, 2, 3]})
            for name in (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch")
        }
        members["batches.meta"] = pickle.dumps({"label_names": list("abcd")})
        change(members)
        home = tmp_path / "cache" / "torchvision" / "CIFAR10"
        archive = home / "cifar-10-python.tar.gz"
        md5 = packed(archive, {f"cifar-10-batches-py/{name}": content for name, content in members.items()})
        if plant(archive) == "again":
            md5 = hashlib.md5(archive.read_bytes()).hexdigest()
        sums = {name: hashlib.md5(content).hexdigest() for name, content in members.items()}
        there = "torchvision.datasets.CIFAR10"
        monkeypatch.setattr(f"{there}.url", "http://127.0.0.1:1/cifar-10-python.tar.gz")
        monkeypatch.setattr(f"{there}.tgz_md5", md5)
        monkeypatch.setattr(f"{there}.train_list", [[f"data_batch_{i}", sums[f"data_batch_{i}"]] for i in range(1, 6)])
        monkeypatch.setattr(f"{there}.test_list", [["test_batch", sums["test_batch"]]])
        meta = {"filename": "batches.meta", "key": "label_names", "md5": sums["batches.meta"]}
        monkeypatch.setattr(f"{there}.meta", meta)
        return home

    return build


CIFAR = {"source": "torchvision", "class": "CIFAR10"}


def test_an_archive_in_the_cache_is_unpacked_without_a_network(cifar, tmp_path):
    home = cifar()
    arrays = prepare.load("c", CIFAR, tmp_path / "cache")
    assert (arrays.x.shape, arrays.official_test.sum()) == ((24, 3072), 4)
    assert (home / "cifar-10-batches-py" / "test_batch").exists()
    assert (home / "cifar-10-python.tar.gz").exists()
    assert [path.name for path in home.parent.iterdir()] == ["CIFAR10"]  # no temporary folder stays
    assert prepare.load("c", CIFAR, tmp_path / "cache").sha256 == arrays.sha256


def test_a_wrong_archive_in_the_cache_is_left_where_it_is(cifar, tmp_path):
    home = cifar(plant=lambda path: path.write_bytes(path.read_bytes()[:-5]))
    with pytest.raises(DatasetUnavailable, match=r"could not provide CIFAR10.*put its files or archives into") as error:
        prepare.load("c", CIFAR, tmp_path / "cache")
    assert str(error.value).isprintable()
    assert [path.name for path in home.rglob("*")] == ["cifar-10-python.tar.gz"]


# --- what readers may not do -----------------------------------------------------------------------------


class Hostile:
    def __reduce__(self):
        return os.system, ("touch executed",)


@pytest.mark.parametrize("member", ["data_batch_3", "batches.meta"])
def test_a_pickle_with_the_right_checksum_runs_no_code(cifar, tmp_path, monkeypatch, member):
    monkeypatch.chdir(tmp_path)
    cifar(lambda members: members.update({member: pickle.dumps(Hostile())}))
    with pytest.raises(DatasetUnavailable):
        prepare.load("c", CIFAR, tmp_path / "cache")
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("thing", [os.system, eval, Path, np.load, subprocess.Popen, type, np.random.default_rng])
def test_only_arrays_are_unpickled(thing):
    with vision.guarded(), pytest.raises(pickle.UnpicklingError, match="is refused"):
        pickle.load(io.BytesIO(pickle.dumps(thing)))


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_arrays_of_every_protocol_are_unpickled(protocol):
    value = {b"data": np.arange(6, dtype=np.uint8).reshape(2, 3), "labels": [1, 2], "names": ("a", None, 2.5)}
    with vision.guarded():
        found = pickle.load(io.BytesIO(pickle.dumps(value, protocol)), encoding="latin1")
    np.testing.assert_array_equal(found.pop(next(key for key in found if key in (b"data", "data"))), value[b"data"])
    assert (found["labels"], found["names"]) == ([1, 2], ("a", None, 2.5))


@pytest.mark.parametrize("kind", ["above", "absolute", "link"])
def test_an_archive_writes_nothing_outside_its_folder(cifar, tmp_path, kind):
    outside = tmp_path / "outside"

    def plant(path: Path) -> str:
        with tarfile.open(path, "r:gz") as archive:
            members = [(member, archive.extractfile(member).read()) for member in archive]
        with tarfile.open(path, "w:gz") as archive:
            for member, content in members:
                archive.addfile(member, io.BytesIO(content))
            info = tarfile.TarInfo(
                {"above": "../../../../outside", "absolute": str(outside), "link": "way/outside"}[kind]
            )
            if kind == "link":
                link = tarfile.TarInfo("way")
                link.type, link.linkname = tarfile.SYMTYPE, str(tmp_path)
                archive.addfile(link)
            info.size = 1
            archive.addfile(info, io.BytesIO(b"x"))
        return "again"

    cifar(plant=plant)
    try:
        prepare.load("c", CIFAR, tmp_path / "cache")
    except DatasetUnavailable:
        assert kind != "absolute"  # whose leading slash is taken off
    assert not outside.exists()


def test_the_guard_is_taken_away_again():
    before = pickle.load, Image.open, getattr(tarfile.TarFile, "extraction_filter", None)
    with vision.guarded(), vision.offline():
        assert pickle.load is not before[0]
    assert (pickle.load, Image.open, getattr(tarfile.TarFile, "extraction_filter", None)) == before


def test_images_are_opened_by_the_same_list_of_formats(tmp_path):
    (tmp_path / "a.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 2 2\n%%EndComments\n%%EOF\n")
    with vision.guarded(), pytest.raises(OSError, match="cannot identify"):
        Image.open(tmp_path / "a.png", mode="r")


# --- photos ----------------------------------------------------------------------------------------------


def pets(cache: Path) -> None:
    """A stand-in for torchvision's OxfordIIITPet: tiny photos of unlike sizes, as the real ones are."""
    home = cache / "torchvision/OxfordIIITPet/oxford-iiit-pet"
    (home / "images").mkdir(parents=True)
    (home / "annotations/trimaps").mkdir(parents=True)
    random = np.random.default_rng(0)
    for part in ("trainval", "test"):
        lines = []
        for k, kind in enumerate(("Abyssinian", "beagle")):
            for i in range(3):
                name = f"{kind}_{part}{i}"
                pixels = random.integers(0, 255, (*random.integers(20, 30, 2), 3), dtype=np.uint8)
                Image.fromarray(pixels).save(home / f"images/{name}.jpg")
                lines.append(f"{name} {k + 1} {k + 1} 1")
        (home / f"annotations/{part}.txt").write_text("\n".join(lines) + "\n")


def test_photos_of_unlike_sizes_are_brought_to_one(tmp_path):
    pets(tmp_path)
    entry = {"source": "torchvision", "class": "OxfordIIITPet"}
    with pytest.raises(StudyError, match=r"one size is needed: size: 32 and mode"):
        prepare.load("pets", entry, tmp_path)
    arrays = prepare.load("pets", entry | {"size": 8}, tmp_path)
    assert (arrays.x.shape, arrays.official_test.sum(), arrays.classes) == ((12, 192), 6, 2)
    assert arrays.source == "torchvision OxfordIIITPet(), stretched to 8 × 8 pixels (bilinear)"
    assert prepare.load("pets", entry | {"size": [4, 8], "mode": "L"}, tmp_path).x.shape == (12, 32)


def test_fake_data_keep_their_own_size(tmp_path):
    entry = {"source": "torchvision", "class": "FakeData", "size": 12, "image_size": [3, 4, 4], "num_classes": 2}
    assert prepare.load("f", entry, tmp_path).x.shape == (12, 48)
    assert prepare.load("f", entry | {"mode": "L"}, tmp_path).x.shape == (12, 16)


def test_a_set_beyond_memory_is_refused_at_its_first_image(tmp_path, monkeypatch):
    pets(tmp_path)
    monkeypatch.setattr(public, "MAX_BYTES", 1000)
    with pytest.raises(StudyError, match="more than 1000 bytes of pixels; size: 32"):
        prepare.load("pets", {"source": "torchvision", "class": "OxfordIIITPet", "size": 8}, tmp_path)


def test_examining_takes_little_time():
    examine("CIFAR10")
    start = time.perf_counter()
    examine("CIFAR10")
    assert time.perf_counter() - start < 2


def test_where_the_test_part_has_no_labels_another_is_taken(tmp_path):
    home = tmp_path / "torchvision/CLEVRClassification/clevr/CLEVR_v1.0"
    for part, objects in (("train", [3, 4, 3, 4]), ("val", [4, 3]), ("test", None)):
        (home / "images" / part).mkdir(parents=True)
        names = [f"CLEVR_{part}_{i:06}.png" for i in range(len(objects or [0]))]
        for i, name in enumerate(names):
            Image.new("RGB", (3, 2), (i, 0, 0)).save(home / "images" / part / name)
        if objects:
            scenes = [{"image_filename": n, "objects": [{}] * k} for n, k in zip(names, objects, strict=True)]
            (home / "scenes").mkdir(exist_ok=True)
            (home / f"scenes/CLEVR_{part}_scenes.json").write_text(json.dumps({"scenes": scenes}))
    arrays = prepare.load("c", {"source": "torchvision", "class": "CLEVRClassification"}, tmp_path)
    assert arrays.y.tolist() == [0, 1, 0, 1, 1, 0]
    assert arrays.official_test.tolist() == [False] * 4 + [True] * 2


def test_long_arguments_still_name_a_folder():
    one, other = ({"split": f"{'x' * 300}{end}"} for end in "ab")
    assert len(public._home_name("EMNIST", one)) < 200
    assert public._home_name("EMNIST", one) != public._home_name("EMNIST", other)
    assert public._home_name("EMNIST", {"split": "letters"}) == "EMNIST,split=letters"
