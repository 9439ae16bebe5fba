"""The jobs of the workflow, run as their scripts run them: from files to tables."""

import hashlib
import io
import json
import re
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch

import small
from activation_study.core.errors import StudyError
from activation_study.jobs import collect
from activation_study.jobs import job as jobs
from activation_study.jobs.train import CHECKPOINT, train
from activation_study.study.jobs import RUN_TABLES
from activation_study.study.study import Study
from activation_study.tables import columns, parquet
from activation_study.training import checkpoint
from job_files import Named, job_data


@pytest.fixture(autouse=True)
def _numbers_as_before():
    before = torch.get_float32_matmul_precision()
    yield
    torch.set_float32_matmul_precision(before)


def _train(study, folder, status="available"):
    """Every job of a study up to its tables; the inputs of the job that collects."""
    data, activations = job_data(folder, status), {}
    for name in study.activations():
        activations[name] = folder / "activations" / f"{name}.json"
        jobs.describe_activation(study.activation_params(SimpleNamespace(activation=name)), activations[name])
    inputs = {part: [] for part in (*RUN_TABLES, "cost")}
    for job in study.jobs.values():
        outputs = Named({part: folder / "runs" / job.id / f"{part}.parquet" for part in RUN_TABLES})
        constants = [activations[name] for name in job.activations]
        train([run.params for run in job.runs], Named(data, constants=constants), outputs, lambda line: None)
        for part in RUN_TABLES:
            inputs[part].append(outputs[part])
    return Named(inputs, activations=list(activations.values()), datasets=data["manifests"])


def _study():
    measure = ["noise", "selectivity", "covariate_shift", "sign_agreement", "saturation", "path"]
    core = small.CONFIG["experiments"]["core"] | {"activation": ["tanh", "relu"], "measure": measure}
    return Study.from_config(
        small.config(cost={"measure": False}, experiments={"core": core, "again": core | {"activation": "relu"}})
    )


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("results")
    study = _study()
    return study, _train(study, folder), folder


def _outputs(folder):
    return Named({n: folder / f"{n}.parquet" for n in columns.TABLES}, dictionary=folder / "README.md")


@pytest.mark.slow
def test_the_collected_tables_hold_every_run(trained, tmp_path):
    study, inputs, _ = trained
    collect.collect_tables(study, inputs, _outputs(tmp_path))
    names = [name for name in columns.TABLES if not name.startswith("ledger")]
    found = {name: pd.read_parquet(tmp_path / f"{name}.parquet") for name in names}
    for part in RUN_TABLES:
        parts = pd.concat([pd.read_parquet(path) for path in inputs[part]], ignore_index=True)
        parts = parts.sort_values("run", key=lambda run: run.map([*study.runs].index), kind="stable", ignore_index=True)
        pd.testing.assert_frame_equal(found[part], parts)
        assert set(found[part]["run"]) == set(study.runs)
    assert found["experiments"].values.tolist() == [list(pair) for pair in study.membership]
    assert found["activations"]["activation"].tolist() == ["relu", "tanh"]
    assert found["activations"]["gain"].tolist() == pytest.approx([2**0.5, 1.5925], abs=1e-4)
    (dataset,) = found["datasets"].to_dict("records")
    assert (dataset["dataset"], dataset["samples"], dataset["target"]) == ("blobs", 300, 0.6)
    portrait = found["portraits"].query("activation == 'tanh'")
    np.testing.assert_allclose(portrait["value"], np.tanh(portrait["x"]), atol=1e-12)
    np.testing.assert_allclose(portrait["derivative"], 1 / np.cosh(portrait["x"]) ** 2, atol=1e-12)
    assert (tmp_path / "README.md").read_text(encoding="utf-8") == columns.data_dictionary()


@pytest.mark.slow
def test_collecting_twice_gives_the_same_bytes(trained, tmp_path):
    study, inputs, _ = trained
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        collect.collect_tables(study, inputs, _outputs(tmp_path / name))
    for file in (tmp_path / "a").iterdir():
        assert file.read_bytes() == (tmp_path / "b" / file.name).read_bytes()


