"""Public data sets: real file formats in small, servers that fail, caches that are damaged."""

import functools
import gzip
import hashlib
import http.server
import io
import os
import pickle
import random
import shutil
import socket
import struct
import subprocess
import tarfile
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from activation_study.core.errors import StudyError
from activation_study.data import downloads, prepare, public
from activation_study.data.arrays import DatasetUnavailable

FASHION = {"source": "torchvision", "class": "FashionMNIST"}


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")


@pytest.fixture
def serve(tmp_path):
    """A web server of the folder `served`, and its address."""
    served = tmp_path / "served"
    served.mkdir()

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(served)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield served, f"http://127.0.0.1:{server.server_port}/", server.shutdown
    server.shutdown()
    server.server_close()


def idx(array: np.ndarray) -> bytes:
    """The idx format of MNIST: type, number of dimensions, sizes (big-endian), bytes."""
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()


@pytest.fixture
def mnist_like():
    """Images and labels of a tiny MNIST, and its four idx files."""
    generator = np.random.default_rng(1)
    x = generator.integers(0, 256, (30, 28, 28), np.uint8)
    y = np.tile(np.arange(10, dtype=np.uint8), 3)
    files = {
        "train-images-idx3-ubyte": idx(x[:20]),
        "train-labels-idx1-ubyte": idx(y[:20]),
        "t10k-images-idx3-ubyte": idx(x[20:]),
        "t10k-labels-idx1-ubyte": idx(y[20:]),
    }
    return x, y, files


def write_gz(folder: Path, files: dict[str, bytes]) -> list[tuple[str, str]]:
    """Write gzipped files; returns torchvision's list of (name, MD5)."""
    folder.mkdir(parents=True, exist_ok=True)
    resources = []
    for name, content in files.items():
        packed = gzip.compress(content)
        (folder / f"{name}.gz").write_bytes(packed)
        resources.append((f"{name}.gz", hashlib.md5(packed).hexdigest()))
    return resources


# --- digits and MNIST-1D ---------------------------------------------------------------------------------


def test_digits_are_scikit_learns():
    from sklearn.datasets import load_digits

    arrays = prepare.load("digits", {"source": "digits"})
    expected = load_digits()
    assert arrays.x.dtype == np.uint8
    np.testing.assert_array_equal(arrays.x, expected.images.reshape(1797, 64))
    np.testing.assert_array_equal(arrays.y, expected.target)
    assert (arrays.classes, arrays.official_test) == (10, None)


def _fresh_test_inputs() -> np.ndarray:
    from mnist1d.data import get_dataset_args, make_dataset

    arguments = get_dataset_args()
    vars(arguments).update(num_samples=10_000, train_split=0.0, seed=arguments.seed + 1)
    return make_dataset(arguments)["x_test"]


@pytest.mark.slow
def test_mnist1d_is_the_packages_training_set_and_a_larger_fresh_test_set(monkeypatch):
    import mnist1d.data

    def forbidden(*_, **__):
        raise AssertionError("the package must neither download nor unpickle")

    monkeypatch.setattr(mnist1d.data, "get_dataset", forbidden)
    monkeypatch.setattr(mnist1d.data, "from_pickle", forbidden)
    monkeypatch.setattr(mnist1d.data.requests, "get", forbidden)
    random.seed(5)
    np.random.seed(5)
    before = random.getstate(), np.random.get_state()[1].tolist()
    arrays = prepare.load("mnist1d", {"source": "mnist1d"})
    assert (random.getstate(), np.random.get_state()[1].tolist()) == before

    expected = mnist1d.data.make_dataset()
    # Kept centred in float64, then scaled by a power of two: standardising gives what it gives from the package's own.
    whole = np.concatenate([expected["x"], _fresh_test_inputs()])
    kept = arrays.x.astype(np.float64)
    np.testing.assert_allclose((kept - kept.mean()) / kept.std(), (whole - whole.mean()) / whole.std(), atol=1e-6)
    np.testing.assert_array_equal(arrays.y[:4000], expected["y"])
    assert arrays.official_test.tolist() == [False] * 4000 + [True] * 10_000
    assert np.bincount(arrays.y[4000:]).tolist() == [1000] * 10
    assert len(np.unique(arrays.x, axis=0)) == 14_000  # under one seed, the test set would repeat the training set
    # Each part is standardised by the package on its own: their scales must agree closely.
    assert abs(arrays.x[:4000].std() / arrays.x[4000:].std() - 1) < 0.01


# --- Fashion-MNIST ---------------------------------------------------------------------------------------


@pytest.fixture
def fashion(mnist_like, monkeypatch, tmp_path):
    """A tiny Fashion-MNIST whose checksums are the ones expected, and no source that works."""
    x, y, files = mnist_like
    monkeypatch.setattr(
        downloads,
        "FASHION_MNIST_SHA256",
        {name: hashlib.sha256(content).hexdigest() for name, content in files.items()},
    )
    monkeypatch.setattr(downloads, "SYSTEM_FASHION_MNIST", tmp_path / "system")
    monkeypatch.setattr("torchvision.datasets.FashionMNIST.mirrors", ["http://127.0.0.1:1/"])
    _put_on_path(monkeypatch, tmp_path, "#!/bin/sh\necho 'E: no such package' >&2\nexit 100\n")
    return x, y, files


def _put_on_path(monkeypatch, tmp_path, apt_get: str) -> None:
    command = tmp_path / "bin" / "apt-get"
    command.parent.mkdir(exist_ok=True)
    command.write_text(apt_get)
    command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{command.parent}:{os.environ['PATH']}")


