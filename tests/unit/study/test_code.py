"""A digest of the code that a step rests on: it changes with what is computed, and with nothing else."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from activation_study.study import code
from activation_study.study.code import PACKAGE, STEPS, imported, meaning, modules_of, relative

SAID = {"tables", "ledger", "report"}
"""They print what columns mean, or may."""
STARTED = {"report": "report.page"}
"""Of a package that counts as a whole, the module that a script imports."""
WRITTEN = SAID | {"dataset", "train", "cost"}
STEP = """import json
from activation_study.study.code import STEPS, digest
print(json.dumps({step: digest(step) for step in STEPS}))"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("step", "module"),
    [
        (name, module)
        for name, step in STEPS.items()
        for module in step.modules
        if (PACKAGE / f"{module.replace('.', '/')}.py").exists()
    ],
)
def test_whatever_is_imported_counts(step, module):
    found = (
        f"import sys, activation_study.{STARTED.get(module, module)};"
        "print(*[name.partition('.')[2] for name in sys.modules if name.startswith('activation_study.')], sep='\\n')"
    )
    environment = os.environ | {"PYTHONPATH": str(PACKAGE.parent)}
    done = subprocess.run([sys.executable, "-c", found], env=environment, capture_output=True, text=True, check=True)
    loaded = {name for name in done.stdout.split() if (PACKAGE / name.replace(".", "/")).with_suffix(".py").exists()}
    assert len(loaded) >= 3
    assert loaded <= imported(*STEPS[step].modules)


def test_training_depends_on_what_trains_and_not_on_what_reports():
    names = set(modules_of("train"))
    assert {"training.run", "training.group", "networks.mlp", "quantities.probe", "data.split", "core.seeds"} <= names
    assert {"activations.activation", "training.rows", "training.optimisers", "core.errors"} <= names
    others = ("report", "analysis", "claims", "guide", "study", "jobs", "cli", "cost")
    assert not {name for name in names if name.startswith(others)}
    assert not names & {"data.public", "data.local", "data.prepare", "data.downloads", "tables.columns"}


@pytest.mark.slow
def test_only_the_report_depends_on_the_report():
    for step in STEPS:
        assert any(name.startswith("report") for name in modules_of(step)) == (step == "report")


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("copy") / PACKAGE.name
    return Path(shutil.copytree(PACKAGE, folder, ignore=shutil.ignore_patterns("__pycache__")))


