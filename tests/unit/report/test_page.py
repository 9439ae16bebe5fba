"""The whole report: deterministic, whole or not at all, and built from whatever there is."""

import json
import os
import re
import signal
from datetime import UTC, datetime
from html import unescape
from pathlib import Path

import pandas as pd
import pytest

from activation_study.core.errors import StudyError
from activation_study.report import page as building
from activation_study.report import study_data
from activation_study.report.page import build
from activation_study.report.sections import provenance
from activation_study.report.words import counted
from activation_study.tables.parquet import arrow_table, write_parquet
from synthetic import CLAIMS, PROVENANCE, Shape, write_tables

TINY = Shape(("relu", "elu"), ("digits",), (2,), seeds=2, unavailable=())
PARTIAL = ("curves", "layers", "timings", "cost", "activations", "portraits", "datasets", "experiments")
HOSTILE = "<script>window.planted=1"
CLOSING = "</script><script>window.planted=1</script>"


def _text(html: str) -> str:
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", re.sub(r"(?s)<(script|style).*?</\1>", "", html))).split())


@pytest.mark.slow
def test_two_builds_differ_in_the_time_alone_whatever_the_processes(report: Path, tables: Path, tmp_path: Path):
    now = datetime(2027, 8, 9, 10, 11, tzinfo=UTC)
    build("small", tables, tmp_path / "again.html", PROVENANCE, claims=CLAIMS, processes=3, now=now)
    one, two = report.read_text(), (tmp_path / "again.html").read_text()
    assert one != two
    assert one.replace("<time>2026-01-02 03:04Z</time>", "<time>2027-08-09 10:11Z</time>") == two
    beside, again = report.parent / "small", tmp_path / "small"
    files = sorted(path.relative_to(beside) for path in beside.rglob("*.*"))
    assert files == sorted(path.relative_to(again) for path in again.rglob("*.*"))
    assert all((beside / file).read_bytes() == (again / file).read_bytes() for file in files)


@pytest.mark.slow
def test_every_figure_and_every_download_lies_beside(report: Path):
    html = report.read_text()
    figures = re.findall(r'<figure id="([^"]+)"', html)
    assert figures
    assert {path.stem for path in (report.parent / "small/figures").iterdir()} == set(figures)
    downloads = re.findall(r'download="([^"]+?)\.csv(?:\.gz)?"', html)
    assert set(downloads) <= {path.stem for path in (report.parent / "small/tables").iterdir()}


@pytest.mark.slow
def test_a_heat_map_of_gradients_says_how_many_it_shows(report: Path):
    maps = re.findall(r'(?s)<figure id="figure-gradient-map-.*?</figure>', report.read_text())
    assert maps
    for one in maps:
        tiles = one.count('font-weight="700"')
        assert f"Gradients of {counted(tiles, 'activation')}, " in one


@pytest.mark.slow
def test_the_study_s_tables_lie_beside_as_csv(report: Path, tables: Path):
    for name in ("runs", "curves", "timings", "datasets"):
        parquet = pd.read_parquet(tables / f"{name}.parquet")
        csv = pd.read_csv(report.parent / f"small/tables/{name}.csv")
        texts = parquet.select_dtypes("str").columns
        csv[texts] = csv[texts].astype("str").fillna("")  # an empty text and a missing one look the same
        pd.testing.assert_frame_equal(csv, parquet, check_dtype=False, check_exact=True)


