"""A network of one's own is an entry of the config."""

import pytest

import small
from activation_study.core.errors import StudyError
from activation_study.study.receipts import of_run
from activation_study.study.study import Study

RESNET = {"class": "torchvision.models.resnet18", "replace": "ReLU"}
OWN = {"module": "own_networks:residual", "hidden": 5}


def _study(networks, chosen="mine", **more):
    core = small.CONFIG["experiments"]["core"] | {"network": chosen, "initialisation": "torch_default"}
    return Study.from_config(small.config(networks=networks, experiments={"core": core}, **more))


@pytest.mark.parametrize("entry", [OWN, RESNET, RESNET | {"zero_init_residual": True}])
def test_its_runs_know_the_entry_and_no_others_do(entry):
    study = _study({"mine": entry}, ["mlp", "mine"])
    own, plain = (next(run for run in study.runs.values() if run.factors.network == name) for name in ("mine", "mlp"))
    assert own.settings.network == entry
    assert plain.settings.network is None
    assert "network=mine" in own.id
    assert own.cost > 0
    assert own.mem_mb(300, 12) > 800


def test_its_files_are_sources_of_its_jobs_and_count_for_its_runs(tmp_path, monkeypatch):
    (tmp_path / "my_networks.py").write_text("import my_parts\n", encoding="utf-8")
    (tmp_path / "my_parts.py").write_text("WIDE = 1\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    study = _study({"mine": {"module": "my_networks:build"}})
    (run,), (job,) = study.runs.values(), study.jobs.values()

    class Wildcards:
        shape, part = job.shape, job.part

    assert sorted(file.rpartition("/")[2] for file in study.job_sources(Wildcards)) == ["my_networks.py", "my_parts.py"]
    description, manifest = {"status": "available", "constants": {}}, {"sha256": "0"}
    before = of_run(run.params, description, manifest)
    other = _study({"mine": RESNET})
    assert of_run(next(iter(other.runs.values())).params, description, manifest)["code"] != before["code"]


@pytest.mark.parametrize(
    ("networks", "chosen", "message"),
    [
        ({}, "mine", r"^experiments\.core\.network: 'mine' is not one of the networks: .*mlp"),
        ({"mlp": OWN}, "mlp", r"^networks\.mlp: is a family of networks already; another name is needed"),
        ({"mine": {"module": "own_networks"}}, "mine", r"^networks\.mine: module must have the form"),
        ({"mine": RESNET | OWN}, "mine", r"^networks\.mine: needs exactly one of the keys class and module"),
        ({"mine": {}}, "mine", r"^networks\.mine: needs exactly one of the keys class and module, not an empty"),
        ({"mine": "resnet18"}, "mine", r"^networks\.mine: .*must be an object"),
        (
            {"mine": {"class": "os.system", "replace": "ReLU"}},
            "mine",
            r"^networks\.mine: class 'os\.system'",
        ),
        ({"mine": RESNET | {"replace": "Conv2d"}}, "mine", r"^networks\.mine: replace: 'Conv2d' is not an activation"),
        ({"mine": {"class": "torchvision.models.resnet18"}}, "mine", r"^networks\.mine.*replace"),
    ],
)
def test_what_is_wrong_is_one_line(networks, chosen, message):
    with pytest.raises(StudyError, match=message) as error:
        _study(networks, chosen)
    assert "\n" not in str(error.value)


def test_code_is_refused_where_it_is_not_allowed():
    with pytest.raises(StudyError, match=r"^networks\.mine: module 'own_networks:residual' would run code"):
        _study({"mine": OWN}, allow_modules=False)
    assert _study({"mine": RESNET}, allow_modules=False).runs
