"""Where public data sets come from: packages, caches, downloads.

Readers import what they need when they are called: a training job reads prepared arrays only and never pays
for torchvision or scikit-learn.
"""

import contextlib
import gzip
import hashlib
import os
import random
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from activation_study.core.errors import StudyError
from activation_study.core.text import one_line, plain, shown
from activation_study.data import downloads, photos, vision
from activation_study.data.arrays import MAX_BYTES, DatasetUnavailable, Raw

# SHA-256 of the uncompressed idx files: Debian's gzip files differ from torchvision's, their contents do not.
FASHION_MNIST_SHA256 = {
    "train-images-idx3-ubyte": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    "train-labels-idx1-ubyte": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    "t10k-images-idx3-ubyte": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    "t10k-labels-idx1-ubyte": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
}
FASHION_MNIST_BYTES = 64 * 2**20  # more than any of the four holds, so that a gzip bomb stops here


def digits() -> Raw:
    """scikit-learn's copy of the UCI optical digits: 1,797 images of 8 × 8, integer values 0 to 16."""
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    source = "scikit-learn load_digits (UCI optical recognition of digits)"
    return Raw(x.astype(np.uint8).reshape(-1, 8, 8), y, None, source, "HW")


def mnist1d() -> Raw:
    """MNIST-1D (Greydanus and Kobak, 2024): the package's default 4,000 training samples, 10,000 for testing.

    The test samples are generated under another seed: under the same one the generator would repeat the
    training samples. The package standardises each generation by its own mean and deviation, which differ by
    less than 1% between the two. Its `get_dataset` downloads and unpickles: only `make_dataset` is called.
    """
    from mnist1d.data import get_dataset_args, make_dataset

    train_arguments, test_arguments = get_dataset_args(), get_dataset_args()
    vars(test_arguments).update(num_samples=10_000, train_split=0.0, seed=train_arguments.seed + 1)
    with _global_random_state_kept():
        train, test = make_dataset(train_arguments), make_dataset(test_arguments)
    x = np.concatenate([train["x"], test["x_test"]])
    y = np.concatenate([train["y"], test["y_test"]])
    source = "mnist1d make_dataset, seeds 42 (training) and 43 (test)"
    return Raw(x, y, np.arange(len(y)) >= len(train["y"]), source, "L")


def fashion_mnist(cache: Path, *, debian: bool = False) -> Raw:
    """Fashion-MNIST (Xiao et al., 2017); `debian` as for :func:`downloads.fashion_mnist`.

    Raises:
        DatasetUnavailable: every source that was tried and why it failed.
    """
    files = downloads.fashion_mnist(cache, _fashion_mnist_files, debian=debian)
    x = [np.frombuffer(files[f"{part}-images-idx3-ubyte"], np.uint8, offset=16) for part in ("train", "t10k")]
    y = [np.frombuffer(files[f"{part}-labels-idx1-ubyte"], np.uint8, offset=8) for part in ("train", "t10k")]
    official_test = np.arange(len(y[0]) + len(y[1])) >= len(y[0])
    return Raw(
        np.concatenate(x).reshape(len(official_test), 28, 28),
        np.concatenate(y),
        official_test,
        "Fashion-MNIST (Xiao et al., 2017)",
        "HW",
    )


def torchvision_dataset(
    class_name: str,
    arguments: dict[str, Any],
    cache: Path,
    key: str,
    *,
    size: int | list[int] | None = None,
    mode: str | None = None,
    allow_unchecked: bool = False,
) -> Raw:
    """A classification data set of torchvision: from the cache, from archives that lie there, or downloaded into it.

    torchvision checks the MD5 of what it downloads; `vision.guarded` what it then unpacks, unpickles and opens.

    Raises:
        DatasetUnavailable: neither the cache nor the download works.
        StudyError: `key`, for a class that cannot be used, wrong arguments, or samples other than (image, integer).
    """
    cls = vision.checked_class(class_name, arguments, key, allow_unchecked=allow_unchecked)
    described = vision.described(class_name, arguments)
    home = cache / "torchvision" / _home_name(class_name, arguments)
    try:
        with vision.guarded():
            parts = _torchvision_parts(cls, arguments, home)
            x, y = _labelled_images(parts, f"{key}: {described}", size, mode)
    except (StudyError, MemoryError):
        raise
    except Exception as error:  # network, archives, integrity: torchvision has errors of many kinds
        raise DatasetUnavailable(
            f"{key}: torchvision could not provide {described}: {one_line(error)}. "
            f"Check the network, or put its files or archives into {plain(home, 300)}, and run again"
        ) from error
    official_test = np.arange(len(y)) >= len(parts[0]) if len(parts) == 2 else None
    return Raw(x, y, official_test, f"torchvision {described}{photos.described(size, mode)}", photos.axes(x))


