"""Claims: what a file may say, and the ledger on tables whose truth was planted."""

import math

import numpy as np
import pandas as pd
import pytest
import yaml

from activation_study.claims import file as claims_file
from activation_study.claims.ledger import CELL_COLUMNS, LEDGER_COLUMNS, evaluate
from activation_study.claims.metrics import COST
from activation_study.core.errors import StudyError
from activation_study.study.study import Study
from effects import hold_seeds_to_estimates

pytestmark = pytest.mark.usefixtures("frozen_garbage")

DATASETS = ("digits", "mnist1d", "fashion_mnist")
DIFFERENCE = {
    "test": "a against b", "type": "difference", "experiment": "core", "metric": "test_accuracy",
    "arms": [{"activation": "a"}, {"activation": "b"}], "smallest": 0.01, "reason": "a point",
}  # fmt: skip
GUIDE = {"step": "beyond", "about": "a"} | dict.fromkeys(("supported", "reversed", "negligible", "open"), "{size}")


def small_tables(means, rng, seeds=10, sd=0.005, depths=(5,), **columns):
    """Tables of experiment core: `means` is activation → dataset → mean test accuracy; noise independent; one rate."""
    rows = [
        {"run": f"{dataset}/{activation}/depth={depth}", "activation": activation, "dataset": dataset, "depth": depth,
         "replicate": seed, "test_accuracy": mean + sd * rng.normal()}
        for activation, by_dataset in means.items()
        for dataset, mean in by_dataset.items()
        for depth in depths
        for seed in range(seeds)
    ]  # fmt: skip
    fixed = {"role": "evaluation", "learning_rate": 0.1, "status": "finished", "classes": 10, "reached": True,
             "train_loss": 0.1, "horizon": 600, "time_to_target": 50.0, "selected": True, "target": 0.5,
             "validation_accuracy": 0.9, "validation_loss": 0.3, "select": "accuracy",
             "train_accuracy": 0.95, "train_samples": 1000, "width": 64}  # fmt: skip
    runs = pd.DataFrame(rows).assign(**fixed | columns)
    experiments = pd.DataFrame({"experiment": "core", "run": runs["run"].unique()})
    tuning = runs.drop_duplicates("run").drop(columns="replicate").merge(pd.DataFrame({"replicate": range(6)}), "cross")
    return {"runs": pd.concat([runs, tuning.assign(role="tuning")], ignore_index=True), "experiments": experiments}


def everywhere(a, b=0.8):
    return {"a": dict.fromkeys(DATASETS, a), "b": dict.fromkeys(DATASETS, b)}


