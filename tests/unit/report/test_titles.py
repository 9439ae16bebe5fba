"""Titles of figures say what was found, and something plain where nothing was: every branch, from made-up numbers."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from activation_study.report import page
from activation_study.report.sections import (
    answer,
    centring,
    comparisons,
    convergence,
    cost,
    data_size,
    decay,
    gradients,
    ledger,
    new_datasets,
    noise,
    preactivations,
    ranking,
    rates,
    regret,
    starts,
    trade_off,
    two_inputs,
    unit_history,
    units,
    validity,
)
from activation_study.report.words import MOST_WORDS, fitting


def test_the_first_title_that_is_short_enough_is_taken():
    long, short = "a " * (MOST_WORDS + 1), "a " * MOST_WORDS
    assert fitting(long, short, "b") == short
    assert fitting(long, long + "c") == long + "c"


def _changes(*decades: float) -> pd.DataFrame:
    return pd.DataFrame({"activation": ["a", "b"], "depth": [5, 20], "start": decades})


def _steps(**ratios: float) -> pd.DataFrame:
    return pd.DataFrame({"activation": list(ratios), "quantity": "step", "ratio_to_relu": list(ratios.values())})


def _most(measured: float) -> pd.Series:
    return pd.Series({"activation": "a", "initialisation": "gain", "depth": 20, "measured": measured})


def _least(policy: str) -> pd.DataFrame:
    return pd.DataFrame({"said": ["x", "y"], "policy": ["random", policy], "worst": [0.05, 0.012]})


def _firsts(*names: str) -> list[pd.Series]:
    return [pd.Series({"activation": name}) for name in names]


def _sums(died: float, revived: float) -> pd.DataFrame:
    return pd.DataFrame({"died": [0.5, died], "revived": [0.5, revived]}, index=[5, 20])


def _over(p, differences):
    return pd.DataFrame({"activation": list("abcdefghi")[: len(p)], "p_holm": p, "difference": differences})


def _effects(*differences):
    """An interval of half a point around each."""
    found = pd.DataFrame({"activation": list("abc")[: len(differences)], "difference": differences})
    return found.assign(difference_low=found["difference"] - 0.005, difference_high=found["difference"] + 0.005)


def _centred(**signs: int) -> pd.DataFrame:
    """A pair for each dataset, whose interval lies below 1, above it or on both sides."""
    rows = [(name, sign - 0.5, sign + 0.5) for name, sign in signs.items()]
    return pd.DataFrame(rows, columns=["dataset", "log_ratio_low", "log_ratio_high"])


def _robust(*best: str) -> pd.DataFrame:
    rows = [("x", 2 + place, name, 0.1) for place, name in enumerate(best)]
    rows += [("x", 2 + place, "z", -0.1) for place in range(len(best))]
    return pd.DataFrame(rows, columns=["dataset", "depth", "activation", "above_median"])


def _fewest(*best: str, wide: float = 0.1, gaps: dict[str, str] | None = None) -> pd.DataFrame:
    """`gaps`: by dataset whose gap lies below the other's."""
    rows = [(f"d{place}", name, 0.9, 300) for place, name in enumerate(best)]
    rows += [(f"d{place}", "z", 0.1, 300) for place in range(len(best))]
    frame = pd.DataFrame(rows, columns=["dataset", "activation", "test_accuracy", "train_samples"])
    ends = {f"test_accuracy_{end}": frame["test_accuracy"] + sign * wide for end, sign in (("low", -1), ("high", 1))}
    low = [name == (gaps or {}).get(dataset) for dataset, name in frame[["dataset", "activation"]].to_numpy()]
    gap = np.where(low, 0.1, 0.4)
    return frame.assign(**ends, accuracy_gap=gap, accuracy_gap_low=gap - wide / 5, accuracy_gap_high=gap + wide / 5)


DIFFER = "Some activations are particular about their learning rate"
EVEN = "On x no activation is more particular about its learning rate"
RATIO = pd.DataFrame({"a": [1.0, 2.0], "b": [1.5, 1.0], "c": [3.0, np.inf]})

