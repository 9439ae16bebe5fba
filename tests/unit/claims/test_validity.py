"""What the study says of itself, on tables whose truth is known."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from activation_study.analysis.controls import Twins
from activation_study.claims.validity import family_size, planted_power, validity
from activation_study.core.tuning import Replicates
from weighted import weighted

LEDGER = pd.DataFrame(
    [
        ("A", "true", 0.01, "as claimed"),
        ("B", "false", 1.0, "the opposite holds"),
        ("C", "open", 0.2, "one seed decides: true, but open without evaluation seed 3 of digits/depth=5"),
        ("D", "partly", 0.2, "true on digits, and not shown elsewhere"),
        ("E", "exploratory", np.nan, "estimated, not judged"),
        ("F", "holds as stated", np.nan, "by computation"),
    ],
    columns=["row", "verdict", "p_superior", "reason"],
).assign(family="claims", type=[*["difference"] * 4, "exploratory", "exact"])
CELLS = pd.DataFrame(
    [("A", f"{dataset}/depth={depth}", dataset) for dataset in ("d", "m") for depth in (5, 20)]
    + [("B", f"{dataset}/depth=5", dataset) for dataset in ("d", "m", "f")]
    + [("C", f"width={width}", "") for width in (64, 256)]
    + [("E", f"{dataset}/depth=5", dataset) for dataset in ("d", "m", "f")],
    columns=["row", "cell", "dataset"],
).assign(family="claims")


def test_every_part_of_every_judged_row_is_a_test():
    """A: whole, two depths, two datasets; B: whole, three datasets; C: whole, two widths; D has no data."""
    assert family_size(LEDGER, CELLS) == 5 + 4 + 3 + 1
    assert family_size(LEDGER.iloc[:0], CELLS) == 0


def test_what_the_file_holds():
    runs = weighted(lambda *_: 0.7, lost=lambda activation, dataset, seed: activation == "a" and seed < 2)["runs"]
    tables = {"runs": runs, "portraits": pd.DataFrame(columns=["activation", "x", "value", "derivative"])}
    tables |= {"ledger": LEDGER, "ledger_cells": CELLS}
    alone = validity(tables)
    evaluated = runs[runs["role"] == "evaluation"]
    assert alone == {
        "aa_alarms": None,
        "aa_tests": None,
        "power_at_1_5_smallest": None,
        "power_of_accuracy": None,
        "power_of_time": None,
        "verdicts_same_share": None,
        "verdicts_reversed": None,
        "verdicts_second": {},
        "rows_undone_by_one_seed": 1,
        "diverged": int((evaluated["status"] == "diverged").sum()),
        "networks": len(evaluated),
    }
    assert alone["diverged"] > 0
    second = LEDGER.assign(verdict=["false", "false", "open", "open", "exploratory", "wrong as stated"])
    assert validity(tables | {"ledger": LEDGER.iloc[:0]}, LEDGER)["rows_undone_by_one_seed"] is None
    both = validity(tables, second)
    assert (both["verdicts_same_share"], both["verdicts_reversed"]) == (0.5, 1)
    assert both["verdicts_second"] == {f"claims {row}": second["verdict"][place] for place, row in enumerate("ABCD")}
    less = second.assign(verdict=["not tested", *second["verdict"][1:]])
    assert "claims A" not in validity(tables, less)["verdicts_second"], "that both tested"
    policies = {"type": "policy", "verdict": "open"}
    more = [pd.concat([ledger, ledger.iloc[:1].assign(row="G", **policies)]) for ledger in (LEDGER, second)]
    assert validity(tables | {"ledger": more[0]}, more[1])["verdicts_same_share"] == 0.5, "policies have no test"


def drawn(rng, sd=1.0):
    noise = rng.normal(0, sd, (20, 10))
    blocks = [Replicates(one, one + np.zeros((6, 1))) for one in noise]
    return Twins("a", "b", "digits/depth=5", "test_accuracy", blocks)


@pytest.mark.slow
def test_power_follows_the_size_of_the_planted_effect():
    twins = [drawn(np.random.default_rng(3))]
    strong, weak, none = (planted_power(twins, smallest, 20) for smallest in (2.0, 0.5, 1e-9))
    assert strong > 0.99
    assert 0.05 < weak < 0.9
    assert none < 0.02
    assert np.isnan(planted_power(twins, 1.0, 0))
    assert np.isnan(planted_power([], 1.0, 20))
    assert np.isnan(planted_power([replace(pair, as_judged=False) for pair in twins], 1.0, 20))
    # Noncentral t, one-sided at .05/20, three cells of ten: the rules' first condition alone, so no less than all.
    t = 0.75 * np.sqrt(30)
    assert weak < stats.nct.sf(stats.t.isf(0.05 / 20, 27), 27, t) + 0.08
