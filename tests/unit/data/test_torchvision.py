"""Datasets of torchvision: downloaded from a server here, read as its classes read them."""

import hashlib
import io
import pickle
import tarfile

import numpy as np
import pytest
from PIL import Image

from activation_study.core.errors import StudyError
from activation_study.data import prepare, public
from activation_study.data.arrays import DatasetUnavailable
from idx_files import write_gz


@pytest.mark.slow
def test_an_mnist_like_class_is_downloaded_once(mnist_like, tmp_path, monkeypatch, serve, capfd):
    x, y, files = mnist_like
    served, address, stop = serve
    monkeypatch.setattr("torchvision.datasets.KMNIST.mirrors", [address])
    monkeypatch.setattr("torchvision.datasets.KMNIST.resources", write_gz(served, files))
    entry = {"source": "torchvision", "class": "KMNIST"}
    arrays = prepare.load("k", entry, tmp_path / "cache")
    np.testing.assert_array_equal(arrays.x, x.reshape(30, 784))
    np.testing.assert_array_equal(arrays.y, y)
    assert arrays.official_test.tolist() == [False] * 20 + [True] * 10
    assert capfd.readouterr() == ("", "")

    stop()
    monkeypatch.setattr("torchvision.datasets.KMNIST.mirrors", ["http://127.0.0.1:1/"])
    assert prepare.load("k", entry, tmp_path / "cache").sha256 == arrays.sha256
    raw = next((tmp_path / "cache").rglob("train-images-idx3-ubyte"))
    raw.write_bytes(raw.read_bytes()[:-1])
    with pytest.raises(DatasetUnavailable, match=r"refused.*run again") as error:
        prepare.load("k", entry, tmp_path / "cache")
    assert "\n" not in str(error.value)


@pytest.mark.slow
def test_a_damaged_download_is_replaced_and_a_faster_process_left_alone(mnist_like, tmp_path, monkeypatch, serve):
    _, _, files = mnist_like
    served, address, _ = serve
    monkeypatch.setattr("torchvision.datasets.KMNIST.mirrors", [address])
    monkeypatch.setattr("torchvision.datasets.KMNIST.resources", write_gz(served, files))
    entry, cache = {"source": "torchvision", "class": "KMNIST"}, tmp_path / "cache"
    first = prepare.load("k", entry, cache).sha256
    raw = next(cache.rglob("train-images-idx3-ubyte"))
    home, whole = raw.parents[2], raw.read_bytes()
    raw.write_bytes(whole[:-1])
    assert prepare.load("k", entry, cache).sha256 == first
    assert raw.read_bytes() == whole

    faster = tmp_path / "faster"
    home.rename(faster)
    opened = public._torchvision_open

    def download(cls, arguments, root, *, download):
        parts = opened(cls, arguments, root, download=download)
        if download:
            faster.rename(home)  # meanwhile another process was ready
        return parts

    monkeypatch.setattr(public, "_torchvision_open", download)
    before = (faster / raw.relative_to(home)).stat().st_ino
    assert prepare.load("k", entry, cache).sha256 == first
    assert raw.stat().st_ino == before


@pytest.mark.slow
def test_a_download_with_the_wrong_checksum_is_refused(mnist_like, tmp_path, monkeypatch, serve):
    served, address, _ = serve
    resources = [(name, "0" * 32) for name, _ in write_gz(served, mnist_like[2])]
    monkeypatch.setattr("torchvision.datasets.KMNIST.mirrors", [address])
    monkeypatch.setattr("torchvision.datasets.KMNIST.resources", resources)
    with pytest.raises(DatasetUnavailable, match="corrupted"):
        prepare.load("k", {"source": "torchvision", "class": "KMNIST"}, tmp_path / "cache")
    assert list((tmp_path / "cache").rglob("*ubyte*")) == []


