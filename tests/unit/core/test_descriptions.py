"""What lies in a results folder may be anything: one line, no traceback, nothing that waits."""

import os

import pytest

from activation_study.activations.activation import from_entry
from activation_study.activations.portrait import description
from activation_study.core import descriptions, files
from activation_study.core.errors import StudyError
from activation_study.study import receipts
from activation_study.study.study import Study
from activation_study.tables import described
from small import config

MANIFEST = {"status": "available", "message": "", "source": "s", "sha256": "0" * 64, "samples": 3, "features": 2}
MANIFEST |= {"classes": 2, "official_test": False}


@pytest.fixture(scope="module")
def whole():
    return description(from_entry("relu", {"class": "ReLU"})) | {"status": "available", "message": ""}


def _said(reader, path):
    with pytest.raises(StudyError) as refused:
        reader(path)
    message = str(refused.value)
    assert message.isprintable()
    assert len(message) < 500
    assert message.endswith("delete it and run the study again")
    return message


def test_what_the_jobs_write_is_read(whole, tmp_path):
    files.write_json(whole, tmp_path / "relu.json")
    assert described.activation(tmp_path / "relu.json") == whole
    files.write_json(MANIFEST, tmp_path / "digits.json")
    assert descriptions.dataset(tmp_path / "digits.json") == MANIFEST


@pytest.mark.parametrize(
    "change",
    [
        {"status": ...},
        {"status": "\x1b[2J\nerror: forged"},
        {"status": "unavailable"},
        {"message": ...},
        {"message": 3},
        {"constants": ...},
        {"constants": None},
        {"constants": "text"},
        {"constants": {"gain": 1.0}},
        {"portrait": None},
        {"portrait": {"x": [1.0]}},
        {"portrait": {"x": [1.0], "value": [1.0, 2.0], "derivative": [1.0]}},
        {"portrait": {"x": ["a"], "value": [1.0], "derivative": [1.0]}},
    ],
)
def test_an_odd_activation_is_one_line(whole, tmp_path, change):
    odd = {key: value for key, value in (whole | change).items() if value is not ...}
    files.write_json(odd, tmp_path / "relu.json")
    assert "is damaged (" in _said(described.activation, tmp_path / "relu.json")


@pytest.mark.parametrize(
    "change",
    [{key: ...} for key in MANIFEST]
    + [{"samples": value} for value in ("x", -(10**12), 10**30, 2.0, True, None)]
    + [{"official_test": 1}, {"sha256": None}, {"status": "fine"}, {"message": ["a"]}],
)
def test_an_odd_manifest_is_one_line(tmp_path, change):
    odd = {key: value for key, value in (MANIFEST | change).items() if value is not ...}
    files.write_json(odd, tmp_path / "d.json")
    assert "is damaged (" in _said(descriptions.dataset, tmp_path / "d.json")


@pytest.mark.parametrize("content", [b"", b"\xff", b"[" * 100_000, b"{}", b"[]", b'{"samples": Infinity}'])
def test_bytes_of_any_kind_are_one_line(tmp_path, content):
    (tmp_path / "d.json").write_bytes(content)
    for reader in (described.activation, descriptions.dataset):
        assert "is damaged (" in _said(reader, tmp_path / "d.json")


def test_pipes_and_devices_do_not_wait(tmp_path, monkeypatch):
    os.mkfifo(tmp_path / "d.json")
    assert "is not a regular file" in _said(descriptions.dataset, tmp_path / "d.json")
    (tmp_path / "z.json").symlink_to("/dev/zero")
    assert "is not a regular file" in _said(descriptions.dataset, tmp_path / "z.json")
    for suffix in ("parquet", "html"):
        os.mkfifo(tmp_path / f"made.{suffix}")
        assert receipts.found(tmp_path / f"made.{suffix}") == {}


FORGED = [{"\x1b[31m\nerror: forged": 1}, {"k" * 100_000: 1}, {"a": {"\u202e": "\x9b"}}, [], 3]


@pytest.mark.parametrize("params", FORGED, ids=range(len(FORGED)))
def test_a_forged_receipt_forges_no_line(tmp_path, monkeypatch, params):
    monkeypatch.chdir(tmp_path)
    study = Study.from_config(config(cost={"measure": False}))
    path = study.activation_file("relu")
    files.write_json({"status": "\x1b[2J\nerror: forged", "message": "", files.MADE_BY: {"params": params}}, path)
    line = receipts.summary(receipts.to_make_again(study))
    assert path in line
    assert line.isprintable()
    assert len(line) < 600
