"""docs/tutorial.md, followed to the letter: its files, its commands, and what it says that one sees."""

import os
import re
import shlex
import subprocess
import sys
from html import unescape
from pathlib import Path

import pandas as pd
import pytest

from project import ROOT, Project, titled

pytestmark = pytest.mark.slow
TEXT = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"(?m)^\$ (.*)\n((?:(?!\$ |```).*\n)*)", TEXT)
"""Each with the lines that the page shows of what it prints; … stands for whatever is left out."""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder beside the project in which all has been done."""
    project = Project.new(tmp_path_factory.mktemp("tutorial") / "activation_study")
    folder = project / "../my-study"
    folder.mkdir()
    for name, text in titled(TEXT).items():
        (folder / name).write_text(text, encoding="utf-8")
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    for command, shown in COMMANDS:
        call = subprocess.run(
            shlex.split(command),
            cwd=folder,
            env=project.environment(PATH=programs),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert call.returncode == 0, call.stdout
        printed = iter(call.stdout.splitlines())
        for line in shown.splitlines():
            wanted = re.compile(".*".join(map(re.escape, line.split("…"))).replace(r"\ ", r"\s+"))
            assert any(wanted.fullmatch(found.strip()) for found in printed), f"{line}\n\n{call.stdout}"
    return folder


def test_all_that_was_brought_is_trained(place):
    tables = place / "results" / "mine" / "tables"
    runs = pd.read_parquet(tables / "runs.parquet").query("role == 'evaluation'")
    assert set(runs["activation"]) == {"relu", "squareplus", "learnt"}
    assert set(runs["dataset"]) == {"digits", "shells"}
    assert set(runs["network"]) == {"mlp", "residual"}
    assert runs["run"].nunique() == 3 * (1 + 1 + 1), "mlp on both sets of data, and the residual network on digits"
    assert (runs["status"] == "finished").all()
    assert runs.groupby("run")["test_accuracy"].mean().gt(0.5).all(), "each learns"
    known = pd.read_parquet(tables / "activations.parquet").set_index("activation")
    assert known.loc["learnt", "learnable"]
    assert not known.loc["squareplus", "learnable"]


def test_the_page_shows_all_of_it(place):
    page = unescape((place / "reports" / "mine.html").read_text(encoding="utf-8"))
    words = re.sub(r"<(script|style)\b.*?</\1>|<[^>]*>", " ", page, flags=re.DOTALL)
    for name in ("squareplus", "learnt", "shells", "digits", "network=residual"):
        assert name in words, name
