"""Nothing that a caller or a config says becomes a command of make or of the shell."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from activation_study.study.config import ROOT

SNAKEMAKE = """#!/bin/sh
printf '%s\\n' "$@" > called
"""


@pytest.fixture
def checkout(tmp_path):
    """The Makefile in a folder with an environment that only notes how Snakemake is called."""
    folder = tmp_path / "a checkout's $HOME"
    (folder / ".venv/bin").mkdir(parents=True)
    (folder / "config").mkdir()
    for name in ("Makefile", "requirements.lock", "config.yaml", "config/demo.yaml"):
        shutil.copy(ROOT / name, folder / name)
    shutil.copy(ROOT / "requirements.lock", folder / ".venv")
    for name in ("snakemake", "python"):
        (folder / ".venv/bin" / name).write_text(SNAKEMAKE)
        (folder / ".venv/bin" / name).chmod(0o755)
    return folder


def _make(folder, *arguments, **environment):
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    return subprocess.run(
        ["make", *arguments], cwd=folder, env=kept | environment, capture_output=True, text=True, check=False
    )


def _called(folder):
    return (folder / "called").read_text(encoding="utf-8").splitlines()


HOSTILE = [
    "a; touch pwned",
    "$(shell touch pwned)",
    "$(touch pwned)",
    "${shell touch pwned}",
    "`touch pwned`",
    '"; touch pwned; "',
    "'; touch pwned; '",
    "a && touch pwned",
    "a | touch pwned",
    "a > pwned",
    "a\ntouch pwned",
    "--snakefile pwn.yaml",
    "-x",
    "$(eval pwn:=$(shell touch pwned))",
    "a # b",
    "ünï {x} %s \\n $$ $HOME * ~",
]


@pytest.mark.slow
@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("way", ["argument", "environment"])
def test_a_config_of_any_name_is_one_word(checkout, text, way):
    said = {"CONFIG": text, "CORES": text}
    arguments, environment = ([f"{k}={v}" for k, v in said.items()], {}) if way == "argument" else ([], said)
    done = _make(checkout, "study", *arguments, **environment)
    assert done.returncode
    assert done.stderr.startswith(f"error: CONFIG: {text} cannot be read; name a config")
    (checkout / text).parent.mkdir(parents=True, exist_ok=True)
    (checkout / text).write_text("study: a\n", encoding="utf-8")
    for target in ("study", "report"):
        done = _make(checkout, target, *arguments, **environment)
        assert done.returncode == 0, done.stderr
        words = ["-m", "snakemake", f"--configfile={text}", f"--cores={text}", *["report"] * (target == "report")]
        assert _called(checkout) == "\n".join(words).splitlines()
    assert not list(checkout.rglob("pwned"))


@pytest.mark.parametrize("text", HOSTILE[:-2])
def test_other_variables_run_nothing_either(checkout, text):
    _make(checkout, "faults", f"FAULTS={text}")
    assert _called(checkout) == ["tests/faults/run.py", *text.split()]
    _make(checkout, "test-slurm", f"SLURM={text}")
    assert _called(checkout) == ["tests/cluster/run.py", *text.split()]
    (checkout / ".venv/requirements.lock").unlink()
    done = _make(checkout, "env", f"PYTHON={text}")
    assert done.returncode
    assert not list(checkout.rglob("pwned"))


def test_options_of_the_faults_are_words(checkout):
    _make(checkout, "faults", "FAULTS=--seed 7 *")
    assert _called(checkout) == ["tests/faults/run.py", "--seed", "7", "*"]


@pytest.mark.parametrize(
    ("arguments", "called"),
    [
        (["study"], ["--configfile=config.yaml", "--cores=all"]),
        ([], ["--configfile=config.yaml", "--cores=all"]),
        (["demo"], ["--configfile=config/demo.yaml", "--cores=all"]),
        (["demo", "CONFIG=config.yaml", "CORES=3"], ["--configfile=config/demo.yaml", "--cores=3"]),
        (["report", "CORES=2"], ["--configfile=config.yaml", "--cores=2", "report"]),
    ],
)
def test_the_usual_calls(checkout, arguments, called):
    done = _make(checkout, *arguments)
    assert done.returncode == 0, done.stderr
    assert _called(checkout) == ["-m", "snakemake", *called]


# A mapping for YAML and a program for Python, as which Snakemake reads a Snakefile.
BOTH = """\
study: "x --snakefile {name} --until y"
pwn: __import__("pathlib").Path("pwned").touch()
allow_modules: "false"
"""


@pytest.mark.slow
@pytest.mark.parametrize("study", [None, "x; touch pwned", "$(touch pwned)", "`touch pwned`", "../../pwned"])
def test_a_config_that_is_a_snakefile_too_runs_nothing(tmp_path, study):
    """`study` names the report; it is no option of Snakemake, and no word of the shell."""
    for name in ("Makefile", "Snakefile", "config.yaml", "claims.yaml", "requirements.lock", "environment.yml"):
        shutil.copy(ROOT / name, tmp_path)
    for name in ("workflow", "profiles", "scripts", "src"):
        (tmp_path / name).symlink_to(ROOT / name)
    venv = tmp_path / ".venv"
    venv.mkdir()
    for name in ("bin", "lib", "pyvenv.cfg"):
        (venv / name).symlink_to(Path(sys.prefix) / name)
    shutil.copy(ROOT / "requirements.lock", venv)
    text = BOTH.format(name="x.yaml") if study is None else f"study: '{study}'\n"
    (tmp_path / "x.yaml").write_text(text, encoding="utf-8")
    done = _make(tmp_path, "report", "CONFIG=x.yaml", "CORES=1", PYTHONPATH=str(ROOT / "src"))
    assert done.returncode
    assert "error: study: " in done.stderr or "error: config: " in done.stderr, done.stderr
    assert not list(tmp_path.rglob("pwned*"))


def test_the_benchmark_of_scale_finds_its_helpers_from_any_folder(checkout):
    """It works in temporary folders."""
    (checkout / ".venv/bin/python").write_text('#!/bin/sh\nprintf %s "$PYTHONPATH" > path\n')
    assert _make(checkout, "scale").returncode == 0
    assert (checkout / "path").read_text() == f"{checkout}/tests/support"
