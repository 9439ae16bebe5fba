"""The policies, their regret recomputed with plain pandas, the guide's sentences, and the chooser on planted data."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from activation_study.analysis.policies import (
    ARTICLE,
    Situation,
    by_dataset,
    conditional_regret,
    first_relu,
    policy_regret,
    ranges,
    step_costs,
    then_another,
    tried,
    with_time,
)
from activation_study.claims.rows import guide_rows
from activation_study.guide import chooser
from activation_study.guide.chooser import Evidence, recommend
from activation_study.guide.sentences import sentences
from activation_study.guide.wording import budget_text, compared_text, lines
from activation_study.study.config import ROOT
from planted import DATASETS, costs, planted

ROWS = guide_rows([ROOT / "claims.yaml"])
RULES = [row for row in ROWS if row.guide and row.type != "policy"]

pytestmark = pytest.mark.usefixtures("frozen_garbage")


def elu_when_deep(dataset: str, activation: str, depth: int) -> float:
    base = {"digits": 0.9, "fashion_mnist": 0.8, "mnist1d": 0.7}[dataset]
    if depth == 50:
        return base + {"elu": 0.0, "relu": -0.2}.get(activation, -0.1)
    return base + {"relu": 0.0, "elu": -0.05}.get(activation, -0.08)


def core(tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    runs = tables["runs"]
    return runs[runs["train_size"].isna()]


@pytest.mark.parametrize(
    ("budget", "samples", "overfitting", "second", "third"),
    [
        ("low", 300, False, "leaky_relu", {"relu", "leaky_relu"}),
        ("low", 10_000, True, "leaky_relu", {"relu", "leaky_relu"}),
        ("high", 300, False, "elu", {"relu", "leaky_relu", "elu"}),
        ("high", 10_000, False, "elu", {"relu", "leaky_relu", "elu", "prelu"}),
        ("high", 3_000, True, "elu", {"relu", "leaky_relu", "elu", "rrelu"}),
        ("high", 10_000, True, "elu", {"relu", "leaky_relu", "elu", "prelu", "rrelu"}),
    ],
)
def test_what_the_article_says_to_try(budget, samples, overfitting, second, third):
    situation = Situation(20, samples, budget, overfitting)
    assert first_relu(situation) == (("relu",),)
    assert then_another(situation) == (("relu",), (second,))
    assert {name for stage in with_time(situation) for name in stage} == third


def test_a_stage_is_tried_while_the_target_is_missed_and_the_budget_lasts():
    validation = pd.Series({"relu": 0.7, "elu": 0.9, "tanh": 0.95})
    stages = (("relu",), ("absent", "elu"), ("tanh",))
    assert tried(stages, validation, 0.6) == ["relu"]
    assert tried(stages, validation, 0.7) == ["relu"]
    assert tried(stages, validation, 0.8) == ["relu", "elu"]
    assert tried(stages, validation, 0.99) == ["relu", "elu", "tanh"]
    assert tried(stages, validation, 0.99, {"elu": 1.6}, 2.5) == ["relu", "tanh"]


def test_regret_recomputed():
    tables = planted(elu_when_deep, sd=0.03)
    regret = policy_regret(core(tables), costs(relu=1, elu=1.2, leaky_relu=1, tanh=2)).set_index(["policy", "budget"])
    runs = core(tables)
    for (dataset, depth), rows in runs.groupby(["dataset", "depth"]):
        validation = rows[rows["role"] == "tuning"].groupby("activation")["validation_accuracy"].mean()
        test = rows[rows["role"] == "evaluation"].groupby("activation")["test_accuracy"].mean()
        best = test[validation.idxmax()]
        here = regret[(regret["dataset"] == dataset) & (regret["depth"] == depth)]["regret"]
        assert here["step 1", "any"].item() == pytest.approx(best - test["relu"])
        assert here["always tanh", "any"].item() == pytest.approx(best - test["tanh"])
        assert here["random", "any"].item() == pytest.approx(best - test.mean())
        assert here["reference", "high"].item() == 0
        relus = runs[(runs["dataset"] == dataset) & (runs["activation"] == "relu") & (runs["role"] == "tuning")]
        so_far = relus.groupby("depth")["validation_accuracy"].mean().max()
        for policy, promising in (("step 2", 0.95 * so_far), ("step 2, fixed target", 0.8)):
            second = "relu" if validation["relu"] >= promising else validation[["relu", "elu"]].idxmax()
            assert here[policy, "high"].item() == pytest.approx(best - test[second])
        pairs = [["relu", "elu"], ["relu", "leaky_relu"], ["elu", "leaky_relu"]]  # with tanh a pair costs 3 units
        expected = np.mean([best - test[validation[pair].idxmax()] for pair in pairs])
        assert here["random pair", "low"].item() == pytest.approx(expected)


def test_costs_are_those_of_the_width_that_is_asked_for():
    """ELU is dear in narrow networks alone; 100 units are nearer to 64 than to 512, as factors."""
    cost = pd.concat([costs(relu=1, elu=1.5, leaky_relu=1), costs(relu=1, elu=1, leaky_relu=1).assign(width=512)])
    assert step_costs(cost, 100).loc["elu", ["width", "ratio_to_relu"]].tolist() == [64, 1.5]
    assert step_costs(cost, 200).loc["elu", ["width", "ratio_to_relu"]].tolist() == [512, 1.0]
    tables = planted(elu_when_deep) | {"cost": cost}
    for width, spent, dear in ((None, 2.5, ["elu", "tanh"]), (64, 2.5, ["elu", "tanh"]), (4096, 2.0, ["tanh"])):
        regret = policy_regret(core(tables), cost, width).set_index(["policy", "depth"])
        assert (regret.loc[("step 2", 50), "spent"][regret.loc[("step 2", 50), "budget"] == "high"] == spent).all()
        evidence = Evidence.of(tables, width=width)
        answer = recommend(evidence, 50, None, "low", False)
        assert answer is not None
        assert answer.excluded == dear
        timed = f"Costs: timed in networks of {512 if width == 4096 else 64} units per layer."
        assert timed in lines(answer, evidence)


def test_a_step_that_nobody_could_follow_is_no_evidence_on_it():
    """Without Leaky ReLU and ELU the second step would be ReLU alone, and so on."""
    tables = planted(elu_when_deep)
    runs = tables["runs"][tables["runs"]["activation"].isin(["relu", "tanh"])]
    followed = set(policy_regret(runs, tables["cost"])["policy"])
    assert {"step 1", "always tanh"} <= followed
    assert followed.isdisjoint({"step 2", "step 2, fixed target", "step 3"})


def test_a_diverged_network_counts_at_chance():
    tables = planted(elu_when_deep, sd=0)
    runs = tables["runs"]
    gone = (runs["activation"] == "relu") & (runs["replicate"] == 0) & (runs["role"] == "evaluation")
    runs.loc[gone, ["status", "test_accuracy"]] = ["diverged", 0.1]
    regret = policy_regret(runs, tables["cost"])
    relu = regret.set_index(["policy", "dataset", "depth"]).loc[("always relu", "digits", 50)]
    assert relu["regret"] == pytest.approx(0.9 - (5 * 0.7 + 0.1) / 6)
    # Apart: without it, and the range says what it does, of both cells of the dataset as of this one.
    assert relu["trained"] == pytest.approx(0.2)
    assert relu["diverged"] == 1
    assert (relu["lowest"], relu["highest"]) == pytest.approx((0.2, 0.9 - (4 * 0.7 + 0.1) / 5))
    whole = ranges(regret).loc["always relu", "any", "digits"]
    assert (whole["lowest"], whole["highest"]) == pytest.approx((0.1, (0.9 - (4 * 0.7 + 0.1) / 5) / 2))
    assert (whole["trained"], whole["diverged"]) == pytest.approx((0.1, 2))  # at five layers ReLU is the reference


@pytest.mark.slow
def test_the_range_without_one_seed_by_brute_force():
    """Of every policy that does not look at the dataset's other cells."""
    names = ("always tanh", "random", "step 1", "step 2, fixed target", "step 3", "guide")
    tables = planted(elu_when_deep, sd=0.03)
    runs, cost = core(tables), tables["cost"]

    def regrets(runs):
        found = policy_regret(runs, cost)
        return found[found["policy"].isin(names)].set_index(["policy", "budget"])

    whole = regrets(runs).query("dataset == 'digits' and depth == 50")
    cell = (runs["dataset"] == "digits") & (runs["depth"] == 50)
    left = []
    for role, seeds in (("tuning", 3), ("evaluation", 6)):
        for seed in range(seeds):
            gone = cell & (runs["role"] == role) & (runs["replicate"] == seed)
            left.append(regrets(runs[~gone]).query("dataset == 'digits' and depth == 50")["regret"])
    every = pd.concat([*left, whole["regret"]], axis=1)
    assert whole["lowest"].to_dict() == pytest.approx(every.min(axis=1).to_dict())
    assert whole["highest"].to_dict() == pytest.approx(every.max(axis=1).to_dict())
    assert (whole["lowest"] < whole["highest"]).any()


