"""The reference run's numbers in their place: what is known of such networks, and what theory expects of the rest."""

import dataclasses
import json
import re
from pathlib import Path

import pandas as pd
import pytest

from activation_study.claims import file as claims_file
from activation_study.claims.ledger import evaluate
from activation_study.jobs import judge
from activation_study.tables import parquet

ROOT = Path(__file__).resolve().parents[2]
TABLES = ROOT / "reports" / "reference" / "tables"

# Test accuracy of multilayer perceptrons of a few layers:
# digits: scikit-learn's examples reach 0.97 with an SVM and MLPs come close; a linear model about 0.95.
# mnist1d: Greydanus & Kobak, arXiv:2011.14439, table 1: an MLP 0.68, logistic regression 0.32 (4,000 training samples).
# fashion_mnist: Xiao et al., arXiv:1708.07747, table 3: MLPs 0.84 to 0.87 with all 60,000 training samples,
# logistic regression 0.84; the repository's list has MLPs up to 0.90. With 10,000 training samples some points less.
MLP = {"digits": (0.95, 0.99), "mnist1d": (0.58, 0.72), "fashion_mnist": (0.83, 0.90)}
LINEAR = {"digits": (0.92, 0.97), "mnist1d": (0.29, 0.35), "fashion_mnist": (0.79, 0.85)}
USUAL = ["relu", "leaky_relu", "very_leaky_relu", "rrelu", "prelu", "elu", "selu", "gelu", "silu", "mish"]


@pytest.fixture(scope="module")
def core():
    """A row for each seed: what it scores over the rates that count, each as often as it was selected."""
    runs = parquet.read("runs", TABLES / "runs.parquet").to_pandas()
    experiments = pd.read_parquet(TABLES / "experiments.parquet")
    members = experiments.loc[experiments["experiment"] == "core", "run"]
    runs = runs[runs["run"].isin(members) & (runs["role"] == "evaluation")]
    keys = ["run", "dataset", "depth", "activation", "replicate"]
    parts = runs["weight"] * runs["test_accuracy"]
    return parts.groupby([runs[key] for key in keys]).sum().reset_index(name="test_accuracy")


@pytest.mark.parametrize("dataset", MLP)
def test_five_layers_score_what_such_networks_are_known_to(core, dataset):
    here = core[(core["dataset"] == dataset) & (core["depth"] == 5)]
    medians = here.groupby("activation")["test_accuracy"].median()
    low, high = MLP[dataset]
    assert medians[USUAL].between(low, high).all(), medians
    low, high = LINEAR[dataset]
    assert low <= medians["identity"] <= high


@pytest.mark.parametrize("dataset", MLP)
def test_deeper_networks_of_this_width_do_not_score_more_than_is_known(core, dataset):
    """No figure is published for 20 and 50 layers without normalisation: only the upper end is known."""
    deep = core[(core["dataset"] == dataset) & (core["depth"] > 5)]
    assert deep.groupby(["activation", "depth"])["test_accuracy"].mean().max() <= MLP[dataset][1]


def test_networks_at_chance_are_those_whose_gradients_vanish(core):
    """At chance on average: the gradient at initialisation is to shrink by 10⁻³ or more by theory, and only then."""
    chi = pd.read_parquet(TABLES / "activations.parquet").set_index("activation")["chi"]
    runs = core.groupby(["dataset", "activation", "depth"])["test_accuracy"].mean().reset_index()
    chance = runs["test_accuracy"] < 0.15
    vanishing = chi.loc[runs["activation"]].to_numpy() ** (runs["depth"] / 2) < 1e-3
    assert chance.sum() >= 3
    pd.testing.assert_series_equal(chance, vanishing, check_names=False)


def test_what_is_published_is_whole(core):
    """Sixteen activations at two depths, eight at fifty layers, three datasets, ten seeds; a ledger for all claims."""
    assert core.groupby("depth")["run"].nunique().to_dict() == {5: 48, 20: 48, 50: 24}
    assert set(core.groupby("run").size()) == {10}
    ledger = pd.read_parquet(TABLES / "ledger.parquet")
    assert ledger["claim"].nunique() == 41
    untested = ledger.loc[ledger["verdict"].isin(["exploratory", "not tested"]), "claim"]
    judged = ledger.loc[~ledger["verdict"].isin(["exploratory", "not tested"]), "claim"]
    assert set(untested) - set(judged) <= {"C11"}
    trained = ledger[
        ledger["type"].isin(["difference", "equivalence", "trend", "threshold"]) & (ledger["experiment"] != "")
    ]
    assert (trained["cells"] >= 3).sum() >= 25
    undecided = ledger[(ledger["verdict"] == "open") & (ledger["type"] != "policy")]  # which no test judges
    assert len(undecided)
    assert undecided["minimum_detectable"].notna().all()


