"""Every command that the README and docs name: tried here, or by another test, or not at all and why."""

import ast
import os
import re
import shlex
import shutil
import subprocess

import numpy as np
import pytest
import yaml

from activation_study.__main__ import main
from activation_study.study.config import ROOT
from project import SNAKEMAKE, smoke
from synthetic import SMALL, write_tables

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
PROGRAMS = ("make", "snakemake", "activation-study", "python", "uv", "source", "mkdir", "cd", "pip", "npm", "git")
TUTORIAL = "workflow/test_tutorial.py::test_the_page_shows_all_of_it"
UV = "uv pip sync --require-hashes requirements.lock"
ELSEWHERE = {
    "snakemake --report workflow.html": "workflow/test_whole.py::test_snakemakes_own_report_holds_ours",
    "python benchmarks/designs.py": "project/test_designs.py::test_the_table_says_where_it_comes_from",
    UV: "project/test_publishing.py::test_uv_installs_the_lock_and_nothing_else",
}
"""Command → the test that does as it says, in a small way where it takes long."""
NOT_RUN = {
    "python benchmarks/pilots.py": "it trains for long; its parts have tests in test_pilots.py",
    "uv pip install --no-deps --no-build-isolation -e .": "it would change this environment",
    "source .venv/bin/activate": "the shell's own",
    "mkdir ../my-study": "the shell's own",
    "cd ../my-study": "the shell's own",
}
STARTS = {"check": "my.yaml: ", "recommend": "Use ", "compare": "reports/default-and-second.html: ", "probe": "site "}
"""What our own commands print first."""
MODEL = """
from torch import nn


class Model(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Linear(12, 8), nn.ReLU(), nn.Linear(8, 3))
"""


def commands(text):
    """Those in fenced blocks, a line each, and those that begin with a program's name in a code span."""
    found = []
    for language, block in re.findall(r"(?ms)^```(sh|bash|console)\n(.*?)^```$", text):
        lines = [line for line in block.splitlines() if line and (language != "console" or line.startswith("$ "))]
        found += [line.removeprefix("$ ").partition("  #")[0].strip() for line in lines]
    prose = re.sub(r"(?ms)^```.*?^```$", "", text)
    return found + re.findall(rf"`((?:{'|'.join(PROGRAMS)})\s[^`]+)`", prose)


NAMED = sorted({" ".join(command.split()) for page in PAGES for command in commands(page.read_text(encoding="utf-8"))})
TUTORIALS = {command for command in NAMED if "../activation_study/" in command or command == "python make_table.py"}
OTHERS = [command for command in NAMED if command not in {*ELSEWHERE, *NOT_RUN, *TUTORIALS}]


def of(program):
    return [command for command in OTHERS if command.split()[0] == program]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with what the commands name: configs, profiles, a model and its data, and the tables of two studies."""
    folder = tmp_path_factory.mktemp("commands")
    for name in ("config.yaml", "my.yaml"):
        (folder / name).write_text(yaml.safe_dump(smoke(cost={"measure": False})), encoding="utf-8")
    (folder / "mine.yaml").write_text("activations: {silu: {class: SiLU}}\n", encoding="utf-8")
    (folder / "profiles").symlink_to(ROOT / "profiles")
    (folder / "my.py").write_text(MODEL, encoding="utf-8")
    np.savez(folder / "arrays.npz", x=np.random.default_rng(0).normal(size=(40, 12)), y=np.arange(40) % 3)
    one = write_tables(folder / "results/default/tables", SMALL)
    shutil.copytree(one, folder / "results/second/tables")
    return folder


def test_none_is_forgotten():
    tried = [*of("make"), *of("snakemake"), *of("activation-study")]
    assert sorted(tried) == OTHERS, "name the test that runs it in ELSEWHERE, or why none does in NOT_RUN"
    assert {*ELSEWHERE, *NOT_RUN} <= set(NAMED), "no page names it any more"


@pytest.mark.parametrize("test", [*ELSEWHERE.values(), TUTORIAL])
def test_the_other_tests_are_there(test):
    file, _, name = test.partition("::")
    tree = ast.parse((ROOT / "tests" / file).read_text(encoding="utf-8"))
    assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("command", of("make"))
def test_make_has_the_target(command):
    call = subprocess.run([*shlex.split(command), "--dry-run"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert call.returncode == 0, call.stderr


@pytest.mark.slow
@pytest.mark.parametrize("command", of("snakemake"))
def test_snakemake_would_do_it(place, command):
    words = shlex.split(command.replace("path/to/checkout", str(ROOT)))[1:]
    snakefile = [] if "-s" in words else ["-s", str(ROOT / "Snakefile")]
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SNAKEMAKE")}
    call = subprocess.run(
        [SNAKEMAKE, *words, *snakefile, "--dry-run"],
        cwd=place,
        env=kept | {"PYTHONPATH": str(ROOT / "src")},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert call.returncode == 0, call.stdout
    assert re.search(r"(?m)^train +[1-9]", call.stdout), call.stdout


@pytest.mark.slow
@pytest.mark.parametrize("command", of("activation-study"))
def test_our_own_commands_answer(place, command, monkeypatch, capsys):
    monkeypatch.chdir(place)
    _, name, *rest = shlex.split(command)
    published = ["--tables", str(ROOT / "reports" / "reference" / "tables")] if name == "recommend" else []
    main([name, *rest, *published])
    assert capsys.readouterr().out.startswith(STARTS[name])


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("```sh\nmake a   # says\n\nmake b\n```\n", ["make a", "make b"]),
        ("```console\n$ make a\nmake b\n```\nand `make c` of `make`", ["make a", "make c"]),
        ("```python\nmake a\n```\n| `snakemake -n`, `x.py` |", ["snakemake -n"]),
    ],
)
def test_commands_are_found(text, found):
    assert commands(text) == found