# The file


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"metric": "beauty"}, r"claim C1\.metric: 'beauty' is none of .*test_accuracy"),
        ({"smallest": "tiny"}, r'claim C1\.smallest: "tiny" must be a number'),
        ({"smallest": -1}, r"claim C1\.smallest: -1 must be at least 0"),
        ({"colour": "red"}, r"claim C1\.colour: unknown key; known: .*arms"),
        ({"type": "belief"}, r'claim C1\.type: "belief" must be one of difference, '),
        (
            {"type": "exact", "computation": "x", "metric": None, "arms": None},
            r"claim C1\.computation: 'x' is none of .*sigmoid_slope",
        ),
        ({"type": "exact"}, r"claim C1: the key computation is missing"),
        ({"computation": "sigmoid_slope"}, r"claim C1\.computation: has no place in a row of type difference"),
        ({"reason": None}, r"claim C1: the key reason is missing"),
        ({"experiment": None}, r"claim C1\.experiment: is missing"),
        ({"arms": [{"activation": "a"}]}, r"claim C1\.arms: two arms need no weights, but 1 do"),
        ({"arms": [{"activation": "a", "weight": 1}, {"activation": "b"}]}, r"claim C1\.arms: either every arm"),
        ({"arms": [{"activation": "a", "dose": 1}, {"activation": "b"}]}, r"claim C1\.arms: doses belong to a trend"),
        ({"arms": [{"mood": "a"}, {"mood": "b"}]}, r"claim C1\.arms: 'mood' is not a factor; there are activation"),
        ({"arms": [{"depth": 5}, {"depth": 20}]}, r"claim C1\.arms: depth tells cells apart"),
        ({"options": {"step": "first"}}, r"claim C1\.options: test_accuracy has no option 'step'; it has none"),
        (
            {"options": {"step": "later"}, "metric": "dead"},
            r'claim C1\.options\.step: "later" must be first, last, mean or a whole',
        ),
        (
            {"options": {"step": "1e300"}, "metric": "dead"},  # as YAML 1.1 reads it without quotes
            r'claim C1\.options\.step: "1e300" must be a finite number below 1e18',
        ),
        (
            {"guide": {"step": "beyond", "about": "a", "opne": "b"}},
            r"claim C1\.guide\.opne: unknown key; known: about, negligible, open, ",
        ),
        ({"guide": GUIDE | {"reversed": ""}}, r"claim C1\.guide: the sentence reversed is missing"),
        (
            {"guide": {"step": "beyond", "about": "a"}, "type": "exploratory"},
            r"claim C1\.guide: the sentence open is missing",
        ),
        (
            {"guide": GUIDE, "type": "exact", "computation": "sigmoid_slope", "metric": None, "arms": None},
            r"claim C1\.guide: has no place in a row of type exact",
        ),
        (
            {"guide": GUIDE, "metric": "generalisation_gap"},
            r"claim C1\.guide: generalisation_gap is in nats; sentences give percents",
        ),
        ({"type": "trend"}, r"claim C1\.arms: a trend needs a dose in every arm"),
        ({"type": "threshold"}, r"claim C1: the key threshold is missing"),
        ({"threshold": 1}, r"claim C1\.threshold: has no place in a row of type difference"),
        ({"type": "equivalence", "smallest": 0}, r"claim C1\.smallest: 0 must be above 0"),
        ({"metric": COST}, r"claim C1\.experiment: has no place here"),
        ({"metric": COST, "experiment": None}, r"claim C1\.options\.quantity: is missing"),
        ({"metric": COST, "experiment": None, "type": "equivalence"}, r"claim C1\.type: a cost is compared by a diff"),
        (
            {"type": "policy", "metric": None, "arms": None},
            r"claim C1\.stages: a policy has either stages or a step of the article's",
        ),
        (
            {"type": "policy", "metric": None, "arms": None, "stages": [["a"]], "step": "third"},
            r"claim C1\.stages: a policy has either stages or a",
        ),
        ({"type": "policy", "step": "fourth"}, r'claim C1\.step: "fourth" must be one of first,'),
        ({"step": "third"}, r"claim C1\.step: has no place in a row of type difference"),
        ({"check": "C2"}, r"claim C1\.check: 'C2' is not another row of this file that has an interval"),
        ({"check": "C1"}, r"claim C1\.check: 'C1' is not another row"),
    ],
)
def test_a_fault_is_one_line_with_claim_and_key(written, change, message):
    row = {key: value for key, value in (DIFFERENCE | change).items() if value is not None}
    with pytest.raises(StudyError, match=message) as fault:
        claims_file.read(written(row))
    assert "\n" not in str(fault.value)
    assert "mine.yaml" in str(fault.value)


def test_faults_of_the_whole_file(tmp_path, written):
    with pytest.raises(StudyError, match="cannot be read"):
        claims_file.read(tmp_path / "none.yaml")
    with pytest.raises(StudyError, match=r"claim C1\.2\.smallest"):
        claims_file.read(written(DIFFERENCE, DIFFERENCE | {"smallest": "x"}))
    with pytest.raises(StudyError, match=r"claim C1\.rows: \[\] must not be empty"):
        claims_file.read(written())
    twice = tmp_path / "twice.yaml"
    twice.write_text(yaml.safe_dump({"claims": [{"id": "C1", "quote": "q", "rows": [DIFFERENCE]}] * 2}))
    with pytest.raises(StudyError, match=r"claim C1\.id: is given twice; remove one"):
        claims_file.read(twice)
    twice.write_text("claims: 3")
    with pytest.raises(StudyError, match=r"claim number 1: 3 must be an object"):
        claims_file.read(twice)


@pytest.mark.parametrize(
    "stem", ['a"><img src=x onerror=alert(1)>', "a b", "-a", "é", "a.b", "n" * 65, "a\u202eb", "a\x1bb", "=a", "a\n"]
)
def test_a_file_is_called_as_a_family_may_be(written, stem):
    path = written(DIFFERENCE)
    named = path.rename(path.with_name(f"{stem}.yaml"))
    with pytest.raises(StudyError, match=r"a file whose name, before \.yaml, is letters, digits") as refused:
        claims_file.read(named)
    assert "\n" not in str(refused.value)
    assert str(refused.value).isprintable()
    assert len(str(refused.value)) < 300
    assert claims_file.read(named.rename(path.with_name("My-claims_2.yaml"))).family == "My-claims_2"


