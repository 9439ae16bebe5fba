"""What the README says: its examples are valid, its commands there, and its figures those of the published tables."""

from __future__ import annotations

import re
from typing import Any

import pandas as pd
import pytest
import yaml

from activation_study.__main__ import main
from activation_study.claims import file as claims_file
from activation_study.claims.rows import STATISTICAL
from activation_study.core.factors import Factors
from activation_study.study.config import ROOT, validated

TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
EXAMPLES = [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)]
TABLES = ROOT / "reports" / "reference" / "tables"
NAMES = {"digits": "digits", "Fashion-MNIST": "fashion_mnist", "MNIST-1D": "mnist1d"}
USUAL = ["relu", "leaky_relu", "very_leaky_relu", "rrelu", "prelu", "elu", "selu", "gelu", "silu", "mish"]


def example(key: str) -> dict[str, Any]:
    return next(block for block in EXAMPLES if key in block)


@pytest.mark.parametrize("key", ["activations", "datasets", "experiments"])
def test_its_configs_are_valid(key):
    config = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))
    validated(config | {key: config[key] | example(key)[key]})


def test_its_claim_is_valid(tmp_path):
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(example("claims")), encoding="utf-8")
    assert claims_file.read(tmp_path / "mine.yaml").rows[0].id == "mine"


def test_its_targets_are_the_makefiles():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    named = set(re.findall(r"(?:^|`)make (?!CONFIG)([a-z]+)", TEXT, re.MULTILINE))
    assert len(named) >= 8
    assert named <= set(re.findall(r"^([a-z]+):", makefile, re.MULTILINE))


def test_its_profiles_are_there_and_no_other():
    named = set(re.findall(r"profiles/([a-z]+)", TEXT))
    assert named | {"default"} == {path.name for path in (ROOT / "profiles").iterdir()}


@pytest.mark.slow
def test_its_question_has_an_answer(capsys):
    (command,) = set(re.findall(r"`(?:python -m activation_study|activation-study) (recommend [^`]+)`", TEXT))
    main([*command.split(), "--tables", str(TABLES)])
    assert capsys.readouterr().out.startswith("Use ")


def test_it_names_every_factor():
    listed = re.search(r"The factors are (.*?);", TEXT, re.DOTALL)[1]
    assert set(re.findall(r"\w+_?\w*", listed)) - {"and"} == set(Factors.model_fields) - {"activation", "dataset"}


def test_its_scores_are_the_published_ones():
    runs, experiments = (pd.read_parquet(TABLES / f"{name}.parquet") for name in ("runs", "experiments"))
    core = runs[runs["run"].isin(experiments.loc[experiments["experiment"] == "core", "run"])]
    five = core[(core["depth"] == 5) & (core["role"] == "evaluation")]
    medians = 100 * five.groupby(["dataset", "activation"])["test_accuracy"].median().unstack()
    rows = re.findall(r"^\| (digits|Fashion-MNIST|MNIST-1D)(?:, ([\d,]+) [^|]*)? \| (.*?) \|", TEXT, re.MULTILINE)
    assert len(rows) == 3
    for name, samples, said in rows:
        here = medians.loc[NAMES[name]]
        assert said == f"{here[USUAL].min():.1f}–{here[USUAL].max():.1f}%; linear {here['identity']:.1f}%"
        trained = five.loc[five["dataset"] == NAMES[name], "train_samples"].max()
        assert not samples or int(samples.replace(",", "")) == trained
    behind = 68 - medians.loc["mnist1d", USUAL]  # Greydanus and Kobak's multilayer perceptron
    assert f"{behind.min():.0f} to {behind.max():.0f} points less on MNIST-1D" in " ".join(TEXT.split())
    assert f"trains {runs['run'].nunique()} runs" in TEXT


def test_what_it_says_of_another_machine_is_what_was_measured():
    measured = (ROOT / "docs" / "performance.md").read_text(encoding="utf-8")
    block = re.search(r"<!-- machines -->(.*?)<!-- /machines -->", measured, re.DOTALL)[1]
    selected = [(int(a), int(b)) for a, b in re.findall(r"\| (\d+) of (\d+) \|", block)]
    other, of = (sum(column) for column in zip(*selected, strict=True))
    largest = max(float(value) for value in re.findall(r"\| ([\d.]+) \([\d.]+ standard errors\)", block))
    changed, opposite = re.search(r"verdicts (\d+) changed, (\d+) of them to the opposite", block).groups()
    tested = pd.read_parquet(TABLES / "ledger.parquet")["type"].isin(STATISTICAL).sum()
    said = " ".join(TEXT.split())
    assert (round(of / other), opposite) == (6, "0")
    assert "a run in six selected another learning rate" in said
    assert f"a mean over seeds differed by up to {largest:.0f} points" in said
    assert f"{changed} of about {tested} tested verdicts changed, none to the opposite" in said
