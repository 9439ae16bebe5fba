"""The article's claims are found by what their file declares, and its steps have one set of numbers everywhere."""

from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from activation_study.analysis.policies import ARTICLE, article_rows, by_dataset, conditional_regret, policy_regret
from activation_study.analysis.replicas import evaluated, of_experiment
from activation_study.claims import file as claims_file
from activation_study.claims.ledger import evaluate
from activation_study.claims.rows import guide_rows
from activation_study.core.errors import StudyError
from activation_study.guide.sentences import Sentence, sentences
from activation_study.jobs.judge import as_tables
from activation_study.study.config import ROOT
from activation_study.study.study import Study
from activation_study.tables import checked
from activation_study.tables.columns import FORMER_VERDICTS
from made_up import made_up_tables

pytestmark = pytest.mark.usefixtures("frozen_garbage")

CLAIMS = {"G1", "G2", "G3", "C25", "C27", "C29", "C31", "C36", "C38"}
"""Those that the guide cites; judging all takes longer."""
EXPERIMENTS = ("core", "slope_sweep", "data_size", "batch_norm")
POLICIES = {row.id: row.step for row in guide_rows([ROOT / "claims.yaml"]) if row.guide and row.type == "policy"}
SAMPLES = {"digits": 1_000, "mnist1d": 4_000, "fashion_mnist": 10_000}


@pytest.fixture(scope="module")
def study() -> Study:
    """The part of the default study that they are about."""
    config = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))
    asked = {name: config["experiments"][name] for name in EXPERIMENTS}
    return Study.from_config(config | {"experiments": asked, "claims": []})


@pytest.fixture(scope="module")
def content() -> dict[str, Any]:
    """The article's claims file, with those claims only."""
    whole = yaml.safe_load((ROOT / "claims.yaml").read_text(encoding="utf-8"))
    return whole | {"claims": [claim for claim in whole["claims"] if claim["id"] in CLAIMS]}


@pytest.fixture(scope="module")
def original(content, tmp_path_factory) -> Path:
    return written(tmp_path_factory.mktemp("original") / "claims.yaml", content)


@pytest.fixture(scope="module")
def mine(content, tmp_path_factory) -> Path:
    """A copy of it."""
    return written(tmp_path_factory.mktemp("copy") / "mine.yaml", content)


def written(path: Path, content: dict[str, Any]) -> Path:
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def tables(study) -> dict[str, pd.DataFrame]:
    """Made-up tables in which both conditions of the third step hold in some cells only, and decide something."""
    made = made_up_tables(study)
    runs = made["runs"]
    runs["train_samples"] = runs["dataset"].map(SAMPLES)
    runs.loc[runs["depth"] == 20, "train_accuracy"] += 0.1
    runs["target"] = 0.72
    scores = ["validation_accuracy", "test_accuracy"]
    for number, name in enumerate(("rrelu", "prelu", "elu", "leaky_relu"), 1):
        runs.loc[(runs["activation"] == name) & (runs["status"] != "diverged"), scores] += 0.03 / number
    return made


def judged(study, tables, *files) -> dict[str, pd.DataFrame]:
    """The ledger and its cells as the study's own judging writes them."""
    found = claims_file.of_study(study.config.model_copy(update={"claims": tuple(map(str, files))}))
    return {name: table.to_pandas() for name, table in as_tables([evaluate(one, tables) for one in found]).items()}


@pytest.fixture(scope="module")
def ledger(study, tables, original) -> dict[str, pd.DataFrame]:
    return judged(study, tables, original)


def regret_of(tables) -> pd.DataFrame:
    return policy_regret(of_experiment(tables["runs"], tables["experiments"], "core"), tables["cost"])


def said(ledger: pd.DataFrame, tables, files=(ROOT / "claims.yaml",)) -> list[Sentence]:
    regret = regret_of(tables)
    return sentences(guide_rows(files), ledger, by_dataset(regret), regret)


# By what a file declares


@pytest.mark.slow
def test_a_copy_under_another_name_gives_the_same_sentences(study, tables, ledger, mine):
    expected = said(ledger["ledger"], tables)
    assert len(expected) == 12
    assert sum(len(one.rows) for one in expected) == 11  # all but the one on the regrets alone rest on a verdict
    copied = judged(study, tables, mine)["ledger"]
    assert set(copied["family"]) == {"mine"}
    assert said(copied, tables, [mine]) == expected