def test_reading_fills_in_and_names_rows(written):
    path = written(DIFFERENCE, DIFFERENCE | {"where": {"depth": 5}})
    read = claims_file.read(path)
    assert [row.id for row in read.rows] == ["C1.1", "C1.2"]
    assert claims_file.read(written(DIFFERENCE)).rows[0].id == "C1"
    assert read.rows[1].where == {"depth": (5,)}
    assert (read.family, read.rows[0].direction, read.rows[0].claim.known) == ("mine", "greater", "")
    assert read.sha256 != claims_file.read(written(DIFFERENCE)).sha256
    assert len(read.sha256) == 64


CONFIG = {
    "study": "small",
    "activations": {"a": {"class": "ReLU"}, "b": {"class": "ELU"}, "c": {"class": "Tanh"}},
    "datasets": {"digits": {"source": "digits", "target": 0.9}},
    "experiments": {"core": {"activation": ["a", "b"], "depth": [5, 20]}, "wide": {"depth": 5, "width": 128}},
    "cost": {"activation": ["a"]},
}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"experiment": "speed"}, r"claim C1\.experiment: 'speed' is none of core, wide"),
        ({"arms": [{"activation": "a"}, {"activation": "c"}]}, r"claim C1\.arms: no run of core has activation=c"),
        ({"where": {"depth": 50}}, r"claim C1\.where: no run of core has depth=50"),
        ({"where": {"width": [128]}}, r"claim C1\.where: no run of core has width=128"),
        ({"over": {"centred": [True, False]}}, r"claim C1\.arms: no run of core has activation=a, centred=True"),
        ({"metric": "noise_loss"}, r"claim C1\.metric: noise_loss needs measure: noise in experiment core"),
        (
            {"metric": COST, "options": {"quantity": "step"}},
            r"claim C1\.arms: the cost of activation=b is not",
        ),
    ],
)
def test_a_claim_must_fit_the_study(written, change, message):
    row = DIFFERENCE | change
    if change.get("metric") == COST:
        del row["experiment"]
    read = claims_file.read(written(row))
    with pytest.raises(StudyError, match=message):
        claims_file.check(read, Study.from_config(CONFIG).config)


def test_a_claim_that_fits(written):
    claims_file.check(claims_file.read(written(DIFFERENCE)), Study.from_config(CONFIG).config)


# The ledger, where the truth is known


def only_row(path, tables):
    ledger = evaluate(claims_file.read(path), tables)
    assert (tuple(ledger.rows), tuple(ledger.cells)) == (LEDGER_COLUMNS, CELL_COLUMNS)
    hold_seeds_to_estimates(ledger.cells)
    assert ledger.sha256 == claims_file.read(path).sha256
    return ledger.rows.iloc[0]


@pytest.mark.parametrize(
    ("mean", "sd", "verdict", "reason"),
    [
        (0.83, 0.005, "true", "as claimed"),
        (0.77, 0.005, "false", "opposite"),
        (0.801, 0.003, "false", "smaller"),
        (0.81, 0.05, "open", "too wide"),
    ],
)
def test_planted_truth_is_found(written, rng, mean, sd, verdict, reason):
    row = only_row(written(DIFFERENCE), small_tables(everywhere(mean), rng, sd=sd))
    assert (row["verdict"], reason in row["reason"]) == (verdict, True)
    assert row["low"] < mean - 0.8 < row["high"]
    assert (row["n"], row["cells"], row["seeds"], row["diverged"]) == (30, 3, 10, 0)
    assert (row["unit"], row["smallest"], row["smallest_reason"]) == ("fraction", 0.01, "a point")


def test_a_direction_turns_the_sign(written, rng):
    row = only_row(written(DIFFERENCE | {"direction": "less"}), small_tables(everywhere(0.77), rng))
    assert row["verdict"] == "true"
    assert row["estimate"] == pytest.approx(0.03, abs=0.005)


def test_what_holds_on_some_datasets_is_partly_true(written, rng):
    means = everywhere(0.86)
    means["a"]["mnist1d"] = 0.79
    row = only_row(written(DIFFERENCE), small_tables(means, rng))
    assert (row["verdict"], row["where"]) == ("partly", "on digits, on fashion_mnist")


def test_chance_is_uninformative(written, rng):
    means = everywhere(0.83)
    means["a"]["digits"] = means["b"]["digits"] = 0.1
    ledger = evaluate(claims_file.read(written(DIFFERENCE)), small_tables(means, rng))
    assert ledger.rows["reason"].item() == "too few cells: 2 of 3 are informative, 3 are needed"
    cells = ledger.cells.set_index("dataset")
    assert cells["informative"].to_dict() == {"digits": False, "mnist1d": True, "fashion_mnist": True}
    assert cells.loc["mnist1d", "cell"] == "mnist1d/depth=5"
    assert cells.loc["mnist1d", "estimate"] == pytest.approx(0.03, abs=0.01)
    assert cells["n"].eq(10).all()


