"""The guide that the evidence supports: sentences made from the ledger's verdicts and the policies' regret.

Every sentence depends on a verdict and its numbers; where the ledger has no row, it says that there is no evidence.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from activation_study.analysis.inference import ALPHA
from activation_study.analysis.policies import article_rows, ranges
from activation_study.claims.outcomes import Outcome
from activation_study.claims.rows import Guide, Row
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


def sentences(
    rows: Sequence[Row], ledger: pd.DataFrame, by_dataset: pd.DataFrame, regret: pd.DataFrame
) -> list[Sentence]:
    """The guide, in the order of STEPS: the policies first, then the other rows of their claims, then the rest.

    Args:
        rows: as `claims.rows.guide_rows` gives them.
        ledger: the table `ledger`; the rows of the file that says `article: true` are read.
        by_dataset, regret: as `policies.by_dataset` and `policies.policy_regret` give them.
    """
    judged = article_rows(ledger)
    said: list[tuple[int, bool, bool, Sentence]] = []
    for row in rows:
        if row.guide is not None:
            policy = row.type == "policy"
            sentence = _policy(row, row.guide, judged, by_dataset, regret) if policy else _rule(row, row.guide, judged)
            guideline = any(other.type == "policy" for other in row.claim.rows)
            said.append((STEPS.index(sentence.step), not policy, not guideline, sentence))
    ordered = [sentence for *_, sentence in sorted(said, key=lambda one: one[:3])]
    return ordered + [sentence for sentence in [_best_fixed(by_dataset)] if sentence]


def _rule(row: Row, guide: Guide, judged: pd.DataFrame) -> Sentence:
    """What a row's verdict says, with its numbers."""
    outcome = _outcome(judged, row.id)
    if outcome is None or pd.isna(judged.loc[row.id, "estimate"]):
        return Sentence(guide.step, NO_EVIDENCE.format(about=guide.about))
    numbers = judged.loc[row.id, ["estimate", "low", "high"]].astype(float).to_dict()
    opposite = outcome is Outcome.FALSE and judged.loc[row.id, "p_reversed"] < ALPHA
    if opposite and "{size}" in guide.reversed:  # the numbers of the opposite
        numbers = {"estimate": -numbers["estimate"], "low": -numbers["high"], "high": -numbers["low"]}
    ratio = str(judged.loc[row.id, "unit"]).startswith("log ")
    shares = {name: 100 * (np.expm1(value) if ratio else value) for name, value in numbers.items()}
    shown = {name: decimals(value) for name, value in shares.items()}
    said = {Outcome.TRUE: guide.supported, Outcome.FALSE: guide.reversed if opposite else guide.negligible}
    ends = [shares["low"], shares["high"]] if shares["estimate"] >= 0 else [-shares["high"], -shares["low"]]
    shown |= dict(zip(("least", "most"), map(decimals, ends), strict=True))
    shown |= {"size": decimals(abs(shares["estimate"])), "more": "more" if shares["estimate"] >= 0 else "less"}
    text = said.get(outcome, guide.open).format(**shown)
    if outcome is Outcome.PARTLY:
        text += f" (Shown {judged.loc[row.id, 'where']} only.)"
    return Sentence(guide.step, text + " (An estimate, not tested.)" * (outcome.side is None), (row.id,))


def _outcome(rows: pd.DataFrame, row: str) -> Outcome | None:
    """None where there is no evidence."""
    outcome = Outcome(rows.loc[row, "verdict"]) if row in rows.index else Outcome.NOT_TESTED
    return None if outcome is Outcome.NOT_TESTED else outcome


def _policy(row: Row, guide: Guide, judged: pd.DataFrame, by_dataset: pd.DataFrame, regret: pd.DataFrame) -> Sentence:
    """What a policy costs, dataset by dataset; the verdict is the ledger's, the depths are the regret's own."""
    about = guide.about[0].upper() + guide.about[1:]
    outcome = _outcome(judged, row.id)
    policy, budget = row.policy.policy, row.policy.budget
    own = by_dataset[(by_dataset["policy"] == policy) & (by_dataset["budget"] == budget)]
    if own.empty:
        return Sentence(guide.step, NO_EVIDENCE.format(about=f"what {guide.about} costs"))
    values = {name: own[name].item() for name in _datasets(by_dataset) if pd.notna(own[name].item())}
    costly = outcome is Outcome.COSTLY if outcome else own["worst"].item() > NEAR
    own_regret = regret[(regret["policy"] == policy) & (regret["budget"] == budget)]
    shown = ", ".join(f"{decimals(100 * value)} on {name}" for name, value in values.items())
    beside = _beside(ranges(own_regret).droplevel(["policy", "budget"]))
    if outcome is Outcome.OPEN:
        text = f"Whether {guide.about} costs more than a point of test accuracy is open, as one seed decides "
        text += f"(points: {shown}).{beside}"
    elif not costly:
        text = f"{about} costs no more than a point of test accuracy on any dataset (points: {shown}).{beside}"
    else:
        text = f"{about} is not enough. Points of test accuracy lost: {shown}"
        text += f"{_depths(own_regret)}.{beside}"
    return Sentence(guide.step, text, (row.id,) if outcome else ())


def _beside(found: pd.DataFrame) -> str:
    """What a dataset's regret is when any one seed is left out, and of the networks that trained where some did not."""
    parts = [f"{decimals(100 * row['lowest'])} to {decimals(100 * row['highest'])} on {name}"
             for name, row in found.iterrows()]  # fmt: skip
    said = f" Without any one seed: {', '.join(parts)}."
    if len(lost := found[found["diverged"] > 0]):
        trained = [f"{decimals(100 * row['trained'])} on {name}" for name, row in lost.iterrows()]
        count = int(lost["diverged"].sum())
        said += f" Without the {count} network{'s' * (count != 1)} that diverged: {', '.join(trained)}."
    return said


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
