"""Runs that are done are found, whatever job they lie in, and are lost by no kill."""

import shutil

import pyarrow.parquet as pq
import pytest

import small
from activation_study.jobs.kept import KeptRuns
from activation_study.study import receipts
from activation_study.study.jobs import RUN_TABLES
from activation_study.tables import parquet
from activation_study.training.rows import no_data_rows

RECEIPTS = {f"run {i}": {"params": {"id": f"run {i}"}, "code": "1", "constants": "2", "data": "3"} for i in range(6)}
JOB = {
    "started": "2026-01-01T00:00:00+00:00",
    "seconds": 1.0,
    "device": "none",
    "precision": "float32",
    "threads": 1,
    "deterministic": False,
}
JOB |= {"processor": "", "python": "", "torch": "", "numpy": "", "code": "1", "params": "2"}


def _tables(run, steps=40):
    rows = no_data_rows(small.run().params | {"id": run}) | {"jobs": [JOB | {"run": run}]}
    rows["runs"][0]["horizon"] = steps
    return {name: parquet.from_rows(name, part) for name, part in rows.items()}


def _runs(*numbers, **changes):
    return {f"run {i}": RECEIPTS[f"run {i}"] | changes for i in numbers}


def _whole(folder, *numbers, steps=40, **changes):
    kept = KeptRuns(folder, _runs(*numbers, **changes))
    for run in kept.missing:
        kept.add({run: _tables(run, steps)})
    kept.finish()


def _read(folder):
    return {name: pq.read_table(folder / f"{name}.parquet")["run"].to_pylist() for name in RUN_TABLES}


def test_runs_are_found_in_any_job_of_their_shape(tmp_path):
    _whole(tmp_path / "a", 0, 1, 2)
    _whole(tmp_path / "b", 3)
    regrouped = KeptRuns(tmp_path / "c", _runs(3, 1, 4))
    assert regrouped.missing == ["run 4"]
    regrouped.add({"run 4": _tables("run 4")})
    regrouped.finish()
    assert _read(tmp_path / "c")["runs"] == _read(tmp_path / "c")["jobs"] == ["run 3", "run 1", "run 4"]
    assert receipts.found(tmp_path / "c/jobs.parquet") == receipts.of_job(_runs(3, 1, 4))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b", "c"]


def test_the_bytes_do_not_depend_on_where_runs_lay(tmp_path):
    _whole(tmp_path / "at once/x", 0, 1, 2, 3)
    for name, runs in {"a": (2, 0), "b": (3, 1), "x": (0, 1, 2, 3)}.items():
        _whole(tmp_path / "regrouped" / name, *runs)
    for name in RUN_TABLES:
        one, other = (tmp_path / folder / "x" / f"{name}.parquet" for folder in ("at once", "regrouped"))
        assert one.read_bytes() == other.read_bytes()


@pytest.mark.parametrize("changes", [{"code": "9"}, {"constants": "9"}, {"data": "9"}, {"params": {"id": "other"}}])
def test_what_something_else_made_is_not_taken(tmp_path, changes):
    _whole(tmp_path / "a", 0, 1)
    assert KeptRuns(tmp_path / "a", _runs(0, **changes) | _runs(1)).missing == ["run 0"]


