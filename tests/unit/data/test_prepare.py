"""Entries of the configuration, and the files that are prepared from them."""

import json
import re
import runpy
import types
import zipfile
from pathlib import Path

import numpy as np
import pytest

from activation_study.core import files
from activation_study.core.errors import StudyError
from activation_study.data import arrays as prepared
from activation_study.data import entries, public
from activation_study.data import prepare as datasets
from activation_study.data.arrays import DatasetUnavailable

SCRIPT = Path(__file__).parents[3] / "scripts" / "prepare_dataset.py"
FASHION = {"source": "torchvision", "class": "FashionMNIST"}
X = np.arange(24, dtype=np.float64).reshape(6, 2, 2) / 7
Y = np.array([3, 3, -2, -2, 8, 8])


def load_npz(path: Path) -> prepared.Arrays:
    return datasets.load("mine", {"source": "npz", "path": str(path)})


def outcome(read, *arguments) -> str:
    """The SHA-256 of what is read, or the message why it is not."""
    try:
        return read(*arguments).sha256
    except StudyError as error:
        return str(error)


# --- entries ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "entry",
    [
        {"source": "digits", "target": 0.9, "target_reason": "pilot", "max_train": 500},
        {"source": "mnist1d", "max_test": 100},
        FASHION | {"max_train": None},
        {"source": "torchvision", "class": "EMNIST", "split": "letters"},
        {"source": "folder", "path": "some/dir"},
        {"source": "npz", "path": "file.npz"},
    ],
)
def test_good_entries_pass(entry):
    entries.check_entry("mine", entry)


@pytest.mark.parametrize(
    ("entry", "key"),
    [
        ("digits", "datasets.mine"),
        ({}, "datasets.mine.source"),
        ({"source": "imagenet"}, "datasets.mine.source"),
        ({"source": "digits", "path": "x"}, "datasets.mine.path"),
        ({"source": "npz"}, "datasets.mine.path"),
        ({"source": "npz", "path": 3}, "datasets.mine.path"),
        ({"source": "torchvision"}, "datasets.mine.class"),
        ({"source": "torchvision", "class": "os.system"}, "datasets.mine.class"),
        ({"source": "torchvision", "class": "MNIST", "download": False}, "datasets.mine.download"),
        (FASHION | {"split": "letters"}, "datasets.mine.split"),
        ({"source": "digits", "max_train": 0}, "datasets.mine.max_train"),
        ({"source": "digits", "max_test": True}, "datasets.mine.max_test"),
        ({"source": "digits", "target": 90}, "datasets.mine.target"),
        ({"source": "digits", "target_reason": 3}, "datasets.mine.target_reason"),
    ],
)
def test_bad_entries_name_their_key(entry, key):
    with pytest.raises(StudyError, match=rf"^{re.escape(key)}: ") as error:
        entries.check_entry("mine", entry)
    assert "\n" not in str(error.value)


# --- prepared files --------------------------------------------------------------------------------------


@pytest.fixture
def prepare_again(tmp_path):
    """A prepared data set and a function that prepares it again elsewhere."""
    np.savez(tmp_path / "source.npz", x=X, y=Y)

    def prepare(folder: str, entry: dict | None = None, made_by: dict | None = None):
        arrays, manifest = tmp_path / folder / "d.npz", tmp_path / folder / "d.json"
        entry = entry or {"source": "npz", "path": str(tmp_path / "source.npz")}
        description = datasets.prepare("mine", entry, arrays, manifest, made_by, cache=tmp_path / "cache")
        return arrays, manifest, description

    return prepare


def test_prepared_files_give_the_arrays_back(prepare_again, tmp_path):
    arrays, manifest, description = prepare_again("out", made_by={"code": "2"})
    assert files.read_json(manifest) == description
    assert description == {
        "name": "mine",
        "status": "available",
        "message": "",
        "samples": 6,
        "features": 4,
        "classes": 3,
        "source": "npz file source.npz",
        "scale": "global",
        "shape": [2, 2, 1],
        "sha256": load_npz(tmp_path / "source.npz").sha256,
        "official_test": False,
        "made_by": {"code": "2"},
    }
    read, loaded = prepared.read_prepared(arrays, manifest), load_npz(tmp_path / "source.npz")
    np.testing.assert_array_equal(read.x, loaded.x)
    np.testing.assert_array_equal(read.y, loaded.y)
    assert (read.classes, read.sha256, read.official_test) == (3, loaded.sha256, None)
    assert sorted(path.name for path in arrays.parent.iterdir()) == ["d.json", "d.npz"]  # no temporary file


