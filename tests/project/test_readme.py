"""What the README and the pages of docs say: their examples are valid, their commands there, their figures those of the
published tables."""

from __future__ import annotations

import re
from typing import Any

import pandas as pd
import pytest
import yaml

from activation_study.claims import file as claims_file
from activation_study.claims import validity
from activation_study.core.factors import Factors
from activation_study.study.config import ROOT, validated
from activation_study.study.study import Study
from activation_study.tables import parquet

PAGES = {
    path.name: path.read_text(encoding="utf-8") for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
}
EXAMPLES = {
    name: [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", PAGES[name], re.DOTALL)]
    for name in ("README.md", "extending.md")
}
TABLES = ROOT / "reports" / "reference" / "tables"
NAMES = {"digits": "digits", "Fashion-MNIST": "fashion_mnist", "MNIST-1D": "mnist1d"}
USUAL = ["relu", "leaky_relu", "very_leaky_relu", "rrelu", "prelu", "elu", "selu", "gelu", "silu", "mish"]


def said(page: str) -> str:
    """A page's text, its lines joined."""
    return " ".join(PAGES[page].split())


def test_the_readme_is_short():
    assert len(PAGES["README.md"].splitlines()) <= 150


def test_every_place_that_is_linked_is_there():
    for page, text in PAGES.items():
        folder = ROOT if page == "README.md" else ROOT / "docs"
        for place, _, part in (link.partition("#") for link in re.findall(r"\]\(([^)\s]+)\)", text)):
            if "://" in place:
                continue
            target = (folder / place).resolve() if place else folder / page
            assert target.exists(), (page, place)
            if part:
                heads = re.findall(r"(?m)^#+ (.*)$", target.read_text(encoding="utf-8"))
                assert part in {re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-") for head in heads}, (page, part)


@pytest.mark.parametrize("page", EXAMPLES)
def test_the_configs_are_valid(page):
    config = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))
    configs = [example for example in EXAMPLES[page] if "claims" not in example]
    found: dict[str, Any] = {}
    for key, entries in (item for example in configs for item in example.items()):
        found[key] = config.get(key, {}) | found.get(key, {}) | entries
    assert found.keys() == {"activations", "datasets", "experiments", "networks"}
    validated(config | found)


@pytest.mark.parametrize("page", EXAMPLES)
def test_the_claim_is_valid(page, tmp_path):
    (example,) = (example for example in EXAMPLES[page] if "claims" in example)
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(example), encoding="utf-8")
    assert claims_file.read(tmp_path / "mine.yaml").rows[0].id == "mine"


def test_the_profiles_are_there_and_no_other():
    named = set(re.findall(r"profiles/([a-z]+)", PAGES["README.md"]))
    assert named | {"default"} == {path.name for path in (ROOT / "profiles").iterdir()}


def test_every_factor_is_named():
    listed = re.search(r"The factors are (.*?);", PAGES["extending.md"], re.DOTALL)[1]
    assert set(re.findall(r"\w+_?\w*", listed)) - {"and"} == set(Factors.model_fields) - {"activation", "dataset"}


