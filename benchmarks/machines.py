"""How far did a whole study differ between two machines? results/bench/machines.json.

    python benchmarks/machines.py FOLDER

with the tables of the default study from another machine, beside this one's results/default.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

import document
import rounding
from activation_study.analysis.replicas import evaluated
from activation_study.cli.verify import OPPOSITE
from activation_study.tables.checked import read_any

HERE = document.ROOT / "results" / "default" / "tables"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="of the other machine's tables")
    here, there = (_tables(folder) for folder in (HERE, parser.parse_args().folder))
    document.write_json(document.BENCH / "machines.json", compared(here, there))
    document.fill()


def _tables(folder: Path) -> Mapping[str, pd.DataFrame]:
    return {name: read_any(folder / f"{name}.parquet") for name in ("runs", "ledger")}


def compared(here: Mapping[str, pd.DataFrame], there: Mapping[str, pd.DataFrame]) -> dict[str, Any]:
    """As `rounding.compared`, of the evaluation replicas, and what became of the verdicts."""
    networks = [evaluated(side["runs"]) for side in (here, there)]
    both = here["ledger"].merge(there["ledger"], on=["family", "row"], suffixes=("_a", "_b"), validate="one_to_one")
    changed = both[both["verdict_a"] != both["verdict_b"]]
    return rounding.compared(*networks) | {
        "verdicts": len(both),
        "changed": dict(zip(changed["row"], zip(changed["verdict_b"], changed["verdict_a"], strict=True), strict=True)),
        "opposite": int((changed["verdict_a"] == changed["verdict_b"].map(OPPOSITE)).sum()),
    }


if __name__ == "__main__":
    main()
