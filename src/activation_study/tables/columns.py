"""The schemas of a study's tables: every column's type, unit and meaning, in one place.

The data dictionary is printed from it; what reads, writes and validates tables goes by it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from activation_study.core.factors import Factors
from activation_study.core.names import NAME
from activation_study.quantities.base import layer_metrics, measured

SCHEMA_VERSION = 2


_CLAIM = r"[A-Za-z][A-Za-z0-9_-]{0,31}"


class Column(NamedTuple):
    """A column: its type (``str``, ``int``, ``float`` or ``bool``), its meaning, and whether a value may be missing.

    `low` and `high` bound numbers. A text is whole one of `pattern`; without one it is free, for people to read.
    """

    type: str
    meaning: str
    nullable: bool = False
    low: float | None = None
    high: float | None = None
    pattern: str | None = None


def _name(meaning: str, *, or_empty: bool = False) -> Column:
    return Column("str", meaning, pattern=f"({NAME})?" if or_empty else NAME)


def _one_of(meaning: str, *values: str) -> Column:
    return Column("str", meaning, pattern="|".join(values))


def _fraction(meaning: str, *, nullable: bool = False) -> Column:
    return Column("float", meaning, nullable, 0, 1)


REPLICA = {
    "run": Column("str", "run: dataset/activation/condition"),
    "role": _one_of("tuning (chooses the learning rate) or evaluation (fresh seeds, scored)", "tuning", "evaluation"),
    "replicate": Column("int", "number of the seed within its role", low=0),
    "learning_rate": Column("float", "learning rate", low=0),
}


def _of_factor(spec: Mapping[str, Any]) -> Column:
    """The column of a factor, by the JSON schema of its field."""
    known = next(part for part in spec.get("anyOf", [spec]) if part["type"] != "null")
    kind = {"string": "str", "integer": "int", "number": "float", "boolean": "bool"}[known["type"]]
    pattern = "|".join(known["enum"]) if "enum" in known else known.get("pattern", "").strip("^$") or None
    return Column(kind, spec["description"], "anyOf" in spec, known.get("minimum"), known.get("maximum"), pattern)


FACTORS = {name: _of_factor(spec) for name, spec in Factors.model_json_schema()["properties"].items()}

LATER_FACTORS = ("network", "clip")
"""Those that tables of this version may lack, as they came after some were published."""
LATER: dict[str, dict[str, Any]] = {
    "runs": {factor: Factors.defaults()[factor] for factor in LATER_FACTORS}
    | {"weight": lambda table: table["selected"].cast("float64")},
    "jobs": {"precision": "float32"},
    "ledger_cells": {"by_seed": ""},
}
"""All columns that tables of this version may lack, with the value that every row had then, or what tells it."""
_MOVED = "|".join(name for name in FACTORS if name not in ("activation", "dataset", "depth"))
RUN = re.compile(rf"({NAME})/({NAME})/depth=([1-9][0-9]{{0,3}})(,({_MOVED})=[A-Za-z0-9_.+-]+)*", re.ASCII)
"""A run's id, with its dataset, activation and depth."""
REPLICA["run"] = REPLICA["run"]._replace(pattern=RUN.pattern)

LAYER_METRICS = {
    name: Column(metric.type, metric.meaning, nullable=True, low=metric.low, high=metric.high)
    for name, metric in layer_metrics().items()
}

TESTS = ("difference", "equivalence", "trend", "threshold", "exact", "exploratory", "policy")
VERDICTS = (
    "true",
    "partly",
    "false",
    "open",
    "holds as stated",
    "wrong as stated",
    "little regret",
    "costly",
    "exploratory",
    "not tested",
)
FORMER_VERDICTS = ("supported", "reversed", "negligible", "inconclusive")
"""The words of earlier rules, which were others: none of them is one of the present verdicts."""

