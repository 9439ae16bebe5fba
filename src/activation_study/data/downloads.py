"""How public data are had: nothing here changes what they are, as their checksums are known.

So a change here makes no dataset again.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import io
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from activation_study.core.files import replacing
from activation_study.core.text import one_line
from activation_study.data.arrays import DatasetUnavailable

NETWORK_TIMEOUT = 20.0  # seconds a connection may stay silent
SYSTEM_FASHION_MNIST = Path("/usr/share/datasets/fashion-mnist")
# SHA-256 of the uncompressed idx files: Debian's gzip files differ from torchvision's, their contents do not.
FASHION_MNIST_SHA256 = {
    "train-images-idx3-ubyte": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    "train-labels-idx1-ubyte": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    "t10k-images-idx3-ubyte": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    "t10k-labels-idx1-ubyte": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
}
FASHION_MNIST_BYTES = 64 * 2**20  # more than any of the four holds, so that a gzip bomb stops here


def fashion_mnist(cache: Path) -> dict[str, bytes]:
    """The four idx files of Fashion-MNIST, from the first source whose bytes have the known SHA-256.

    Raises:
        DatasetUnavailable: every source that was tried and why it failed.
    """
    cached = cache / "fashion-mnist"
    sources: dict[str, Callable[[], dict[str, bytes]]] = {
        f"cache {cached}": lambda: _fashion_mnist_files(cached),
        str(SYSTEM_FASHION_MNIST): lambda: _fashion_mnist_files(SYSTEM_FASHION_MNIST),
        "torchvision's download": _fashion_mnist_from_torchvision,
        "apt-get download dataset-fashion-mnist": _fashion_mnist_from_debian,
    }
    failures = []
    for place, read in sources.items():
        try:
            files = read()
        except Exception as error:  # whatever it is, this source failed and the next may not
            failures.append(f"{place}: {one_line(error)}")
            continue
        if failures:  # the first source is the cache
            with contextlib.suppress(OSError):  # a cache that cannot be written costs time, not the study
                for name, content in files.items():
                    with replacing(cached / name) as temporary:
                        temporary.write_bytes(content)
        return files
    raise DatasetUnavailable(
        f"Fashion-MNIST is unavailable; tried {'; '.join(failures)}. "
        f"Put the four idx files into {cached}, or install Debian's dataset-fashion-mnist, and run again"
    )


@contextlib.contextmanager
def quiet_and_bounded() -> Iterator[None]:
    """No progress bars, and no connection that waits for ever (torchvision sets no timeout)."""
    timeout = socket.getdefaulttimeout()
    socket.setdefaulttimeout(NETWORK_TIMEOUT)
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            yield
    finally:
        socket.setdefaulttimeout(timeout)


def _fashion_mnist_files(path: Path) -> dict[str, bytes]:
    """The four idx files of a folder, plain or gzipped, checked."""
    files = {}
    for name, sha256 in FASHION_MNIST_SHA256.items():
        plain = path / name
        with plain.open("rb") if plain.exists() else gzip.open(path / f"{name}.gz") as file:
            files[name] = file.read(FASHION_MNIST_BYTES)
        if (found := hashlib.sha256(files[name]).hexdigest()) != sha256:
            raise ValueError(f"{name} has SHA-256 {found[:12]}…, not {sha256[:12]}…")
    return files


def _fashion_mnist_from_torchvision() -> dict[str, bytes]:
    from torchvision.datasets import FashionMNIST

    with tempfile.TemporaryDirectory() as temporary, quiet_and_bounded():
        return _fashion_mnist_files(Path(FashionMNIST(temporary, download=True).raw_folder))


def _fashion_mnist_from_debian() -> dict[str, bytes]:
    """Download and unpack the Debian package; needs neither root nor an installation."""
    with tempfile.TemporaryDirectory() as temporary:
        options = [f"-oAcquire::http::Timeout={NETWORK_TIMEOUT:.0f}", "-oAcquire::Retries=0"]
        _command("apt-get", "-qq", *options, "download", "dataset-fashion-mnist", cwd=temporary)
        packages = list(Path(temporary).glob("*.deb"))
        if len(packages) != 1:
            raise RuntimeError(f"apt-get left {len(packages)} packages")
        _command("dpkg-deb", "-x", packages[0].name, "unpacked", cwd=temporary)
        return _fashion_mnist_files(Path(temporary, "unpacked", "usr/share/datasets/fashion-mnist"))


def _command(*command: str, cwd: str) -> None:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=300, check=False)
    if done.returncode:
        raise RuntimeError(f"{command[0]} failed: {' '.join(done.stderr.split())}")
