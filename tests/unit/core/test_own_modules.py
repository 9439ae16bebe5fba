"""A module of one's own is found by one way, with what it imports, and nothing is run to find it."""

import sys

import pytest

from activation_study.core import own_modules
from activation_study.core.errors import StudyError

OWN = "from torch import nn\n\n\nclass Mine(nn.Module):\n    def forward(self, x):\n        return x.tanh()\n"


@pytest.fixture
def here(tmp_path, monkeypatch):
    """The working directory, from which nothing stays imported."""
    before = set(sys.modules)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


def _write(folder, **modules):
    for name, text in modules.items():
        file = folder / f"{name.replace('__', '/')}.py"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")


def _names(text, folder):
    return [str(file.relative_to(folder)) for file in own_modules.files({"module": text})]


def test_other_entries_have_no_files():
    assert own_modules.files({"class": "ReLU"}) == []
    assert own_modules.digest({"expression": "x"}) == ""


def test_local_imports_are_part_of_it_wherever_they_stand(here):
    _write(
        here,
        own_a="import json\nimport numpy as np\nfrom own_b import f\n" + OWN,
        own_b="def f():\n    import own_pack.deep as deep\n    return deep\n",
        own_other="",
    )
    _write(here / "own_pack", init="", deep="from . import near\nfrom .sub import thing\n", near="", far="")
    (here / "own_pack" / "init.py").rename(here / "own_pack" / "__init__.py")
    (here / "own_pack" / "sub").mkdir()
    (here / "own_pack" / "sub" / "__init__.py").write_text("from ..near import x\n")
    expected = ["own_a.py", "own_b.py"] + [
        f"own_pack/{name}.py" for name in ("__init__", "deep", "near", "sub/__init__")
    ]
    assert _names("own_a:Mine", here) == expected


@pytest.mark.parametrize("edited", ["own_a.py", "own_b.py"])
def test_the_digest_follows_every_file(here, edited):
    _write(here, own_a="import own_b\n" + OWN, own_b="SLOPE = 0.1\n", own_other="")
    entry = {"module": "own_a:Mine"}
    before = own_modules.digest(entry)
    (here / "own_other.py").write_text("x = 1")
    assert own_modules.digest(entry) == before
    with (here / edited).open("a") as file:
        file.write("# edited\n")
    assert own_modules.digest(entry) != before


def test_nothing_is_run_to_find_it(here):
    _write(here, own_a="raise RuntimeError('run')\nimport own_b\n", own_b="1 +")
    (here / "own_pack").mkdir()
    (here / "own_pack" / "__init__.py").write_text("raise RuntimeError('run')")
    (here / "own_pack" / "inner.py").write_text("")
    assert _names("own_a:Mine", here) == ["own_a.py", "own_b.py"]
    assert _names("own_pack.inner:Mine", here) == ["own_pack/__init__.py", "own_pack/inner.py"]
    assert own_modules.files({"module": "own_nowhere:Mine"}) == []
    assert own_modules.files({"module": "own_a.below:Mine"}) == [here / "own_a.py", here / "own_b.py"]


def test_a_circle_of_imports_ends(here):
    _write(here, own_a="import own_b", own_b="import own_a")
    assert _names("own_a:Mine", here) == ["own_a.py", "own_b.py"]


def test_installed_packages_are_not_followed():
    (package, loader) = own_modules.files({"module": "yaml.loader:Loader"})
    assert (package.name, loader.name) == ("__init__.py", "loader.py")


def test_the_study_s_own_code_counts_by_itself(here):
    """A comment in it would else train the runs of its activations again."""
    _write(here, own_a="from activation_study.core import text\nimport own_b", own_b="")
    assert _names("own_a:Mine", here) == ["own_a.py", "own_b.py"]
    assert own_modules.files({"module": "activation_study.activations:PaperRReLU"}) == []
    assert own_modules.digest({"module": "activation_study.activations:PaperRReLU"}) == ""


@pytest.mark.parametrize("name", ["random", "json", "math", "torch", "numpy"])
def test_a_name_that_hides_another_module_is_refused(here, name):
    _write(here, **{name: OWN}, own_a=f"import {name}\n" + OWN)
    for entry in (f"{name}:Mine", "own_a:Mine"):
        for action in (own_modules.load, lambda text: own_modules.files({"module": text})):
            with pytest.raises(StudyError, match=rf"{name}\.py: has the name of '{name}'.*give the file another name"):
                action(entry)


def test_it_is_loaded_from_the_working_directory_whatever_pythons_path_says(here, monkeypatch):
    _write(here, own_a="def late():\n    import own_late\n    return own_late.X\n" + OWN, own_late="X = 7")
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path not in ("", str(here))])
    assert own_modules.load("own_a:Mine").__name__ == "Mine"
    assert sys.modules["own_a"].late() == 7


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "import argparse\nargparse.ArgumentParser().parse_args(['--lr'])",
            "importing it ends the program, as a script",
        ),
        ("raise SystemExit(0)", "put that part under: if __name__ == '__main__'"),
        ("raise ValueError('two\\nlines')", "cannot be imported: ValueError: two lines"),
        ("import own_nothing", "cannot be imported: ModuleNotFoundError: No module named 'own_nothing'"),
        ("1 +", "cannot be imported: SyntaxError"),
        ("", "cannot be imported: AttributeError"),
    ],
)
def test_what_cannot_be_imported_is_one_line(here, capsys, text, said):
    _write(here, own_bad=text)
    with pytest.raises(StudyError) as caught:
        own_modules.load("own_bad:Mine")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "usage" not in capsys.readouterr().err


def test_a_module_that_is_not_there_says_where_it_was_looked_for(here):
    with pytest.raises(StudyError, match=r"'own_nowhere' is not found in .* or among the installed packages"):
        own_modules.load("own_nowhere:Mine")


def test_an_environment_behind_a_link_is_installed_all_the_same(here, monkeypatch):
    packages, places = here / "real" / "site-packages", own_modules._places()
    packages.mkdir(parents=True)
    _write(packages, own_installed="import own_deep\n" + OWN, own_deep="x = 1")
    (here / "link").symlink_to(here / "real", target_is_directory=True)
    monkeypatch.setattr(sys, "path", [str(here / "link" / "site-packages"), *sys.path])
    monkeypatch.setattr(own_modules, "_places", lambda: places | {packages.resolve()})
    _write(here, own_a="import own_installed\n" + OWN)
    assert _names("own_a:Mine", here) == ["own_a.py"]
    assert [file.name for file in own_modules.files({"module": "own_installed:Mine"})] == ["own_installed.py"]


def test_inner_folders_need_no_init_file(here):
    _write(here / "own_outer" / "own_inner", deep=OWN)
    (here / "own_pack2").mkdir()
    (here / "own_pack2" / "__init__.py").write_text("")
    _write(here / "own_pack2" / "inner", deep=OWN)
    assert _names("own_outer.own_inner.deep:Mine", here) == ["own_outer/own_inner/deep.py"]
    assert own_modules.load("own_outer.own_inner.deep:Mine").__name__ == "Mine"
    assert "own_pack2/inner/deep.py" in _names("own_pack2.inner.deep:Mine", here)
    assert own_modules.load("own_pack2.inner.deep:Mine").__name__ == "Mine"