@pytest.mark.slow
@pytest.mark.parametrize("left_out", DATASETS)
def test_the_left_out_dataset_teaches_nothing(left_out):
    def strange(dataset: str, activation: str, depth: int) -> float:
        return float(activation == "tanh") if dataset == left_out else elu_when_deep(dataset, activation, depth)

    learnt = ["guide", "guide, compared", "best fixed"]
    picked = []
    for score in (elu_when_deep, strange):
        regret = policy_regret(core(planted(score)), planted(score)["cost"])
        own = regret[(regret["dataset"] == left_out) & regret["policy"].isin(learnt)]
        picked.append(own.set_index(["policy", "depth"])["tried"].to_dict())
    assert picked[0] == picked[1]
    assert (picked[0]["guide", 5], picked[0]["guide", 50]) == ("relu", "elu")


def test_datasets_are_shown_one_by_one():
    table = by_dataset(policy_regret(core(planted(elu_when_deep, sd=0)), planted(elu_when_deep)["cost"]))
    relu = table[table["policy"] == "step 1"].iloc[0]
    assert [relu[name] for name in DATASETS] == pytest.approx([0.1] * 3)
    assert (relu["mean"], relu["worst"], relu["cells"], relu["spent"]) == pytest.approx((0.1, 0.1, 6, 1))


