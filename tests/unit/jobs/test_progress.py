"""The time left, against a plan whose end is known."""

import heapq

import pytest

from activation_study.core.errors import StudyError
from activation_study.jobs.progress import Pace, check_place


def _pace(jobs):
    """Of jobs that are about one thing each."""
    return Pace({(number, "it"): of for number, of in jobs.items()})


def _run(jobs, workers):
    """Run jobs (rule, weight, seconds, threads) in their order; the guess and the truth after each."""
    pace = _pace({number: (rule, weight) for number, (rule, weight, _, _) in enumerate(jobs)})
    waiting, running, free, now, guesses = list(enumerate(jobs)), [], workers, 0.0, []
    while waiting or running:
        while waiting and waiting[0][1][3] <= free:
            number, (_, _, seconds, threads) = waiting.pop(0)
            free -= threads
            pace.began(number, threads, now)
            heapq.heappush(running, (now + seconds, number, threads))
        now, number, threads = heapq.heappop(running)
        free += threads
        pace.finished(number, now)
        guesses.append((pace.left(now), now))
    return [(guess, now, guesses[-1][1] - now) for guess, now in guesses]


@pytest.mark.parametrize("workers", [1, 2, 8])
def test_like_runs_end_when_it_says(workers):
    for guess, now, left in _run([("train", 3.0, 10.0, 1)] * 40, workers):
        assert guess == pytest.approx(left, abs=10.0), now


def test_weights_and_threads_count():
    """Training of unlike weight beside jobs that take the whole machine, each in proportion."""
    jobs = [("train", weight, 2.0 * weight, 1) for weight in (1, 5, 2, 8, 1, 3, 9, 4) * 5]
    jobs[:0] = [("cost", 1.0, 6.0, 2)]
    jobs += [("cost", 1.0, 6.0, 2)] * 10
    seen = _run(jobs, workers=2)
    for guess, now, left in seen[1:]:
        assert guess == pytest.approx(left, rel=0.05, abs=12.0), now


def test_nothing_is_said_before_a_run_has_ended():
    pace = _pace({1: ("dataset", 1.0), 2: ("train", 7.0), 3: ("train", 7.0)})
    pace.began(1, 1, 0.0)
    pace.finished(1, 5.0)
    assert pace.left(5.0) is None
    pace.began(2, 1, 5.0)
    pace.finished(2, 15.0)
    assert pace.left(15.0) == pytest.approx(10.0)


def test_a_job_that_fails_may_begin_again():
    pace = _pace({1: ("train", 1.0), 2: ("train", 1.0)})
    pace.began(1, 1, 0.0)
    pace.failed(1)
    pace.began(1, 1, 10.0)
    pace.finished(1, 20.0)
    assert pace.left(20.0) == pytest.approx(20.0)  # half of the time was lost, and may be again


def test_runs_of_one_job_count_one_by_one():
    """Two jobs at once, of four runs of 10 s each; one of them was there before."""
    pace = Pace({(job, f"run {i}"): ("train", 1.0) for job in (1, 2) for i in range(4)})
    pace.began(1, 1, 0.0)
    pace.began(2, 1, 0.0)
    pace.kept(1, "run 3")
    assert pace.things_left == 7
    for now, left in ((10.0, 30.0 - 5.0), (20.0, 20.0 - 5.0)):
        for job in (1, 2):
            pace.ended(job, f"run {int(now // 10) - 1}", now)
        assert pace.left(now) == pytest.approx(left)
    pace.finished(1, 30.0)  # of the last one no log told
    pace.ended(2, "run 2", 30.0)
    pace.ended(2, "run 2", 31.0)
    assert pace.things_left == 1
    assert pace.left(30.0) == pytest.approx(5.0)


def test_a_folder_that_cannot_be_written_names_the_command(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    check_place("/a place/for all")
    (tmp_path / ".snakemake").write_text("a file")
    with pytest.raises(StudyError) as refused:
        check_place("/a place/for all")
    line = str(refused.value)
    assert line.startswith(f"{tmp_path}/.snakemake: cannot be written; ")
    assert line.endswith("run snakemake -s '/a place/for all/Snakefile' --configfile my.yaml --cores all")


@pytest.mark.parametrize("path", ["/a/{b}/c", "/a/b}", "/{"])
def test_a_checkout_with_braces_in_its_path_is_refused(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StudyError, match="braces in a path for wildcards; rename"):
        check_place(path)
