"""docs/metrics.md from the quantities: what they declare, and the formula and source in their module's docstring.

python .ci/metrics.py
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

from activation_study.claims import metrics
from activation_study.core import registry
from activation_study.quantities.base import LayerMetric, Measured, Measurement

PAGE = Path(__file__).resolve().parents[1] / "docs" / "metrics.md"
HEAD = """\
# Metrics

Every quantity that the study measures, and every metric that a claim can name: meaning, unit, formula, source and
place. `.ci/metrics.py` writes this page from the code, and a test holds the two together.

- A *layer metric* is a column of `results/<study>/tables/layers.parquet`: at every probe, for each hidden layer;
  gradients for the output layer as well.
- A *measurement* is taken where an experiment's `measure` names it, and gives rows of `measurements.parquet`.
- A *metric for claims* gives one value per network; what follows from it stands in `ledger.parquet`.

"This study's" is said where no paper has the formula. All formulas are of one network; hidden layers are counted from
the input, from 1.

"""
CLAIMED = """\
## Metrics for claims

A claim names one as its `metric`. Its option `layers` is all (if left out), first, inner (all but the first), last or a
number; `step` is last (if left out), first, mean or a number; the value is the mean over those layers, then over those
steps. Every layer metric and measurement above is a metric, but for those that say otherwise; where two have one name,
the claim's is the measurement. What follows is computed from the tables. A diverged network counts by what they say of
it: accuracy 1/K, a loss of ln K, and never at the target.

"""
WHEN = {"evaluation": "at every evaluation", "probe": "at every probe", "end": "after training"}


def page() -> str:
    """The whole text."""
    modules = registry.modules("quantities.measures")
    layers = [module for module in modules if any(isinstance(item, LayerMetric) for item in module.DECLARED)]
    measuring = [module for module in modules if module not in layers]
    taken = "".join(map(of_layers, layers)), "".join(map(of_measurements, measuring))
    whole = f"{HEAD}## Layer by layer\n\n{taken[0]}## Measurements\n\n{taken[1]}{CLAIMED}{of_claims()}"
    return whole.rstrip() + "\n"


def of_layers(module: ModuleType) -> str:
    formulas = documented(module)
    parts = [heading(module)]
    for metric in module.DECLARED:
        bounds = f", {metric.low} to {metric.high}" if metric.high is not None else ""
        claimed = "" if metric.claimed else " No claim's metric as it stands."
        where = f"Unit: {metric.unit}{bounds}. Column `layers.{metric.name}`.{claimed}"
        parts.append(entry(metric.name, metric.meaning, where, formulas))
    return "".join(parts)


def of_measurements(module: ModuleType) -> str:
    formulas = documented(module)
    parts = [heading(module)]
    for measurement, given in measured(module):
        claimed = "" if given.claimed else " No claim's metric as it stands."
        rows = f"Rows `{given.name}` of `measurements`, with `measure: {measurement.name}`, {WHEN[measurement.when]}."
        parts.append(entry(given.name, given.meaning, f"Unit: {given.unit}. {rows}{claimed}", formulas))
    return "".join(parts)


def measured(module: ModuleType) -> Iterator[tuple[Measurement, Measured]]:
    return ((item, given) for item in module.DECLARED if isinstance(item, Measurement) for given in item.gives)


def of_claims() -> str:
    formulas = documented(metrics)
    parts = [f"{notation(metrics)[-1]}\n\n"]
    for name in derived():
        if name == metrics.COST:
            meaning, where = "how many times ReLU's cost an activation has", "Unit: log ratio. Option: `quantity`."
        else:
            metric = metrics.METRICS[name]
            options = f" Options: {', '.join(f'`{option}`' for option in metric.options)}." if metric.options else ""
            measure = f" It needs `measure: {metric.measure}`." if metric.measure else ""
            role = " Of tuning networks." if metric.role == "tuning" else ""
            meaning, where = metric.meaning, f"Unit: {metric.unit}.{options}{measure}{role}"
        parts.append(entry(name, meaning, where, formulas, anchor="metric "))
    return "".join(parts)


def derived() -> list[str]:
    """The metrics that are more than a quantity as it stands."""
    return [*(name for name, one in metrics.METRICS.items() if metrics._DERIVED.get(name) is not one), metrics.COST]


def entry(name: str, meaning: str, where: str, formulas: dict[str, tuple[str, str]], anchor: str = "") -> str:
    formula, source = formulas[name]
    said = " ".join(meaning.split())
    said = f"{said[0].upper()}{said[1:]}{'' if said.endswith(('.', '.)')) else '.'} {where}"
    return f"#### {anchor}`{name}`\n\n{said}\n\n- Formula: {formula}\n- Source: {source}\n\n"


def heading(module: ModuleType) -> str:
    return f"### {notation(module)[0].rstrip('.')}\n\n{' '.join(notation(module)[1:])}\n\n"


def notation(module: ModuleType) -> list[str]:
    """The paragraphs of its docstring, but for the formulas."""
    paragraphs = [" ".join(part.split()) for part in (inspect.getdoc(module) or "").split("\n\n")]
    return [part for part in paragraphs if "Source: " not in part]


def documented(module: ModuleType) -> dict[str, tuple[str, str]]:
    """Name → formula and source, from the lines `name: formula. Source: paper.` of its docstring."""
    lines = re.findall(r"(?m)^([a-z_0-9]+): (.*(?:\n {4}.*)*)", inspect.getdoc(module) or "")
    pairs = ((name, " ".join(text.split()).partition(". Source: ")) for name, text in lines)
    return {name: (formula, source) for name, (formula, _, source) in pairs}


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
