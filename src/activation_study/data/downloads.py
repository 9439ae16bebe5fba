"""How public data are fetched: nothing here changes what they are, as whoever asks for them knows their checksums.

So a change here makes no dataset again.
"""

from __future__ import annotations

import contextlib
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
Read = Callable[[Path], dict[str, bytes]]
"""Reads the files of a folder and raises what it likes unless they are those that are known."""


def fashion_mnist(cache: Path, read: Read, *, debian: bool = False) -> dict[str, bytes]:
    """The four idx files of Fashion-MNIST, from the first source whose bytes `read` accepts.

    Args:
        debian: whether Debian's package is fetched where torchvision's mirrors cannot be reached.

    Raises:
        DatasetUnavailable: every source that was tried and why it failed.
    """
    cached = cache / "fashion-mnist"
    sources: dict[str, Callable[[], dict[str, bytes]]] = {
        f"cache {cached}": lambda: read(cached),
        str(SYSTEM_FASHION_MNIST): lambda: read(SYSTEM_FASHION_MNIST),
        "torchvision's download": lambda: _fashion_mnist_from_torchvision(read),
    }
    if debian:
        sources["apt-get download dataset-fashion-mnist"] = lambda: _fashion_mnist_from_debian(read)
    failures = []
    for place, provide in sources.items():
        try:
            files = provide()
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
        f"Put the four idx files into {cached}, or on Debian add debian: true to its entry, and run again"
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


def _fashion_mnist_from_torchvision(read: Read) -> dict[str, bytes]:
    from torchvision.datasets import FashionMNIST

    with tempfile.TemporaryDirectory() as temporary, quiet_and_bounded():
        return read(Path(FashionMNIST(temporary, download=True).raw_folder))


def _fashion_mnist_from_debian(read: Read) -> dict[str, bytes]:
    """Download and unpack the Debian package; needs neither root nor an installation."""
    with tempfile.TemporaryDirectory() as temporary:
        options = [f"-oAcquire::http::Timeout={NETWORK_TIMEOUT:.0f}", "-oAcquire::Retries=0"]
        _command("apt-get", "-qq", *options, "download", "dataset-fashion-mnist", cwd=temporary)
        packages = list(Path(temporary).glob("*.deb"))
        if len(packages) != 1:
            raise RuntimeError(f"apt-get left {len(packages)} packages")
        _command("dpkg-deb", "-x", packages[0].name, "unpacked", cwd=temporary)
        return read(Path(temporary, "unpacked", "usr/share/datasets/fashion-mnist"))


def _command(*command: str, cwd: str) -> None:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=300, check=False)
    if done.returncode:
        raise RuntimeError(f"{command[0]} failed: {' '.join(done.stderr.split())}")
