"""The command line: the answer in plain lines, and faults in one."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pandas as pd
import pytest
import yaml

from activation_study.__main__ import main
from activation_study.cli import recommend
from activation_study.study.config import ROOT
from planted import planted


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tables")
    made = planted(lambda dataset, activation, depth: 0.9 - 0.1 * (activation != ("elu" if depth == 50 else "relu")))
    ledger = {"family": "claims", "article": True, "row": "G2.1", "verdict": "true"}
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
    assert "Ledger: G2.1 (true)" in said
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


@pytest.mark.slow
@pytest.mark.parametrize("broken", [b"claims: [", b"article: true\nclaims: 3", b"\xff"])
def test_a_claims_file_that_the_ledger_does_not_judge_is_not_read(tables, monkeypatch, tmp_path, capsys, broken):
    (tmp_path / "claims.yaml").write_bytes(broken)
    monkeypatch.chdir(tmp_path)
    asked = ["recommend", "--depth", "50", "--tables", str(tables)]
    main(asked)
    assert "Ledger: G2.1 (true)" in capsys.readouterr().out  # as the checkout's own file cites it
    monkeypatch.setattr(recommend, "candidates", lambda name: [tmp_path / name])
    main(asked)
    assert "Ledger: no row is cited, as the claims file that it judges is not here" in capsys.readouterr().out
    monkeypatch.setattr(recommend, "checkout", lambda: tmp_path)
    main(asked)
    assert "Ledger: no row is cited" in capsys.readouterr().out


@pytest.mark.slow
def test_the_claims_file_that_the_ledger_judges_is_cited(tables, monkeypatch, tmp_path, capsys):
    own = yaml.safe_load((ROOT / "claims.yaml").read_text(encoding="utf-8"))
    own["claims"] = [claim | {"id": "Mine"} for claim in own["claims"] if claim["id"] == "G2"]
    (tmp_path / "claims.yaml").write_text(yaml.safe_dump(own), encoding="utf-8")
    for name in ("runs", "experiments"):
        (tmp_path / f"{name}.parquet").write_bytes((tables / f"{name}.parquet").read_bytes())
    digest = hashlib.sha256((tmp_path / "claims.yaml").read_bytes()).hexdigest()
    ledger = pd.read_parquet(tables / "ledger.parquet").assign(row="Mine.1", claims_sha256=digest)
    ledger.to_parquet(tmp_path / "ledger.parquet")
    monkeypatch.chdir(tmp_path)
    main(["recommend", "--depth", "50", "--tables", str(tmp_path)])
    assert "Ledger: Mine.1 (true)" in capsys.readouterr().out


def test_the_published_tables_stand_in(tables, monkeypatch, tmp_path):
    monkeypatch.setattr(recommend, "candidates", lambda *names: [tmp_path, tables])
    assert recommend.tables_folders(None) == recommend.tables_folders(tables) == [tables]


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