def _check_fashion(arrays, fashion):
    x, y, _ = fashion
    np.testing.assert_array_equal(arrays.x, x.reshape(30, 784))
    np.testing.assert_array_equal(arrays.y, y)
    assert arrays.official_test.tolist() == [False] * 20 + [True] * 10


def test_fashion_mnist_from_the_system_then_from_the_cache(fashion, tmp_path):
    write_gz(tmp_path / "system", fashion[2])
    cache = tmp_path / "cache"
    first = prepare.load("f", FASHION, cache)
    _check_fashion(first, fashion)
    shutil.rmtree(tmp_path / "system")
    assert prepare.load("f", FASHION, cache).sha256 == first.sha256
    assert {path.name for path in (cache / "fashion-mnist").iterdir()} == set(fashion[2])


@pytest.mark.parametrize("damage", [lambda b: b[:-1], lambda b: b[:20] + bytes([b[20] ^ 1]) + b[21:], lambda b: b""])
def test_a_damaged_cache_is_noticed_and_repaired(fashion, tmp_path, damage):
    cached = tmp_path / "cache" / "fashion-mnist" / "train-images-idx3-ubyte"
    write_gz(tmp_path / "system", fashion[2])
    prepare.load("f", FASHION, tmp_path / "cache")
    whole = cached.read_bytes()
    cached.write_bytes(damage(whole))
    _check_fashion(prepare.load("f", FASHION, tmp_path / "cache"), fashion)
    assert cached.read_bytes() == whole


def test_a_gzip_bomb_is_cut_short(fashion, tmp_path, monkeypatch):
    monkeypatch.setattr(downloads, "FASHION_MNIST_BYTES", 1000)
    write_gz(tmp_path / "system", fashion[2] | {"train-images-idx3-ubyte": bytes(10**7)})
    with pytest.raises(DatasetUnavailable, match="train-images-idx3-ubyte has SHA-256"):
        prepare.load("f", FASHION, tmp_path / "cache")


def test_a_cache_that_cannot_be_written_is_no_obstacle(fashion, tmp_path):
    write_gz(tmp_path / "system", fashion[2])
    (tmp_path / "cache").write_text("a file where the folder should be")
    _check_fashion(prepare.load("f", FASHION, tmp_path / "cache"), fashion)


@pytest.mark.slow
def test_fashion_mnist_by_torchvisions_download(fashion, tmp_path, monkeypatch, serve, capfd):
    served, address, _ = serve
    monkeypatch.setattr("torchvision.datasets.FashionMNIST.mirrors", [address])
    monkeypatch.setattr("torchvision.datasets.FashionMNIST.resources", write_gz(served, fashion[2]))
    _check_fashion(prepare.load("f", FASHION, tmp_path / "cache"), fashion)
    assert capfd.readouterr() == ("", "")


@pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="needs dpkg-deb")
def test_fashion_mnist_from_the_debian_package(fashion, tmp_path, monkeypatch):
    package = tmp_path / "package"
    write_gz(package / "usr/share/datasets/fashion-mnist", fashion[2])
    (package / "DEBIAN").mkdir()
    (package / "DEBIAN").chmod(0o755)  # as dpkg-deb wants it, whatever the umask
    (package / "DEBIAN" / "control").write_text(
        "Package: dataset-fashion-mnist\nVersion: 0\nArchitecture: all\nMaintainer: a <a@b>\nDescription: d\n"
    )
    subprocess.run(["dpkg-deb", "-b", package, tmp_path / "f.deb"], check=True, capture_output=True)
    _put_on_path(monkeypatch, tmp_path, f"#!/bin/sh\ncp '{tmp_path}/f.deb' .\n")
    _check_fashion(prepare.load("f", FASHION, tmp_path / "cache"), fashion)


def test_no_source_gives_one_line_that_names_them_all(fashion, tmp_path):
    write_gz(tmp_path / "system", fashion[2] | {"t10k-labels-idx1-ubyte": b"other bytes"})
    with pytest.raises(DatasetUnavailable) as error:
        prepare.load("f", FASHION, tmp_path / "cache")
    message = str(error.value)
    assert "\n" not in message
    order = [
        "cache",
        "No such file",
        "system",
        "t10k-labels-idx1-ubyte has SHA-256",
        "torchvision",
        "refused",
    ]
    places = [message.index(part) for part in [*order, "apt-get download", "E: no such package", "run again"]]
    assert places == sorted(places)


def test_a_server_that_never_answers_costs_seconds(fashion, tmp_path, monkeypatch):
    """One connection, given up after NETWORK_TIMEOUT; how long that took is not asked, as the machine may be busy."""
    assert downloads.NETWORK_TIMEOUT <= 30
    monkeypatch.setattr(downloads, "NETWORK_TIMEOUT", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        monkeypatch.setattr("torchvision.datasets.FashionMNIST.mirrors", [address])
        with pytest.raises(DatasetUnavailable, match="timed out"):
            prepare.load("f", FASHION, tmp_path / "cache")
        silent.settimeout(0)
        silent.accept()[0].close()
        with pytest.raises(BlockingIOError):
            silent.accept()
    assert socket.getdefaulttimeout() is None


@pytest.mark.skipif(not downloads.SYSTEM_FASHION_MNIST.is_dir(), reason="needs Debian's dataset-fashion-mnist")
def test_the_real_fashion_mnist_has_the_published_checksums(tmp_path):
    arrays = prepare.load("f", FASHION, tmp_path)
    assert arrays.x.shape == (70_000, 784)
    assert np.bincount(arrays.y[arrays.official_test]).tolist() == [1000] * 10


# --- torchvision -----------------------------------------------------------------------------------------


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