@pytest.mark.parametrize(
    ("x", "axes", "shape"),
    [
        ((6, 5), None, ()),
        ((6, 5), "L", (5, 1)),
        ((6, 3, 5), None, (3, 5, 1)),
        ((6, 3, 5), "LC", (3, 5)),
        ((6, 3, 5), "CL", (5, 3)),
        ((6, 4, 5, 3), None, (4, 5, 3)),
        ((6, 3, 4, 5), None, ()),
        ((6, 3, 4, 5), "CHW", (4, 5, 3)),
        ((6, 3, 4, 5), "HWC", (3, 4, 5)),
    ],
)
def test_samples_keep_their_shape_with_channels_last(tmp_path, x, axes, shape):
    values = np.random.default_rng(0).integers(0, 256, x, np.uint8)
    np.savez(tmp_path / "a.npz", x=values, y=Y)
    entry = {"source": "npz", "path": str(tmp_path / "a.npz")} | ({"axes": axes} if axes else {})
    made = datasets.prepare("mine", entry, tmp_path / "d.npz", tmp_path / "d.json")
    read = prepared.read_prepared(tmp_path / "d.npz", tmp_path / "d.json")
    assert (read.shape, made["features"]) == (shape, values[0].size)
    last = np.moveaxis(values, 1, -1) if axes in ("CL", "CHW") else values
    np.testing.assert_array_equal(read.x, last.reshape(6, -1))
    assert read.scale == ("per_feature" if len(x) == 2 and not axes else "global")


def test_axes_that_x_does_not_have_are_named(tmp_path):
    np.savez(tmp_path / "a.npz", x=X, y=Y)
    entry = {"source": "npz", "path": str(tmp_path / "a.npz"), "axes": "CHW"}
    with pytest.raises(StudyError, match=r"^datasets\.mine\.axes: CHW is x of the axes \[N, C, H, W\], but .*6, 2, 2"):
        datasets.load("mine", entry)


def test_public_data_have_a_shape():
    assert datasets.load("digits", {"source": "digits"}).shape == (8, 8, 1)
    assert datasets.load("mnist1d", {"source": "mnist1d"}).shape == (40, 1)


