"""A killed study goes on where it was, to the same numbers."""

import hashlib
import io
import os
import pickle
import signal
import subprocess
import time
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
import torch

import small
from activation_study.training import checkpoint as checkpoints
from activation_study.training.checkpoint import Checkpoint, UnusableError
from project import shared

# Appended to the copied checkpoints.py: a job that has written a checkpoint in the middle of its evaluation seeds
# waits there, until there is a file "go".
WAITING = """

INTERVAL = 0.0
_keep = Checkpoint.keep


def _keep_and_wait(self, name, chunk):
    _keep(self, name, chunk)
    if name.startswith("evaluation") and chunk.step >= 10 and not Path("go").exists():
        self.path.with_suffix(".waiting").touch()
        time.sleep(600)


Checkpoint.keep = _keep_and_wait
"""


def _until(condition, seconds=300):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.1)


@pytest.mark.slow
def test_a_killed_study_goes_on(finished, project):
    runs = project / "results/smoke/runs"
    project.append("src/activation_study/training/checkpoint.py", WAITING)
    with (project / "first.log").open("w") as log:
        first = subprocess.Popen(
            project.command(),
            cwd=project.folder,
            env=project.environment(),
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        _until(lambda: len(list(runs.rglob("*.waiting"))) == 2)
        family = psutil.Process(first.pid).children(recursive=True)
        assert len(family) >= 2

        second = project.snakemake()  # the first still runs
        assert second.code == 1
        assert "error: results/smoke: another call works on this study" in second.output
        assert "Traceback" not in second.output
        assert all(process.is_running() for process in family)
    finally:
        os.killpg(first.pid, signal.SIGKILL)
        first.wait()
    psutil.wait_procs(family, timeout=30)
    assert not any(process.is_running() for process in family)
    assert len(list(runs.rglob("*.checkpoint.pt"))) == 2

    for file in runs.rglob("*.checkpoint.pt"):  # as a kill in the middle of writing leaves one
        file.with_name(f".{file.name}.1").write_bytes(b"half")
    (project / "go").touch()
    project.configure(shared(jobs={"runs_per_job": 2}))  # the runs go on in another job than they began in
    again = project.snakemake()
    assert again.code == 0, again.output
    assert again.jobs == {"train": 1, "tables": 1, "ledger": 1, "report": 1}
    assert project.timeless() == finished[0].timeless()
    assert not list(runs.rglob("*checkpoint.pt*"))
    steps = [place.table("timings").query("phase == 'training'")["replica_steps"] for place in (finished[0], project)]
    assert 0 < steps[1].sum() < steps[0].sum() / 2  # what was done before was not done again
    assert project.planned() == {}


@pytest.mark.slow
def test_another_grouping_trains_nothing_and_changes_no_byte(finished, project):
    tables = sorted((project / "results/smoke/tables").glob("*.parquet"))
    before = {file: file.read_bytes() for file in tables}
    for most in (2, 1):
        project.configure(shared(jobs={"runs_per_job": most}))
        call = project.snakemake()
        assert call.code == 0, call.output
        assert "was there already" in call.output or most == 1
        assert {file: file.read_bytes() for file in tables} == before


RUN = small.run({"activation": "prelu", "steps": 60, "normalisation": "batch"})
IDENTITY = {"run": RUN.params, "code": "1"}
CPU = torch.device("cpu")


class Interrupted(Exception):
    pass


@pytest.fixture(autouse=True)
def _write_always(monkeypatch):
    monkeypatch.setattr(checkpoints, "INTERVAL", 0.0)


@pytest.fixture(scope="module")
def undisturbed():
    return small.rows(RUN)


def _interrupt(path, monkeypatch, after):
    """Train until the ``after``-th state is on disk; returns how many there were."""
    count = 0
    keep = Checkpoint.keep

    def counting(self, name, chunk):
        nonlocal count
        keep(self, name, chunk)
        count += 1
        if count == after:
            raise Interrupted

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoint, "keep", counting)
        try:
            small.rows(RUN, checkpoint=Checkpoint(path, IDENTITY, CPU))
        except Interrupted:
            assert path.exists()
    return count


def _resume(path, identity=IDENTITY):
    """The rows, and the training steps that were made."""
    training = small.training(RUN, checkpoint=Checkpoint(path, identity, CPU))
    rows = training.rows()
    timings = rows.pop("timings")
    return rows, sum(row["replica_steps"] for row in timings if row["phase"] == "training")


def _same(rows, expected):
    # As text, since NaN differs from itself.
    return {name: repr(part) for name, part in rows.items()} == {
        name: repr(part) for name, part in expected.items() if name != "timings"
    }


def _all_steps(undisturbed):
    return sum(row["replica_steps"] for row in undisturbed["timings"] if row["phase"] == "training")


@pytest.mark.slow
def test_training_goes_on_from_wherever_it_was_stopped(undisturbed, tmp_path, monkeypatch):
    total = _interrupt(tmp_path / "whole.pt", monkeypatch, after=-1)
    assert total > 20
    left = [_all_steps(undisturbed)]
    for after in range(1, total + 1, 3):
        path = tmp_path / f"{after}.pt"
        _interrupt(path, monkeypatch, after)
        rows, steps = _resume(path)
        assert _same(rows, undisturbed), after
        assert steps <= left[-1], after
        left.append(steps)
    assert left[-1] < left[0] / 4


