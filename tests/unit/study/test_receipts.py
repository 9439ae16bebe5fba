"""Results are judged by what made them."""

import html
import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import small
from activation_study.core import files
from activation_study.core.errors import StudyError
from activation_study.data import entries, prepare
from activation_study.jobs import collect, job
from activation_study.jobs.train import train
from activation_study.study import code, receipts
from activation_study.study.jobs import RUN_TABLES
from activation_study.study.study import Study
from activation_study.tables import columns, parquet

ELU_TOO = small.CONFIG["experiments"]["core"] | {"activation": ["relu", "tanh", "elu"]}


class Named(dict):
    __getattr__ = dict.__getitem__


def _study(**changes):
    core = small.CONFIG["experiments"]["core"] | {"activation": ["relu", "tanh"]}
    data = {"blobs": {"source": "digits", "target": 0.6}}
    return Study.from_config(
        small.config(**{"experiments": {"core": core}, "datasets": data, "cost": {"measure": False}} | changes)
    )


def _inputs(study):
    parts = {name: study.job_files(name) for name in RUN_TABLES}
    described = [study.activation_file(name) for name in study.activations()]
    return Named(parts, cost=[], activations=described, datasets=[study.dataset_file(n) for n in study.datasets()])


def _made(study):
    """The study's results up to its tables, in the working directory, as the workflow's scripts make them."""
    for name in study.activations():
        params = study.activation_params(SimpleNamespace(activation=name))
        job.describe_activation(params, study.activation_file(name))
    for name in study.datasets():
        params = study.dataset_params(SimpleNamespace(dataset=name))
        made_by = receipts.of_dataset(params, entries.fingerprint(study.config.datasets[name].model_dump()))
        arrays = study.dataset_file(name).replace("json", "npz")
        prepare.prepare(**params, arrays=arrays, manifest=study.dataset_file(name), made_by=made_by)
    for one in study.jobs.values():
        outputs = Named({name: study.job_file(one, name) for name in RUN_TABLES})
        inputs = Named(
            constants=[study.activation_file(name) for name in one.activations],
            manifests=[study.dataset_file(name) for name in one.datasets],
            arrays=[study.arrays_file(name) for name in one.datasets],
        )
        train([run.params for run in one.runs], inputs, outputs, lambda line: None)
    _collected(study)


def _collected(study):
    outputs = Named({name: study.table_file(name) for name in columns.TABLES}, dictionary=f"{study.results}/README.md")
    collect.collect_tables(study, _inputs(study), outputs)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        _made(_study())
        yield folder


