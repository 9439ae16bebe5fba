"""The guide that the evidence supports: sentences made from the ledger's verdicts and the policies' regret.

Every sentence depends on a verdict and its numbers; where the ledger has no row, it says that there is no evidence.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from activation_study.analysis.policies import ARTICLE, article_rows
from activation_study.claims.verdicts import Outcome
from activation_study.core.numbers import decimals
from activation_study.guide.chooser import NEAR

STEPS = ("relu_first", "then_another", "with_time", "beyond")
"""The article's three steps, and what bears on a choice beyond them."""
NO_EVIDENCE = "There is no evidence on {about} in this study."


@dataclass(frozen=True)
class Sentence:
    """A statement of the guide with the ids of the ledger rows that it rests on; none: there is no evidence."""

    step: str
    text: str
    rows: tuple[str, ...] = ()


@dataclass(frozen=True)
class Rule:
    """What a row's verdict says: a sentence for each kind of verdict, with the row's numbers in `scale` times.

    Placeholders: {size} (the absolute estimate), {estimate}, {low} and {high}. An estimate without a test reads as
    the open one, and says so.
    """

    step: str
    row: str
    about: str
    yes: str
    no: str
    small: str
    open: str
    scale: str = "points"


RULES = (
    Rule(
        "then_another",
        "G2.1",
        "ELU against ReLU",
        yes="ELU beats ReLU, on average over datasets and depths by {size} points of test accuracy ({low} to {high}).",
        no="ELU is worse than ReLU, by {size} points of test accuracy ({low} to {high}).",
        small="ELU gains less than a point of test accuracy over ReLU ({low} to {high}).",
        open="Whether ELU beats ReLU is open: {estimate} points of test accuracy ({low} to {high}).",
    ),
    Rule(
        "then_another",
        "C27",
        "the slope of Leaky ReLU",
        yes="A Leaky ReLU should have a slope of 1/5.5 rather than 0.01: {size} points more ({low} to {high}).",
        no="A Leaky ReLU should keep its slope of 0.01: 1/5.5 costs {size} points ({low} to {high}).",
        small="A slope of 1/5.5 rather than 0.01 in a Leaky ReLU gains less than a point ({low} to {high}).",
        open="Which slope a Leaky ReLU should have is open: 1/5.5 over 0.01 makes {estimate} points on average ({low} "
        "to {high}), but not for sure or not on every dataset.",
    ),
    Rule(
        "then_another",
        "C36.1",
        "what ELU costs in training",
        yes="PyTorch's ELU costs time on this machine: a training step takes {estimate}% more than ReLU's ({low} to "
        "{high}).",
        no="PyTorch's ELU costs no time on this machine: a training step takes {estimate}% more than ReLU's ({low} to "
        "{high}).",
        small="PyTorch's ELU takes hardly longer than ReLU on this machine: {estimate}% of a training step ({low} to "
        "{high}).",
        open="Whether PyTorch's ELU takes longer than ReLU on this machine is open: {estimate}% of a training step "
        "({low} to {high}).",
        scale="ratio",
    ),
    Rule(
        "with_time",
        "C25.1",
        "RReLU against Leaky ReLU",
        yes="RReLU beats a Leaky ReLU of slope 0.01, by {size} points ({low} to {high}).",
        no="RReLU is worse than a Leaky ReLU of slope 0.01, by {size} points ({low} to {high}).",
        small="RReLU gains less than a point over a Leaky ReLU of slope 0.01 ({low} to {high}).",
        open="Whether RReLU beats a Leaky ReLU of slope 0.01 is open: {estimate} points ({low} to {high}).",
    ),
    Rule(
        "with_time",
        "C29.1",
        "RReLU against over-fitting",
        yes="RReLU over-fits less than a Leaky ReLU of slope 1/5.5 with few samples: its gap is {size} points smaller "
        "({low} to {high}).",
        no="RReLU over-fits more than a Leaky ReLU of slope 1/5.5 with few samples: its gap is {size} points larger "
        "({low} to {high}).",
        small="Over-fitting is no reason for RReLU: with few samples its gap is less than a point smaller than that of "
        "a Leaky ReLU of slope 1/5.5 ({low} to {high}).",
        open="Whether RReLU helps against over-fitting is open: a gap {estimate} points smaller ({low} to {high}).",
    ),
    Rule(
        "with_time",
        "C31.2",
        "PReLU with few samples",
        yes="With few samples PReLU with a slope per neuron is worse than ReLU, by {size} points ({low} to {high}).",
        no="Few samples are no reason against PReLU with a slope per neuron: it beats ReLU there, by {size} points "
        "({low} to {high}).",
        small="With few samples PReLU with a slope per neuron costs less than a point beside ReLU ({low} to {high}).",
        open="Whether PReLU needs much data is open: with few samples it loses {estimate} points to ReLU "
        "({low} to {high}).",
    ),
    Rule(
        "beyond",
        "C38",
        "batch normalisation",
        yes="Batch normalisation helps the sigmoid more than the others: against their mean it gains {size} points "
        "({low} to {high}).",
        no="Batch normalisation helps the sigmoid less than the others: against their mean it loses {size} points "
        "({low} to {high}).",
        small="Batch normalisation gains the sigmoid less than a point against the others' mean ({low} to {high}).",
        open="Whether batch normalisation helps the sigmoid more than the others is open: {estimate} points "
        "({low} to {high}).",
    ),
)
POLICIES = (
    ("relu_first", "G1", "first", "ReLU alone"),
    ("then_another", "G2.2", "second", "going on to ELU where ReLU misses its target"),
    ("then_another", "G2.3", "second_low", "going on to Leaky ReLU instead"),
    ("with_time", "G3", "third", "comparing what the third step names"),
)
"""(step, ledger row, the key in `policies.ARTICLE`, in words) of the article's policies."""


