"""Installed from a wheel, the package has all that it needs, in any folder."""

import json
import os
import shutil
import site
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest
import yaml

import small
from activation_study.report.page import SCRIPTS, STYLES
from planted import planted
from synthetic import PROVENANCE, SMALL, write_tables

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[2]
BUILD = """
import json, sys
from pathlib import Path
from activation_study.report.page import build
build("small", Path(sys.argv[1]), Path("page.html"), json.loads(sys.argv[2]))
"""
CHECK = "import sys; from activation_study.study.study import Study; print(len(Study.from_file(sys.argv[1]).runs))"


def _run(command, cwd, **more):
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return subprocess.run(
        list(map(str, command)), cwd=cwd, env=kept, capture_output=True, text=True, check=False, timeout=600, **more
    )


@pytest.fixture(scope="module")
def distributions(tmp_path_factory):
    """The folder of the source distribution and of the wheel, which is made from it, so that nothing needed lacks."""
    tree, out = tmp_path_factory.mktemp("tree"), tmp_path_factory.mktemp("dist")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tree)
    shutil.copytree(ROOT / "src", tree / "src", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    hook = "import sys, setuptools.build_meta as build; print(getattr(build, sys.argv[1])(sys.argv[2]))"
    done = _run([sys.executable, "-c", hook, "build_sdist", out], tree)
    assert done.returncode == 0, done.stderr
    (packed,) = out.iterdir()
    with tarfile.open(packed) as archive:
        archive.extractall(tree / "unpacked", filter="data")
    (unpacked,) = (tree / "unpacked").iterdir()
    done = _run([sys.executable, "-c", hook, "build_wheel", out], unpacked)
    assert done.returncode == 0, done.stderr
    return out


@pytest.fixture(scope="module")
def wheel(distributions):
    (file,) = distributions.glob("*.whl")
    return file


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """The commands' folder of an environment that holds the wheel; the dependencies are this environment's."""
    folder = tmp_path_factory.mktemp("venv")
    venv.create(folder, with_pip=False)
    paths = sysconfig.get_paths("venv", vars={"base": str(folder), "platbase": str(folder)})
    pip = [sys.executable, "-m", "pip", "--python", folder / "bin/python", "install", "--quiet", "--no-compile"]
    done = _run([*pip, "--no-deps", "--no-index", wheel], folder)
    assert done.returncode == 0, done.stderr
    dependencies = dict.fromkeys(
        [sysconfig.get_path("purelib"), sysconfig.get_path("platlib"), *site.getsitepackages()]
    )
    # Folders that a .pth names are searched after this one, and their own .pth files, of an editable install, not read.
    Path(paths["purelib"], "dependencies.pth").write_text("\n".join(dependencies), encoding="utf-8")
    return folder / "bin"


@pytest.fixture
def here(installed, tmp_path):
    """A folder that knows nothing of the checkout; the package that is imported there is the installed one."""
    done = _run([installed / "python", "-c", "import activation_study; print(activation_study.__file__)"], tmp_path)
    assert Path(done.stdout.strip()).is_relative_to(installed.parent), done.stdout + done.stderr
    return tmp_path


def test_every_file_of_the_package_is_in_the_wheel(wheel):
    package = ROOT / "src/activation_study"
    files = {file.relative_to(package.parent).as_posix() for file in package.rglob("*") if file.is_file()}
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert packed == {name for name in files if "__pycache__" not in name}
    assert "activation_study/py.typed" in packed


@pytest.mark.parametrize("start", [["activation-study"], ["python", "-m", "activation_study"]])
def test_the_command_answers_in_any_folder(installed, here, start):
    command = [installed / start[0], *start[1:], "recommend", "--depth", "5"]
    done = _run(command, here)
    assert done.returncode == 1
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"error: --tables: no runs.parquet in {here}/results/default/tables and {here}/reports/")
    made = planted(lambda dataset, activation, depth: 0.9 - 0.1 * (activation != "relu"))
    for folder in ("elsewhere", "results/default/tables"):
        (here / folder).mkdir(parents=True)
        for name in ("runs", "experiments"):
            made[name].to_parquet(here / folder / f"{name}.parquet")
        done = _run(command if folder.startswith("results") else [*command, "--tables", folder], here)
        assert done.stdout.startswith("Use relu.\n"), done.stderr
        assert done.returncode == 0
    (line,) = _run([*command[:-3], "verify"], here).stderr.splitlines()
    assert line.startswith(f"error: --reference: no folder {here}/reports/reference/tables")
    assert "usage: activation-study" in _run([*command[:-3], "--help"], here).stdout


def test_the_page_has_its_templates_style_and_script(installed, here):
    tables = write_tables(here / "tables", SMALL)
    done = _run([installed / "python", "-c", BUILD, tables, json.dumps(PROVENANCE)], here)
    assert done.returncode == 0, done.stderr
    page = (here / "page.html").read_text(encoding="utf-8")
    folder = ROOT / "src/activation_study/report"
    for asset in (*STYLES, *SCRIPTS):
        assert all(line.strip() in page for line in (folder / asset).read_text(encoding="utf-8").splitlines())


def test_a_config_and_its_claims_are_held_against_their_schemas(installed, here):
    for change, said in (({}, "1\n"), ({"sneeds": {}}, "config: unknown key sneeds")):
        (here / "study.yaml").write_text(yaml.safe_dump(small.config() | change), encoding="utf-8")
        done = _run([installed / "python", "-c", CHECK, "study.yaml"], here)
        assert said in done.stdout + done.stderr
    shutil.copy(ROOT / "claims.yaml", here)
    read = "from activation_study.claims import file as claims; print(len(claims.read('claims.yaml').rows) > 20)"
    done = _run([installed / "python", "-c", read], here)
    assert done.stdout == "True\n", done.stderr