@pytest.mark.slow
def test_what_an_older_report_left_goes(tables: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(building, "SECTIONS", (provenance,))  # quickly
    for name in ("figures/figure-old.svg", "tables/old.csv", "tables/notes.txt"):
        (tmp_path / "small" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "small" / name).write_text("old")
    build("small", tables, tmp_path / "small.html", PROVENANCE)
    left = {path.name for path in (tmp_path / "small").rglob("*.*") if path.read_text() == "old"}
    assert left == {"notes.txt"}


@pytest.mark.slow
def test_a_table_too_long_for_csv_is_left_as_parquet(tables: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(building, "SECTIONS", (provenance,))  # quickly
    monkeypatch.setattr(study_data, "LONGEST_CSV", 500)
    build("small", tables, tmp_path / "small.html", PROVENANCE)
    assert not (tmp_path / "small/tables/layers.csv").exists()
    assert "too long: Parquet only" in (tmp_path / "small.html").read_text()


@pytest.mark.slow
def test_a_page_that_is_too_large_is_refused_and_the_old_one_stays(
    tables: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    out = tmp_path / "small.html"
    out.write_text("the old one")
    monkeypatch.setattr(building, "SECTIONS", (provenance,))  # quickly
    monkeypatch.setattr(building, "LARGEST_SMALL", 10_000)
    with pytest.raises(StudyError, match=r"for \d+ runs is more than 0\.0 MB"):
        build("small", tables, out, PROVENANCE)
    assert out.read_text() == "the old one"
    assert [path.name for path in tmp_path.iterdir()] == ["small.html"]


@pytest.mark.slow
def test_a_large_study_may_be_larger(tables: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(building, "SECTIONS", (provenance,))  # quickly
    monkeypatch.setattr(building, "LARGEST_SMALL", 10_000)
    monkeypatch.setattr(building, "SMALL_STUDY", 20)
    assert "MB" in build("small", tables, tmp_path / "small.html", PROVENANCE)


@pytest.mark.parametrize("processes", [1, 2])
def test_an_error_in_a_section_is_raised_as_it_is(
    processes: int, tables: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def section(data):
        raise StudyError(f"{data.name} has it")

    monkeypatch.setattr(provenance, "section", section)
    monkeypatch.setattr(building, "SECTIONS", (provenance,))
    with pytest.raises(StudyError, match=r"^small has it$"):
        build("small", tables, tmp_path / "small.html", PROVENANCE, processes=processes)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize("processes", [1, 2])
def test_what_a_section_cannot_cope_with_is_one_line(
    processes: int, tables: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(provenance, "section", lambda data: data.tables["no such\ntable"])
    monkeypatch.setattr(building, "SECTIONS", (provenance,))
    with pytest.raises(StudyError) as refused:
        build("small", tables, tmp_path / "small.html", PROVENANCE, processes=processes)
    line = str(refused.value)
    assert line.startswith("report: the section provenance cannot be made of these tables (KeyError: ")
    assert "\n" not in line
    assert refused.value.__cause__ is not None
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_process_that_is_killed_is_one_line(tables: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(provenance, "section", lambda data: os.kill(os.getpid(), signal.SIGKILL))
    monkeypatch.setattr(building, "SECTIONS", (provenance,))
    with pytest.raises(StudyError, match="a process that made sections was killed"):
        build("small", tables, tmp_path / "small.html", PROVENANCE, processes=2)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize("absent", [*((name,) for name in PARTIAL), PARTIAL])
def test_without_a_table_the_rest_is_there_and_the_gap_is_named(absent: tuple[str, ...], tmp_path: Path):
    folder = write_tables(tmp_path, TINY, leave_out=absent)
    build("tiny", folder, tmp_path / "tiny.html", PROVENANCE)
    html = (tmp_path / "tiny.html").read_text()
    assert "had the highest mean test accuracy" in html
    gaps = html.partition('id="gaps"')[2]
    assert "Tables not found" in gaps
    assert all(f"<code>{name}</code>" in gaps for name in absent)


@pytest.mark.slow
def test_missing_cells_and_datasets_are_named(report: Path):
    text = _text(report.read_text())
    assert "Dataset fashion_mnist was not available: no network and no copy on this machine." in text
    assert "Not in digits, 5 layers: tanh ." in text
    assert "tanh has scores in 4 of 5 combinations only, so it is not ranked." in text


@pytest.mark.slow
def test_a_note_on_a_dataset_is_shown_beside_its_table(tmp_path: Path):
    folder = write_tables(tmp_path, TINY)
    datasets = pd.read_parquet(folder / "datasets.parquet")
    datasets["message"] = "the columns <differ> by a factor of 2000"
    write_parquet(arrow_table("datasets", datasets.to_dict("list")), folder / "datasets.parquet")
    build("tiny", folder, tmp_path / "tiny.html", PROVENANCE)
    html = (tmp_path / "tiny.html").read_text()
    assert "About <code>digits</code>:</strong> the columns &lt;differ&gt; by a factor of 2000." in html
    assert 'id="gaps"' not in html


@pytest.mark.slow
def test_a_study_without_any_score_still_builds(tmp_path: Path):
    shape = Shape(("relu", "elu"), (), (2,), unavailable=("digits",))
    build("none", write_tables(tmp_path, shape), tmp_path / "none.html", PROVENANCE)
    text = _text((tmp_path / "none.html").read_text())
    assert "no scores to rank activations by" in text
    assert "Dataset digits was not available" in text


@pytest.mark.slow
def test_one_seed_has_no_interval(tmp_path: Path):
    shape = Shape(("relu", "elu"), ("digits",), (2,), seeds=1, unavailable=())
    build("one", write_tables(tmp_path, shape), tmp_path / "one.html", PROVENANCE)
    text = _text((tmp_path / "one.html").read_text())
    assert "no statistical verdicts" in text
    assert "nan" not in text.lower().split()


@pytest.mark.slow
@pytest.mark.parametrize(("seeds", "said"), [(4, True), (5, False)])
def test_fewer_than_five_seeds_give_no_verdicts(seeds: int, said: bool, tmp_path: Path):
    shape = Shape(("relu", "elu"), ("digits",), (2,), seeds=seeds, unavailable=())
    build("few", write_tables(tmp_path, shape), tmp_path / "few.html", PROVENANCE)
    html = (tmp_path / "few.html").read_text()
    text = _text(html)
    assert 'id="gaps"' not in html  # a whole study has none
    assert ("no statistical verdicts" in text) == said
    assert ("Distinguishable from the best" in text) == (not said)
    assert "not what another dataset would" in text


@pytest.mark.slow
def test_hostile_names_stay_text(tmp_path: Path, unchecked: None):
    shape = Shape(("relu", HOSTILE), ('"><img src=x onerror=alert(1)>',), (2,), seeds=2, unavailable=())
    build(
        "hostile",
        write_tables(tmp_path, shape),
        tmp_path / "hostile.html",
        {"code": CLOSING, "packages": {HOSTILE: CLOSING}},
    )
    html = (tmp_path / "hostile.html").read_text()
    assert "<script>window" not in html
    assert "<img" not in html
    assert html.count("<script") == 3
    summary = json.loads(re.search(r'(?s)<script type="application/json" id="summary">(.*?)</script>', html)[1])
    assert {row["activation"] for row in summary["overall"]} == {"relu", HOSTILE}
    assert summary["provenance"]["packages"] == {HOSTILE: CLOSING}


@pytest.mark.slow
def test_names_that_would_share_an_id_do_not(tmp_path: Path):
    shape = Shape(("a_b", "a-b", "A_B"), ("digits",), (2,), seeds=2, unavailable=())
    build("ids", write_tables(tmp_path, shape), tmp_path / "ids.html", PROVENANCE)
    ids = re.findall(r'\bid="([^"]+)"', (tmp_path / "ids.html").read_text())
    assert len(ids) == len(set(ids))


@pytest.mark.slow
def test_long_names_fit(tmp_path: Path):
    shape = Shape(("relu", "x" * 64), ("y" * 64,), (2,), seeds=2, unavailable=())
    build("long", write_tables(tmp_path, shape), tmp_path / "long.html", PROVENANCE)
    assert "x" * 64 in (tmp_path / "long.html").read_text()


@pytest.mark.slow
def test_the_small_study_is_small(report: Path):
    assert report.stat().st_size < building.LARGEST_SMALL
