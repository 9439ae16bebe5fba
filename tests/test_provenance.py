"""Provenance says what is there."""

import hashlib
import subprocess

import torch

from activation_study.config import ROOT
from activation_study.dependencies import PACKAGE
from activation_study.provenance import code_digest, provenance
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
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False)
    commit = provenance(Study.from_file(CONFIG))["code"]
    if head.returncode:
        assert commit == "unknown"
    else:
        assert head.stdout.startswith(commit.removesuffix("-dirty"))
