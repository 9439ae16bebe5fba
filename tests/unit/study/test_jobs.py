"""How runs are shared out among training jobs."""

import math

import pytest

import small
from activation_study.core.errors import StudyError
from activation_study.study import jobs
from activation_study.study.study import Study


def _study(runs_per_job=None, device="cpu", **core):
    grid = {"depth": [2, 3], "activation": ["relu", "tanh", "prelu"], "seed_stream": ["a", "b", "c"]} | core
    data = {"more": {"source": "npz", "path": "more.npz", "target": 0.6}}
    return Study.from_config(
        small.config(device=device, jobs={"runs_per_job": runs_per_job}, experiments={"core": grid}, datasets=data)
    )


@pytest.mark.parametrize("device", ["auto", "cpu", "cuda"])
@pytest.mark.parametrize("most", [None, 1, 2, 4, 5, 1000])
def test_every_run_is_in_one_job_of_its_shape(device, most):
    study = _study(most, device)
    assert [sum(run in job.runs for job in study.jobs.values()) for run in study.runs.values()] == [1] * 36
    for name, job in study.jobs.items():
        assert job.id == name
        assert len({run.factors.depth for run in job.runs}) == 1
        assert len(job.datasets) == 1 or device == "cuda"
        assert len(job.runs) <= (most or 1000)
        assert {run.factors.activation for run in job.runs} == {*job.activations}
    runs_of_a_shape = 18 if device == "cuda" else 9
    if most is not None:
        assert len(study.jobs) == 36 // runs_of_a_shape * math.ceil(runs_of_a_shape / most)
    elif device == "cuda":
        assert len(study.jobs) == 2  # all datasets fill the device together


def test_a_small_study_is_cut_for_the_cores_of_a_large_machine():
    assert len(_study().jobs) >= jobs.FEWEST_JOBS


def test_the_default_study_has_jobs_that_start_seldom_and_take_about_a_minute():
    study = Study.from_file("config.yaml")
    assert len(study.runs) / len(study.jobs) > 3
    for job in study.jobs.values():
        assert job.cost <= jobs.MOST_COST or len(job.runs) == 1
        assert len(job.runs) <= jobs.MOST_RUNS["cpu"]


@pytest.mark.parametrize("costs", [[1.0] * 40, [5.0, 1.0, 1.0, 1.0, 5.0, 1.0] * 4, [100.0, 1.0, 1.0]])
@pytest.mark.parametrize("limit", [1.0, 6.0, 7.5, 1e9])
def test_parts_keep_the_order_and_the_bounds(costs, limit):
    class Costly:
        def __init__(self, cost):
            self.cost = cost

    runs = [Costly(cost) for cost in costs]
    parts = list(jobs._parts(runs, 16, limit))
    assert [run for part in parts for run in part] == runs
    for part in parts:
        assert len(part) == 1 or sum(run.cost for run in part) <= limit
        assert len(part) <= 16


def test_jobs_are_named_by_their_runs_alone():
    """So a job whose runs stay keeps its name when others come."""
    few, many = _study(1), _study(1, activation=["relu", "tanh", "prelu", "rrelu"])
    assert {*few.jobs} < {*many.jobs}


def test_the_order_of_the_config_does_not_matter():
    one, other = _study(4), _study(4, activation=["prelu", "tanh", "relu"], seed_stream=["c", "a", "b"])
    assert {*one.jobs} == {*other.jobs}


def test_the_longest_job_goes_first():
    study = _study(1, steps=[10, 1000])
    ordered = sorted(study.jobs.values(), key=lambda job: -job.cost)
    priorities = [study.job_priority(job) for job in ordered]
    assert priorities == sorted(priorities, reverse=True)
    assert priorities[0] == 100
    assert priorities[-1] >= 1


def test_how_runs_are_shared_out_is_no_part_of_what_a_study_is():
    one, other = _study(1), _study(7)
    assert one.digest == other.digest
    assert {*one.runs} == {*other.runs}
    assert {*one.jobs} != {*other.jobs}


@pytest.mark.parametrize("wrong", [0, -1, 1.5, "many", True, 10_001])
def test_a_wrong_number_is_one_line(wrong):
    with pytest.raises(StudyError, match=r"^jobs\.runs_per_job: ") as caught:
        _study(wrong)
    assert "\n" not in str(caught.value)