def test_conditions_of_the_third_step():
    names = ("relu", "elu", "prelu", "rrelu")
    score = {"relu": 0.7, "elu": 0.72, "prelu": 0.75, "rrelu": 0.8}
    tables = planted(lambda _, name, __: score[name], names, sizes=(300,), overfit=lambda name: 0.1, sd=0)
    rows = conditional_regret(tables, ["core", "data_size"])
    assert set(rows["samples"]) == {300, 2000}
    assert rows["overfitting"].all()
    assert not rows["much_data"].any()
    assert rows[["without", "with_prelu", "with_rrelu", "article"]].iloc[0].tolist() == pytest.approx(
        [0.08, 0.05, 0, 0]
    )


def test_nothing_gives_nothing():
    nothing = planted(elu_when_deep)["runs"].iloc[:0]
    regret = policy_regret(nothing, planted(elu_when_deep)["cost"])
    assert regret.empty
    assert by_dataset(regret).empty
    assert all(
        "no evidence" in one.text
        for one in sentences(ROWS, pd.DataFrame(columns=["article", "row"]), by_dataset(regret), regret)
    )


# The guide


def ledger(row: str, verdict: str, estimate: float = 0.03, p_reversed: float = 1.0) -> pd.DataFrame:
    numbers = {"estimate": estimate, "low": estimate - 0.01, "high": estimate + 0.01, "p_reversed": p_reversed}
    numbers |= {"where": "at 5 layers"}
    return pd.DataFrame(
        [{"family": "claims", "article": True, "row": row, "verdict": verdict, "unit": "fraction"} | numbers]
    )


@pytest.mark.slow
@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_a_sentence_follows_its_verdict_and_its_numbers(rule):
    tables = planted(elu_when_deep)
    regret = policy_regret(core(tables), tables["cost"])

    def said(verdict: str, *numbers: float) -> str:
        found = sentences(ROWS, ledger(rule.id, verdict, *numbers), by_dataset(regret), regret)
        return next(one.text for one in found if one.rows == (rule.id,))

    texts = [said(verdict) for verdict in ("true", "partly", "false", "open", "exploratory")]
    texts.append(said("false", 0.03, 0.001))
    assert len(set(texts)) == len(texts)
    assert said("true") != said("true", 0.05)
    without = sentences(ROWS, ledger("C99", "true"), by_dataset(regret), regret)
    assert f"There is no evidence on {rule.guide.about} in this study." in [one.text for one in without]


def test_the_first_step_is_judged_by_its_regret():
    texts = []
    for score in (elu_when_deep, lambda dataset, activation, depth: 0.9 - 0.1 * (activation != "relu")):
        tables = planted(score)
        regret = policy_regret(core(tables), tables["cost"])
        texts.append(sentences(ROWS, tables["ledger"], by_dataset(regret), regret)[0].text)
    assert "ReLU alone is not enough" in texts[0]
    assert "20.0 at 50 layers" in texts[0] or "19.9 at 50 layers" in texts[0] or "20.1 at 50 layers" in texts[0]
    assert "no more than a point" in texts[1]


def test_cited_rows_are_those_of_the_claims():
    cited = [row for row in ROWS if row.cited]
    assert len(cited) == 8
    for row in cited:
        assert row.experiment in (chooser.CORE, chooser.SIZES)
        named = {arm.factors["activation"] for arm in row.arms if "activation" in arm.factors}
        assert set(row.cited) <= named | set(row.policy.names)
    guided = {row.step for row in ROWS if row.guide and row.type == "policy"}
    assert guided == set(ARTICLE) - {"second_target"}  # which stands beside the second in the ledger


