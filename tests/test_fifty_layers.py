"""What the study is about, on real data: fifty layers learn with one activation and not with another."""

import pytest
import torch

from activation_study import datasets
from activation_study.activations import from_entry
from activation_study.study import Study
from activation_study.theory import constants
from activation_study.training import RunTraining

STEPS = 600


@pytest.fixture(scope="module")
def digits():
    return datasets.load("digits", {"source": "digits"})


def accuracies(digits, entry, initialisation):
    """Test accuracy of the evaluation seeds, width 64, SGD with momentum."""
    study = Study.from_config(
        {
            "study": "deep",
            "device": "cpu",
            "seeds": {"tuning": 1, "evaluation": 3},
            "learning_rates": {"momentum": [0.001]},
            "training": {"evaluations_per_decade": 2, "probes_per_decade": 1},
            "activations": {"it": entry},
            "datasets": {"digits": {"source": "digits", "target": 0.5}},
            "experiments": {"core": {"depth": 50, "steps": STEPS, "initialisation": initialisation}},
        }
    )
    (run,) = study.runs.values()
    activation = from_entry("it", entry)
    rows = RunTraining(run.params, activation, constants(activation), digits, torch.device("cpu")).rows()["runs"]
    return [row["test_accuracy"] for row in rows if row["role"] == "evaluation"]


@pytest.mark.slow
def test_sigmoid_at_pytorchs_default_stays_at_chance(digits):
    assert max(accuracies(digits, {"class": "Sigmoid"}, "torch_default")) < 0.15


@pytest.mark.slow
@pytest.mark.parametrize(("entry", "least"), [({"class": "ReLU"}, 0.3), ({"class": "ELU"}, 0.8)])
def test_relu_and_elu_at_their_gains_learn(digits, entry, least):
    found = accuracies(digits, entry, "gain")
    assert min(found) > least, found