@pytest.fixture
def results(made, tmp_path, monkeypatch):
    """A copy of the results, in the working directory."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)


@pytest.mark.slow
def test_what_this_config_made_is_fresh(results):
    assert receipts.stale(_study()) == {}
    assert receipts.summary(receipts.to_make_again(_study())) == ""
    _collected(_study())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"seeds": {"tuning": 2, "evaluation": 3}}, "settings.evaluation_seeds 2, now 3"),
        ({"learning_rates": {"momentum": [0.01, 0.03, 0.1]}}, "settings.learning_rates [0.003, 0.03, 0.1], now [0.01"),
        ({"training": {"probe_samples": 33}}, "settings.probe_samples 32, now 33"),
        ({"datasets": {"blobs": {"source": "digits", "target": 0.7}}}, "settings.dataset.target 0.6, now 0.7"),
    ],
)
def test_runs_of_another_config_are_named_and_never_collected(results, changes, said):
    study = _study(**changes)
    stale = receipts.stale(study)
    assert [path for path in stale if "/runs/" in path] == study.job_files("jobs")
    assert study.table_file("runs") not in stale  # it is made again because they are
    assert said in next(iter(stale.values()))
    assert said in receipts.summary(stale)
    before = {path: Path(path).read_bytes() for path in (study.table_file("runs"), study.table_file("jobs"))}
    with pytest.raises(StudyError) as caught:
        _collected(study)
    assert "2 of 2 results were not made by this config and code" in str(caught.value)
    assert said in str(caught.value)
    assert {path: Path(path).read_bytes() for path in before} == before


@pytest.mark.slow
def test_another_definition_makes_the_activation_stale_and_no_other(results):
    study = _study(activations={"tanh": {"class": "Hardtanh"}})
    stale = receipts.stale(study)
    assert set(stale) == {study.activation_file("tanh")}
    assert stale[study.activation_file("tanh")] == "made with entry.class 'Tanh', now 'Hardtanh'"


@pytest.mark.slow
@pytest.mark.parametrize("step", ["activation", "dataset", "train", "tables"])
def test_other_code_makes_its_own_results_stale(results, monkeypatch, step):
    real = code.digest
    monkeypatch.setattr(code, "digest", lambda asked: real(asked) + ("!" if asked == step else ""))
    study = _study()
    expected = {
        "activation": {study.activation_file(name) for name in study.activations()},
        "dataset": {study.dataset_file("blobs")},
        "train": {*study.job_files("jobs")},
        "tables": {study.table_file("runs")},
    }
    stale = receipts.stale(study)
    assert set(stale) == expected[step]
    assert set(stale.values()) == {"made with other code"}


@pytest.mark.slow
def test_constants_and_data_of_another_origin_make_runs_stale(results):
    """Files that carry the right receipt but hold other content, as after copying by hand."""
    study = _study()
    constants = files.read_json(study.activation_file("relu"))["constants"]
    for path, key, value, word in (
        (study.activation_file("relu"), "constants", constants | {"gain": 1.0}, "constants"),
        (study.dataset_file("blobs"), "sha256", "0" * 64, "data"),
    ):
        whole = files.read_json(path)
        files.write_json(whole | {key: value}, path)
        stale = receipts.stale(study)
        jobs = [one for one in study.jobs.values() if word == "data" or one.activations == ["relu"]]
        assert stale == {study.job_file(one): f"made with other {word}" for one in jobs}
        with pytest.raises(StudyError, match=rf"made with other {word}"):
            _collected(study)
        files.write_json(whole, path)


@pytest.mark.slow
def test_files_without_a_receipt_are_stale(results):
    study = _study()
    (one, _) = study.jobs.values()
    parquet.write_parquet(parquet.read("jobs", study.job_file(one)), study.job_file(one))
    assert receipts.stale(study) == {study.job_file(one): "nothing in it says what made it"}
    for content in (b"", b"no table", b"\xff" * 100):
        Path(study.job_file(one)).write_bytes(content)
        assert set(receipts.stale(study)) == {study.job_file(one)}


@pytest.mark.slow
@pytest.mark.parametrize("name", RUN_TABLES[:-1])
def test_a_file_of_another_set_makes_the_job_again(results, name):
    study = _study()
    one, other = study.jobs.values()
    shutil.copy(study.job_file(other, name), study.job_file(one, name))
    assert receipts.stale(study) == {study.job_file(one): "its files are not of one set"}
    with pytest.raises(StudyError, match="not of one set"):
        _collected(study)


@pytest.mark.slow
def test_a_receipt_changes_no_table(results):
    study = _study()
    (one, _) = study.jobs.values()
    table = parquet.read("jobs", study.job_file(one))
    assert files.MADE_BY.encode() not in table.schema.metadata
    noted = json.loads(pq.read_schema(study.job_file(one)).metadata[files.MADE_BY.encode()])
    (run,) = one.runs
    assert noted["runs"][run.id]["params"] == run.params
    assert table["code"].to_pylist() == [noted["runs"][run.id]["code"]]
    assert isinstance(table, pa.Table)


@pytest.mark.slow
def test_what_was_refused_is_tried_again_and_said(results):
    study = _study(activations={"tanh": {"class": "SiLU", "inplace": True}})
    job.describe_activation(study.activation_params(SimpleNamespace(activation="tanh")), study.activation_file("tanh"))
    assert receipts.to_make_again(study)[study.activation_file("tanh")] == "refused"
    (line,) = receipts.refused(study)
    assert line.startswith("activations.tanh: SiLU(inplace=True) is not an activation")
    assert "tanh" not in receipts.summary({study.activation_file("tanh"): "refused"})


def test_the_code_of_ones_own_activation_is_in_the_receipt(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "own_for_receipts.py"

    def code(text, entry):
        file.write_text(text, encoding="utf-8")
        receipts._own.cache_clear()
        params = {"settings": {"activation": entry}}
        return receipts.of_run(params, {"status": "", "constants": {}}, {"sha256": ""})["code"]

    own, relu = {"module": "own_for_receipts:Mine"}, {"class": "ReLU"}
    assert code("x = 1", own) == code("x = 1", own) != code("x = 2", own)
    assert code("x = 1", relu) == code("x = 2", relu) != code("x = 1", own)


def _page(study, receipt):
    page = Path(study.page)
    page.parent.mkdir(exist_ok=True)
    text = html.escape(json.dumps(receipt))
    page.write_text(f'<!doctype html>\n<meta name="activation-study-receipt" content="{text}">', encoding="utf-8")


@pytest.mark.slow
def test_a_page_on_other_tables_is_stale(results):
    study = _study()
    right = receipts.of_report(study, receipts.found(study.table_file("runs")))
    _page(study, right)
    assert receipts.stale(study) == {}
    for key in ("params", "code", "results", "claims", "repository", "assets"):
        _page(study, right | {key: "another"})
        assert set(receipts.stale(study)) == {study.page}
    Path(study.page).write_text("<title>An older page</title>", encoding="utf-8")
    assert receipts.stale(study) == {study.page: "nothing in it says what made it"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"experiments": {"core": small.CONFIG["experiments"]["core"] | {"steps": 9}}}, "made with another config"),
        (
            {"activations": {"elu": {"class": "ELU"}}, "experiments": {"core": ELU_TOO}},
            "what it is made of is not there",
        ),
    ],
)
def test_tables_are_stale_where_what_another_config_needs_is_not_there(results, changes, why):
    """Snakemake makes nothing that is missing as long as there are tables, if it does not remember what made them."""
    assert receipts.stale(_study(**changes)) == {_study().table_file("runs"): why}


@pytest.mark.slow
def test_runs_that_were_thrown_away_are_not_missed(results):
    shutil.rmtree(f"{_study().results}/runs")
    assert receipts.stale(_study()) == {}


@pytest.mark.slow
def test_tables_of_runs_that_were_made_again_are_stale(results):
    """As after a copy that gave the old tables a newer time than the runs."""
    study = _study()
    whole = files.read_json(study.dataset_file("blobs"))
    files.write_json(whole | {"sha256": "0" * 64}, study.dataset_file("blobs"))
    for one in study.jobs.values():
        found = receipts.found(study.job_file(one))["runs"]
        receipt = receipts.of_job({run: receipt | {"data": "0" * 64} for run, receipt in found.items()})
        for name in RUN_TABLES:
            path = study.job_file(one, name)
            made_by = receipt if name == "jobs" else receipts.beside(receipt)
            parquet.write_parquet(parquet.read(name, path), path, made_by)
    assert receipts.stale(study) == {study.table_file("runs"): "made with other results"}
    _collected(study)
    assert receipts.stale(study) == {}
