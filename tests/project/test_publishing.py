"""What others' tools read: the citation, the catalogue of workflows, continuous integration, uv."""

import re
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def _yaml(name):
    return yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))


def test_the_citation_is_of_this_version():
    citation = _yaml("CITATION.cff")
    assert {"cff-version", "message", "title", "authors"} <= citation.keys()
    assert (citation["version"], citation["license"]) == (PROJECT["version"], PROJECT["license"])
    (author,) = (one["name"] for one in citation["authors"])
    said = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    assert f"{author}: *{citation['title']}*, version {citation['version']}." in said


def test_the_changelog_names_this_version():
    assert PROJECT["version"] in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_the_catalogue_finds_what_it_looks_for():
    assert _yaml(".snakemake-workflow-catalog.yml")["usage"]["report"] is True
    assert (ROOT / "workflow/Snakefile").exists()


def test_the_configs_page_has_every_section():
    page = (ROOT / "config/README.md").read_text(encoding="utf-8")
    assert (
        set(re.findall(r"(?m)^\| `(\w+)` \|", page))
        == _yaml("src/activation_study/study/config.schema.yaml")["properties"].keys()
    )


def test_continuous_integration_runs_what_the_project_has():
    jobs = _yaml(".github/workflows/ci.yml")["jobs"].values()
    commands = [step["run"] for job in jobs for step in job["steps"] if "run" in step]
    assert commands == [".ci/run", "make quick"]
    assert all(re.fullmatch(r"actions/[\w-]+@v\d+", s["uses"]) for job in jobs for s in job["steps"] if "uses" in s)


def test_uv_installs_the_lock_and_nothing_else():
    """Where the environment is the lock's, only this checkout is not: a second command has it."""
    if metadata.version("torch").endswith("+cpu"):
        pytest.skip("the small build of PyTorch is not the lock's")
    (command,) = re.findall(r"`(uv pip sync [^`&]+)", (ROOT / "docs/running.md").read_text(encoding="utf-8"))
    assert command.split() == ["uv", "pip", "sync", "--require-hashes", "requirements.lock"]
    sync = [Path(sys.executable).with_name("uv"), *command.split()[1:], "--python", sys.executable]
    sync += ["--dry-run", "--offline", "--no-config"]
    done = subprocess.run(sync, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    changes = re.findall(r"^ [-+] ([\w-]+)==", done.stderr, re.MULTILINE)
    assert set(changes) <= {"activation-study"}
