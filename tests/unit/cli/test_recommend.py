"""The command line: the answer in plain lines, and faults in one."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from activation_study.__main__ import main
from activation_study.cli import recommend
from planted import planted


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tables")
    made = planted(lambda dataset, activation, depth: 0.9 - 0.1 * (activation != ("elu" if depth == 50 else "relu")))
    ledger = {"family": "claims", "article": True, "row": "G2.1", "verdict": "supported"}
    made["ledger"] = pd.DataFrame([ledger | {"estimate": 0.1, "low": 0.0, "high": 0.2}])
    for name in ("runs", "experiments", "ledger"):  # no cost
        made[name].to_parquet(folder / f"{name}.parquet")
    return folder


def test_the_answer_its_evidence_and_its_confidence(tables, capsys):
    main(["recommend", "--depth", "50", "--samples", "2000", "--budget", "low", "--tables", str(tables)])
    said = capsys.readouterr().out
    assert said.startswith("Use elu.\n")
    assert "18 networks of 50 layers on 2,000 samples, 3 cells of at least 6 seeds, 0 diverged" in said
    assert "Confidence: high" in said
    assert "Ledger: G2.1 (supported)" in said
    assert "say nothing of other datasets" in said
    main(["recommend", "--depth", "6", "--overfitting", "--tables", str(tables)])
    said = capsys.readouterr().out
    assert said.startswith("Use relu.\n6 layers were not trained: nearest tested depth 5.\n")
    assert "Confidence: moderate" in said


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        (["--depth", "0"], "error: --depth: 0 must be at least 1"),
        (["--depth", "5", "--samples", "-3"], "error: --samples: -3 must be at least 1"),
        (["--depth", "deep"], "error: argument --depth: invalid int value: 'deep'"),
        (["--depth", "5", "--budget", "none"], "error: argument --budget: invalid choice"),
        ([], "error: the following arguments are required: --depth"),
        (["--depth", "5", "--tables", "/nowhere"], "error: --tables: no runs.parquet in /nowhere"),
        (["--depth", "5", "--tables", "n" * 300], "error: --tables: no runs.parquet in nnn"),
    ],
)
def test_faults_are_one_line(arguments, fault):
    with pytest.raises(SystemExit) as ended:
        main(["recommend", *arguments])
    assert str(ended.value).startswith(fault)  # a text as exit code: printed on stderr, and the code is 1
    assert "\n" not in str(ended.value)


def test_the_published_tables_stand_in(tables, monkeypatch, tmp_path):
    monkeypatch.setattr(recommend, "candidates", lambda *names: [tmp_path, tables])
    assert recommend.tables_folder(None) == tables
    assert recommend.tables_folder(tables) == tables


def test_tables_without_scores_are_named(tables, tmp_path):
    for name in ("runs", "experiments"):
        pd.read_parquet(tables / f"{name}.parquet").iloc[:0].to_parquet(tmp_path / f"{name}.parquet")
    with pytest.raises(SystemExit, match="has no scored networks"):
        main(["recommend", "--depth", "5", "--tables", str(tmp_path)])


def test_a_damaged_table_is_named(tables, tmp_path):
    for name in ("runs", "experiments"):
        (tmp_path / f"{name}.parquet").write_bytes((tables / f"{name}.parquet").read_bytes()[:-50])
    with pytest.raises(SystemExit, match="cannot be read as a table") as ended:
        main(["recommend", "--depth", "5", "--tables", str(tmp_path)])
    assert "\n" not in str(ended.value)
