"""The examples of CONTRIBUTING.md work as they stand: a copy of the project runs a study with them."""

import re

import pytest

from project import ROOT, Project, smoke

TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
BLOCKS = dict(re.findall(r'^```\w+ title="([^"]+)"\n(.*?)^```$', TEXT, re.MULTILINE | re.DOTALL))


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A study of the smallest config with all examples."""
    project = Project.new(tmp_path_factory.mktemp("contributing") / "project")
    for name, text in BLOCKS.items():
        assert not (project / name).exists(), f"{name} is there already"
        (project / name).write_text(text, encoding="utf-8")
    project.configure(smoke(cost={"measure": False}))
    call = project.snakemake("--configfile", "study.yaml", "mine.yaml")
    assert call.code == 0, call.output
    return project


def test_every_place_that_it_names_is_there():
    linked = re.findall(r"\]\(([^)#]+)", TEXT)
    assert len(linked) > 8
    assert all((ROOT / place).exists() for place in linked)
    assert all((ROOT / file).exists() for file in re.findall(r"(?:tests|\.ci)/[\w/]+\.py", TEXT))


def test_it_names_every_make_target_that_it_speaks_of():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert set(re.findall(r"`make ([a-z]+)", TEXT)) <= set(re.findall(r"^([a-z]+):", makefile, re.MULTILINE))


@pytest.mark.slow
def test_an_activation_a_dataset_and_an_experiment(study):
    runs = study.table("runs", "mine")
    assert set(runs["activation"]) == {"relu", "quick_gelu", "squareplus"}
    assert set(runs["dataset"]) == {"digits", "mnist1d"}
    shifted = study.table("experiments", "mine").query("experiment == 'shifted_inputs'")["run"]
    assert len(shifted) == len(set(shifted) & set(runs["run"])) == 4


@pytest.mark.slow
def test_a_claim(study):
    ledger = study.table("ledger", "mine")
    assert ledger[["family", "claim"]].drop_duplicates().to_numpy().tolist() == [["my_claims", "smooth"]]
    assert set(ledger["verdict"]) <= {"not tested", "inconclusive", "supported", "reversed", "negligible"}
    assert "squareplus" in (study / "reports/mine.html").read_text(encoding="utf-8")
