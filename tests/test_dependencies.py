"""What a step depends on is what it imports."""

import subprocess
import sys
from pathlib import Path

import pytest

from activation_study.study import code as dependencies
from activation_study.study.code import PACKAGE, sources, sources_digest


def _names(module):
    return {str(Path(file).absolute().relative_to(PACKAGE)) for file in sources(module)}


@pytest.mark.slow
@pytest.mark.parametrize("module", ["training", "datasets", "collecting"])
def test_the_closure_holds_everything_that_importing_loads(module):
    code = (
        f"import sys, activation_study.{module};"
        "print(*[m.__file__ for n, m in sys.modules.items() if n.startswith('activation_study.')], sep='\\n')"
    )
    environment = {"PYTHONPATH": str(PACKAGE.parent)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    loaded = {str(Path(line).relative_to(PACKAGE)) for line in done.stdout.split()}
    assert len(loaded) >= 3
    assert loaded <= _names(module)


def test_training_depends_on_what_trains_and_not_on_what_reports():
    names = _names("training")
    assert {
        "training.py",
        "chunks.py",
        "networks.py",
        "kernels.py",
        "probes.py",
        "splits.py",
        "seeds.py",
    } <= names
    assert {
        "outcomes.py",
        "schemas.py",
        "optimisers.py",
        "normalisation.py",
        "activations.py",
        "errors.py",
    } <= names
    assert not {name for name in names if name.startswith("report")}
    assert not names & {
        "study.py",
        "collecting.py",
        "sources.py",
        "summaries.py",
        "statistics.py",
        "verdicts.py",
    }


def test_paths_are_relative_to_the_project_that_is_worked_in(monkeypatch, tmp_path):
    monkeypatch.chdir(PACKAGE.parents[1])
    assert sources("seeds") == ("src/activation_study/core/seeds.py",)
    monkeypatch.chdir(tmp_path)
    assert sources("seeds") == (str(PACKAGE / "seeds.py"),)


@pytest.mark.slow
def test_no_module_depends_on_the_report_but_the_report():
    for file in PACKAGE.glob("*.py"):
        assert not any(name.startswith("report") for name in _names(file.stem)), file.name


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A small package in place of the real one."""
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
    monkeypatch.setattr(dependencies, "PACKAGE", folder)
    dependencies._closure.cache_clear()
    yield folder
    dependencies._closure.cache_clear()


def test_every_way_of_importing_is_followed(package):
    def names(module):
        return {str(Path(file).relative_to(package)) for file in sources(module)}

    assert names("alone") == {"alone.py"}
    assert names("b") == {"b.py", "deep/__init__.py", "deep/inner.py"}
    circle = {"a.py", "b.py", "c.py", "d.py", "deep/__init__.py", "deep/inner.py"}
    assert names("a") == names("d") == circle
    assert list(sources("a")) == sorted(sources("a"))


def test_the_digest_changes_with_any_file_of_the_closure_and_no_other(package):
    before = sources_digest("c")
    (package / "alone.py").write_text("import sys", encoding="utf-8")
    assert sources_digest("c") == before
    (package / "deep" / "inner.py").write_text("x = 2", encoding="utf-8")
    assert sources_digest("c") != before