@pytest.mark.slow
def test_trend_threshold_and_equivalence(written, rng):
    means = {name: dict.fromkeys(DATASETS, mean) for name, mean in (("a", 0.8), ("b", 0.82), ("c", 0.86))}
    tables = small_tables(means, rng)
    doses = [{"activation": name, "dose": dose} for name, dose in (("a", 0), ("b", 1), ("c", 3))]
    trend = only_row(written(DIFFERENCE | {"type": "trend", "arms": doses}), tables)
    assert (trend["verdict"], round(trend["estimate"], 2)) == ("true", 0.06)
    alone = {"arms": [{"activation": "a"}]}
    above = only_row(written(DIFFERENCE | alone | {"type": "threshold", "threshold": 0.75}), tables)
    assert (above["verdict"], above["threshold"], round(above["estimate"], 2)) == ("true", 0.75, 0.05)
    assert math.isnan(trend["threshold"])
    below = DIFFERENCE | alone | {"type": "threshold", "threshold": 0.9, "direction": "less"}
    assert round(only_row(written(below), tables)["estimate"], 2) == 0.1
    equal = DIFFERENCE | {"type": "equivalence", "smallest": 0.04}
    assert only_row(written(equal), tables)["verdict"] == "true"
    equal = DIFFERENCE | alone | {"type": "equivalence", "threshold": 0.8}
    assert only_row(written(equal), tables)["verdict"] == "true"
    assert only_row(written(equal | {"threshold": 0.5}), tables)["verdict"] == "false"


def test_arms_are_averaged_over_what_is_crossed(written, rng):
    means = {"a": 0.9, "b": 0.8, "c": 0.7, "d": 0.6}
    tables = small_tables({name: dict.fromkeys(DATASETS, mean) for name, mean in means.items()}, rng)
    tables["runs"] = tables["runs"].assign(centred=tables["runs"]["activation"].isin(["b", "d"]))
    tables["runs"]["activation"] = tables["runs"]["activation"].replace({"b": "a", "c": "b", "d": "b"})
    row = only_row(written(DIFFERENCE | {"over": {"centred": [False, True]}}), tables)
    assert row["estimate"] == pytest.approx(0.2, abs=0.01)
    with pytest.raises(StudyError, match=r"claim C1\.arms: activation=a fits several runs of one cell: digits/a"):
        only_row(written(DIFFERENCE), tables)


def test_what_the_study_lacks_keeps_its_place(written, rng):
    tables = small_tables(everywhere(0.803), rng, seeds=5)
    lost = DIFFERENCE | {"experiment": "lost"}
    absent = DIFFERENCE | {"arms": [{"activation": "a"}, {"activation": "gone"}]}
    cost = DIFFERENCE | {"metric": COST, "options": {"quantity": "step"}}
    del cost["experiment"]
    alone = only_row(written(DIFFERENCE), tables)
    rows = evaluate(claims_file.read(written(DIFFERENCE, lost, absent, cost)), tables).rows
    assert rows["verdict"].tolist()[1:] == ["open"] * 3
    assert rows["reason"].tolist()[1:] == [
        "not in this study",
        "not in this study: no runs of activation=gone",
        "not in this study",
    ]
    assert rows["p_superior"][0] >= alone["p_superior"]
    assert rows["n"].tolist()[1:] == [0, 0, 0]
    tables["runs"]["status"] = "no_data"
    assert only_row(written(DIFFERENCE), tables)["reason"] == "no data"


def test_missing_replicas_and_divergence(written, rng):
    tables = small_tables(everywhere(0.83), rng)
    runs = tables["runs"]
    runs.loc[
        runs["replicate"].eq(3) & runs["dataset"].eq("digits") & runs["role"].eq("evaluation"),
        ["test_accuracy", "status"],
    ] = [0.1, "diverged"]
    tables["runs"] = runs.drop(index=runs.index[runs["replicate"].eq(9) & runs["run"].eq("mnist1d/b/depth=5")])
    row = only_row(written(DIFFERENCE), tables)
    assert (row["n"], row["seeds"], row["diverged"], row["networks"]) == (29, 9, 2, 59)


