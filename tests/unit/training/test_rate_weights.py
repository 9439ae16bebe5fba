"""Which learning rates a run's evaluation seeds train, and what is written of each, in plain Python from the rows."""

import math
from collections import Counter
from contextlib import nullcontext
from fractions import Fraction
from itertools import combinations

import pytest
import torch

import small
from activation_study.tables import parquet
from activation_study.training import checkpoint as checkpoints
from activation_study.training.checkpoint import Checkpoint
from activation_study.training.together import train_together

RATES = [0.01, 0.03, 0.1, 0.3]
SEEDS = {"tuning": 5, "evaluation": 3}
KEY = ("role", "replicate", "learning_rate")


def run(**factors):
    """One in which triples of the tuning seeds select several rates; one of four is pruned."""
    training = small.CONFIG["training"] | {"pruning": {"after": 0.25, "keep": 3}}
    return small.run(factors, seeds=SEEDS, learning_rates={"momentum": RATES}, training=training)


def rows_of(chosen, **more):
    return small.rows(chosen, small.blobs(noise=3.0), torch.float64, **more)


@pytest.fixture(scope="module", params=["accuracy", "speed"])
def rows(request):
    return rows_of(run(select=request.param, measure=["saturation", "noise"]))


def by_hand(rows):
    """Each rate's share of all triples of tuning seeds; a rate that was pruned is selected by none."""
    losses = {}
    for row in rows["runs"]:
        if row["role"] == "tuning" and row["status"] != "pruned":
            time = math.log(max(1, min(row["time_to_target"] or math.inf, row["horizon"])))
            speed, accuracy = (time, row["area_under_loss"]), (-row["validation_accuracy"], row["validation_loss"])
            losses[row["replicate"], row["learning_rate"]] = speed if row["select"] == "speed" else accuracy
    triples, chosen = list(combinations(range(SEEDS["tuning"]), 3)), Counter()
    for triple in triples:
        known = [rate for rate in RATES if all((seed, rate) in losses for seed in triple)]
        means = {rate: [math.fsum(losses[seed, rate][i] for seed in triple) / 3 for i in range(2)] for rate in known}
        chosen[min(known, key=lambda rate: (*(round(mean, 12) for mean in means[rate]), rate))] += 1
    return {rate: float(Fraction(count, len(triples))) for rate, count in sorted(chosen.items())}


def test_weights_are_the_shares_of_triples_and_those_rates_are_trained(rows):
    expected = by_hand(rows)
    assert len(expected) > 1, "or nothing is tested"
    for row in rows["runs"]:
        assert row["weight"] == pytest.approx(expected.get(row["learning_rate"], 0))
    (selected,) = {row["learning_rate"] for row in rows["runs"] if row["selected"]}
    assert selected == max(expected, key=lambda rate: (expected[rate], -rate))
    trained = [(row["replicate"], row["learning_rate"]) for row in rows["runs"] if row["role"] == "evaluation"]
    assert sorted(trained) == [(seed, rate) for seed in range(SEEDS["evaluation"]) for rate in expected]
    for name, part in rows.items():
        parquet.validate(name, parquet.from_rows(name, part))


def test_every_rate_that_counts_has_scores_and_a_curve_and_the_selected_one_is_probed(rows):
    (selected,) = {row["learning_rate"] for row in rows["runs"] if row["selected"]}
    scored = [row for row in rows["runs"] if row["role"] == "evaluation"]
    assert all(isinstance(row[score], float) for row in scored for score in ("test_accuracy", "train_loss"))
    steps = {tuple(row[name] for name in KEY): [] for row in scored}
    for row in rows["curves"]:
        if row["role"] == "evaluation":
            steps[tuple(row[name] for name in KEY)].append(row["step"])
    (same,) = {tuple(found) for found in steps.values()}
    assert same[0] == 0
    assert same[-1] == scored[0]["horizon"]
    for name in ("layers", "measurements"):
        probed = {tuple(row[name] for name in KEY) for row in rows[name]}
        assert probed == {("evaluation", seed, selected) for seed in range(SEEDS["evaluation"])}


def test_a_network_beside_the_selected_rate_is_what_it_would_be_at_it():
    chosen = run()
    scored = [row for row in rows_of(chosen)["runs"] if row["role"] == "evaluation" and not row["selected"]]
    rate = scored[0]["learning_rate"]
    alone = small.run(seeds=SEEDS, learning_rates={"momentum": [rate]})
    expected = {row["replicate"]: row for row in rows_of(alone)["runs"] if row["role"] == "evaluation"}
    for row in (row for row in scored if row["learning_rate"] == rate):
        for score in ("train_loss", "validation_accuracy", "test_loss", "area_under_loss"):
            assert row[score] == pytest.approx(expected[row["replicate"]][score], rel=1e-9)


class _Killed(Exception):
    pass


@pytest.mark.slow
def test_a_run_killed_in_each_of_its_phases_ends_alike(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoints, "INTERVAL", 0.0)
    chosen, real, killed = run(), Checkpoint.keep, []
    expected = rows_of(chosen)

    def keep(self, name, group):
        real(self, name, group)
        if (phase := name.rstrip(" 0123456789")) not in killed and group.step not in (10, 40):
            killed.append(phase)
            raise _Killed

    monkeypatch.setattr(Checkpoint, "keep", keep)
    for place in range(5):
        checkpoint = Checkpoint(tmp_path / "a.pt", {"run": 1}, torch.device("cpu"))
        with pytest.raises(_Killed) if place < 4 else nullcontext():
            rows = rows_of(chosen, checkpoint=checkpoint)
    assert killed == ["tuning", "tuning survivors", "evaluation", "evaluation beside"]
    for name in ("runs", "curves", "layers"):
        assert repr(rows[name]) == repr(expected[name]), name


@pytest.mark.slow
def test_runs_that_train_together_have_the_rows_that_they_have_alone():
    runs = [run(), run(select="speed"), run(activation="tanh")]
    together = [small.training(one, small.blobs(noise=3.0), torch.float64) for one in runs]
    found = {training.params["id"]: rows for ended in train_together(together) for training, rows in ended}
    for one in runs:
        expected = rows_of(one)
        for name in ("runs", "curves", "layers"):
            assert len(found[one.id][name]) == len(expected[name])
            for row, other in zip(found[one.id][name], expected[name], strict=True):
                for column, value in other.items():
                    same = pytest.approx(value, rel=1e-6, nan_ok=True) if isinstance(value, float) else value
                    assert row[column] == same, column