SAID = [
    (gradients._title(_changes(-0.2, -7.7)), "b: the gradient shrinks 10⁸-fold through 20 layers"),
    (gradients._title(_changes(3.1, -2)), "a: the gradient grows 10³-fold through 5 layers"),
    (gradients._title(_changes(0.2, -0.9)), "No gradient changes tenfold through 20 layers"),
    (gradients._title(_changes(np.nan, np.nan)), "Where the gradient goes"),
    (decay._agreement(pd.Series([0.0, 0.01, 0.5])), "Theory foretells the gradients in 2 of 3 cases"),
    (decay._agreement(pd.Series([0.0, 0.1, 0.5])), "Theory misses the measured gradients in 2 of 3 cases"),
    (decay._lost(_most(-7.7)), "a, unit gain: 10⁸ times less gradient 20 layers down"),
    (decay._lost(_most(-0.9)), "No gradient shrinks tenfold through 20 layers, however begun"),
    (
        two_inputs._title(pd.DataFrame({"activation": ["a", "b"], "layers": 20, "cosine": [0.2, 0.954]})),
        "After 20 layers of b, perpendicular inputs have cosine 0.95",
    ),
    (
        two_inputs._title(pd.DataFrame({"activation": ["a"], "layers": 20, "cosine": [0.0]})),
        "Perpendicular inputs stay apart through 20 layers",
    ),
    (rates._title(pd.Series({"a": 3.0, "b": 1.0}), "x"), "Most particular about the learning rate on x: b"),
    (rates._title(pd.Series({"a": 3, "b": 1}), "v w x y z"), DIFFER),
    (rates._title(pd.Series({"a": 3.0, "b": 3.0}), "x"), EVEN),
    (
        rates._title(pd.Series({"a": 1.0, "b": 3.0, "c": 1.0}), "x"),
        "Most particular about the learning rate on x: a and c",
    ),
    (rates._title(pd.Series(dtype=float), "x"), EVEN),
    (cost._title(_steps(relu=9.0, a=1.2, b=1.57)), "b's training step takes 1.6 times ReLU's"),
    (
        cost._title(pd.concat([_steps(relu=1.0, a=1.2, b=1.4), _steps(a=1.3, b=2.0)])),
        "b's training step takes 1.4 to 2.0 times ReLU's",
    ),
    (cost._title(_steps(relu=9.0, a=1.04)), "No activation makes a training step much longer than ReLU"),
    (trade_off._title([["a", "b"], ["b", "c"]]), "Unbeaten in time and accuracy at every depth: b"),
    (trade_off._title([["a", "b"]]), "Unbeaten in time and accuracy here: a and b"),
    (trade_off._title([["a"], ["b"]]), "No activation is unbeaten in time and accuracy at every depth"),
    (trade_off._title([["relu", "very leaky relu"]] * 2), "relu and very leaky relu are unbeaten in time and accuracy"),
    (trade_off._title([["very leaky relu", "leaky 2", "r"]]), "Unbeaten in both: very leaky relu, leaky 2 and r"),
    (trade_off._title([list("abcd")] * 2), "Four activations are unbeaten in time and accuracy at every depth"),
    (trade_off._title([list("abcdefghijk")] * 2), "11 activations are unbeaten in time and accuracy at every depth"),
    (centring._relation({"x": (0.9, 0.2), "y": (-0.9, 1)}), "Off-centre and slow: rank correlations of −0.90 to +0.90"),
    (centring._relation({"x": (0.3, 0.2), "y": (np.nan, np.nan)}), "Off-centre and slow: rank correlation of +0.30"),
    (centring._relation({"x": (np.nan, np.nan)}), "How far off centre and how fast activations are"),
    (centring._relation({"x": (0.3, 0.2)}, "Two are slow"), "Two are slow"),
    (centring._relation({"x": (0.9, 0.01), "y": (0, 1)}), "Off-centre activations are slower on 1 of two datasets"),
    (centring._relation({"x": (-0.9, 0.01), "y": (0, 1)}), "Off-centre activations are faster on 1 of two datasets"),
    (
        centring._relation({"x": (-0.9, 0.01), "y": (0.9, 0.01)}),
        "Whether off-centre activations are slower depends on the dataset",
    ),
    (centring._speeds_up(_centred(x=-1, y=-1, z=1)), "Centring speeds learning up in 2 of 3 pairs"),
    (centring._speeds_up(_centred(x=1, y=1, z=0)), "Centring slows learning down in 2 of 3 pairs"),
    (centring._speeds_up(_centred(x=-1, y=0)), "Centring speeds learning up in 1 of 2 pairs, all on x"),
    (regret._title(_least("step 2")), "The article's best step loses 1.2 points on its worst dataset"),
    (regret._title(_least("guide")), "The best rule loses 1.2 points on its worst dataset"),
    (ranking._title(_firsts("a", "a")), "a scores most in every panel"),
    (ranking._title(_firsts("a", "b")), "In every panel another activation scores most"),
    (ranking._title(_firsts("a", "b", "a")), "None scores most everywhere; a does in 2 of 3"),
    (comparisons._title(RATIO), "b is never slower than 1.5 times the fastest"),
    (comparisons._title(RATIO[["c"]]), "No activation reaches every task's target"),
    (convergence._always(["a"], 3, ""), "1 of 3 activations reach the target with every network"),
    (convergence._always([], 3, ""), "No activation reaches the target with every network"),
    (convergence._always([], 3, " at 5 layers"), "At 5 layers, none always reaches the target"),
    (convergence._always(["a"], 3, " at 5 and 20 layers"), "At 5 and 20 layers, 1 of 3 always reaches the target"),
    (
        convergence._always(["a", "b"], 3, " at 5, 10, 15 and 20 layers"),
        "Where all were trained, 2 of 3 always reach the target",
    ),
    (units._title(pd.Series({"a": 0.24, "b": 0.1}), 20), "24% of a's units are dead after training, 20 layers"),
    (units._title(pd.Series({"a": 0.04, "b": np.nan}), 20), "Hardly any unit is dead after training"),
    (unit_history._fate("a", _sums(0.5, 0.01)), "Units of a that die stay dead"),
    (unit_history._fate("a", _sums(0.0, 0.0)), "Units of a that die stay dead"),
    (unit_history._fate("a", _sums(0.5, 0.1)), "Of a's units that die 20% revive, 20 layers"),
    (unit_history._fate("a", _sums(0.5, 0.6)), "More of a's units revive than die, 20 layers"),
    (unit_history._harm(pd.Series({"a": 0.8, "b": 0.0})), "A negative bias starts a with 80% of a layer dead"),
    (unit_history._harm(pd.Series({"a": 0.001})), "With a negative bias no unit begins dead"),
    (preactivations._widens(pd.Series({"a": 3.2, "b": 1.0})), "Training widens pre-activations most with a: 3.2 times"),
    (preactivations._widens(pd.Series({"a": 1.0})), "Training widens no activation's pre-activations much"),
    (preactivations._widens(pd.Series({"a": np.nan})), "Training widens no activation's pre-activations much"),
    (new_datasets._title(_over([0.2, 0.01], [0.02, -0.1]), 18), "Over 18 datasets none is shown to beat relu"),
    (new_datasets._title(_over([0.01, 0.2], [0.02, 0.1]), 18), "Over 18 datasets a beats relu"),
    (new_datasets._title(_over([0.01, 0.01], [0.02, 0.1]), 18), "Over 18 datasets b and a beat relu"),
    (
        new_datasets._title(_over([0.01] * 9, [0.1] * 9), 18),
        "Over 18 datasets nine activations beat relu, a most",
    ),
    (starts._title(_effects(0.004, -0.003)), "Scaling by the data is not shown to matter for accuracy"),
    (starts._title(_effects(0.03, 0.02, -0.001)), "Scaling by the data helps 2 of three activations, a most"),
    (starts._title(_effects(-0.03, 0.001)), "Scaling by the data costs 1 of two activations accuracy"),
    (noise._title(_robust("a", "b", "a")), "a keeps most accuracy under noise in 2 of 3 panels"),
    (noise._title(_robust("a", "b")), "No activation keeps most accuracy under noise everywhere"),
    (data_size._title(_fewest("a", "a", "b")), "With 300 samples a leads on 2 of 3 datasets"),
    (data_size._title(_fewest("a", "b")), "With 300 training samples each dataset has another best"),
    (
        data_size._title(_fewest("a", "b", wide=0.5)),
        "With 300 training samples no activation's accuracy or gap stands out",
    ),
    (
        data_size._title(_fewest("a", "b", wide=0.5, gaps={"d1": "b"})),
        "With 300 samples no accuracy stands out; b's gap does on d1",
    ),
    (
        data_size._title(_fewest("a", "b", wide=0.5, gaps={"d0": "a", "d1": "b"})),
        "With 300 samples no accuracy stands out, but gaps do",
    ),
    (validity._title(9, 80), "2.2 times as many false alarms as promised: 9 in 80"),
    (validity._title(4, 80), "As many false alarms as promised: 4 in 80"),
    (validity._title(0, 400), "Fewer false alarms than promised: 0 in 400"),
]  # fmt: skip