def test_prepared_bytes_are_deterministic(prepare_again):
    first, second = prepare_again("a"), prepare_again("b")
    for one, other in zip(first[:2], second[:2], strict=True):
        assert one.read_bytes() == other.read_bytes()
    with zipfile.ZipFile(first[0]) as archive:  # no clock
        assert {info.date_time for info in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_an_official_test_set_survives(prepare_again, monkeypatch):
    official_test = np.arange(6) > 2
    monkeypatch.setattr(public, "fashion_mnist", lambda cache, **_: public.Raw(X, Y, official_test, "invented"))
    arrays, manifest, _ = prepare_again("out", FASHION)
    read = prepared.read_prepared(arrays, manifest)
    np.testing.assert_array_equal(read.official_test, official_test)
    assert read.source == "invented"


def test_unavailable_data_are_recorded(prepare_again, monkeypatch):
    def unavailable(cache, **_):
        raise DatasetUnavailable(f"nothing in {cache.name}")

    monkeypatch.setattr(public, "fashion_mnist", unavailable)
    arrays, manifest, description = prepare_again("out", FASHION)
    assert files.read_json(manifest) == description
    assert (description["status"], description["samples"]) == ("unavailable", 0)
    assert description["message"] == "nothing in cache"
    with np.load(arrays, allow_pickle=False) as file:
        assert file["x"].shape == (0, 0)
    with pytest.raises(DatasetUnavailable, match=r"^nothing in cache$"):
        prepared.read_prepared(arrays, manifest)

    monkeypatch.setattr(public, "fashion_mnist", lambda cache, **_: public.Raw(X, Y, None, "invented"))
    assert prepare_again("out", FASHION)[2]["status"] == "available"
    assert prepared.read_prepared(arrays, manifest).classes == 3


def test_damaged_prepared_files_are_noticed(prepare_again):
    arrays, manifest, _ = prepare_again("out")
    expected = prepared.read_prepared(arrays, manifest).sha256
    whole = arrays.read_bytes()
    for position in range(0, len(whole), 5):
        arrays.write_bytes(whole[:position] + bytes([whole[position] ^ 0x04]) + whole[position + 1 :])
        found = outcome(prepared.read_prepared, arrays, manifest)
        assert found == expected or found.startswith(f"{arrays} is damaged (")
    arrays.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(StudyError, match="is damaged"):
        prepared.read_prepared(arrays, manifest)
    arrays.write_bytes(whole)
    whole = manifest.read_bytes()
    for position in range(len(whole)):
        manifest.write_bytes(whole[:position] + bytes([whole[position] ^ 0x04]) + whole[position + 1 :])
        found = outcome(prepared.read_prepared, arrays, manifest)
        assert found == expected or found.startswith(f"{manifest} is damaged (")


@pytest.mark.parametrize("fault", ["packed", "a header of more", "another array"])
def test_prepared_arrays_are_no_larger_in_memory_than_on_the_disk(prepare_again, monkeypatch, fault):
    arrays, manifest, _ = prepare_again("out")
    with np.load(arrays) as file:
        held = dict(file)
    if fault == "packed":
        np.savez_compressed(arrays, **held | {"x": np.zeros((10_000, 1000), np.uint8)})
    elif fault == "another array":
        np.savez(arrays, **held, more=np.zeros(3))
    else:
        whole = arrays.read_bytes()
        changed = whole.replace(b"(6, 4), }   ", b"(6, 4000), }")
        assert changed != whole
        arrays.write_bytes(changed)
    monkeypatch.setattr(np, "load", lambda *_, **__: pytest.fail("it was read"))
    with pytest.raises(StudyError, match=r"out.*d\.npz is damaged \("):
        prepared.read_prepared(arrays, manifest)


def test_arrays_of_another_manifest_are_noticed(prepare_again, tmp_path):
    arrays, _, _ = prepare_again("a")
    np.savez(tmp_path / "source.npz", x=X**2, y=Y)
    _, manifest, _ = prepare_again("b")
    with pytest.raises(StudyError, match="SHA-256"):
        prepared.read_prepared(arrays, manifest)


def test_the_cache_can_be_moved(monkeypatch):
    monkeypatch.setenv("ACTIVATION_STUDY_CACHE", "/elsewhere")
    assert entries.default_cache() == Path("/elsewhere")
    monkeypatch.delenv("ACTIVATION_STUDY_CACHE")
    assert entries.default_cache() == Path.home() / ".cache" / "activation-study"


def run_script(tmp_path: Path, path: Path) -> None:
    snakemake = types.SimpleNamespace(
        params=types.SimpleNamespace(
            dataset={"name": "m", "entry": {"source": "npz", "path": str(path)}}, fingerprint="f"
        ),
        output=types.SimpleNamespace(arrays=str(tmp_path / "d.npz"), manifest=str(tmp_path / "d.json")),
        log=[str(tmp_path / "log")],
    )
    runpy.run_path(str(SCRIPT), init_globals={"snakemake": snakemake})


def test_the_script(tmp_path):
    np.savez(tmp_path / "a.npz", x=X, y=Y)
    run_script(tmp_path, tmp_path / "a.npz")
    assert json.loads((tmp_path / "d.json").read_text())["status"] == "available"


def test_the_script_records_data_that_are_refused(tmp_path):
    """They cost their own runs, not the study."""
    run_script(tmp_path, tmp_path / "missing.npz")
    manifest = json.loads((tmp_path / "d.json").read_text())
    assert (manifest["status"], manifest["samples"]) == ("refused", 0)
    assert manifest["message"].startswith("datasets.m.path: ")
    assert "missing.npz" in manifest["message"]
    assert manifest["made_by"]["files"] == "f"
    assert "refused: datasets.m.path: " in (tmp_path / "log").read_text()


def test_the_fingerprint_follows_the_files(tmp_path):
    file = tmp_path / "data.npz"
    entry = {"source": "npz", "path": str(file)}
    absent = entries.fingerprint(entry)
    file.write_bytes(b"one")
    present = entries.fingerprint(entry)
    assert entries.fingerprint(entry) == present != absent
    file.write_bytes(b"other")
    assert entries.fingerprint(entry) != present
    (tmp_path / "cats").mkdir()
    (tmp_path / "cats" / "a.png").write_bytes(b"a")
    folder = {"source": "folder", "path": str(tmp_path)}
    before = entries.fingerprint(folder)
    (tmp_path / "cats" / "b.png").write_bytes(b"b")
    assert entries.fingerprint(folder) != before
    assert entries.fingerprint({"source": "digits"}) == ""
