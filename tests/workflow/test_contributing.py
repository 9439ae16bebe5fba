"""The examples of CONTRIBUTING.md work as they stand: a copy of the project runs a study with them."""

import re

import pandas as pd
import pytest

from project import ROOT, Project, smoke, titled

TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
BLOCKS = titled(TEXT)
NAMES = ("relu", "quick_gelu", "squareplus")


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
def test_an_architecture(study):
    runs = study.table("runs", "mine").query("network == 'skip_mlp' and role == 'evaluation'")
    assert set(runs["run"]) == {
        f"digits/{name}/depth=2,batch_size=32,network=skip_mlp,steps=40,width=16" for name in NAMES
    }
    assert (runs["status"] == "finished").all()
    assert runs.groupby("run")["test_accuracy"].max().gt(0.2).all(), "it learns"


@pytest.mark.slow
def test_a_quantity(study):
    layers = study.table("layers", "mine")
    found = layers.dropna(subset="stable_rank")
    assert set(found["run"]) == set(layers["run"])
    assert found["stable_rank"].between(1, 16.0001).all()
    assert "| stable_rank | float, may be missing |" in (study / "results/mine/tables/README.md").read_text()


@pytest.mark.slow
def test_a_section(study):
    html = (study / "reports/mine.html").read_text(encoding="utf-8")
    assert "How many directions a gradient has" in html
    assert "network=skip_mlp" in html


@pytest.mark.slow
def test_a_claim(study):
    ledger = study.table("ledger", "mine")
    assert ledger[["family", "claim"]].drop_duplicates().to_numpy().tolist() == [["my_claims", "smooth"]]
    assert ledger.set_index("row").loc["smooth.2", "verdict"] == "exploratory"
    assert pd.notna(ledger.set_index("row").loc["smooth.2", "estimate"])
    assert set(ledger["verdict"]) <= {
        "exploratory",
        "not tested",
        "true",
        "partly",
        "false",
        "open",
    }
    assert "squareplus" in (study / "reports/mine.html").read_text(encoding="utf-8")