@pytest.mark.parametrize(("title", "expected"), SAID)
def test_a_title_says_what_was_found(title: str, expected: str):
    assert title == expected
    assert len(title.split()) <= MOST_WORDS


@pytest.mark.parametrize(
    ("level", "verdicts", "expected"),
    [
        ([False, False, True], True, "c scores most, and none is shown to be as good"),
        ([False, True, True], True, "c scores most, and b as much within a point"),
        ([True, True, True], True, "c scores most, and b and a as much within a point"),
        ([True, True, True], False, "c scores most in this small run"),
    ],
)
def test_the_answers_title_names_those_that_are_as_good(level: list[bool], verdicts: bool, expected: str):
    frame = pd.DataFrame({"activation": ["a", "b", "c"]})
    assert answer._title(SimpleNamespace(gives_verdicts=verdicts), frame, pd.Series(level)) == expected


def _study(*reached: int) -> SimpleNamespace:
    """A panel per number: how many networks of a, the faster one, reached its target."""
    rows = [
        {
            "dataset": f"d{place}",
            "depth": 5,
            "condition": "",
            "activation": name,
            "restricted_time": time,
            "reached": count,
        }
        for place, count in enumerate(reached)
        for name, time in (("a", 1.0), ("b", 2.0))
    ]
    return SimpleNamespace(ranking=pd.DataFrame(rows), pictured=[(f"d{place}", 5, "") for place in range(len(reached))])


