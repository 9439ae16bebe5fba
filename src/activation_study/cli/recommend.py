"""`activation-study recommend`: which activation to use in a situation, with evidence and confidence."""

from __future__ import annotations

import argparse
import hashlib
import os
from contextlib import suppress
from pathlib import Path

import pandas as pd

from activation_study.analysis.policies import article_rows
from activation_study.claims.rows import Row, guide_rows
from activation_study.core.errors import StudyError
from activation_study.core.files import read_regular
from activation_study.core.text import plain, shown
from activation_study.core.yaml_files import MAX_BYTES
from activation_study.guide.chooser import MLP, Evidence, of_network, recommend
from activation_study.guide.wording import lines
from activation_study.study.places import FAMILIES, REFERENCE, RESULTS, candidates, checkout
from activation_study.tables.of_study import Tables

_IDENTITY = ("run", "role", "replicate", "activation", "dataset", "depth", "width", "train_size")
NEEDS = {
    "runs": (*_IDENTITY, "train_samples", "selected", "status", "train_accuracy", "test_accuracy"),
    "experiments": ("experiment", "run"),
    "cost": ("activation", "quantity", "width", "ratio_to_relu", "ratio_low", "ratio_high"),
    "ledger": ("family", "row", "verdict"),
}
"""The tables that are read, and the columns of them that it rests on; cost and ledger may be absent."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--depth", type=int, required=True, help="hidden layers")
    parser.add_argument("--samples", type=int, help="training samples; left out: as many as the study's datasets have")
    parser.add_argument("--network", default=MLP, help="family of networks, or one of the study's own; mlp if left out")
    parser.add_argument(
        "--normalisation", choices=("none", "batch", "group"), help="of the network; left out: whatever its runs have"
    )
    parser.add_argument("--width", type=int, help="units per layer, for the costs; left out: as many as the study's")
    parser.add_argument(
        "--budget", choices=("low", "high"), default="high", help="low: one activation is tuned; high: several"
    )
    parser.add_argument("--overfitting", action="store_true", help="the network fits its training samples far better")
    parser.add_argument(
        "--tables", type=Path, help="folder with Parquet tables; left out: results/default, else what is published"
    )


def main(arguments: argparse.Namespace) -> None:
    """Print the answer.

    Raises:
        StudyError: a number below one, no tables, or nothing in them to choose from.
    """
    for name in ("depth", "samples", "width"):
        value = getattr(arguments, name)
        if value is not None and value < 1:
            raise StudyError(f"--{name}: {shown(value)} must be at least 1")
    network, normalisation = arguments.network, arguments.normalisation
    folder, tables = _tables(arguments.tables, network, normalisation)
    evidence = Evidence.of(tables, _cited(tables["ledger"]), arguments.width, network, normalisation)
    answer = recommend(evidence, arguments.depth, arguments.samples, arguments.budget, arguments.overfitting)
    if answer is None:
        raise StudyError(f"--tables: {plain(folder)} has no scored networks to choose from")
    print("\n".join(lines(answer, evidence)))


def _tables(asked: Path | None, network: str, normalisation: str | None) -> tuple[Path, Tables]:
    """The first of the folders whose tables have such a network."""
    looked: list[str] = []
    for folder in tables_folders(asked):
        tables = Tables.read(folder, NEEDS, ("runs", "experiments"))
        if tables["runs"].empty or of_network(tables["runs"], network, normalisation).any():
            if looked:
                print(f"From {plain(folder)}: it was not trained in {', nor in '.join(looked)}.")
            return folder, tables
        looked.append(f"{plain(folder)}; trained are {_trained(tables['runs'])}")
    what = f"--network: {shown(network)}" + (f" with normalisation {normalisation}" if normalisation else "")
    raise StudyError(f"{what} was not trained in {', nor in '.join(looked)}")


def _trained(runs: pd.DataFrame) -> str:
    if "network" not in runs:
        return MLP
    return ", ".join(map(plain, sorted((runs["network"] + " (" + runs["normalisation"] + ")").unique())))


def _cited(ledger: pd.DataFrame) -> tuple[Row, ...]:
    """The rows of the claims file that the ledger's verdicts are on, or of the checkout's own: no other file counts.

    What a checkout publishes may be of an older wording of its claims, so no hash is asked of its own file.
    """
    judged, own = set(article_rows(ledger).get("claims_sha256", ())), checkout()
    for path in candidates(Path("claims.yaml")):
        with suppress(OSError, StudyError):  # an answer rests on the scores; without the file it cites nothing
            if hashlib.sha256(read_regular(path, MAX_BYTES)).hexdigest() in judged or path.parent == own:
                return guide_rows([path])
    return ()


def tables_folders(asked: Path | None) -> list[Path]:
    """The folder that was asked for, or all that have runs: a study's own, then those that were published."""
    places = [asked] if asked else candidates(RESULTS, REFERENCE, FAMILIES)
    # Path.exists raises for a name that is too long.
    if found := [folder for folder in places if os.path.exists(folder / "runs.parquet")]:  # noqa: PTH110
        return found
    looked = " and ".join(plain(folder) for folder in places)
    raise StudyError(f"--tables: no runs.parquet in {looked}; run the study, or name a folder that has one")
