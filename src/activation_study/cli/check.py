"""`python -m activation_study check`: a config and its claims files, read and checked before Snakemake sees them.

Snakemake reads a config by itself before any rule of ours, aliases without end and all.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from activation_study.core.text import plain
from activation_study.study.config import merged
from activation_study.study.study import Study


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "config", type=Path, nargs="+", help="the config's file, such as config.yaml, and any laid over it"
    )


def main(arguments: argparse.Namespace) -> None:
    """Print what the config asks for. Raises :class:`StudyError` with a line for every fault."""
    study = Study.from_config(merged(arguments.config, {}))
    _check_models(study)
    print(f"{', '.join(map(plain, arguments.config))}: {summary(study)}")


def _check_models(study: Study) -> None:
    """Make each model of torchvision, without numbers: whether there is one, and its activations. One's own code is not
    run."""
    used = {run.factors.network: run for run in study.runs.values()}
    for name, entry in study.config.networks.items():
        if name in used and entry.kind == "class":
            import torch  # which takes seconds, as torchvision does

            from activation_study.networks.places import made

            with torch.device("meta"):
                made(entry.model_dump(), used[name].factors, 3, 10, (32, 32, 3))


def summary(study: Study) -> str:
    """Counts of what a study asks for, its claims read and held against it. Raises :class:`StudyError`."""
    counts = [
        (len(study.runs), "run"),
        (len(study.activations()), "activation"),
        (len(study.datasets()), "dataset"),
        (len(study.config.experiments), "experiment"),
    ]
    runs, activations, datasets, experiments = (f"{count} {word}{'s' * (count != 1)}" for count, word in counts)
    text = f"{runs} of {activations} on {datasets} in {experiments}"
    if not study.config.claims:
        return text
    from activation_study.claims import file as claims_file  # and with it pandas and SciPy, which take seconds

    tests = sum(len(file.rows) for file in claims_file.of_study(study.config))
    return f"{text}, {tests} test{'s' * (tests != 1)} of claims"