@pytest.mark.slow
def test_training_may_be_stopped_more_than_once(undisturbed, tmp_path, monkeypatch):
    path = tmp_path / "checkpoint.pt"
    for _ in range(4):
        _interrupt(path, monkeypatch, after=9)
    rows, steps = _resume(path)
    assert _same(rows, undisturbed)
    assert steps < _all_steps(undisturbed) / 2


@pytest.mark.slow
@pytest.mark.parametrize("other", [{"code": "2"}, {"run": small.run({"steps": 61}).params}])
def test_a_checkpoint_of_something_else_is_not_used(undisturbed, tmp_path, monkeypatch, other):
    path = tmp_path / "checkpoint.pt"
    _interrupt(path, monkeypatch, after=20)
    rows, steps = _resume(path, IDENTITY | other)
    assert _same(rows, undisturbed)
    assert steps == _all_steps(undisturbed)


@pytest.mark.slow
@pytest.mark.parametrize("damage", ["empty", "short", "long", "text", "foreign", "zeros", "one bit"])
def test_a_damaged_checkpoint_is_not_used(undisturbed, tmp_path, monkeypatch, damage):
    path = tmp_path / "checkpoint.pt"
    _interrupt(path, monkeypatch, after=20)
    content = path.read_bytes()
    damaged = {
        "empty": b"",
        "short": content[:100],
        "long": content[:-10],
        "text": b"hello",
        "zeros": content[: len(content) // 2] + bytes(len(content) // 2),
        "one bit": content[:5000] + bytes([content[5000] ^ 1]) + content[5001:],
    }
    if damage == "foreign":
        torch.save([1, 2], path)
    else:
        path.write_bytes(damaged[damage])
    rows, steps = _resume(path)
    assert _same(rows, undisturbed)
    assert steps == _all_steps(undisturbed)


def _junk(content):
    """What nobody wrote, with the digest that a whole file has."""
    return hashlib.sha256(content).digest() + content


def _saved(value):
    content = io.BytesIO()
    torch.save(value, content)
    return _junk(content.getvalue())


def _link(path, target):
    path.unlink()
    path.symlink_to(target)


class Foreign:
    """Unpickled, it would leave a file."""

    def __reduce__(self):
        return Path.touch, (Path("unpickled"),)


ODD = {
    "junk": lambda path, whole: path.write_bytes(_junk(b"junk")),
    "nothing": lambda path, whole: path.write_bytes(_junk(b"")),
    "half a file": lambda path, whole: path.write_bytes(_junk(whole[32 : len(whole) // 2])),
    "a list": lambda path, whole: path.write_bytes(_saved([1, 2])),
    "no states": lambda path, whole: path.write_bytes(_saved({"identity": IDENTITY})),
    "states that are none": lambda path, whole: path.write_bytes(_saved({"identity": IDENTITY, "states": 3})),
    "an identity of tensors": lambda path, whole: path.write_bytes(_saved({"identity": {"run": torch.ones(3)}})),
    "code": lambda path, whole: path.write_bytes(_junk(pickle.dumps(Foreign()))),
    "saved code": lambda path, whole: path.write_bytes(_saved(Foreign())),
    "a pipe": lambda path, whole: (path.unlink(), os.mkfifo(path)),
    "a folder": lambda path, whole: (path.unlink(), path.mkdir()),
    "a file without end": lambda path, whole: _link(path, "/dev/zero"),
    "a circle of links": lambda path, whole: _link(path, path),
}


@pytest.mark.parametrize("odd", ODD)
def test_whatever_else_lies_there_is_no_checkpoint(tmp_path, monkeypatch, odd):
    path = tmp_path / "checkpoint.pt"
    monkeypatch.chdir(tmp_path)
    path.write_bytes(_saved({"identity": IDENTITY, "states": {"tuning": {"step": 1}}}))
    assert Checkpoint(path, IDENTITY, CPU)._states == {"tuning": {"step": 1}}  # as it is, it would be used
    ODD[odd](path, path.read_bytes())
    checkpoint = Checkpoint(path, IDENTITY, CPU)
    assert checkpoint._states == {}
    assert not Path("unpickled").exists()
    checkpoint.keep("tuning", SimpleNamespace(state=lambda: {"step": 2}))
    assert path.is_dir() or Checkpoint(path, IDENTITY, CPU)._states == {"tuning": {"step": 2}}


def test_a_lack_of_memory_is_not_taken_for_damage(tmp_path, monkeypatch):
    path = tmp_path / "checkpoint.pt"
    path.write_bytes(_saved({"identity": IDENTITY, "states": {}}))
    monkeypatch.setattr(torch, "load", lambda *given, **more: bytearray(2**62))
    with pytest.raises(MemoryError):
        Checkpoint(path, IDENTITY, CPU)


@pytest.mark.parametrize("state", [3, {}, {"step": 1}, {"records": [{}], "alive": [0]}, {"records": None}], ids=str)
def test_a_state_that_does_not_fit_is_said_to_be_unusable(tmp_path, state):
    class Planted(Checkpoint):
        def restore(self, name, chunk):
            self._states = {name: state}
            super().restore(name, chunk)

    with pytest.raises(UnusableError, match=r"^tuning"):
        small.rows(RUN, checkpoint=Planted(tmp_path / "checkpoint.pt", IDENTITY, CPU))


def test_a_checkpoint_is_not_written_before_its_time(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoints, "INTERVAL", 1000.0)
    path = tmp_path / "checkpoint.pt"
    small.rows(RUN, checkpoint=Checkpoint(path, IDENTITY, CPU))
    assert list(tmp_path.iterdir()) == []