TABLES: dict[str, dict[str, Column]] = {
    "runs": {
        **REPLICA,
        **FACTORS,
        "selected": Column(
            "bool", "whether this is the run's learning rate of the largest weight, the only one that is probed"
        ),
        "weight": _fraction(
            "how many of all triples of tuning seeds select this learning rate; those of a run's rates sum to 1"
        ),
        "edge": Column("bool", "whether the selected rate stands on the edge of the grid"),
        "status": _one_of(
            "finished, diverged, pruned, or no_data where dataset or activation could not be used",
            "finished",
            "diverged",
            "pruned",
            "no_data",
        ),
        "steps_done": Column("int", "steps trained", low=0),
        "diverged_step": Column("int", "evaluation step that noticed the divergence", nullable=True, low=0),
        "train_loss": Column("float", "final cross-entropy on at most 1,000 training samples, nats", nullable=True),
        "train_accuracy": _fraction("final accuracy on the same", nullable=True),
        "validation_loss": Column("float", "last cross-entropy on the validation samples, nats", nullable=True),
        "validation_accuracy": _fraction("last accuracy on the validation samples", nullable=True),
        "test_loss": Column("float", "final cross-entropy on the test samples, nats", nullable=True),
        "test_accuracy": _fraction("final accuracy on the test samples", nullable=True),
        "time_to_target": Column(
            "float",
            "steps until the validation accuracy first reached the target, interpolated; missing if never",
            nullable=True,
        ),
        "reached": Column(
            "bool", "whether the target was reached; if not, the time is right-censored at the horizon", nullable=True
        ),
        "target": _fraction("the validation accuracy to reach"),
        "horizon": Column("int", "steps at which a time to target is right-censored", low=1),
        "area_under_loss": Column("float", "mean of log validation loss over log-spaced steps", nullable=True),
        "parameters": Column("int", "trained parameters of one network", low=0),
        "classes": Column("int", "classes of the dataset", low=0),
        "train_samples": Column("int", "training samples used", low=0),
    },
    "curves": {
        **REPLICA,
        "step": Column("int", "steps trained when evaluated", low=0),
        "train_loss": Column("float", "mean loss of the batches since the evaluation before", nullable=True),
        "validation_loss": Column("float", "cross-entropy on the validation samples, nats", nullable=True),
        "validation_accuracy": _fraction("accuracy on the validation samples", nullable=True),
    },
    "layers": {
        **REPLICA,
        "step": Column("int", "steps trained when probed", low=0),
        "layer": Column("int", "1 is nearest the input; depth + 1 is the output", low=1),
        **LAYER_METRICS,
        "units": Column("int", "units of the layer", low=1),
        "samples": Column(
            "int",
            "validation samples behind the activation metrics, times the positions of each where units are at several; "
            "the rate of dead units falls with them",
            low=1,
        ),
    },
    "measurements": {
        **REPLICA,
        "measurement": Column(
            "str",
            "; ".join(f"{given.name}: {given.meaning}" for _, given in measured()),
            pattern="[a-z][a-z_0-9]{0,39}",
        ),
        "step": Column("int", "steps trained when measured", low=0),
        "layer": Column("int", "1 is nearest the input; 0 is the whole network", low=0),
        "dose": Column("float", "what the measurement says; missing where there is none", nullable=True),
        "value": Column("float", "missing where it is undefined", nullable=True),
    },
    "timings": {
        "run": REPLICA["run"],
        "phase": _one_of(
            "data, training, validation, probe or measurement", "data", "training", "validation", "probe", "measurement"
        ),
        "seconds": Column("float", "wall-clock seconds", low=0),
        "replica_steps": Column("int", "training steps over all replicas", low=0),
        "device": Column("str", "device and float32 product in use"),
    },
    "jobs": {
        "run": REPLICA["run"],
        "started": Column("str", "when its job began, or the run before it there had ended, UTC"),
        "seconds": Column(
            "float", "wall-clock seconds from then until it had ended; runs that train together end together", low=0
        ),
        "device": Column("str", "device and float32 product in use; none without data"),
        "precision": _one_of("of the products: float32, or tf32, which rounds their factors", "float32", "tf32"),
        "threads": Column("int", "CPU threads of the arithmetic", low=1),
        "deterministic": Column("bool", "whether PyTorch was held to deterministic algorithms; a CPU needs no flag"),
        "processor": Column("str", "CPU, or GPU where one was used"),
        "python": Column("str", "version of Python"),
        "torch": Column("str", "version of PyTorch"),
        "numpy": Column("str", "version of NumPy"),
        "code": Column("str", "SHA-256 of the files that training depends on, one's own activation included"),
        "params": Column("str", "SHA-256 of the run's factors and settings"),
    },
    "cost": {
        "activation": FACTORS["activation"],
        "quantity": Column(
            "str",
            "op_forward, op_backward: the activations of a network alone; product: the linear layer on their "
            "output; sparse_product: that with the output as a sparse matrix, its ratio over ReLU's product; step: "
            "forward, backward and update of the network; inference: a batch; op_share: both ops over the step; "
            "saved_memory: what autograd keeps for the backward pass; step_memory: that, parameters, "
            "gradients and momentum; zero_fraction: of hidden activations; skippable_macs: multiplications by an "
            "exact zero in a forward pass",
            pattern="[a-z_]{1,40}",
        ),
        "unit": _one_of("ns/element, ms, bytes or fraction", "ns/element", "ms", "bytes", "fraction"),
        "width": Column("int", "units per layer", low=1),
        "median": Column("float", "median over the pairs, on one CPU thread; a count's value", low=0),
        "ratio_to_relu": Column("float", "median over the pairs of the ratio to ReLU in the same process", low=0),
        "ratio_low": Column("float", "lower end of its 95% interval; missing for a count", nullable=True, low=0),
        "ratio_high": Column("float", "upper end of its 95% interval; missing for a count", nullable=True, low=0),
        "pairs": Column("int", "timed pairs; 0 for a count", low=0),
    },
    "experiments": {
        "experiment": _name("experiment, by its name in the config"),
        "run": REPLICA["run"],
    },
    "activations": {
        "activation": FACTORS["activation"],
        "kind": _one_of("class, expression or module", "class", "expression", "module"),
        "definition": Column("str", "how it is defined"),
        "gain": Column(
            "float",
            "second-moment gain 1/sqrt(E phi(z)^2), z ~ N(0,1); E is also over the random slopes of RReLU, over 128 "
            "seeded draws of random initial parameters, and over units that differ",
        ),
        "chi": Column("float", "chi at that gain and q = 1: growth of the squared gradient norm per layer"),
        "mean": Column("float", "E phi(z)"),
        "slope_max": Column("float", "largest |phi'|"),
        "sigma_w2": Column(
            "float", "weight variance times fan-in at the edge of chaos, q = 1; missing if there is none", nullable=True
        ),
        "sigma_b2": Column("float", "bias variance there", nullable=True),
        "learnable": Column("bool", "whether it has parameters of its own"),
        "stochastic": Column("bool", "whether it is random in training"),
    },
    "portraits": {
        "activation": FACTORS["activation"],
        "x": Column("float", "pre-activation"),
        "value": Column("float", "phi(x) in evaluation mode"),
        "derivative": Column("float", "phi'(x)"),
    },
    "datasets": {
        "dataset": FACTORS["dataset"],
        "status": _one_of("available, unavailable or refused", "available", "unavailable", "refused"),
        "message": Column("str", "why there are none, or a note on the data"),
        "samples": Column("int", "samples, test set included", low=0),
        "features": Column("int", "values per sample", low=0),
        "classes": Column("int", "classes", low=0),
        "source": Column("str", "where the data came from"),
        "sha256": Column("str", "of the arrays"),
        "target": _fraction("validation accuracy that counts as reached"),
        "target_reason": Column("str", "why this target"),
    },
    "gaps": {
        "kind": _one_of("activation or dataset", "activation", "dataset"),
        "name": _name("its name in the config"),
        "status": _one_of("unavailable (it may be had another time) or refused", "unavailable", "refused"),
        "message": Column("str", "why"),
    },
    "ledger": {
        "family": _name("claims file; the rows of one are judged together (Holm)"),
        "claims_sha256": Column("str", "of that file"),
        "article": Column("bool", "whether it is the file, or the first of several, that says article: true"),
        "claim": Column("str", "claim, by its name in the file", pattern=_CLAIM),
        "row": Column("str", "one test of the claim", pattern=rf"{_CLAIM}(\.[1-9][0-9]{{0,3}})?"),
        "quote": Column("str", "what the article says"),
        "section": Column("str", "where it says so"),
        "test": Column("str", "what is compared"),
        "type": _one_of("of the test, as in the file", *TESTS),
        "experiment": _name("experiment that holds the runs; empty if it needs none", or_empty=True),
        "metric": Column("str", "metric or computation"),
        "unit": Column("str", "of estimate, interval and smallest effect of interest"),
        "verdict": _one_of(
            "the outcome: of a test by its type's rules, of an exact row that it holds or is wrong", *VERDICTS
        ),
        "reason": Column("str", "why this verdict; the computation of an exact row"),
        "where": Column("str", "depths and datasets where a claim that is partly true is so"),
        "estimate": Column("float", "effect, positive as the claim has it; an exact row's number", nullable=True),
        "low": Column("float", "lower end of its 95% interval", nullable=True),
        "high": Column("float", "upper end", nullable=True),
        "trained_estimate": Column("float", "the estimate without diverged networks", nullable=True),
        "trained_low": Column("float", "lower end of its 95% interval", nullable=True),
        "trained_high": Column("float", "upper end", nullable=True),
        "lowest": Column("float", "the lowest estimate without one seed", nullable=True),
        "lowest_without": Column("str", "without which; empty where there are no seeds"),
        "highest": Column("float", "the highest", nullable=True),
        "highest_without": Column("str", "without which"),
        "one_rate_estimate": Column(
            "float", "the estimate with all arms of a cell at one learning rate, where one was evaluated", nullable=True
        ),
        "one_rate_low": Column("float", "lower end of its 95% interval", nullable=True),
        "one_rate_high": Column("float", "upper end", nullable=True),
        "one_rate_cells": Column("int", "cells that were compared so", nullable=True, low=0),
        "random_low": Column(
            "float", "lower end of the 95% interval over datasets, from twelve of them on", nullable=True
        ),
        "random_high": Column("float", "upper end", nullable=True),
        "new_low": Column("float", "lower end of the 95% prediction for a new dataset, likewise", nullable=True),
        "new_high": Column("float", "upper end", nullable=True),
        "informative_estimate": Column("float", "the estimate over informative cells alone", nullable=True),
        "standardised": Column("float", "effect over the standard deviation of the paired differences", nullable=True),
        "superiority_probability": _fraction("P(A > B) over paired seeds, ties half", nullable=True),
        "p_superior": _fraction("Holm's p-value for an effect in the claimed direction", nullable=True),
        "p_negligible": _fraction("for an effect below the smallest of interest", nullable=True),
        "p_reversed": _fraction("for an effect in the other direction", nullable=True),
        "p_superior_raw": _fraction("p_superior before Holm's correction", nullable=True),
        "same_verdict": _fraction("probability of the same verdict with fresh seeds, simulated", nullable=True),
        "n": Column("int", "paired values; timed pairs of a cost", nullable=True, low=0),
        "cells": Column("int", "dataset × condition cells; widths of a cost", nullable=True, low=0),
        "informative_cells": Column(
            "int", "of them, where not every arm is at chance or without the target", nullable=True, low=0
        ),
        "seeds": Column("int", "fewest pairs of a cell", nullable=True, low=0),
        "tuning_seeds": Column(
            "int", "tuning seeds whose choice of the rate the interval holds; 0: none", nullable=True, low=0
        ),
        "diverged": Column("int", "diverged networks, at all rates that count", nullable=True, low=0),
        "networks": Column("int", "networks, likewise", nullable=True, low=0),
        "threshold": Column("float", "what the estimate is the distance from", nullable=True),
        "smallest": Column("float", "smallest effect of interest, fixed beforehand", nullable=True),
        "smallest_reason": Column("str", "why that"),
        "minimum_detectable": Column("float", "effect that would be found with a power of 80%", nullable=True),
        "seeds_to_settle": Column(
            "int", "evaluation seeds that would settle an open row; of a cost, timed pairs", nullable=True, low=0
        ),
        "known": Column("str", "what is known from elsewhere"),
        "source": Column("str", "where from"),
        "correction": Column("str", "the right statement, where the article's is wrong as written"),
        "decided": Column("str", "what was fixed before results were seen, and what was changed after them"),
    },
    "ledger_cells": {
        "family": _name("claims file"),
        "row": Column("str", "row of the ledger", pattern=rf"{_CLAIM}(\.[1-9][0-9]{{0,3}})?"),
        "cell": Column("str", "dataset and condition, or a cost's width"),
        "dataset": _name("dataset, by its name in the config; empty for a cost", or_empty=True),
        "estimate": Column("float", "effect in this cell", nullable=True),
        "low": Column("float", "lower end of its 95% interval", nullable=True),
        "high": Column("float", "upper end", nullable=True),
        "n": Column("int", "paired values", low=0),
        "informative": Column("bool", "whether not every arm is at chance or without the target"),
        "by_seed": Column(
            "str", "the paired values, seed by seed, with blanks between them; nan: none; empty of a cost, or not kept"
        ),
    },
}


