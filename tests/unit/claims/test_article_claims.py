"""The article's own claims: what is computed, and that the default study can judge the rest."""

import math

import pytest

from activation_study.claims import file as claims_file
from activation_study.claims.exact import COMPUTATIONS
from activation_study.claims.metrics import COST
from activation_study.claims.rows import STATISTICAL
from activation_study.study.config import ROOT
from activation_study.study.study import Study


@pytest.mark.parametrize(
    ("name", "holds", "value", "shown"),
    [
        ("sigmoid_slope", False, 0.25, "from 0 to 0.25"),
        ("sigmoid_gradient", False, 0, "keeps the output alone for the backward pass"),
        ("sigmoid_product", True, -35.0067, "-35.0, and -30.1 at most"),
        ("uniform_product", False, 0.10775, "0.108 of the attempts and above 1e-17 in 0.053; the median is 2.7e-22"),
        ("relu_gradient_factor", False, 6**-0.5, "1.000 with σ_w² = 2 (He), 0.707 with 1 (Xavier) and 0.408"),
        ("shared_sign", False, 0, "by 1 within a neuron for one sample, but by 0 over the layer"),
        ("dead_unit_returns", False, 0.4, "-0.1 and the gradient of its own weights 0; one step"),
        ("leaky_never_dies", True, 0.01, "0.01"),
        ("leaky_negative_slope", False, 0.01, "0.01 at -4 as at -1"),
        ("leaky_mean", False, 0.99 / math.sqrt(2 * math.pi), "0.395 with slope 0.01, against 0.399 of ReLU; 0.326"),
        ("rrelu_statements", False, 0.5, "mean 0.5 and standard deviation 0.289"),
        ("prelu_parameter", False, 1, "a parameter"),
        ("prelu_parameter_count", False, 320 / 67850, "67,530 parameters"),
        ("elu_properties", False, 0.16052, "0.161"),
        ("extra_hyperparameters", True, 1, "not trained"),
    ],
)
def test_exact_rows(name, holds, value, shown):
    exact = COMPUTATIONS[name]()
    assert exact.holds == holds
    assert exact.value == pytest.approx(value, abs=1e-4)
    assert shown in exact.text
    assert COMPUTATIONS[name]() == exact


def test_every_computation_is_claimed():
    used = {row.computation for row in claims_file.read().rows if row.type == "exact"}
    assert used == set(COMPUTATIONS)


def test_the_articles_claims_are_complete_and_few():
    read = claims_file.read()
    named = list(dict.fromkeys(row.claim.id for row in read.rows))
    assert named == [*(f"C{number:02}" for number in range(1, 39)), "G1", "G2", "G3"]
    assert sum(row.type in STATISTICAL for row in read.rows) <= 33
    assert all(row.claim.section and row.decided for row in read.rows)


def test_the_articles_claims_fit_the_default_study():
    study = Study.from_file(ROOT / "config.yaml")
    read = claims_file.read()
    claims_file.check(read, study.config)
    runs = {experiment: [] for experiment in study.config.experiments}
    for experiment, run in study.membership:
        runs[experiment].append(dict(study.runs[run].factors))
    for row in read.rows:
        if row.type not in STATISTICAL or row.metric == COST:
            continue
        arms = [
            {
                (run["dataset"], run["depth"])
                for run in runs[row.experiment]
                if all(run[k] == v for k, v in factors.items()) and all(run[k] in v for k, v in row.where.items())
            }
            for _, factors in row.crossed()
        ]
        assert len(set.intersection(*arms)) >= 3, row.id
