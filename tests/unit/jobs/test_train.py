"""Runs that cannot be trained together are trained alone, each once; one that fails keeps no other from its end."""

from types import SimpleNamespace

import pyarrow.parquet as pq
import pytest
import torch

import small
from activation_study.core.errors import StudyError
from activation_study.jobs import train as jobs
from activation_study.jobs.job import describe_activation
from activation_study.networks import modules, places
from activation_study.study.jobs import RUN_TABLES
from activation_study.study.study import Study
from activation_study.training import device as devices
from activation_study.training import run as training
from activation_study.training import together
from job_files import Named, job_data

pytestmark = pytest.mark.slow
CORE = small.CONFIG["experiments"]["core"] | {"seed_stream": ["a", "b", "c", "d", "e"], "steps": 10}
STUDY = Study.from_config(small.config(jobs={"runs_per_job": 5}, experiments={"core": CORE}))


@pytest.fixture
def job(tmp_path):
    """What a job of five runs is given, and what it said."""
    (job,), data, constants = STUDY.jobs.values(), job_data(tmp_path), tmp_path / "relu.json"
    describe_activation(STUDY.activation_params(SimpleNamespace(activation="relu")), constants)
    outputs = Named({name: tmp_path / f"runs/part/{name}.parquet" for name in RUN_TABLES})
    inputs, said = Named(data, constants=[constants]), []
    return lambda: jobs.train([run.params for run in job.runs], inputs, outputs, said.append), outputs, said


@pytest.fixture
def on_a_gpu(monkeypatch):
    """As on a GPU, where `train_together` does what is said by the number of the call; the rest is done by the CPU."""
    real, calls = jobs._Trainer._training, []
    gpu, cpu = SimpleNamespace(type="cuda"), torch.device("cpu")
    monkeypatch.setattr(devices, "prepare", lambda *asked: (gpu, "highest"))

    def of(trainer, run):
        trainer._device = cpu
        made = real(trainer, run)
        trainer._device = gpu
        return made

    def set_up(*errors):
        def train_together(runs):
            calls.append(len(runs))
            yield [(runs[0], runs[0].rows())]
            if len(calls) <= len(errors):
                raise errors[len(calls) - 1]
            yield [(run, run.rows()) for run in runs[1:]]

        monkeypatch.setattr(together, "train_together", train_together)
        return calls

    monkeypatch.setattr(jobs._Trainer, "_training", of)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "A card")
    return set_up


def _devices(outputs):
    table = pq.read_table(outputs.jobs).to_pydict()
    assert sorted(table["run"]) == sorted(STUDY.runs)
    return dict(zip(table["run"], table["device"], strict=True))


def test_runs_train_together_on_a_gpu(job, on_a_gpu):
    run, outputs, said = job
    calls = on_a_gpu()
    run()
    assert calls == [5]
    assert set(_devices(outputs).values()) == {"cuda highest"}
    assert [line for line in said if line.startswith(jobs.DONE)] == [f"{jobs.DONE}{name}" for name in _devices(outputs)]


def test_what_fails_together_is_trained_alone(job, on_a_gpu):
    run, outputs, said = job
    calls = on_a_gpu(RuntimeError("a kernel of one's own"))
    run()
    assert calls == [5]
    assert sorted(_devices(outputs).values()) == ["cuda highest"] + ["cuda highest alone"] * 4
    assert "4 runs cannot be trained together (a kernel of one's own)" in said


def test_where_memory_is_short_half_as_many_train_together(job, on_a_gpu):
    run, outputs, _ = job
    calls = on_a_gpu(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"))
    run()
    assert calls == [5, 2, 2]
    assert set(_devices(outputs).values()) == {"cuda highest"}


def test_a_full_disk_stops_the_job(job, on_a_gpu):
    run, outputs, _ = job
    on_a_gpu(OSError(28, "No space left on device"))
    with pytest.raises(OSError, match="No space"):
        run()
    assert not outputs.jobs.exists()


def test_a_run_that_fails_keeps_no_other_from_its_end(job, monkeypatch):
    run, outputs, said = job
    real, name = training.RunTraining.rows, sorted(STUDY.runs)[2]

    def rows(self):
        if self.params["id"] == name:
            raise StudyError("a fault of its own")
        return real(self)

    with monkeypatch.context() as patch:
        patch.setattr(training.RunTraining, "rows", rows)
        with pytest.raises(StudyError, match="a fault of its own"):
            run()
    assert not outputs.jobs.exists()
    assert f"failed: {name}: a fault of its own" in said
    said.clear()
    run()
    assert sum(line.startswith(jobs.KEPT) for line in said) == 4
    assert f"{jobs.DONE}{name}" in said
    assert pq.read_table(outputs.jobs).num_rows == 5
    assert [path.name for path in outputs.jobs.parent.parent.iterdir()] == ["part"]


def test_a_network_is_not_blamed_for_the_activations_in_it():
    """A fault of the network's own forward names it; one of what stands at an activation's place goes on as it is."""

    def fails(*_):
        raise RuntimeError("planted")

    def error_of(module, apply):
        with pytest.raises(RuntimeError) as caught:
            modules._call(module, torch.ones(2, 4), apply)
        return caught.value

    trainer = object.__new__(jobs._Trainer)
    trainer._read = {"d": SimpleNamespace(x=torch.ones(9, 4), shape=())}
    factors = {"dataset": "d", "network": "mine", "batch_size": 2}
    run = {"factors": factors, "settings": {"network": {"module": "mine:build"}}}
    whole = torch.nn.Sequential(places.Place(), torch.nn.Linear(3, 3))
    of_activation = error_of(whole, fails)
    assert trainer._named(run, of_activation) is of_activation
    named = trainer._named(run, error_of(whole, lambda number, h: h))
    assert str(named).startswith("networks.mine: fails on inputs [2, 4] of d: RuntimeError: ")
    assert "axes: says what an npz holds" in str(named)
    family = run | {"settings": {"network": None}}
    own = error_of(whole, lambda number, h: h)
    assert trainer._named(family, own) is own
