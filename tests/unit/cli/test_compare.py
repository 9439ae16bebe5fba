"""Two studies side by side: the page says which verdicts and places a test changed, and no others."""

import html
import re
import shutil
from dataclasses import replace

import pyarrow.parquet as pq
import pytest

from activation_study.__main__ import main
from activation_study.claims.rules import ORDER
from activation_study.tables import parquet
from synthetic import SMALL, write_tables

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def studies(tmp_path_factory):
    """`one`, and `two`: its copy with the verdict of one row turned and the sigmoid's accuracies raised to 99%."""
    root = tmp_path_factory.mktemp("studies")
    one = write_tables(root / "results/one/tables", SMALL)
    two = shutil.copytree(one, root / "results/two/tables")
    ledger, runs = (pq.read_table(two / f"{name}.parquet").to_pylist() for name in ("ledger", "runs"))
    row = next(row for row in ledger if row["verdict"] == "true")
    row["verdict"] = "false"
    for replica in runs:
        if replica["activation"] == "sigmoid" and replica["test_accuracy"] is not None:
            replica["test_accuracy"] = 0.99
    for name, rows in (("ledger", ledger), ("runs", runs)):
        columns = {column: [row[column] for row in rows] for column in rows[0]}
        parquet.write_parquet(parquet.arrow_table(name, columns), two / f"{name}.parquet")
    return root, row["row"], sum(row["verdict"] in ORDER for row in ledger)


def test_what_changed_comes_first_and_is_counted(studies, monkeypatch, capsys):
    root, turned, count = studies
    monkeypatch.chdir(root)
    main(["compare", "one", "results/two/tables"])
    said = (root / "reports/one-and-two.html").read_text(encoding="utf-8")
    assert capsys.readouterr().out.startswith("reports/one-and-two.html: 0.")
    text = html.unescape(re.sub(r"<[^>]*>", " ", said))
    assert f"{100 * (count - 1) / count:.0f}%" in text
    assert "one row to the opposite" in text
    first, *others = re.findall(r'<th scope="row">(C\d[^<]*)</th>(.*?)</tr>', said, re.DOTALL)
    assert first[0] == turned
    assert "▲ false" in first[1]
    assert not any("▲" in row for _, row in others)
    places = re.findall(r'<th scope="row">([A-Za-z ]+)</th>\s*<td[^>]*>(\d+)</td>\s*<td[^>]*>(\d+)', said)
    assert {name: after for name, _, after in places}["sigmoid"] == "1"


def test_a_study_with_itself_has_no_change(studies, monkeypatch):
    monkeypatch.chdir(studies[0])
    main(["compare", "one", "one", "--out", "same.html"])
    said = (studies[0] / "same.html").read_text(encoding="utf-8")
    assert "▲" not in said.partition("<script")[0].partition("<main")[2]
    assert "100%" in said


def test_a_place_without_tables_is_named(studies, monkeypatch):
    monkeypatch.chdir(studies[0])
    with pytest.raises(
        SystemExit, match=r"error: compare: '?three'? is no study under .*results and no folder of tables"
    ):
        main(["compare", "one", "three"])


def test_without_verdicts_and_of_other_tasks_it_says_so(studies, monkeypatch):
    root = studies[0]
    other = write_tables(root / "results/other/tables", replace(SMALL, depths=(5,)))
    (other / "ledger.parquet").unlink()
    monkeypatch.chdir(root)
    main(["compare", "one", "other"])
    said = (root / "reports/one-and-other.html").read_text(encoding="utf-8")
    nav = re.search(r"<nav.*?</nav>", said, re.DOTALL)[0]
    assert "Ranks" in nav
    assert "Verdicts" not in nav
    assert "scored on other datasets, depths or conditions" in said
    assert "from code" not in said