def test_a_finished_run_leaves_its_tables_and_nothing_else(trained):
    study, _, folder = trained
    for job in study.jobs:
        names = sorted(file.name for file in (folder / "runs" / job).iterdir())
        assert names == sorted(f"{part}.parquet" for part in RUN_TABLES)
    assert not list(folder.rglob(".*"))


@pytest.mark.slow
def test_training_again_gives_the_same_bytes_but_for_the_clocks(trained, tmp_path):
    study, inputs, _ = trained
    again = _train(study, tmp_path)
    for part in ("runs", "curves", "layers"):
        for first, second in zip(inputs[part], again[part], strict=True):
            assert first.read_bytes() == second.read_bytes()
    assert pq.read_table(inputs["timings"][0]).num_rows >= 4


@pytest.mark.slow
def test_a_dataset_that_cannot_be_had_leaves_a_row_that_says_so(tmp_path):
    study = _study()
    inputs = _train(study, tmp_path, status="unavailable")
    (tmp_path / "tables").mkdir()
    collect.collect_tables(study, inputs, _outputs(tmp_path / "tables"))
    runs = pd.read_parquet(tmp_path / "tables" / "runs.parquet")
    assert runs["run"].tolist() == list(study.runs)
    assert set(runs["status"]) == {"no_data"}
    assert runs["test_accuracy"].isna().all()
    assert pd.read_parquet(tmp_path / "tables" / "datasets.parquet")["message"].tolist() == ["no network"]
    (gap,) = pd.read_parquet(tmp_path / "tables" / "gaps.parquet").to_dict("records")
    assert gap == {"kind": "dataset", "name": "blobs", "status": "unavailable", "message": "no network"}


@pytest.mark.slow
def test_an_activation_that_is_refused_is_a_gap_and_the_others_have_results(tmp_path):
    core = small.CONFIG["experiments"]["core"] | {"activation": ["relu", "inplace"]}
    more = {"inplace": {"class": "SiLU", "inplace": True}}
    study = Study.from_config(small.config(activations=more, cost={"measure": False}, experiments={"core": core}))
    inputs = _train(study, tmp_path)
    (tmp_path / "tables").mkdir()
    collect.collect_tables(study, inputs, _outputs(tmp_path / "tables"))
    found = {name: pd.read_parquet(tmp_path / "tables" / f"{name}.parquet") for name in ("runs", "activations", "gaps")}
    status = found["runs"].groupby("activation")["status"].agg(set)
    assert status.to_dict() == {"relu": {"finished", "pruned"}, "inplace": {"no_data"}}
    assert found["activations"]["activation"].tolist() == ["relu"]
    (gap,) = found["gaps"].to_dict("records")
    assert (gap["kind"], gap["name"], gap["status"]) == ("activation", "inplace", "refused")
    assert gap["message"].startswith("activations.inplace: SiLU(inplace=True) is not an activation: it writes on its")

    params = study.cost_params(SimpleNamespace(activation="inplace"))
    jobs.measure_cost(params, inputs.activations[1], tmp_path / "cost.parquet", print)
    assert len(parquet.read("cost", tmp_path / "cost.parquet")) == 0


@pytest.mark.parametrize("wrong", ["another table", "no Parquet", "missing", "out of range"])
def test_a_wrong_part_is_one_line_and_writes_nothing(trained, tmp_path, wrong):
    study, inputs, _ = trained
    bad = tmp_path / "bad.parquet"
    if wrong == "another table":
        bad.write_bytes(inputs["curves"][0].read_bytes())
    elif wrong == "no Parquet":
        bad.write_text("hello")
    elif wrong == "out of range":
        rows = pq.read_table(inputs["runs"][0]).to_pylist()
        rows[0]["validation_accuracy"] = 1.5
        parquet.write_parquet(parquet.from_rows("runs", rows), bad)
    with pytest.raises(StudyError) as caught:
        collect.collect_tables(study, Named(inputs, runs=[bad, *inputs["runs"][1:]]), _outputs(tmp_path))
    message = str(caught.value)
    assert "\n" not in message
    assert ("validation_accuracy" if wrong == "out of range" else "bad.parquet") in message
    assert not list(tmp_path.glob("[!b]*"))