@pytest.mark.parametrize(
    ("reached", "expected"),
    [
        ((3, 3), "a reaches the target first in 2 of 2 panels"),
        ((0, 3), "In every panel another activation reaches the target first"),
        ((0, 0), "No activation reaches a target"),
    ],
)
def test_the_curves_title_names_the_fastest(reached: tuple[int, ...], expected: str):
    assert convergence._fastest(_study(*reached)) == expected


def test_a_gap_stands_out_below_most_others_also_where_one_interval_is_wide():
    """As on mnist1d in the default study: the wide interval is PReLU's."""
    gaps = [(0.618, 0.667), (0.678, 0.700), (0.674, 0.705), (0.620, 0.781)]
    frame = pd.DataFrame(gaps, columns=["accuracy_gap_low", "accuracy_gap_high"])
    frame = frame.assign(accuracy_gap=frame.mean(axis=1), dataset="x", activation=list("abcd"))
    assert data_size._gaps(frame, "300") == "With 300 samples no accuracy stands out; a's gap does on x"
    level = frame.assign(accuracy_gap_low=0.6)
    assert data_size._gaps(level, "300").endswith("no activation's accuracy or gap stands out")


def test_the_depths_where_all_were_trained_are_said_where_they_are_all_of_it():
    depths = pd.Series([5, 20])
    assert convergence._where(depths, depths.iloc[:0]) == ""
    assert convergence._where(depths, pd.Series([50])) == " at 5 and 20 layers"
    assert convergence._where(depths, pd.Series([20, 50])) == " where all were trained"


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ([1, 2, 3, 4, 5, 6], "e and f, most off-centre, are among the three slowest everywhere"),
        ([1, 2, 3, 6, 4, 5], "e and f, most off-centre, are among the three slowest everywhere"),
        ([1, 2, 6, 5, 3, 4], ""),
        ([1, 2, 3, 4, 5, np.nan], ""),
    ],
)
def test_the_most_off_centre_are_named_where_they_are_slow_everywhere(steps: list[float], expected: str):
    one = pd.DataFrame({"activation": list("abcdef"), "of_units": range(6), "steps": steps})
    both = pd.concat([one.assign(dataset="x"), one.assign(dataset="y")])
    assert centring._farthest(both) == expected
    assert centring._farthest(both[both["of_units"] > 0]) == "", "of five, two of the three slowest say nothing"