def digests(package: Path) -> dict[str, str]:
    # Bytecode knows a source by its second and its size, and a test changes it twice within one.
    environment = os.environ | {"PYTHONPATH": str(package.parent), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-c", STEP]
    done = subprocess.run(command, cwd=package.parent, env=environment, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("file", "old", "new", "changed"),
    [
        pytest.param("networks/mlp.py", "\nimport torch\n", "\n# said\nimport torch\n", set(), id="comment"),
        pytest.param("networks/mlp.py", '"""', '"""Of ', set(), id="docstring"),
        pytest.param("training/batches.py", "\n\n\n", "\n\n\n\n", set(), id="layout"),
        pytest.param("tables/columns.py", "learning rate", "rate of learning", SAID, id="what a column means"),
        pytest.param("core/factors.py", "hidden layers", "layers", SAID, id="what a factor means"),
        pytest.param("core/factors.py", "default=64", "default=65", WRITTEN - {"dataset"}, id="a factor's default"),
        pytest.param("data/downloads.py", "NETWORK_TIMEOUT = 20.0", "NETWORK_TIMEOUT = 30.0", set(), id="a time-out"),
        pytest.param("quantities/measures/activations.py", "1e-3", "1e-4", SAID | {"train"}, id="a quantity's number"),
        pytest.param("networks/architectures/mlp.py", "6 *", "7 *", SAID | {"train"}, id="an architecture's number"),
        pytest.param("training/optimisers.py", "0.9", "0.8", {"train"}, id="a number"),
        pytest.param("analysis/inference.py", "ALPHA = 0.05", "ALPHA = 0.01", {"ledger", "report"}, id="a level"),
        pytest.param("data/public.py", '"c59f468a', '"d59f468a', {"dataset"}, id="a checksum"),
        pytest.param("data/public.py", "seed + 1", "seed + 2", {"dataset"}, id="a seed of data"),
        pytest.param(
            "tables/columns.py", '_done": Column("int"', '_done": Column("float"', SAID | {"train"}, id="a type"
        ),
        pytest.param("tables/columns.py", "SCHEMA_VERSION = 2", "SCHEMA_VERSION = 3", WRITTEN, id="the version"),
        pytest.param("report/words.py", '("no", "one"', '("none", "one"', {"report"}, id="a word of the page"),
        pytest.param("report/sections/noise.py", '"Noise"', '"Noisy"', {"report"}, id="a section, which none imports"),
    ],
)
def test_what_makes_results_again(copy, file, old, new, changed):
    path, before = copy / file, digests(copy)
    source = path.read_text(encoding="utf-8")
    assert old in source
    try:
        path.write_text(source.replace(old, new, 1), encoding="utf-8")
        after = digests(copy)
    finally:
        path.write_text(source, encoding="utf-8")
    assert {step for step in STEPS if before[step] != after[step]} == changed


def test_a_text_that_is_a_value_counts():
    assert meaning("x = 'a'  # one") == meaning('"""Doc."""\nx = "a"\n"""Of x."""') == "x = 'a'"
    assert meaning("x = 'b'") != meaning("x = 'a'")
    assert meaning("def f():\n    '''Doc.'''") == "def f():\n    pass"


def test_paths_are_relative_to_the_project_that_is_worked_in(monkeypatch, tmp_path):
    monkeypatch.chdir(PACKAGE.parents[1])
    assert relative(PACKAGE / "core" / "seeds.py") == "src/activation_study/core/seeds.py"
    monkeypatch.chdir(tmp_path)
    assert relative(PACKAGE / "core" / "seeds.py") == str(PACKAGE / "core" / "seeds.py")


def test_every_way_of_importing_is_followed(tmp_path, monkeypatch):
    folder = tmp_path / "toy"
    (folder / "deep").mkdir(parents=True)
    modules = {
        "__init__": "",
        "a": "from toy import b\nfrom toy.c import f, g\nimport json\nimport toybox",
        "b": "def late():\n    from toy.deep import inner\n",
        "c": "import toy.d\nfrom toy import b",
        "d": "from toy import a  # a circle",
        "alone": "import os",
        "deep/__init__": "",
        "deep/inner": "x = 1",
    }
    for name, text in modules.items():
        (folder / f"{name}.py").write_text(text, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(code, "PACKAGE", folder)
    assert imported("alone") == {"alone"}
    assert imported("b") == {"b", "deep.inner"}
    assert imported("a") == imported("d") == {"a", "b", "c", "d", "deep.inner"}


@pytest.mark.slow
@pytest.mark.parametrize("damage", [None, "", "x" * 64, "g" * 63, "\udcff", "0" * 1000])
def test_a_digest_is_noted_for_the_next_process_and_a_damaged_note_is_not_used(tmp_path, monkeypatch, damage):
    monkeypatch.chdir(tmp_path)
    code.digest.cache_clear()
    found = code.digest("train")
    assert list(tmp_path.iterdir()) == []  # outside of a project of Snakemake's nothing is noted
    (tmp_path / ".snakemake").mkdir()
    code.digest.cache_clear()
    assert code.digest("train") == found
    (note,) = (tmp_path / ".snakemake/code").iterdir()
    if damage is None:
        note.write_text("a" * 64)
    else:
        note.write_bytes(damage.encode(errors="surrogateescape"))
    code.digest.cache_clear()
    assert code.digest("train") == ("a" * 64 if damage is None else found)
    code.digest.cache_clear()
