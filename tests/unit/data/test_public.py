"""Public data sets: real file formats in small, servers that fail, caches that are damaged."""

import hashlib
import os
import random
import shutil
import socket
import subprocess

import numpy as np
import pytest

from activation_study.data import downloads, prepare, public
from activation_study.data.arrays import DatasetUnavailable
from idx_files import write_gz

FASHION = {"source": "torchvision", "class": "FashionMNIST"}


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
        public,
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
    monkeypatch.setattr(public, "FASHION_MNIST_BYTES", 1000)
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
    with pytest.raises(DatasetUnavailable, match="add debian: true to its entry"):
        prepare.load("f", FASHION, tmp_path / "cache")
    _check_fashion(prepare.load("f", FASHION | {"debian": True}, tmp_path / "cache"), fashion)


def test_without_its_key_no_command_fetches_anything(fashion, tmp_path, monkeypatch):
    _put_on_path(monkeypatch, tmp_path, f"#!/bin/sh\ntouch '{tmp_path}/called'\nexit 100\n")
    for entry, called in ((FASHION, False), (FASHION | {"debian": False}, False), (FASHION | {"debian": True}, True)):
        with pytest.raises(DatasetUnavailable):
            prepare.load("f", entry, tmp_path / "cache")
        assert (tmp_path / "called").exists() == called


def test_no_source_gives_one_line_that_names_them_all(fashion, tmp_path):
    write_gz(tmp_path / "system", fashion[2] | {"t10k-labels-idx1-ubyte": b"other bytes"})
    with pytest.raises(DatasetUnavailable) as error:
        prepare.load("f", FASHION | {"debian": True}, tmp_path / "cache")
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