def test_exploratory_rows_are_estimated_and_cost_nothing(written, rng):
    tables = small_tables(everywhere(0.83), rng)
    alone = only_row(written(DIFFERENCE), tables)
    rows = evaluate(claims_file.read(written(DIFFERENCE, DIFFERENCE | {"type": "exploratory"})), tables).rows
    assert rows["p_superior"][0] == alone["p_superior"]
    assert rows["verdict"][1] == "exploratory"
    assert rows["estimate"][1] == rows["estimate"][0]
    assert np.isnan(rows["p_superior"][1])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("other", "verdict", "reason"),
    [
        (0.86, "true", "as claimed; its check, C1.2, holds"),
        (0.80, "open", "the manipulation failed: its check, C1.2, shows that the runs do not differ"),
        (0.74, "open", "the manipulation failed: its check, C1.2"),
    ],
)
def test_a_check_that_fails_takes_the_verdict_back(written, rng, other, verdict, reason):
    means = everywhere(0.83) | {"c": dict.fromkeys(DATASETS, other)}
    checked = DIFFERENCE | {"check": "C1.2"}
    check = DIFFERENCE | {"type": "exploratory", "arms": [{"activation": "c"}, {"activation": "b"}]}
    rows = evaluate(claims_file.read(written(checked, check)), small_tables(means, rng)).rows
    assert (rows["verdict"][0], reason in rows["reason"][0]) == (verdict, True)
    assert rows["estimate"][0] == pytest.approx(0.03, abs=0.01)
    few = evaluate(claims_file.read(written(checked, check)), small_tables(means, rng, seeds=3)).rows
    assert few["reason"][0] == "too few seeds: 3 in some cell, 5 are the least"


@pytest.mark.slow
def test_identical_activations_are_seldom_told_apart(written, rng):
    """One function under two names and independent seeds, 200 studies: each way at most 5%, within chance."""
    read = claims_file.read(written(DIFFERENCE | {"smallest": 0.0}))
    tables = small_tables(everywhere(0.8), rng)
    found = []
    for _ in range(200):
        tables["runs"]["test_accuracy"] = 0.8 + 0.02 * rng.standard_normal(len(tables["runs"]))
        found.append(evaluate(read, tables).rows["verdict"].item())
    limit = 0.05 + 3 * math.sqrt(0.05 * 0.95 / 200)
    assert found.count("true") / 200 < limit
    assert found.count("false") / 200 < limit


def test_cost_is_judged_by_its_own_intervals(written):
    cost = pd.DataFrame(
        {"activation": ["relu"] * 3 + ["elu"] * 3 + ["tanh"] * 3, "quantity": "step", "width": [64, 256, 1024] * 3,
         "ratio_to_relu": [1.0] * 3 + [1.3, 1.25, 1.2] + [1.02, 1.0, 0.98], "pairs": 20}
    )  # fmt: skip
    cost = cost.assign(ratio_low=cost["ratio_to_relu"] * 0.98, ratio_high=cost["ratio_to_relu"] / 0.98)
    arms = [{"activation": "elu"}, {"activation": "relu"}]
    entry = DIFFERENCE | {"metric": COST, "options": {"quantity": "step"}, "arms": arms, "smallest": 0.0953}
    del entry["experiment"]
    row = only_row(written(entry), {"cost": cost})
    assert row["verdict"] == "true"
    assert row["estimate"] == pytest.approx(np.log([1.3, 1.25, 1.2]).mean())
    assert row["high"] - row["low"] == pytest.approx(2 * -math.log(0.98) / math.sqrt(3), rel=0.04)
    assert (row["cells"], row["n"]) == (3, 60)
    entry["arms"][0] = {"activation": "tanh"}
    assert only_row(written(entry), {"cost": cost})["verdict"] == "false"


def test_a_policy_goes_on_while_the_target_is_missed(written, rng):
    tables = small_tables({"a": {"digits": 0.8, "mnist1d": 0.6}, "b": {"digits": 0.9, "mnist1d": 0.7}}, rng, sd=0)
    runs = tables["runs"].query("role == 'evaluation'").assign(target=0.75)
    tuning = runs.assign(role="tuning", validation_accuracy=runs["test_accuracy"])
    tables["runs"] = pd.concat([runs, tuning], ignore_index=True)
    entry = {"test": "a, then b", "type": "policy", "experiment": "core", "stages": [["a"], ["b"]]}
    entry |= {"smallest": 0.06, "reason": "round"}
    ledger = evaluate(claims_file.read(written(entry)), tables)
    assert ledger.cells.set_index("dataset")["estimate"].to_dict() == pytest.approx({"digits": 0.1, "mnist1d": 0})
    hold_seeds_to_estimates(ledger.cells)
    assert ledger.rows["estimate"].item() == pytest.approx(0.05)
    assert ledger.rows["verdict"].item() == "costly"  # on digits, whatever the mean is
    assert "10.0 points on digits" in ledger.rows["reason"].item()
    entry["smallest"] = 0.11
    assert evaluate(claims_file.read(written(entry)), tables).rows["verdict"].item() == "little regret"
