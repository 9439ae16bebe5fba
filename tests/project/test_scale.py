"""That the large study of `make scale` is taken for done, and the page of one that is not done."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from filelock import FileLock

import document
import large_study
import scale
from activation_study.jobs import progress, so_far
from activation_study.study import receipts
from activation_study.study.study import Study
from activation_study.tables.of_study import Tables

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, before = tmp_path_factory.mktemp("large"), Path.cwd()
    os.chdir(folder)
    try:
        large_study.write_results(Study.from_file(large_study.write_config(8, 2)))
    finally:
        os.chdir(before)
    return folder


@pytest.fixture
def study(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Study:
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return Study.from_file("config.yaml")


def test_it_is_done_and_every_step_takes_it(study: Study):
    assert receipts.stale(study) == {}
    for step in scale.STEPS.values():
        step(study)
    assert receipts.stale(study) == {}
    assert Tables.read(Path(study.results) / "tables").missing == []
    assert Path(study.page).exists()


def _unfinished(study: Study) -> dict[str, str]:
    """One run failed, one trains, one waits; the others are done. The runs by their state."""
    states = {}
    jobs = [job for job in study.jobs.values() if len(job.runs) == 1]
    said = {
        "failed": "[     1.0 s] failed: {}: no memory\n[ 1.0 s] error: no memory\n",
        "running": "[ 1.0 s] device cpu\n",
    }
    for job, state in zip(jobs, ("failed", "running", "waiting"), strict=False):
        shutil.rmtree(Path(study.job_file(job)).parent)
        states[job.runs[0].id] = state
        if state in said:
            log = Path(f"{study.results}/logs/runs/{job.id}.log")
            log.parent.mkdir(parents=True, exist_ok=True)
            log.write_text(said[state].format(job.runs[0].id), encoding="utf-8")
    return states


def test_while_a_call_works_on_it_there_is_a_page_of_what_is_there(study: Study, capsys: pytest.CaptureFixture[str]):
    before = {path: path.read_bytes() for path in Path(study.results).rglob("*.parquet")}
    with FileLock(progress.lock_file(study)):
        states = _unfinished(study)
        with pytest.raises(SystemExit) as ended:
            so_far.main(["config.yaml"])
    assert ended.value.code == so_far.MADE
    said = f"Of {len(study.runs)} runs {len(study.runs) - 3} done, 1 running, 1 failed, 1 waiting"
    assert said in capsys.readouterr().err
    html = Path("reports", f"{study.name}-so-far.html").read_text(encoding="utf-8")
    assert html.index(f"<strong>Not finished.</strong> {said}") < html.index('class="lead"')
    runs = Tables.read(Path(study.results) / "so_far")["runs"]
    assert set(runs["run"]) == set(study.runs)
    assert set(runs.loc[runs["status"] == "no_data", "run"]) == set(states)
    assert not Path(study.page).exists()
    kept = {path: path.read_bytes() for path in Path(study.results, "runs").rglob("*.parquet")}
    assert kept.items() <= before.items()


def test_where_nobody_works_on_it_the_workflow_makes_the_page(study: Study):
    assert so_far.main(["config.yaml"]) is None
    assert not Path("reports").exists()


def test_nothing_there_yet_is_a_page_too(study: Study):
    shutil.rmtree(study.results)
    assert f"0 done, 0 running, 0 failed, {len(study.runs)} waiting" in so_far.write(study)


def test_the_table_of_times(study: Study):
    step = {"seconds": 12.3, "processor_s": 4.5, "mb": 678.9}
    one = {"runs": 1000, "activations": 16, "jobs": 64, "page_mb": 1.25, "machine": "2 cores of a processor"}
    said = document.scale({"studies": [one | {"steps": {"collect": step}}], "date": "2026-01-02"})
    assert "| 1,000 | 16 | 64 | 12 s (4), 679 MB | 1.2 MB |" in said
    assert "2 cores of a processor" in said
