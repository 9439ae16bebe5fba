"""`activation-study recommend`: which activation to use in a situation, with evidence and confidence."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import pandas as pd

from activation_study.core.checked_tables import hold_together, read_any
from activation_study.core.errors import StudyError
from activation_study.core.text import plain, shown
from activation_study.guide.chooser import DEARER, NEAR, Evidence, Other, Recommendation, recommend
from activation_study.study.places import REFERENCE, RESULTS, candidates

NO_ARTICLE = "no verdicts on the article's claims, as no claims file of this study says article: true"
_IDENTITY = ("run", "role", "replicate", "activation", "dataset", "depth", "width", "train_size")
REQUIRED = {
    "runs": (*_IDENTITY, "train_samples", "status", "classes", "train_accuracy", "test_accuracy"),
    "experiments": ("experiment", "run"),
}
OPTIONAL = {
    "cost": ("activation", "quantity", "width", "ratio_to_relu", "ratio_low", "ratio_high"),
    "ledger": ("family", "row", "verdict"),
}
"""The tables that are read, and the columns of them that it rests on."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--depth", type=int, required=True, help="hidden layers")
    parser.add_argument("--samples", type=int, help="training samples; left out: as many as the study's datasets have")
    parser.add_argument(
        "--budget", choices=("low", "high"), default="high", help="low: one activation is tuned; high: several"
    )
    parser.add_argument("--overfitting", action="store_true", help="the network fits its training samples far better")
    parser.add_argument(
        "--tables", type=Path, help="folder with Parquet tables; left out: results/default, else reports/reference"
    )


def main(arguments: argparse.Namespace) -> None:
    """Print the answer.

    Raises:
        StudyError: a number below one, no tables, or nothing in them to choose from.
    """
    for name in ("depth", "samples"):
        value = getattr(arguments, name)
        if value is not None and value < 1:
            raise StudyError(f"--{name}: {shown(value)} must be at least 1")
    folder = tables_folder(arguments.tables)
    evidence = Evidence.of(read(folder))
    answer = recommend(evidence, arguments.depth, arguments.samples, arguments.budget, arguments.overfitting)
    if answer is None:
        raise StudyError(f"--tables: {plain(folder)} has no scored networks to choose from")
    print("\n".join(lines(answer, evidence)))


def tables_folder(asked: Path | None) -> Path:
    """The folder that was asked for, or the first that has runs: a study's own, then those that were published."""
    places = [asked] if asked else candidates(RESULTS, REFERENCE)
    for folder in places:
        if os.path.exists(folder / "runs.parquet"):  # Path.exists raises for a name that is too long  # noqa: PTH110
            return folder
    looked = " and ".join(plain(folder) for folder in places)
    raise StudyError(f"--tables: no runs.parquet in {looked}; run the study, or name a folder that has one")


def read(folder: Path) -> dict[str, pd.DataFrame]:
    """The tables that a recommendation needs; cost and ledger are empty where they are absent."""
    from activation_study.core.columns import TABLES as COLUMNS

    tables = {}
    for name, needs in (REQUIRED | OPTIONAL).items():
        path = folder / f"{name}.parquet"
        if path.exists():
            tables[name] = read_any(path, needs)
        elif name in REQUIRED:
            raise StudyError(f"--tables: {plain(path)} is missing; run the study, or name a folder that has it")
        else:
            tables[name] = pd.DataFrame(columns=list(COLUMNS[name]))
    hold_together(tables)
    return tables


