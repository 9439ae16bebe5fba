"""`activation-study compare`: two studies side by side, as a page."""

from __future__ import annotations

import argparse
from pathlib import Path

from activation_study.core.errors import StudyError
from activation_study.core.text import plain, shown
from activation_study.report.compare import build
from activation_study.report.markup import slug
from activation_study.report.study_data import StudyData


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("studies", nargs=2, help="a study's name, as in results/<name>, or a folder with its tables")
    parser.add_argument("--out", type=Path, help="the page; left out: reports/<one>-and-<other>.html")


def main(arguments: argparse.Namespace) -> None:
    """Write the page and say where.

    Raises:
        StudyError: no tables in one of the places, or nothing to compare.
    """
    first, second = (StudyData.read(_name(place), _folder(place), {}) for place in arguments.studies)
    out = arguments.out or Path("reports", f"{slug(first.name)}-and-{slug(second.name)}.html")
    print(build(first, second, out))


def _folder(place: str) -> Path:
    for folder in (Path(place), Path("results", place, "tables")):
        if (folder / "runs.parquet").is_file():
            return folder
    raise StudyError(
        f"compare: {shown(place)} is no study under {plain(Path.cwd() / 'results')} and no folder of tables"
    )


def _name(place: str) -> str:
    """`results/default/tables` is of the study default, as `default` is."""
    path = Path(place)
    return path.parent.name if path.name == "tables" and path.parent.name else path.name