_REPLICA = tuple(REPLICA)
OLDER = {"ledger": {"verdict": _one_of("the outcome", *VERDICTS, *FORMER_VERDICTS)}}
"""Columns that tables of an older version may have with other values."""

KEYS: dict[str, tuple[str, ...]] = {
    "runs": _REPLICA,
    "curves": (*_REPLICA, "step"),
    "layers": (*_REPLICA, "step", "layer"),
    "measurements": (*_REPLICA, "measurement", "step", "layer", "dose"),
    "timings": ("run", "phase"),
    "jobs": ("run",),
    "cost": ("activation", "quantity", "width"),
    "experiments": ("experiment", "run"),
    "activations": ("activation",),
    "portraits": ("activation", "x"),
    "datasets": ("dataset",),
    "gaps": ("kind", "name"),
    "ledger": ("family", "row"),
    "ledger_cells": ("family", "row", "cell"),
}
"""The columns of each table whose values together name a row."""


def data_dictionary() -> str:
    """Every table and column as Markdown."""
    parts = [f"# Tables (schema version {SCHEMA_VERSION})"]
    for name, columns in TABLES.items():
        parts.append(f"\n## {name}\n\n| column | type | meaning |\n|---|---|---|")
        parts += [
            f"| {c} | {s.type}{', may be missing' if s.nullable else ''} | {s.meaning} |" for c, s in columns.items()
        ]
    return "\n".join(parts) + "\n"