@pytest.mark.slow
@pytest.mark.parametrize("left", ["a state of nothing", "a folder", "junk"])
def test_a_checkpoint_of_no_use_costs_its_work_alone(trained, tmp_path, monkeypatch, left):
    study, inputs, _ = trained
    (run,) = next(iter(study.jobs.values())).runs
    folder, seen = tmp_path / "runs" / "part", []
    folder.parent.mkdir(parents=True)
    path = _checkpoint(folder, run)
    if left == "a folder":
        path.mkdir()
    elif left == "junk":
        path.write_bytes(hashlib.sha256(b"junk").digest() + b"junk")
    else:
        real = checkpoint.Checkpoint.restore

        def restore(self, name, chunk):
            if not seen:
                self._states = {name: {"step": 3}}
                seen.append(name)
            real(self, name, chunk)

        monkeypatch.setattr(checkpoint.Checkpoint, "restore", restore)
    again, said = Named({part: folder / f"{part}.parquet" for part in RUN_TABLES}), []
    constants = [inputs["activations"][list(study.activations()).index(run.factors.activation)]]
    train([run.params], Named(job_data(tmp_path), constants=constants), again, said.append)
    for part in ("runs", "curves", "layers"):
        assert again[part].read_bytes() == inputs[part][0].read_bytes()
    assert any("the checkpoint cannot be used" in line for line in said) == bool(seen)


def _checkpoint(folder, run):
    """Where a job with that folder keeps one of the run."""
    return folder.with_name(f".{hashlib.sha256(run.id.encode()).hexdigest()[:12]}.{CHECKPOINT}")


class _KilledError(Exception):
    pass


def _in_record(**values):
    return lambda state: state["records"][0].update(values)


EVIL = {
    "step is text": lambda state: state.update(step="x"),
    "step is missing": lambda state: state.pop("step"),
    "step is nothing": lambda state: state.update(step=None),
    "step is long before": lambda state: state.update(step=-(10**7)),
    "step is after the end": lambda state: state.update(step=10**9),
    "step is no number": lambda state: state.update(step=float("nan")),
    "parts are missing": lambda state: state.pop("parts"),
    "alive": lambda state: state.update(alive=[-1]),
    "curve": _in_record(curve="evil"),
    "short curve": _in_record(curve=[(0,)]),
    "curve of text": _in_record(curve=[(0, "a", "b", "c")]),
    "layers": _in_record(layers="evil"),
    "layers of text": _in_record(layers={0: {"mean": ["x"]}}),
    "layers without metrics": _in_record(layers={0: {}}),
    "measurements": _in_record(measurements="evil"),
    "measurements of text": _in_record(measurements=[("a", "b", "c", "d", "e")]),
    "diverged_step": _in_record(diverged_step="evil"),
    "status": _in_record(status="evil"),
    "more": _in_record(replica=None),
    "probe": lambda state: state["parts"].update(probe=[torch.zeros(1), torch.zeros(1)]),
    "no probe": lambda state: state["parts"].pop("probe"),
    "path": lambda state: state["parts"].update({"path so far": {"a": 1}}),
    "no optimiser": lambda state: state["parts"].pop("optimiser"),
    "another part": lambda state: state["parts"].update(other=[]),
    "network": lambda state: state["parts"].update(network=[1]),
    "small network": lambda state: state["parts"].update(network=[t[:, :1] for t in state["parts"]["network"]]),
}


