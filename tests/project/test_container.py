"""The container image is the lock's: no engine is needed to see that."""

import re
import subprocess
import tomllib
from pathlib import Path

from packaging.specifiers import SpecifierSet

ROOT = Path(__file__).resolve().parents[2]
TEXT = re.sub(r"(?m)^#.*\n", "", (ROOT / "Containerfile").read_text(encoding="utf-8"))
STEPS = [line.split(maxsplit=1) for line in TEXT.replace("\\\n", " ").splitlines() if line]


def of(word):
    return [rest for name, rest in STEPS if name == word]


def test_it_begins_with_a_python_that_the_project_allows():
    (image,) = of("FROM")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert SpecifierSet(project["requires-python"]).contains(re.fullmatch(r"python:([\d.]+)-slim-bookworm", image)[1])


def test_what_it_copies_is_there():
    for words in map(str.split, of("COPY")):
        assert all((ROOT / name).exists() for name in words[:-1]), words


def test_it_has_what_the_study_reads():
    copied = {name for words in map(str.split, of("COPY")) for name in words[:-1]}
    snakefile = {"Snakefile", "workflow", "scripts", "src", "environment.yml", "config.yaml", "claims.yaml"}
    assert snakefile | {"requirements.lock", "pyproject.toml"} <= copied


def test_its_commands_are_shell():
    for command in of("RUN"):
        done = subprocess.run(["sh", "-n"], input=command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


def test_the_small_build_leaves_out_what_only_gpus_need(tmp_path):
    """By the image's own commands, with a pip that only notes how it is called."""
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    (tmp_path / "requirements.lock").write_text(lock, encoding="utf-8")
    (tmp_path / "pip").write_text('#!/bin/sh\necho "$@" >> called\n')
    (tmp_path / "pip").chmod(0o755)
    for build, left_out in (("cpu", {"nvidia", "cuda", "triton"}), ("cuda", set())):
        (tmp_path / "called").unlink(missing_ok=True)
        for command in of("RUN"):
            environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", "TORCH": build}
            subprocess.run(["sh", "-ec", command], cwd=tmp_path, env=environment, check=True)
        calls = (tmp_path / "called").read_text(encoding="utf-8").splitlines()
        assert [bool(re.search("index-url .*torch==", call)) for call in calls] == [True, False, False][-len(calls) :]
        assert len(calls) == (3 if left_out else 2)
        assert "--require-hashes -r wanted.lock" in calls[-2]
        names = set(re.findall(r"^([a-z0-9-]+)==", (tmp_path / "wanted.lock").read_text(encoding="utf-8"), re.M))
        gone = set(re.findall(r"^([a-z0-9-]+)==", lock, re.M)) - names
        assert {name.split("-")[0] for name in gone} == left_out