@contextlib.contextmanager
def _global_random_state_kept() -> Iterator[None]:
    """The package mnist1d seeds Python's and numpy's global generators."""
    python_state, numpy_state = random.getstate(), np.random.get_state()
    try:
        yield
    finally:
        random.setstate(python_state)
        np.random.set_state(numpy_state)


def _fashion_mnist_files(path: Path) -> dict[str, bytes]:
    """The four idx files of a folder, plain or gzipped, checked."""
    files = {}
    for name, sha256 in FASHION_MNIST_SHA256.items():
        unpacked = path / name
        with unpacked.open("rb") if unpacked.exists() else gzip.open(path / f"{name}.gz") as file:
            files[name] = file.read(FASHION_MNIST_BYTES)
        if (found := hashlib.sha256(files[name]).hexdigest()) != sha256:
            raise ValueError(f"{name} has SHA-256 {found[:12]}…, not {sha256[:12]}…")
    return files


def _home_name(class_name: str, arguments: dict[str, Any]) -> str:
    whole = ",".join([class_name, *(f"{name}={value}" for name, value in sorted(arguments.items()))])
    name = re.sub(r"[^\w=.,-]", "_", whole)
    return name if len(name) <= 100 else f"{name[:80]}-{hashlib.sha256(whole.encode()).hexdigest()[:16]}"


def _torchvision_parts(cls: type, arguments: dict[str, Any], home: Path) -> list[Any]:
    """The training and the test part, or the whole where the class knows no parts."""
    home.parent.mkdir(parents=True, exist_ok=True)
    if home.is_dir():
        with contextlib.suppress(Exception):  # a damaged cache is replaced
            return _torchvision_open(cls, arguments, home, download=False)
        # Archives that somebody put there are checked and unpacked; in a copy, so that none stays half unpacked.
        with contextlib.suppress(Exception), vision.offline():
            return _torchvision_fetched(cls, arguments, home, have=home)
    return _torchvision_fetched(cls, arguments, home)


def _torchvision_fetched(cls: type, arguments: dict[str, Any], home: Path, have: Path | None = None) -> list[Any]:
    """Fetch into a temporary folder, beginning with the files of `have`, and put it in the place of `home`."""
    with tempfile.TemporaryDirectory(dir=home.parent) as temporary:
        complete = Path(temporary, "complete")
        if have:
            shutil.copytree(have, complete, symlinks=True, copy_function=_linked)
        else:
            complete.mkdir()
        _torchvision_open(cls, arguments, complete, download=True)
        try:
            complete.replace(home)
        except OSError:  # one is there: of another process that was faster, or damaged
            with contextlib.suppress(Exception):
                return _torchvision_open(cls, arguments, home, download=False)
            shutil.rmtree(home, ignore_errors=True)
            with contextlib.suppress(OSError):
                complete.replace(home)
    return _torchvision_open(cls, arguments, home, download=False)


def _linked(source: str, target: str) -> None:
    """One file under a second name, or a copy where the file system has no such thing."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def _torchvision_open(cls: type, arguments: dict[str, Any], root: Path, *, download: bool) -> list[Any]:
    takes = vision.parameters(cls)

    def part(**more: Any) -> Any:
        return vision.construct(cls, arguments, root, download=download, **more)

    with downloads.quiet_and_bounded():
        if "train" in takes:
            return [part(train=train) for train in (True, False)]
        if "split" not in takes or "split" in arguments:
            return [part()]
        train = part()  # the default split is the training part
        if split := vision.HELD_OUT.get(cls.__name__):
            return [train, part(split=split)]
        try:
            return [train, part(split="test")]
        except ValueError:  # what torchvision raises for an unknown split
            return [train, part(split="val")]


def _labelled_images(
    parts: list[Any], where: str, size: int | list[int] | None, mode: str | None
) -> tuple[np.ndarray, np.ndarray]:
    """Images [N, ...] and labels [N] of all parts, one after the other."""
    total = sum(map(len, parts))
    labels: list[int] = []
    images: np.ndarray | None = None
    for sample in (part[index] for part in parts for index in range(len(part))):
        image, label = sample[:2]
        if not isinstance(label, int | np.integer) and getattr(label, "ndim", None) != 0:
            raise StudyError(f"{where} yields the label {shown(label)}; integer class labels are needed")
        pixels = np.asarray(photos.fitted(image, size, mode))
        if images is None:
            if total * pixels.nbytes > MAX_BYTES:
                raise StudyError(f"{where} has more than {MAX_BYTES} bytes of pixels; size: 32 makes them smaller")
            images = np.empty((total, *pixels.shape), pixels.dtype)
        elif pixels.shape != images.shape[1:]:
            raise StudyError(
                f"{where} has images of the shapes {images.shape[1:]} and {pixels.shape}; one size is needed: "
                f"size: 32 and mode: L or RGB bring them to one"
            )
        images[len(labels)] = pixels
        labels.append(int(label))
    if images is None:
        raise StudyError(f"{where} has no samples")
    return images, np.array(labels)
