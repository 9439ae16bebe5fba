"""Provenance says what is there."""

import hashlib
import re
import shutil
import subprocess

import pytest
import torch

from activation_study.activation_entries import source_files
from activation_study.config import ROOT
from activation_study.dependencies import PACKAGE
from activation_study.provenance import code_digest, provenance, training_digest
from activation_study.study import Study

CONFIG = ROOT / "tests" / "configs" / "smoke.yaml"


def test_provenance_names_code_config_packages_and_machine():
    study = Study.from_file(CONFIG)
    found = provenance(study)
    assert found["config_sha256"] == study.digest
    assert found["packages"]["torch"].partition("+")[0] == torch.__version__.partition("+")[0]
    assert found["cores"] >= 1
    assert found["processor"]


def test_the_code_digest_is_of_names_and_contents():
    digest = hashlib.sha256()
    for file in sorted(PACKAGE.rglob("*.py")):
        digest.update(str(file.relative_to(PACKAGE)).encode() + file.read_bytes())
    assert code_digest() == digest.hexdigest()


def test_the_commit_is_gits_own():
    """With the nearest tag before it, where there is one; git need be neither installed nor at work here."""
    commit = provenance(Study.from_file(CONFIG))["code"]
    git = shutil.which("git")
    head = git and subprocess.run([git, "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False)
    if not git or head.returncode:
        assert commit == "unknown"
    elif re.fullmatch("[0-9a-f]{12,}", named := commit.removesuffix("-dirty").rpartition("-g")[2]):
        assert head.stdout.startswith(named)
    else:  # a tag of this very commit
        target = [git, "rev-parse", f"{named}^{{commit}}"]
        assert subprocess.run(target, cwd=ROOT, capture_output=True, text=True, check=True).stdout == head.stdout


def test_an_activation_of_ones_own_is_part_of_a_runs_code(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    file = tmp_path / "own_for_provenance.py"
    file.write_text("x = 1", encoding="utf-8")

    def digest(entry):
        return training_digest({"settings": {"activation": entry}})

    own, relu = {"module": "own_for_provenance:Mine"}, {"class": "ReLU"}
    before, without = digest(own), digest(relu)
    file.write_text("x = 2", encoding="utf-8")
    assert digest(own) != before != without
    assert digest(relu) == without


@pytest.mark.parametrize("fault", ["raise RuntimeError('no')", "import nothing_of_that_name", "1 +"])
def test_a_package_that_fails_to_import_has_no_known_files(tmp_path, monkeypatch, fault):
    monkeypatch.syspath_prepend(tmp_path)
    package = tmp_path / f"failing_{abs(hash(fault))}"
    package.mkdir()
    (package / "__init__.py").write_text(fault, encoding="utf-8")
    assert source_files({"module": f"{package.name}.inner:Mine"}) == []