@pytest.mark.slow
def test_cifar10_from_its_real_archive_format(tmp_path, monkeypatch, serve):
    """CIFAR-10 is a .tar.gz of pickled dicts, rows of 3,072 bytes: 1,024 red, green, blue.

    torchvision unpickles them after checking MD5s, so the MD5s that it expects become those of the small
    files; the check itself still runs.
    """
    served, address, _ = serve
    generator = np.random.default_rng(2)
    batches, members = {}, {}
    for name in [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]:
        batches[name] = generator.integers(0, 256, (4, 3072), np.uint8), [0, 1, 2, 3]
        members[name] = pickle.dumps({"data": batches[name][0], "labels": batches[name][1]})
    members["batches.meta"] = pickle.dumps({"label_names": list("abcd")})
    with tarfile.open(served / "cifar.tar.gz", "w:gz") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(f"cifar-10-batches-py/{name}")
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    md5 = {name: hashlib.md5(content).hexdigest() for name, content in members.items()}
    cifar = "torchvision.datasets.CIFAR10"
    monkeypatch.setattr(f"{cifar}.url", f"{address}cifar.tar.gz")
    archive_md5 = hashlib.md5((served / "cifar.tar.gz").read_bytes()).hexdigest()
    monkeypatch.setattr(f"{cifar}.tgz_md5", archive_md5)
    monkeypatch.setattr(f"{cifar}.train_list", [[f"data_batch_{i}", md5[f"data_batch_{i}"]] for i in range(1, 6)])
    monkeypatch.setattr(f"{cifar}.test_list", [["test_batch", md5["test_batch"]]])
    monkeypatch.setattr(f"{cifar}.meta", {"filename": "batches.meta", "key": "label_names", "md5": md5["batches.meta"]})

    arrays = prepare.load("c", {"source": "torchvision", "class": "CIFAR10"}, tmp_path / "cache")
    rows = np.concatenate([data for data, _ in batches.values()])
    np.testing.assert_array_equal(arrays.x, rows.reshape(24, 3, 32, 32).transpose(0, 2, 3, 1).reshape(24, 3072))
    assert arrays.y.tolist() == [0, 1, 2, 3] * 6
    assert arrays.official_test.tolist() == [False] * 20 + [True] * 4


def test_a_class_without_parts_has_no_official_test_set(tmp_path):
    entry = {
        "source": "torchvision",
        "class": "FakeData",
        "size": 40,
        "image_size": [3, 4, 4],
        "num_classes": 3,
    }
    arrays = prepare.load("fake", entry, tmp_path)
    assert (arrays.x.shape, arrays.classes, arrays.official_test) == ((40, 48), 3, None)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"class": "Nope"}, r"class: 'Nope'"),
        ({"class": "CIFAR10", "colour": 3}, r"colour: CIFAR10 has no such argument; it takes none"),
        ({"class": "EMNIST"}, r"split: is missing"),
        ({"class": "EMNIST", "split": "greek"}, r"refuses EMNIST\(split=greek\).*greek"),
    ],
)
def test_wrong_torchvision_entries_are_the_users_error(tmp_path, entry, message):
    with pytest.raises(StudyError, match=rf"^datasets\.t.*{message}") as error:
        prepare.load("t", {"source": "torchvision"} | entry, tmp_path)
    assert not isinstance(error.value, DatasetUnavailable)


def _invented_class(samples: dict[str, list], splits: tuple[str, ...]):
    from torchvision.datasets import VisionDataset

    class Invented(VisionDataset):
        def __init__(self, root, split=splits[0], download=False):
            if split not in splits:
                raise ValueError(f"unknown split {split}")
            super().__init__(root)
            self.samples = samples[split]

        def __len__(self):
            return len(self.samples)

        def __getitem__(self, index):
            return self.samples[index]

    return Invented


@pytest.mark.parametrize("held_out", ["test", "val"])
def test_a_class_with_a_split_argument(tmp_path, monkeypatch, held_out):
    grey = Image.new("L", (2, 2))
    samples = {"trainval": [(grey, 0), (grey, 1)], held_out: [(grey, 1)]}
    invented = _invented_class(samples, ("trainval", held_out))
    monkeypatch.setattr("torchvision.datasets.Invented", invented, raising=False)
    entry = {"source": "torchvision", "class": "Invented", "allow_unchecked": True}
    assert prepare.load("i", entry, tmp_path).official_test.tolist() == [False, False, True]
    assert prepare.load("i", entry | {"split": "trainval"}, tmp_path).official_test is None


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        ([(Image.new("L", (2, 2)), 0), (Image.new("L", (2, 3)), 1)], "one size"),
        ([(Image.new("L", (2, 2)), [1, 2])], "integer class labels"),
    ],
)
def test_samples_that_no_classifier_takes(tmp_path, monkeypatch, samples, message):
    invented = _invented_class({"train": samples, "test": samples}, ("train", "test"))
    monkeypatch.setattr("torchvision.datasets.Invented", invented, raising=False)
    with pytest.raises(StudyError, match=message):
        prepare.load("i", {"source": "torchvision", "class": "Invented", "allow_unchecked": True}, tmp_path)
