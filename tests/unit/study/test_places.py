"""What nobody named is found in the working directory or in the checkout, and if not, it is said where was looked."""

import shutil
import subprocess
from pathlib import Path

import pandas as pd
import pytest

from activation_study.__main__ import main
from activation_study.cli import recommend
from activation_study.jobs import provenance
from activation_study.study import places
from planted import planted

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def installed(monkeypatch, tmp_path):
    """The package as it lies after `pip install`, and an empty working directory, which is given."""
    package = tmp_path / "venv/lib/python3/site-packages/activation_study"
    package.mkdir(parents=True)
    monkeypatch.setattr(places, "PACKAGE", package)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


def _write(folder):
    folder.mkdir(parents=True)
    for name in ("runs", "experiments"):
        planted(lambda *_: 0.9)[name].to_parquet(folder / f"{name}.parquet")
    return folder


def test_a_checkout_is_known_by_what_lies_in_it():
    assert places.checkout() == ROOT


def test_the_working_directory_comes_before_the_checkout_and_a_study_before_what_was_published(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    own = [tmp_path / "results/default/tables", ROOT / "results/default/tables"]
    published = [tmp_path / "reports/reference/tables", ROOT / "reports/reference/tables"]
    assert places.candidates(places.RESULTS, places.REFERENCE) == own + published
    monkeypatch.chdir(ROOT)
    assert places.candidates(places.REFERENCE) == published[1:]


def test_installed_only_the_working_directory_counts(installed):
    assert places.checkout() is None
    assert places.candidates(places.RESULTS) == [installed / "results/default/tables"]
    published = _write(installed / "reports/reference/tables")
    assert recommend.tables_folders(None) == [published]
    own = _write(installed / "results/default/tables")
    assert recommend.tables_folders(None) == [own, published]
    assert recommend.tables_folders(published) == [published]


def test_an_answer_from_published_tables_says_so(installed, capsys):
    """Its own study has no such network, and the reader must not take it for theirs."""
    own = _write(installed / "results/default/tables")
    other = _write(installed / "reports/reference/families")
    for name in ("runs", "experiments"):
        table = pd.read_parquet(other / f"{name}.parquet")
        table.assign(**({"network": "residual_mlp"} if name == "runs" else {})).to_parquet(other / f"{name}.parquet")
    main(["recommend", "--depth", "5"])
    assert "From" not in capsys.readouterr().out
    main(["recommend", "--depth", "5", "--network", "residual_mlp"])
    assert capsys.readouterr().out.startswith(f"From {other}: it was not trained in {own}; trained are mlp")


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (
            ["recommend", "--depth", "5"],
            "error: --tables: no runs.parquet in {0}/results/default/tables and {0}/",
        ),
        (["verify"], "error: --tables: no folder {0}/results/default/tables; name the one with the tables"),
        (["verify", "--tables", "."], "error: --reference: no folder {0}/reports/reference/tables; name the one"),
        (["verify", "--tables", ".", "--reference", "nowhere"], "error: --reference: nowhere cannot be read"),
    ],
)
def test_where_nothing_is_one_line_says_where_was_looked(installed, command, said):
    with pytest.raises(SystemExit) as ended:
        main(command)
    assert str(ended.value).startswith(said.format(installed))
    assert "\n" not in str(ended.value)


def test_the_code_of_an_installed_package_is_its_version(installed):
    """And not the commit of whatever project the environment lies in."""
    if shutil.which("git"):
        subprocess.run(["git", "init", "-q", str(installed.parent)], check=True)
    assert provenance._commit() == "version 0.1.0"


def test_a_checkout_without_history_has_no_commit(monkeypatch, tmp_path):
    monkeypatch.setattr(places, "PACKAGE", tmp_path / "src/activation_study")
    (tmp_path / "Snakefile").touch()
    assert places.checkout() == tmp_path
    assert provenance._commit() == "unknown"
