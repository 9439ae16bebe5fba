"""All tables of a study: the absent ones are empty, and the rows of a few runs are those of the table."""

from __future__ import annotations

import pandas as pd

from activation_study.tables.columns import TABLES
from activation_study.tables.of_study import Tables


def test_an_absent_table_is_empty_and_has_its_columns():
    tables = Tables({"runs": pd.DataFrame({"run": ["a"]})})
    assert tables.missing == [name for name in TABLES if name != "runs"]
    assert list(tables["curves"]) == list(TABLES["curves"])
    assert tables["curves"].empty
    assert (tables | {"curves": tables["runs"]}).missing == [name for name in TABLES if name not in ("runs", "curves")]


def test_the_rows_of_a_few_runs():
    roles = ["tuning", "evaluation", "evaluation", "evaluation"]
    curves = pd.DataFrame({"run": ["a", "b", "a", "c"], "role": roles, "step": range(4)})
    tables = Tables({"curves": curves})
    assert tables.of_runs("curves", ["c", "a", "a", "z"], "evaluation")["step"].tolist() == [2, 3]
    assert tables.of_runs("curves", [], "evaluation").empty