@pytest.mark.parametrize("damaged", RUN_TABLES)
@pytest.mark.parametrize("how", ["cut", "gone", "no table", "a folder"])
def test_a_damaged_set_has_nothing(tmp_path, damaged, how):
    _whole(tmp_path / "a", 0, 1)
    file = tmp_path / "a" / f"{damaged}.parquet"
    content = file.read_bytes()
    file.unlink()
    if how == "a folder":
        file.mkdir()
    elif how != "gone":
        file.write_bytes(content[: len(content) // 2] if how == "cut" else b"no table")
    assert KeptRuns(tmp_path / "b", _runs(0, 1)).missing == ["run 0", "run 1"]


@pytest.mark.parametrize("receipt", [{}, {"runs": 3}, {"runs": {"run 0": 3}}, {"runs": [1]}])
def test_a_receipt_of_another_form_has_nothing(tmp_path, receipt):
    _whole(tmp_path / "a", 0)
    path = tmp_path / "a/jobs.parquet"
    parquet.write_parquet(parquet.read("jobs", path), path, receipt)
    assert KeptRuns(tmp_path / "b", _runs(0)).missing == ["run 0"]


class _KilledError(Exception):
    pass


def _killed_at(write, monkeypatch, run):
    """Calls it with the process killed at that write of a file; whether it got so far."""
    count, real = 0, parquet.write_parquet

    def killing(*given):
        nonlocal count
        count += 1
        if count == write:
            raise _KilledError
        real(*given)

    with monkeypatch.context() as patch:
        patch.setattr(parquet, "write_parquet", killing)
        try:
            run()
        except _KilledError:
            return True
    return False


@pytest.mark.slow
def test_no_kill_loses_a_finished_run_or_mixes_old_and_new(tmp_path, monkeypatch):
    """Three runs are there, the first out of date; then a job of five is killed at each of its writes."""
    write = 0
    while True:
        write += 1
        folder = tmp_path / str(write)
        old = KeptRuns(folder / "a", _runs(0, code="old") | _runs(1, 2))
        for run in old.missing:
            old.add({run: _tables(run, steps=1 if run == "run 0" else 40)})
        old.finish()
        wanted, done = _runs(0, 1, 2, 3, 4), []

        def job(folder=folder, wanted=wanted, done=done):
            kept = KeptRuns(folder / "a", wanted)
            for run in kept.missing:
                kept.add({run: _tables(run)})
                done.append(run)
            kept.finish()

        killed = _killed_at(write, monkeypatch, job)
        again = KeptRuns(folder / "a", wanted)
        assert not {*again.missing} & {"run 1", "run 2", *done}, write
        for run in again.missing:
            again.add({run: _tables(run)})
        again.finish()
        assert set(pq.read_table(folder / "a/runs.parquet")["horizon"].to_pylist()) == {40}, write
        assert [path.name for path in folder.iterdir()] == ["a"]
        if not killed:
            break
    assert write > 20


def test_runs_that_end_at_once_are_written_together_and_at_once(tmp_path):
    kept = KeptRuns(tmp_path / "a", _runs(*range(6)))
    kept.add({run: _tables(run) for run in ("run 0", "run 1")})
    kept.add({"run 2": _tables("run 2")})
    assert sorted(tuple(_read(part)["jobs"]) for part in tmp_path.glob(".*")) == [("run 0", "run 1"), ("run 2",)]


def test_two_processes_of_one_job_do_not_write_into_one_set(tmp_path):
    """As where a job on a cluster outlives its Snakemake."""
    one, other = (KeptRuns(tmp_path / "a", _runs(*range(4))) for _ in range(2))
    one.add({"run 0": _tables("run 0")})
    other.add({"run 1": _tables("run 1")})
    assert KeptRuns(tmp_path / "b", _runs(*range(4))).missing == ["run 2", "run 3"]


@pytest.mark.parametrize("other", RUN_TABLES)
def test_files_of_two_sets_have_nothing(tmp_path, other):
    """Half a copy of a folder, or a file that Snakemake gave back after a job failed."""
    _whole(tmp_path / "a/x", 0, 1)
    _whole(tmp_path / "b/x", 1, 2)
    shutil.copy(tmp_path / f"b/x/{other}.parquet", tmp_path / f"a/x/{other}.parquet")
    assert KeptRuns(tmp_path / "a/y", _runs(1)).missing == ["run 1"]
    assert receipts.mixed(tmp_path / "a/x")
    assert not receipts.mixed(tmp_path / "b/x")


def test_what_a_killed_job_of_another_grouping_left_goes_with_its_runs(tmp_path):
    killed, running = (KeptRuns(tmp_path / name, _runs(*runs)) for name, runs in (("a", (0, 1)), ("b", (4, 5))))
    killed.add({"run 0": _tables("run 0")})
    running.add({"run 4": _tables("run 4")})
    _whole(tmp_path / "c", 0, 1, 2)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".b.0", "c"]