@pytest.mark.slow
def test_a_file_of_other_claims_fills_the_guide_with_its_own_sentences(study, tables, content, tmp_path):
    """Nothing of the code knows a claim by its name."""
    other = copy.deepcopy(content)
    other["claims"] = [claim for claim in other["claims"] if claim["id"] in ("C27", "G1")]
    for claim, name in zip(other["claims"], ("Slope", "First"), strict=True):
        claim["id"] = name
        claim["rows"][0]["guide"] |= {"about": f"what {name} says"}
    other["claims"][0]["rows"][0]["guide"] |= dict.fromkeys(("supported", "reversed", "negligible", "open"), "{size}!")
    path = written(tmp_path / "theirs.yaml", other)
    found = {one.rows: one.text for one in said(judged(study, tables, path)["ledger"], tables, [path]) if one.rows}
    assert set(found) == {("Slope",), ("First",)}
    assert re.fullmatch(r"\d+\.\d!", found["Slope",])
    assert found["First",].startswith("What First says")
    rows = guide_rows([path])
    assert [row.id for row in rows if "leaky_relu" in row.cited] == ["Slope"]


def test_a_sentence_holds_the_rows_numbers_alone(content, tmp_path):
    wrong = copy.deepcopy(content)
    next(claim for claim in wrong["claims"] if claim["id"] == "C27")["rows"][0]["guide"]["open"] = "{size.__class__}"
    with pytest.raises(StudyError, match=r"claim C27\.guide\.open: .* may hold \{size\}, "):
        claims_file.read(written(tmp_path / "wrong.yaml", wrong))


def test_of_two_copies_the_first_counts(study, original, mine):
    for files, counts in (((original, mine), "claims"), ((mine, original), "mine")):
        found = claims_file.of_study(study.config.model_copy(update={"claims": tuple(map(str, files))}))
        assert [one.family for one in found if one.article] == [counts]
        assert len(found) == 2


@pytest.mark.slow
def test_beside_a_copy_the_sentences_are_the_same(tables, ledger):
    both = pd.concat([ledger["ledger"], ledger["ledger"].assign(family="mine", article=False, estimate=9.0)])
    assert said(both, tables) == said(ledger["ledger"], tables)


def test_two_that_differ_are_refused_in_one_line(study, content, mine, tmp_path):
    changed = copy.deepcopy(content)
    changed["claims"][0]["rows"][0]["smallest"] = 0.2
    other = written(tmp_path / "other.yaml", changed)
    both = study.config.model_copy(update={"claims": (str(mine), str(other))})
    with pytest.raises(
        StudyError, match=r"^claims: 'mine' and 'other' both say article: true and are not the"
    ) as fault:
        claims_file.of_study(both)
    assert "\n" not in str(fault.value)
    written(other, changed | {"article": False})
    assert [one.article for one in claims_file.of_study(both)] == [True, False]


def test_only_true_declares_it(content, mine, tmp_path):
    silent = {key: value for key, value in content.items() if key != "article"}
    assert not claims_file.read(written(tmp_path / "silent.yaml", silent)).article
    assert claims_file.read(mine).article
    assert claims_file.read().article
    with pytest.raises(StudyError, match=r'silent\.yaml: article: "mine" must be a boolean, true or false'):
        claims_file.read(written(tmp_path / "silent.yaml", silent | {"article": "mine"}))


@pytest.mark.slow
def test_undeclared_claims_are_nobodys_evidence(tables, ledger):
    for other in (ledger["ledger"].assign(article=False), ledger["ledger"].drop(columns="article")):
        assert article_rows(other).empty
        texts = [one.text for one in said(other, tables) if "There is no evidence on" in one.text]
        assert len(texts) == 7


def test_the_published_ledger_says_whose_it_is():
    published = checked.read("ledger", ROOT / "reports" / "reference" / "tables" / "ledger.parquet")
    of_file = claims_file.read(ROOT / "claims.yaml").rows
    assert {*article_rows(published).index} == {row.id for row in of_file}
    assert not set(FORMER_VERDICTS) & set(published["verdict"])


