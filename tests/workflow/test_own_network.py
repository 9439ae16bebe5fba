"""A residual network of the user's own, with the user's activation and images, from the config alone."""

import numpy as np
import pytest

from project import Project, smoke

pytestmark = pytest.mark.slow
NETWORK = """
from torch import nn


class Block(nn.Module):
    def __init__(self, width, activation):
        super().__init__()
        self.inside = nn.Sequential(nn.Conv2d(width, width, 3, padding=1), nn.BatchNorm2d(width), activation())

    def forward(self, x):
        return x + self.inside(x)


def build(activation, depth, width, shape, classes):
    blocks = [Block(width, activation) for _ in range(depth)]
    return nn.Sequential(
        nn.Conv2d(shape[0], width, 3, padding=1), *blocks, nn.Flatten(), nn.Linear(64 * width, classes)
    )
"""
ACTIVATION = """
import torch
from torch import nn


class Learned(nn.Module):
    def __init__(self, units):
        super().__init__()
        self.slope = nn.Parameter(torch.full((units,), 0.25))

    def forward(self, x):
        return torch.where(x > 0, x, self.slope * x)
"""


def test_the_whole_study(tmp_path):
    project = Project.new(tmp_path / "project")
    (project / "my_network.py").write_text(NETWORK)
    (project / "my_activation.py").write_text(ACTIVATION)
    source = np.random.default_rng(0)
    y = np.arange(300) % 3
    x = source.normal(size=(3, 8, 8))[y] + 0.5 * source.normal(size=(300, 8, 8))
    np.savez(project / "mine.npz", x=x, y=y)
    project.configure(
        smoke(
            cost={"measure": False},
            networks={"mine": {"module": "my_network:build"}},
            activations={"learned": {"module": "my_activation:Learned", "units": "width"}},
            datasets={"images": {"source": "npz", "path": "mine.npz", "target": 0.6}},
            experiments={
                "core": {
                    "network": ["mine", "residual_convolutional"],
                    "activation": ["learned", "relu"],
                    "dataset": "images",
                    "initialisation": ["lsuv"],
                    "depth": 2,
                    "width": 8,
                    "steps": 40,
                    "batch_size": 32,
                }
            },
        )
    )
    call = project.snakemake()
    assert call.code == 0, call.output
    runs = project.table("runs").query("role == 'evaluation'")
    assert set(runs["network"]) == {"mine", "residual_convolutional"}
    assert (runs["status"] == "finished").all()
    assert runs.groupby("run")["test_accuracy"].max().gt(0.6).all(), "they learn"
    layers = project.table("layers").query("layer <= 2")
    assert layers["gradient_norm_log10"].notna().all()
    assert (layers["samples"] > 60).all(), "each sample has several positions"
    html = (project / "reports/smoke.html").read_text(encoding="utf-8")
    assert "network=mine" in html


def test_a_network_whose_forward_fails_is_named(tmp_path):
    """Images that were stored flat, which is the likeliest mistake."""
    project = Project.new(tmp_path / "project")
    (project / "my_network.py").write_text(NETWORK)
    source = np.random.default_rng(0)
    np.savez(project / "flat.npz", x=source.normal(size=(300, 64)), y=np.arange(300) % 3)
    about = {"activation": "relu", "dataset": "flat", "depth": 2, "width": 8, "steps": 5, "batch_size": 32}
    project.configure(
        smoke(
            cost={"measure": False},
            networks={"mine": {"module": "my_network:build"}},
            activations={"relu": {"class": "ReLU"}},
            datasets={"flat": {"source": "npz", "path": "flat.npz", "target": 0.6}},
            experiments={"core": {"network": "mine", "initialisation": "torch_default", **about}},
        )
    )
    call = project.snakemake()
    assert call.code == 1
    assert "networks.mine: fails on inputs [32, 64] of flat: " in call.output
    assert "axes: says what an npz holds" in call.output
    assert "Traceback" not in call.output
    assert "fault of the program" not in call.output
