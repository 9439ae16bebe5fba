"""Provenance says what is there."""

import hashlib
import re
import shutil
import subprocess

import pytest
import torch

from activation_study.jobs.provenance import of_job, provenance
from activation_study.study.code import PACKAGE, files_digest
from activation_study.study.config import ROOT
from activation_study.study.study import Study

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
    assert files_digest() == digest.hexdigest()


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


@pytest.mark.parametrize(
    ("device", "precision"),
    [("cuda high", "tf32"), ("cuda highest", "float32"), ("cpu medium", "float32"), ("none", "float32")],
)
def test_a_job_says_what_its_products_were(device, precision, monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "a GPU")
    row = of_job({"params": {"id": "digits/relu/depth=2"}, "code": "c"}, 0.0, device)
    assert (row["device"], row["precision"]) == (device, precision)