@pytest.fixture(scope="module")
def interrupted(trained, tmp_path_factory):
    """A job's arguments, its folder, and the checkpoint it left when it was killed as it trained evaluation seeds."""
    study, inputs, _ = trained
    folder = tmp_path_factory.mktemp("interrupted")
    (run,) = next(iter(study.jobs.values())).runs
    constants = [inputs["activations"][list(study.activations()).index(run.factors.activation)]]
    outputs = Named({part: folder / "runs" / f"{part}.parquet" for part in RUN_TABLES})
    job = [run.params], Named(job_data(folder), constants=constants), outputs
    real = checkpoint.Checkpoint.keep

    def keep(self, name, chunk):
        real(self, name, chunk)
        if name.startswith("evaluation") and chunk.step > 0:
            raise _KilledError

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoint, "INTERVAL", 0.0)
        patch.setattr(checkpoint.Checkpoint, "keep", keep)
        with pytest.raises(_KilledError):
            train(*job, lambda line: None)
    path = _checkpoint(folder / "runs", run)
    return job, path, path.read_bytes()[checkpoint.DIGEST :]


@pytest.mark.slow
@pytest.mark.parametrize("evil", ["none", *EVIL])
def test_a_checkpoint_of_wrong_content_counts_as_none(trained, interrupted, evil):
    job, path, content = interrupted
    saved = torch.load(io.BytesIO(content), weights_only=True)
    if evil != "none":
        EVIL[evil](next(state for name, state in saved["states"].items() if name.startswith("evaluation")))
    torch.save(saved, changed := io.BytesIO())
    path.write_bytes(hashlib.sha256(changed.getvalue()).digest() + changed.getvalue())
    job[2].jobs.unlink(missing_ok=True)  # else the run would be there already
    said = []
    train(*job, said.append)
    for part in ("runs", "curves", "layers"):
        assert job[2][part].read_bytes() == trained[1][part][0].read_bytes()
    assert any("the checkpoint cannot be used" in line for line in said) == (evil != "none")


@pytest.mark.slow
def test_what_fails_without_the_checkpoint_too_is_raised(interrupted, monkeypatch):
    job, path, content = interrupted
    path.write_bytes(hashlib.sha256(content).digest() + content)
    job[2].jobs.unlink(missing_ok=True)
    failed = []

    def score(self):
        failed.append(self)
        raise KeyError("score")

    monkeypatch.setattr("activation_study.training.group.ReplicaGroup.score", score)
    with pytest.raises(KeyError, match="score"):
        train(*job, lambda line: None)
    assert len(failed) == 2


def test_damaged_data_are_a_study_error(trained, tmp_path):
    study, _, _ = trained
    data = job_data(tmp_path)
    data["arrays"][0].write_bytes(b"damaged")
    constants = tmp_path / "relu.json"
    jobs.describe_activation(study.activation_params(SimpleNamespace(activation="relu")), constants)
    run = study.runs["blobs/relu/depth=2,batch_size=16,steps=40,width=16"]
    outputs = Named({part: tmp_path / "runs" / "part" / f"{part}.parquet" for part in RUN_TABLES})
    with pytest.raises(StudyError, match=r"blobs\.npz is damaged"):
        train([run.params], Named(data, constants=[constants]), outputs, lambda line: None)
    assert not outputs.runs.exists()


def test_a_job_logs_with_times(tmp_path):
    with jobs.job(tmp_path / "job.log") as log:
        log("half way")
    first, last = (tmp_path / "job.log").read_text().splitlines()
    assert re.fullmatch(r"\[ +\d+\.\d s\] half way", first)
    assert last.endswith("] done")


def test_a_users_error_is_one_line_and_exit_code_1(tmp_path):
    with pytest.raises(SystemExit) as caught, jobs.job(tmp_path / "job.log"):
        raise StudyError("depth: 0 must be at least 1")
    assert caught.value.code == "error: depth: 0 must be at least 1"
    text = (tmp_path / "job.log").read_text()
    assert "error: depth: 0 must be at least 1" in text
    assert "Traceback" not in text
    assert "done" not in text


def test_a_bug_keeps_its_traceback(tmp_path):
    with pytest.raises(ZeroDivisionError), jobs.job(tmp_path / "job.log"):
        json.loads(str(1 / 0))
    assert "ZeroDivisionError" in (tmp_path / "job.log").read_text()