def sentences(ledger: pd.DataFrame, by_dataset: pd.DataFrame, regret: pd.DataFrame) -> list[Sentence]:
    """The guide, in the order of STEPS.

    Args:
        ledger: the table `ledger`; the rows of the file that says `article: true` are read.
        by_dataset, regret: as `policies.by_dataset` and `policies.policy_regret` give them.
    """
    rows = article_rows(ledger)
    said = [_policy(rows, by_dataset, regret, *policy) for policy in POLICIES]
    said += [_rule(rows, rule) for rule in RULES]
    said += [sentence] if (sentence := _best_fixed(by_dataset)) else []
    return sorted(said, key=lambda sentence: STEPS.index(sentence.step))


def _rule(rows: pd.DataFrame, rule: Rule) -> Sentence:
    outcome = _outcome(rows, rule.row)
    if outcome is None or pd.isna(rows.loc[rule.row, "estimate"]):
        return Sentence(rule.step, NO_EVIDENCE.format(about=rule.about))
    numbers = rows.loc[rule.row, ["estimate", "low", "high"]].astype(float).to_dict()
    convert = (lambda x: 100 * np.expm1(x)) if rule.scale == "ratio" else (lambda x: 100 * x)
    if outcome.side == "against" and "{size}" in rule.no:  # told the other way round
        numbers = {"estimate": -numbers["estimate"], "low": -numbers["high"], "high": -numbers["low"]}
    shown = {name: decimals(convert(value)) for name, value in numbers.items()}
    text = {"for": rule.yes, "against": rule.no, "small": rule.small}.get(outcome.side, rule.open)
    text = text.format(**shown, size=decimals(abs(convert(numbers["estimate"]))))
    return Sentence(rule.step, text + " (An estimate, not tested.)" * (outcome.side is None), (rule.row,))


def _outcome(rows: pd.DataFrame, row: str) -> Outcome | None:
    """None where there is no evidence."""
    outcome = Outcome(rows.loc[row, "verdict"]) if row in rows.index else Outcome.NOT_TESTED
    return None if outcome is Outcome.NOT_TESTED else outcome


def _policy(
    rows: pd.DataFrame,
    by_dataset: pd.DataFrame,
    regret: pd.DataFrame,
    step: str,
    row: str,
    key: str,
    words: str,
) -> Sentence:
    """What a policy costs, dataset by dataset; the verdict is the ledger's, the depths are the regret's own."""
    about = words[0].upper() + words[1:]
    outcome = _outcome(rows, row)
    policy, budget = ARTICLE[key].policy, ARTICLE[key].budget
    own = by_dataset[(by_dataset["policy"] == policy) & (by_dataset["budget"] == budget)]
    if own.empty:
        return Sentence(step, NO_EVIDENCE.format(about=f"what {words} costs"))
    values = {name: own[name].item() for name in _datasets(by_dataset) if pd.notna(own[name].item())}
    costly = outcome is Outcome.COSTLY if outcome else own["worst"].item() > NEAR
    shown = ", ".join(f"{decimals(100 * value)} on {name}" for name, value in values.items())
    if not costly:
        text = f"{about} costs no more than a point of test accuracy on any dataset (points: {shown})."
    else:
        text = f"{about} is not enough. Points of test accuracy lost: {shown}"
        text += _depths(regret[(regret["policy"] == policy) & (regret["budget"] == budget)]) + "."
    return Sentence(step, text, (row,) if outcome else ())


def _depths(regret: pd.DataFrame) -> str:
    """Where it is lost, if there are several depths."""
    depths = regret.groupby("depth")["regret"].mean()
    if len(depths) < 2:
        return ""
    shown = ", ".join(f"{decimals(100 * value)} at {depth} layers" for depth, value in depths.items())
    return f"; mean over datasets, {shown}"


def _best_fixed(by_dataset: pd.DataFrame) -> Sentence | None:
    """The one activation that costs least where every cell has it. It rests on the regrets alone."""
    always = by_dataset[by_dataset["policy"].str.startswith("always ")] if len(by_dataset) else by_dataset
    if always.empty:
        return None
    complete = always[always["cells"] == always["cells"].max()]
    best = complete.loc[complete["worst"].idxmin()]
    name = best["policy"].removeprefix("always ")
    return Sentence(
        "beyond",
        f"Of the activations that were trained everywhere, {name} alone costs least at worst: at most "
        f"{decimals(100 * best['worst'])} points of test accuracy on any dataset, as a mean over depths, and "
        f"{decimals(100 * best['mean'])} over all, tuning one activation. No row of the ledger tests this; "
        "it was seen in the regrets.",
    )


def _datasets(by_dataset: pd.DataFrame) -> list[str]:
    return [name for name in by_dataset if name not in ("policy", "budget", "cells", "spent", "mean", "worst")]


def by_step(said: list[Sentence]) -> Mapping[str, list[Sentence]]:
    return {step: [sentence for sentence in said if sentence.step == step] for step in STEPS}
