"""`activation-study probe`: a user's model and arrays."""

import numpy as np
import pytest

from activation_study.__main__ import main

MODEL = """
from torch import nn
from neighbour import units

class Model(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Flatten(), nn.Linear(12, units), nn.ReLU(), nn.Linear(units, 3))

number = 3
def broken():
    raise ValueError("not like this")
"""


@pytest.fixture
def place(tmp_path, monkeypatch):
    (tmp_path / "own_mine.py").write_text(MODEL)
    (tmp_path / "neighbour.py").write_text("units = 8\n")
    np.savez(tmp_path / "arrays.npz", x=np.random.default_rng(0).normal(size=(40, 3, 4)), y=np.arange(40) % 3)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("model", ["own_mine.py:Model", "own_mine:Model"])
def test_it_prints_a_line_for_each_site_and_one_of_all(place, capsys, model):
    main(["probe", model, "--data", "arrays.npz"])
    head, site, summary = capsys.readouterr().out.splitlines()
    assert head.split()[:3] == ["site", "activation", "units"]
    assert site.split()[:3] == ["2", "ReLU", "8"]
    assert summary.startswith("1 sites; dead units")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["own_mine.py", "--data", "arrays.npz"], "must have the form my.py:Model"),
        (["other.py:Model", "--data", "arrays.npz"], "other.py is not a file"),
        (["own_mine.py:Other", "--data", "arrays.npz"], "AttributeError"),
        (["own_mine.py:broken", "--data", "arrays.npz"], "ValueError: not like this"),
        (["own_mine.py:number", "--data", "arrays.npz"], "cannot be built"),
        (["own_mine.py:Model", "--data", "none.npz"], "--data: none.npz is not a file"),
        (["own_mine.py:Model", "--data", "arrays.npz", "--samples", "1"], "--samples: 1 must be at least 2"),
    ],
)
def test_what_is_wrong_is_one_line(place, arguments, said):
    with pytest.raises(SystemExit) as ended:
        main(["probe", *arguments])
    assert said in str(ended.value)
    assert "\n" not in str(ended.value)