@pytest.mark.parametrize(("apart", "same"), [(0.4, True), (1.9, True), (2.1, False)])
def test_datasets_say_the_same_within_a_quarter_or_half_a_decade(apart: float, same: bool):
    rows = [("x", "a", -8.0), ("y", "a", -8.0 + apart), ("x", "b", 0.1), ("y", "b", 0.0)]
    changes = pd.DataFrame(rows, columns=["dataset", "activation", "start"]).assign(depth=20, condition="")
    assert gradients._same(changes, "x", "y") is same
    assert f"by more than {apart} decades" in gradients._same_elsewhere(changes, "x", ["y"])


def test_networks_that_came_twice_count_once():
    row = {"dataset": "x", "activation": "a", "depth": 5, "optimiser": "sgd", "n": 9, "log_time_raw": 1.0}
    row |= {"log_time_centred": 0.5, "log_ratio": -0.5, "log_ratio_low": -0.6, "log_ratio_high": -0.4}
    pairs = pd.DataFrame([row | {"select": "accuracy"}, row | {"select": "speed"}, row | {"n": 10, "select": "speed"}])
    assert centring.distinct(pairs)[["n", "select"]].to_numpy().tolist() == [[9, "accuracy"], [10, "speed"]]


def test_a_gradient_of_zero_leaves_the_nearest_layers():
    rows = [(step, layer, 0.0 - step - layer) for step in (0, 5) for layer in (3, 2, 1)]
    flow = pd.DataFrame(rows, columns=["step", "layer", "gradient"]).assign(
        run="r", dataset="x", depth=3, condition="", activation="a"
    )
    flow.loc[(flow["step"] == 0) & (flow["layer"] == 1), "gradient"] = np.nan
    found = gradients._changes(flow).iloc[0]
    assert (found["start"], found["end"]) == (1.0, 2.0)


def test_rates_that_do_are_counted_where_all_ran_and_of_those_that_learn():
    """By hand: b is at chance, where every rate is its best; only a ran at 50 layers."""
    rates_ = pd.DataFrame(
        [
            ("a5", "a", 5, 0.1, 0.90), ("a5", "a", 5, 0.3, 0.89), ("a5", "a", 5, 1.0, np.nan),
            ("b5", "b", 5, 0.1, 0.10), ("b5", "b", 5, 0.3, 0.10), ("b5", "b", 5, 1.0, 0.10),
            ("c5", "c", 5, 0.1, 0.90), ("c5", "c", 5, 0.3, 0.60), ("c5", "c", 5, 1.0, np.nan),
            ("a50", "a", 50, 0.1, 0.50), ("a50", "a", 50, 0.3, 0.20), ("a50", "a", 50, 1.0, np.nan),
        ],
        columns=["run", "activation", "depth", "learning_rate", "validation_accuracy"],
    ).assign(dataset="x", condition="", selected=False, edge=False, diverged=0, pruned=0)  # fmt: skip
    widths = rates._widths(rates_, rates_[["run"]].assign(classes=10))
    assert widths.to_dict() == {"a": 2.0, "c": 1.0}
    assert "1 with c, 2 with a" in rates._sensitivity(widths, 2)


def test_seeds_settle_what_wants_power_alone():
    row = pd.Series({"experiment": "core", "seeds": 10, "seeds_to_settle": 40})
    assert ledger._settles(row) == "; 40 seeds would settle it"
    assert ledger._settles(pd.Series({**row, "seeds_to_settle": 2})) == ""
    assert ledger._settles(pd.Series({**row, "seeds_to_settle": np.nan})) == "; no number of seeds settles it"


def test_one_kind_of_apostrophe_stands_on_the_page():
    folder = Path(page.__file__).parent
    sources = [file for kind in ("*.py", "*.js", "*.j2") for file in folder.rglob(kind)]
    assert len(sources) > 30
    assert [
        file.name for file in sources if "\N{RIGHT SINGLE QUOTATION MARK}" in file.read_text(encoding="utf-8")
    ] == []