# One definition of the article's steps


@pytest.mark.slow
def test_the_ledger_and_the_regrets_are_one_set_of_numbers(tables, ledger):
    cells, regret = ledger["ledger_cells"], regret_of(tables)
    for row, step in POLICIES.items():
        own = regret[(regret["policy"] == ARTICLE[step].policy) & (regret["budget"] == ARTICLE[step].budget)]
        expected = {f"{r.dataset}/depth={r.depth}": r.regret for r in own.itertuples()}
        found = cells[cells["row"] == row].set_index("cell")["estimate"].to_dict()
        assert len(found) == 9
        assert found == pytest.approx(expected)


@pytest.mark.slow
def test_the_page_says_what_the_ledger_says(tables, ledger):
    """To the printed digit: dataset by dataset in the guide's sentence and in the row's reason."""
    rows = ledger["ledger"].set_index("row")
    texts = {one.rows[0]: one.text.replace("−", "-") for one in said(ledger["ledger"], tables) if one.rows}
    for row in POLICIES:
        reason = re.findall(r"(\S+) points on (\w+)", rows.loc[row, "reason"])
        regrets, _, without = texts[row].partition(" Without any one seed: ")
        guide = re.findall(r"(-?\d+\.\d) on (\w+)", regrets)
        assert len(reason) == 3
        assert guide == reason
        ranges = re.findall(r"(-?\d+\.\d) to (-?\d+\.\d) on (\w+)", without)
        for (regret, dataset), (low, high, of) in zip(guide, ranges, strict=True):
            assert of == dataset
            assert float(low) <= float(regret) <= float(high)


@pytest.mark.slow
def test_the_conditions_of_the_third_step_are_the_regrets(tables):
    """The table cell by cell beside the policy's regret; and what the step names is tried only where it says so."""
    regret = regret_of(tables)
    third = regret[regret["policy"] == "step 3"].set_index(["dataset", "depth"])
    cells = conditional_regret(tables, ["core"]).set_index(["dataset", "depth"])
    assert set(cells["much_data"]) == set(cells["overfitting"]) == {True, False}
    assert len(cells) >= 6
    assert third.loc[cells.index, "regret"].to_dict() == pytest.approx(cells["article"].to_dict())
    for place, cell in cells.iterrows():
        names = third.loc[place, "tried"].split(", ")
        assert ("prelu" in names, "rrelu" in names) == (cell["much_data"], cell["overfitting"])


@pytest.mark.slow
def test_the_third_step_recomputed(tables, ledger):
    """With plain pandas, for every cell: nothing of `guidelines` but its two thresholds, written out."""
    runs = of_experiment(tables["runs"], tables["experiments"], "core")
    score = runs["validation_accuracy"].mask(runs["status"] == "diverged", 0.1)
    runs = runs.assign(
        validation_accuracy=score, test_accuracy=runs["test_accuracy"].mask(runs["status"] == "diverged", 0.1)
    )
    found = ledger["ledger_cells"].query("row == 'G3'").set_index("cell")["estimate"]
    unconditional = {}
    for (dataset, depth), cell in runs.groupby(["dataset", "depth"]):
        tuned = cell[(cell["role"] == "tuning") & cell["selected"]].groupby("activation")["validation_accuracy"].mean()
        scored = evaluated(cell)
        test, relu = scored.groupby("activation")["test_accuracy"].mean(), scored[scored["activation"] == "relu"]
        names = ["relu", "leaky_relu", "elu"]
        names += ["prelu"] * (SAMPLES[dataset] > 3000)
        names += ["rrelu"] * bool((relu["train_accuracy"] - relu["validation_accuracy"]).mean() > 0.05)
        tried = tuned.reindex(names).dropna()
        assert found[f"{dataset}/depth={depth}"] == pytest.approx(test[tuned.idxmax()] - test[tried.idxmax()])
        every = tuned.reindex(["relu", "leaky_relu", "elu", "prelu", "rrelu"]).dropna()
        unconditional[f"{dataset}/depth={depth}"] = test[tuned.idxmax()] - test[every.idxmax()]
    assert found.to_dict() != pytest.approx(unconditional)  # the conditions decide something here