def test_the_share_of_verdicts_that_stay_is_that_of_both_ledgers():
    first, second = (
        pd.read_parquet(path).query("type != 'policy'").set_index("row")["verdict"]
        for path in (TABLES / "ledger.parquet", TABLES.parent / "second_ledger.parquet")
    )
    first = first[first.isin(["true", "partly", "false", "open"])]
    second = second[first.index]
    said = json.loads((TABLES / "validity.json").read_text())
    assert said["verdicts_same_share"] == (first == second).mean()
    reversed_ = (first == "true") & (second == "false") | (first == "false") & (second == "true")
    assert said["verdicts_reversed"] == reversed_.sum()


def families_said() -> str:
    """Two tables: a line per situation, and per claim with its verdict, why, and its estimate with its interval."""
    lines = ["| network | layers | use | scores | ReLU | how sure |", "|---|---|---|---|---|---|"]
    for row in pd.read_csv(TABLES.parent / "families_situations.csv").itertuples():
        scores = f"{100 * row.accuracy:.1f}% | {100 * row.reference:.1f}%"
        lines.append(f"| {row.network} | {row.layers} | `{row.use}` | {scores} | {row.sure} |")
    ledger = pd.read_parquet(TABLES.parent / "families_ledger.parquet")
    lines += ["", "| row | test | verdict | why | estimate |", "|---|---|---|---|---|"]
    for row in ledger.itertuples():
        share = row.unit == "fraction"
        estimate, low, high = ((100 if share else 1) * one for one in (row.estimate, row.low, row.high))
        said = f"{estimate:+z.2f} ({low:+z.2f} to {high:+z.2f}) {'points' if share else row.unit}"
        lines.append(f"| {row.row} | {row.test} | {row.verdict} | {row.reason} | {said} |")
    return "\n".join(lines)


def test_what_is_said_of_other_networks_is_what_was_found():
    page = (ROOT / "docs" / "networks.md").read_text(encoding="utf-8")
    assert re.search(r"<!-- families -->\n(.*?)\n<!-- /families -->", page, re.DOTALL)[1] == families_said()


def characters_said() -> str:
    """A line per activation: bits per character in both networks, and what the gate gains, with its spread."""
    found = pd.read_csv(TABLES.parent / "characters.csv")
    lines = ["| in the feed-forward part | bits per character | times a gate | the gate gains |", "|---|---|---|---|"]
    for name, of in found.groupby("activation"):
        bits = of.pivot(index="seed", columns="network", values="bits")
        gain = bits["transformer"] - bits["gated_transformer"]
        plain, gated = (f"{bits[network].mean():.2f}" for network in ("transformer", "gated_transformer"))
        lines.append(f"| `{name}` | {plain} | {gated} | {gain.mean():.2f} ± {gain.std():.2f} |")
    return "\n".join(lines)


def test_what_is_said_of_characters_is_what_was_found():
    page = (ROOT / "docs" / "networks.md").read_text(encoding="utf-8")
    assert re.search(r"<!-- characters -->\n(.*?)\n<!-- /characters -->", page, re.DOTALL)[1] == characters_said()
    found = pd.read_csv(TABLES.parent / "characters.csv")
    means = found.pivot_table(index="activation", columns="network", values="bits")
    assert (means["gated_transformer"] < means["transformer"]).all()
    plain = means["transformer"].sort_values().index
    assert set(plain[:3]) == {"relu", "gelu", "silu"}
    assert plain[-1] == means["gated_transformer"].idxmax() == "sigmoid"
    gated = found.query("network == 'gated_transformer'").pivot(index="seed", columns="activation", values="bits")
    ahead = gated.mean()["relu"] - gated.mean()
    assert all(ahead[name].round(2) in (0.03, 0.04) for name in ("tanh", "gelu", "silu"))
    assert (gated[["tanh", "gelu", "silu"]].sub(gated["relu"], axis=0) < 0).mean().min() >= 0.9


