"""A run that was killed goes on."""

import pytest
import torch

import small
from activation_study.training import checkpoint as checkpoints
from activation_study.training.checkpoint import Checkpoint


class _Killed(Exception):
    pass


@pytest.mark.slow
@pytest.mark.parametrize("activation", ["rrelu", "prelu"])
def test_a_killed_run_goes_on_and_ends_alike(activation, tmp_path, monkeypatch):
    """Killed at every seventh evaluation, once with replicas that diverge: the same rows, bit for bit."""
    monkeypatch.setattr(checkpoints, "INTERVAL", 0.0)
    rates = {"momentum": [0.003, 0.03, 0.1] if activation == "rrelu" else [0.003, 0.03, 1e3]}
    run = small.run({"activation": activation, "normalisation": "batch"}, learning_rates=rates)
    expected = small.rows(run)
    real, path = Checkpoint.keep, tmp_path / "checkpoint.pt"
    state = {"killed": 0, "evaluations": 0}

    def keep(self, name, chunk):
        real(self, name, chunk)
        state["evaluations"] += 1
        if state["evaluations"] % 7 == 0:
            state["killed"] += 1
            raise _Killed

    monkeypatch.setattr(Checkpoint, "keep", keep)
    for _ in range(200):
        checkpoint = Checkpoint(path, {"run": run.params}, torch.device("cpu"))
        try:
            rows = small.rows(run, checkpoint=checkpoint)
        except _Killed:
            continue
        break
    else:
        pytest.fail("it never ended")
    assert state["killed"] >= 3
    for name in ("runs", "curves", "layers"):
        assert repr(rows[name]) == repr(expected[name]), name