# The chooser


def test_planted_data_decide():
    evidence = Evidence.of(planted(elu_when_deep))
    shallow, deep = (recommend(evidence, depth, None, "high", False) for depth in (5, 50))
    assert (shallow.pick, deep.pick) == ("relu", "elu")
    assert deep.confidence == "high"
    assert not deep.runner_ups
    assert (deep.n, deep.cells, deep.seeds, deep.diverged) == (18, 3, 6, 0)
    other = Evidence.of(planted(lambda dataset, activation, depth: 0.9 - 0.1 * (activation != "tanh")))
    assert recommend(other, 50, None, "high", False).pick == "tanh"


def test_a_low_budget_leaves_out_what_is_dear():
    tables = planted(elu_when_deep) | {"cost": costs(relu=1, elu=1.5, leaky_relu=1.1, tanh=0.9)}
    evidence = Evidence.of(tables)
    low, high = (recommend(evidence, 50, None, budget, False) for budget in ("low", "high"))
    assert high.pick == "elu"
    assert low.excluded == ["elu", "leaky_relu"]
    assert low.pick == "tanh"


def test_over_fitting_decides_among_equals_only():
    score = {"relu": 0.9, "elu": 0.899, "tanh": 0.8, "leaky_relu": 0.8}
    gaps = {"relu": 0.3, "elu": 0.1, "tanh": 0.0, "leaky_relu": 0.2}
    tables = planted(lambda _, name, __: score[name], sd=0.01, overfit=gaps.__getitem__)
    evidence = Evidence.of(tables)
    answer = recommend(evidence, 5, None, "high", True)
    assert answer.pick == "elu"


def test_what_was_not_tested_is_said_and_costs_confidence():
    evidence = Evidence.of(planted(elu_when_deep, sizes=(300,)))
    between = recommend(evidence, 35, 2000, "high", False)
    assert between.notes == ["35 layers were not trained: nearest tested depth 50"]
    assert between.confidence == "moderate"
    assert recommend(evidence, 5, 300, "high", False).tested_samples == (300, 300)
    assert "nearest tested number 300" in recommend(evidence, 5, 200, "high", False).notes[0]
    assert "the answer is for 2,000 samples" in recommend(evidence, 50, 300, "high", False).notes[0]
    assert "more than were trained on" in recommend(evidence, 50, 90_000, "high", False).notes[0]


def test_activations_that_were_not_tried_cost_confidence():
    tables = planted(elu_when_deep)
    whole = recommend(Evidence.of(tables), 50, None, "high", False)
    assert (whole.confidence, whole.untried) == ("high", [])
    assert compared_text(whole) == "all others"
    runs = tables["runs"]
    part = tables | {"runs": runs[(runs["depth"] == 5) | ~runs["activation"].isin(["tanh", "leaky_relu"])]}
    answer = recommend(Evidence.of(part), 50, None, "high", False)
    assert (answer.pick, answer.confidence) == ("elu", "moderate")
    assert answer.failed == ["2 of 4 activations not trained there: leaky_relu, tanh"]
    assert compared_text(answer) == "the other 1 that were trained there"
    assert "no other of those trained there may be better" in budget_text(answer)


def test_a_number_of_samples_between_those_trained_on_is_said():
    tables = planted(elu_when_deep)
    runs = tables["runs"]
    sizes = runs["dataset"].map({"digits": 1000, "mnist1d": 4000, "fashion_mnist": 10_000})
    evidence = Evidence.of(tables | {"runs": runs.assign(train_samples=sizes)})
    assert recommend(evidence, 50, 4000, "high", False).notes == []
    between = recommend(evidence, 50, 2000, "high", False)
    assert "2,000 samples lie between those trained on: 1,000 to 10,000 samples" in between.notes[0]
    assert between.confidence == "moderate"


def test_datasets_that_differ_cost_confidence():
    def score(dataset: str, activation: str, depth: int) -> float:
        return 0.9 if activation == ("elu" if dataset == "digits" else "relu") else 0.8

    answer = recommend(Evidence.of(planted(score)), 5, None, "high", False)
    assert answer.pick == "relu"
    assert answer.confidence == "moderate"
    assert "behind elu on digits" in answer.failed[0]


@pytest.mark.slow
def test_every_situation_has_a_row():
    answers = chooser.table(Evidence.of(planted(elu_when_deep, sizes=(300,))))
    assert len(answers) == 2 * 2 * 2 * 2
    assert chooser.table(Evidence.of(planted(elu_when_deep) | {"runs": planted(elu_when_deep)["runs"].iloc[:0]})) == []