def test_the_answer_is_the_published_one():
    """As on the first screen of the page, and as the page that compares it with other networks has it."""
    text = " ".join(PAGES["README.md"].split())
    rows = pd.read_csv(TABLES.parent / "families_situations.csv").query("network == 'multilayer perceptrons'")
    for row in rows.itertuples():
        said = f"{100 * row.accuracy:.1f}%, ReLU {100 * row.reference:.1f}%)"
        assert re.search(rf"with {row.layers}( layers)? .{{,40}}\({re.escape(said)}", text), row
    assert len(rows) == 3
    runs = parquet.read("runs", TABLES / "runs.parquet").to_pandas().query("activation == 'sigmoid' and depth >= 20")
    plain = runs[runs["run"].str.count(",").eq(0) & (runs["role"] == "evaluation")]  # no factor but the depth
    assert (plain.groupby("run")["test_accuracy"].mean() < 0.2).all()
    first, second = (
        pd.read_parquet(file).set_index("row", drop=False)
        for file in (TABLES / "ledger.parquet", TABLES.parent / "second_ledger.parquet")
    )
    judged = validity.tested(first)["verdict"]
    others = (judged != second.loc[judged.index, "verdict"]).sum()
    assert f"{others} of its {len(judged)} tested verdicts are others, none the opposite" in text
    jobs = pd.read_parquet(TABLES / "jobs.parquet")
    assert f"took {jobs['seconds'].sum() / 60:.0f} core-minutes" in text
    other = pd.read_csv(ROOT / "reports" / "reference" / "families_situations.csv").set_index("network")
    row = other.loc["residual multilayer perceptrons"]
    assert (row["layers"], row["use"]) == (20, "gelu")
    assert f"({100 * row['accuracy']:.1f}%, ReLU {100 * row['reference']:.1f}%), and sigmoids learn" in text


def test_the_scores_are_the_published_ones():
    runs = parquet.read("runs", TABLES / "runs.parquet").to_pandas()
    experiments = pd.read_parquet(TABLES / "experiments.parquet")
    core = runs[runs["run"].isin(experiments.loc[experiments["experiment"] == "core", "run"])]
    five = core[(core["depth"] == 5) & (core["role"] == "evaluation")]
    seeds = five["weight"] * five["test_accuracy"]  # over the rates that count, each as often as it was selected
    seeds = seeds.groupby([five[key] for key in ("dataset", "activation", "replicate")]).sum()
    medians = 100 * seeds.groupby(level=["dataset", "activation"]).median().unstack()
    row = r"^\| (digits|Fashion-MNIST|MNIST-1D)(?:, ([\d,]+) training samples)? \| ([\d.]+–.*?) \|"
    rows = re.findall(row, PAGES["anchors.md"], re.MULTILINE)
    assert len(rows) == 3
    for name, samples, shown in rows:
        here = medians.loc[NAMES[name]]
        assert shown == f"{here[USUAL].min():.1f}–{here[USUAL].max():.1f}%; linear {here['identity']:.1f}%"
        trained = five.loc[five["dataset"] == NAMES[name], "train_samples"].max()
        assert not samples or int(samples.replace(",", "")) == trained
    behind = 68 - medians.loc["mnist1d", USUAL]  # Greydanus and Kobak's multilayer perceptron
    assert f"{behind.min():.0f} to {behind.max():.0f} points less on MNIST-1D" in said("anchors.md")


def test_the_published_study_is_the_default_one():
    published = pd.read_parquet(TABLES / "runs.parquet", columns=["run"])["run"]
    asked = Study.from_file(ROOT / "config.yaml").runs
    assert {*published} == {run.id for run in asked.values()}
    for page in ("README.md", "running.md"):
        assert f"The default study trains {len(asked)} runs" in said(page)


@pytest.mark.parametrize("page", ["README.md", "running.md"])
def test_what_is_said_of_another_machine_is_what_was_measured(page):
    block = re.search(r"<!-- machines -->(.*?)<!-- /machines -->", PAGES["performance.md"], re.DOTALL)[1]
    selected = [(int(a), int(b)) for a, b in re.findall(r"\| (\d+) of (\d+) \|", block)]
    other, of = (sum(column) for column in zip(*selected, strict=True))
    largest = max(float(value) for value in re.findall(r"\| ([\d.]+) \([\d.]+ standard errors\)", block))
    verdicts, changed, opposite = re.search(
        r"Of (\d+) verdicts (\d+) changed, (\d+) of them to the opposite", block
    ).groups()
    assert (round(of / other), opposite) == (6, "0")
    assert f"{changed} of {verdicts} verdicts changed, none to the opposite" in said(page)
    if page == "running.md":
        assert "a run in six selected another learning rate" in said(page)
        assert f"a mean over seeds differed by up to {largest:.0f} points" in said(page)