def lines(answer: Recommendation, evidence: Evidence) -> list[str]:
    """The answer in plain lines."""
    said = [f"Use {answer.pick}.", *answer.notes, f"Evidence: {evidence_text(answer)}"]
    near, open_ = beside(answer)
    said.append(f"As good within a point: {listed(near)}." if near else "As good within a point: no other.")
    if open_:
        said.append(f"Undecided, as results scatter: {listed(open_)}.")
    apart = [other for other in answer.others if other not in answer.runner_ups]
    if apart:
        said.append(
            f"Told apart, and worse: {listed(apart[:3])}" + (f", and {len(apart) - 3} more." * (len(apart) > 3))
        )
    said.append(f"Budget: {budget_text(answer)}")
    if answer.overfitting:
        said.append("Over-fitting: of those as good as the best, the one with the smallest gap from training to test.")
    said.append(f"Confidence: {confidence_text(answer)}")
    cited = [f"{row} ({evidence.ledger.loc[row, 'verdict']})" for row in answer.rows]
    none = "no row compares it" if len(evidence.ledger) else NO_ARTICLE
    said.append(f"Ledger: {', '.join(cited) or f'{none}; the evidence is the scores above'}")
    reach = f"multilayer perceptrons on {', '.join(answer.datasets)}"
    said.append(f"Reach: {reach}; intervals are over seeds, and say nothing of other datasets.")
    return [line if line.endswith((".", ")")) else f"{line}." for line in said]


def evidence_text(answer: Recommendation) -> str:
    """Test accuracy with its interval, and how many networks are behind it."""
    means = ", ".join(f"{percent(value)} on {name}" for name, value in answer.datasets.items())
    return (
        f"mean test accuracy {percent(answer.accuracy.estimate)} (95% interval {percent(answer.accuracy.low)} to "
        f"{percent(answer.accuracy.high)}): {means}; {answer.n} networks of {answer.tested_depth} layers on "
        f"{samples_text(answer)} samples, {answer.cells} cells of at least {answer.seeds} seeds, "
        f"{answer.diverged} diverged."
    )


def samples_text(answer: Recommendation) -> str:
    """The numbers of training samples behind it."""
    fewest, most = answer.tested_samples
    return f"{fewest:,} to {most:,}" if fewest < most else f"{fewest:,}"


def beside(answer: Recommendation) -> tuple[list[Other], list[Other]]:
    """Those not told apart from the pick: as good within a point, and those that scatter too much to tell."""
    near = [other for other in answer.runner_ups if other.difference.low >= -NEAR]
    return near, [other for other in answer.runner_ups if other not in near]


def listed(others: list[Other]) -> str:
    """Names with the difference of test accuracy from the pick and its interval, in points."""
    return ", ".join(
        f"{other.name} {points(other.difference.estimate)} points ({points(other.difference.low)} to "
        f"{points(other.difference.high)})"
        for other in others
    )


def budget_text(answer: Recommendation) -> str:
    if answer.budget == "low":
        tenth = f"takes {100 * (DEARER - 1):.0f}% or more longer than ReLU's, or was not timed"
        left = f"; left out, as a training step {tenth}: {', '.join(answer.excluded)}" if answer.excluded else ""
        return f"low: tune {answer.pick} alone{left}."
    names = [answer.pick, *(other.name for other in answer.worth_trying)]
    if len(names) == 1:
        return f"high: tune {answer.pick}; no other {'of those trained there ' * bool(answer.untried)}may be better."
    return f"high: tune {', '.join(names)}, and keep what is best on validation."


def confidence_text(answer: Recommendation) -> str:
    """The confidence with what speaks for or against it."""
    if not answer.failed:
        return "high: tested as asked, within a point of the best on every dataset, and settled within a point."
    return f"{answer.confidence}: {'; '.join(answer.failed)}."


def compared_text(answer: Recommendation) -> str:
    """What the pick was compared with, where that is not everything."""
    if not answer.untried:
        return "all others"
    return f"the other {len(answer.others)} that were trained there"


def percent(share: float) -> str:
    return "–" if pd.isna(share) else f"{100 * share:z.1f}%"


def points(share: float) -> str:
    return "–" if pd.isna(share) else f"{100 * share:+z.1f}".replace("-", "−").replace("+0.0", "0.0")
