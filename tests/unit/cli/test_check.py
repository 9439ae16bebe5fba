"""`activation-study check`: what a config asks for, before anything is prepared."""

import pytest
import yaml

import small
from activation_study.__main__ import main

RESNET = {"class": "torchvision.models.resnet18", "replace": "ReLU"}


def written(tmp_path, entry):
    core = small.CONFIG["experiments"]["core"] | {"network": "mine", "depth": 17, "initialisation": "lsuv"}
    datasets = {"digits": {"source": "digits", "target": 0.5}}
    config = small.config(networks={"mine": entry}, experiments={"core": core}, datasets=datasets)
    config["datasets"] = datasets
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(config), encoding="utf-8")
    return str(path)


@pytest.mark.slow
def test_a_model_of_torchvision_is_made(tmp_path, capsys):
    main(["check", written(tmp_path, RESNET)])
    assert "1 run of 1 activation on 1 dataset" in capsys.readouterr().out
    for change, said in (
        ({"replace": "SiLU"}, "error: networks.mine: has no SiLU"),
        ({"class": "torchvision.models.resnet19"}, "error: networks.mine: cannot be built: ValueError"),
        ({"colour": 3}, "error: networks.mine: cannot be built: TypeError"),
    ):
        with pytest.raises(SystemExit) as ended:
            main(["check", written(tmp_path, RESNET | change)])
        assert str(ended.value).startswith(said)


def test_code_of_ones_own_is_not_run(tmp_path, capsys):
    main(["check", written(tmp_path, {"module": "no_such_module:build"})])
    assert "1 run" in capsys.readouterr().out


def test_files_laid_over_one_another_are_checked_as_one(tmp_path, capsys):
    """As Snakemake reads them: alone the second one would lack its keys."""
    first = written(tmp_path, {"module": "no_such_module:build"})
    second = tmp_path / "second.yaml"
    second.write_text(yaml.safe_dump({"seeds": {"tuning": 0}}), encoding="utf-8")
    with pytest.raises(SystemExit, match=r"seeds\.tuning: 0 "):
        main(["check", first, str(second)])
    second.write_text(yaml.safe_dump({"study": "second"}), encoding="utf-8")
    main(["check", first, str(second)])
    assert capsys.readouterr().out == f"{first}, {second}: 1 run of 1 activation on 1 dataset in 1 experiment\n"
