"""docs/metrics.md is what the quantities say of themselves, and each has a formula and a source."""

import re
import runpy

import pytest

from activation_study.claims import metrics
from activation_study.core import registry
from activation_study.quantities.base import layer_metrics, measured
from activation_study.study.config import ROOT
from activation_study.tables.columns import TABLES

SCRIPT = runpy.run_path(str(ROOT / ".ci" / "metrics.py"))
MODULES = (*registry.modules("quantities.measures"), metrics)


def names(module):
    """What must be documented in it."""
    if module is metrics:
        return SCRIPT["derived"]()
    named = (item.gives if hasattr(item, "gives") else [item] for item in module.DECLARED)
    return [one.name for some in named for one in some]


def test_the_page_is_what_its_script_writes():
    assert (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8") == SCRIPT["page"](), "python .ci/metrics.py"


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__.rpartition(".")[2])
def test_each_has_a_formula_and_a_source_and_nothing_else_has(module):
    found = SCRIPT["documented"](module)
    assert sorted(found) == sorted(names(module))
    assert all(formula and source for formula, source in found.values())


def test_the_page_has_all_that_can_be_claimed():
    page = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
    listed = set(re.findall(r"(?m)^#### (?:metric )?`(\w+)`$", page))
    assert {*metrics.METRICS, metrics.COST, *layer_metrics(), *(given.name for _, given in measured())} == listed


def test_columns_that_formulas_name_are_there():
    formulas = " ".join(formula for formula, _ in SCRIPT["documented"](metrics).values())
    named = re.findall(r"`(\w+)\.(\w+)`", formulas)
    assert len(named) > 8
    assert all(column in TABLES[table] for table, column in named)