def elu_said() -> str:
    """The table of the ELU paper's networks: a line for each of some steps."""
    found = pd.read_csv(TABLES.parent / "anchors_elu.csv").set_index("step")
    names = ("elu", "leaky_0_1", "relu")
    lines = []
    for step in (0, 42, 131, 412, 1301, 6000):
        at = found.loc[step].set_index("activation")
        cells = [f"{at.loc[name, 'mean_activation']:.2f}" for name in names]
        for loss in ("train_loss", "validation_loss"):
            cells += [f"{at.loc[name, loss]:.2g}" if at[loss].notna().all() else "" for name in names]
        lines.append(f"| {step:,} | {' | '.join(cells)} |")
    return "\n".join(lines)


def test_the_anchors_at_their_sources_rates_are_what_was_found():
    page = (ROOT / "docs" / "anchors.md").read_text(encoding="utf-8")
    assert re.search(r"<!-- anchors of ELU -->\n.*\n.*\n((?:.*\n)*?)<!-- /", page)[1] == elu_said() + "\n"
    found = pd.read_csv(TABLES.parent / "anchors_elu.csv").pivot(index="step", columns="activation")
    probed = found["mean_activation"].dropna()
    assert len(probed) >= 10
    assert (probed["elu"].abs() < probed[["relu", "leaky_0_1"]].min(axis="columns")).all()
    lower = found["train_loss"]["elu"] < found["train_loss"]["relu"]
    assert 8 < lower.index[lower].max() * 64 / 3000 < 9
    assert lower.loc[2:375].all()  # eight epochs
    assert not lower.loc[412:].any()
    unseen = found["validation_loss"].loc[2:]
    assert (unseen["elu"] < unseen[["relu", "leaky_0_1"]].min(axis="columns")).all()
    scored = pd.read_csv(TABLES.parent / "anchors.csv")
    mnist = 100 * scored.query("network == 'mlp'").pivot(index="seed", columns="activation", values="test_accuracy")
    text = " ".join(page.split())
    assert "{elu:.1f}%, the leaky one's {leaky_0_1:.1f}% and ReLU's {relu:.1f}%".format(**mnist.mean()) in text
    spread = mnist.max() - mnist.min()
    assert f"spread over {spread.min():.1f} to {spread.max():.1f} points" in text
    dead = 100 * pd.read_csv(TABLES.parent / "anchors_dead.csv", index_col="step")
    first, last = dead.iloc[0], dead.iloc[-1]
    for layer, name in (("3", "third layer"), ("4", "fourth")):
        said = f"{first[layer]:.0f}% over {dead[layer].max():.0f}% to {last[layer]:.0f}%"
        assert f"in the {name} from {said}" in text
    assert dead["1"].max() == last["2"] == 0
    uva = scored.query("network == 'uva'")
    scores = 100 * uva.groupby("activation")["test_accuracy"].mean()
    names = {"relu": "ReLU", "leaky_0_1": "leaky with slope .1", "elu": "ELU", "tanh": "tanh", "silu": "Swish"}
    said = ", ".join(f"{title} {scores[name]:.1f}" for name, title in (names | {"sigmoid": "sigmoid"}).items())
    assert f"| {said} (three seeds)" in page
    rest = scores.drop("sigmoid")
    spread = uva.groupby("activation")["test_accuracy"].agg(lambda one: 100 * (one.max() - one.min()))
    assert f"within {rest.max() - rest.min():.1f} points of each other here" in text
    theirs = {"relu": 88.6, "leaky_0_1": 88.9, "elu": 87.3, "tanh": 87.6, "silu": 88.7}
    assert (rest - pd.Series(theirs)).abs().max() < 1.0
    assert f"differ by up to {spread.drop('sigmoid').max():.1f}" in text


@pytest.mark.slow
def test_the_policy_rows_have_the_published_numbers():
    """They need no large table, so that the published runs give them anew."""
    of_article = claims_file.read(ROOT / "claims.yaml")
    policies = dataclasses.replace(of_article, rows=tuple(row for row in of_article.rows if row.type == "policy"))
    read = {
        name: parquet.read(name, TABLES / f"{name}.parquet").to_pandas() for name in ("runs", "experiments", "cost")
    }
    found = {name: table.to_pandas() for name, table in judge.as_tables([evaluate(policies, read)]).items()}
    assert len(found["ledger"]) == len(policies.rows) == 5
    for name, columns in {
        "ledger": ["row", "verdict", "estimate", "n"],
        "ledger_cells": ["row", "cell", "estimate"],
    }.items():
        published = parquet.read(name, TABLES / f"{name}.parquet").to_pandas()
        published = published[published["row"].isin(found["ledger"]["row"])]
        ours, theirs = (table[columns].reset_index(drop=True) for table in (found[name], published))
        pd.testing.assert_frame_equal(ours, theirs, rtol=1e-9, check_dtype=False)
