"""What is printed for each of Snakemake's records, and for each way in which a job may fail."""

import logging
import os
import shlex
import string
import time
from types import SimpleNamespace

import pytest

import small
from activation_study.jobs import console
from activation_study.study.study import Study

STUDY = Study.from_config(small.config())
(RUN,) = STUDY.runs


def _job(number, rule, log="", **wildcards):
    return SimpleNamespace(
        jobid=number,
        rule=SimpleNamespace(name=rule),
        wildcards_dict=wildcards,
        log=[log] if log else [],
        is_group=lambda: False,
    )


def _train(number=2, log=""):
    (job,) = STUDY.jobs.values()
    return _job(number, "train", log, shape=job.shape, part=job.part)


def _workflow(*jobs, **settings):
    settings = {"quiet": set(), "verbose": False, "debug_dag": False} | settings
    dag = SimpleNamespace(needrun_jobs=lambda: iter(jobs), jobs=jobs)
    store = {
        "storage_registry": SimpleNamespace(default_storage_provider=None),
        "storage_settings": SimpleNamespace(default_storage_prefix=None),
    }
    return SimpleNamespace(dryrun=False, dag=dag, output_settings=SimpleNamespace(**settings), **store)


def _say(printer, message="", event=None, level=logging.INFO, **extra):
    record = logging.makeLogRecord({"msg": message, "levelno": level, "event": event} | extra)
    return printer.format(record) if printer.filter(record) else None


JOBS = (_job(0, "all"), _job(1, "activation", activation="relu"), _train(), _job(3, "report"))


def test_a_call_from_its_plan_to_its_end():
    printer = console.Console(STUDY, _workflow(*JOBS))
    assert _say(printer, "Job stats: …", "run_info") == "Job stats: …"
    for number, line in ((1, "[1/3] activation relu"), (2, f"[2/3] {RUN}"), (3, "[3/3] report")):
        assert _say(printer, "…", "job_info", jobid=number, threads=1, reason="Missing output files: a", log=[]) is None
        assert _say(printer, "Finished", "job_finished", job_id=number) == line
        assert _say(printer, None, "progress", done=number, total=4) is None
    assert _say(printer, "Finished", "job_finished", job_id=0) is None


MANY = Study.from_config(small.config(jobs={"runs_per_job": 8}, experiments={"core": {"depth": 2, "width": [8]}}))


def _of_many(tmp_path):
    """A call with one job of four runs, and that job's log."""
    (job,), log = MANY.jobs.values(), tmp_path / "job.log"
    assert len(job.runs) == 4
    train = _job(7, "train", str(log), shape=job.shape, part=job.part)
    printer = console.Console(MANY, _workflow(train, _job(8, "report")))
    _say(printer, "Job stats: …", "run_info")
    _say(printer, "…", "job_info", jobid=7, threads=1, reason="", log=[str(log)])
    return printer, log, [run.id for run in job.runs]


def test_each_run_of_a_job_is_said_when_its_log_says_it(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(console, "FOLLOWED_EVERY", 0.01)
    caplog.set_level(logging.INFO, "snakemake.logging")
    printer, log, runs = _of_many(tmp_path)
    log.write_text(f"[ 1.0 s] kept: {runs[0]}\n[ 1.5 s] done: {runs[1]}\n[ 2.0 s] done: {runs[2]}", encoding="utf-8")
    end = time.monotonic() + 20
    while not caplog.messages and time.monotonic() < end:
        time.sleep(0.01)
    (line,) = caplog.messages
    assert line.startswith("[2/5")
    assert line.endswith(f"] {runs[1]}")  # the last line of the log is not whole
    with log.open("a", encoding="utf-8") as file:
        file.write(f"\n[ 3.0 s] done: {runs[3]}\n[ 3.0 s] done\n")
    finished = _say(printer, "Finished", "job_finished", job_id=7)
    said = [*caplog.messages[1:], *(finished or "").splitlines()]
    assert [one[one.index("]") + 2 :] for one in said] == [runs[2], runs[3]]
    assert said[-1].startswith("[4/5")


def test_a_job_whose_log_tells_nothing_is_one_line(tmp_path):
    printer, _, _ = _of_many(tmp_path)
    line = _say(printer, "Finished", "job_finished", job_id=7)
    (job,) = MANY.jobs
    assert line == f"[4/5] {job}"


def test_a_job_that_found_all_its_runs_says_so(tmp_path):
    printer, log, runs = _of_many(tmp_path)
    log.write_text("".join(f"[ 1.0 s] kept: {run}\n" for run in runs), encoding="utf-8")
    assert _say(printer, "Finished", "job_finished", job_id=7).endswith(": was there already")


def test_the_log_of_yesterday_tells_nothing(tmp_path):
    log = tmp_path / "a.log"
    log.write_text("[ 1.0 s] done: a\n", encoding="utf-8")
    os.utime(log, (time.time() - 3600,) * 2)
    assert console.Follower(log).lines() == console.Follower(tmp_path / "none.log").lines() == []


def test_of_a_failed_job_its_log_is_named():
    printer = console.Console(STUDY, _workflow(*JOBS))
    _say(printer, "Job stats: …", "run_info")
    failed = {"jobid": 2, "rule_name": "train", "log": ["results/a.log"]}
    assert (
        _say(printer, "Error in rule", "job_error", logging.ERROR, **failed) == f"[0/3] failed: {RUN} (results/a.log)"
    )
    text = "RuleException:\nCalledProcessError in file …"
    assert _say(printer, text, "error", logging.ERROR, exception="CalledProcessError") is None


@pytest.mark.parametrize("text", ["Trying to restart job 5.", "MissingOutputException in rule train", "100% of memory"])
def test_what_it_does_not_know_is_printed(text):
    printer = console.Console(STUDY, _workflow(*JOBS))
    assert _say(printer, text) == text
    assert _say(printer, text, "error", logging.ERROR) == text


def test_a_dry_run_says_each_job_with_its_reasons_and_the_table_once():
    workflow = _workflow(*JOBS)
    workflow.dryrun = True
    printer = console.Console(STUDY, workflow)
    assert _say(printer, "Job stats: 1", "run_info") is None
    reason = "Missing output files: a/b; C: d; Params have changed since last execution: {'x': 1; 'y': Code}"
    said = _say(printer, "…", "job_info", jobid=2, threads=1, reason=reason)
    assert said == f"{RUN}: missing output files; params have changed since last execution"
    assert _say(printer, "Job stats: 2", "run_info") == "Job stats: 2"


def test_nothing_to_be_done_names_the_report_if_it_was_asked_for():
    text = "Nothing to be done (all requested files are present and up to date)."
    assert _say(console.Console(STUDY, _workflow(*JOBS)), text) == f"{text}\nReport: reports/{STUDY.name}.html"
    assert _say(console.Console(STUDY, _workflow(*JOBS[:2])), text) == text


@pytest.mark.parametrize(
    ("name", "settings", "taken"),
    [
        ("DefaultStreamHandler", {}, True),
        ("DefaultLogFileHandler", {}, False),
        (None, {}, False),
        ("DefaultStreamHandler", {"verbose": True}, False),
        ("DefaultStreamHandler", {"quiet": {"host"}}, False),
    ],
)
def test_only_snakemakes_own_output_is_replaced(name, settings, taken):
    handler, logger = logging.NullHandler(), logging.getLogger("snakemake.logging")
    handler.name = name
    logger.addHandler(handler)
    try:
        console.attach(STUDY, _workflow(*JOBS, **settings))
        assert isinstance(handler.formatter, console.Console) == taken == bool(handler.filters)
    finally:
        logger.removeHandler(handler)


LOGS = {
    "its own line": ("[     0.1 s] device cpu\n[     2.0 s] error: x: wrong; do y\n", "error: x: wrong; do y"),
    "the last of them": ("error: first\n[ 1.0 s] error: second\n", "error: second"),
    "a fault of ours": (
        "[     0.1 s] Traceback (most recent call last):\n  File …\nKeyError: 'a'\n\n",
        "KeyError: 'a'; this looks like a fault of the program: report it, with ",
    ),
    "a kill": ("[     0.1 s] device cpu\n", "was killed, by hand or because memory ran out; fewer jobs at a time"),
    "an empty log": ("", "ended before its log began"),
    "missing files": ("[     0.1 s] device cpu\n[     2.0 s] done\n", "--latency-wait"),
    "bytes that are no text": ("[     0.1 s] \udcff\udcfe\n", "was killed"),
    "a long log": ("[     0.1 s] line\n" * 20_000 + "[     2.0 s] error: at the end\n", "error: at the end"),
    "control characters": ("[ 1.0 s] error: \x1b[31mred\u202e\n", "error: \\x1b[31mred\\u202e"),
}


@pytest.mark.parametrize("kind", LOGS)
def test_every_way_to_fail_ends_in_a_line(kind, tmp_path):
    text, held = LOGS[kind]
    log = tmp_path / "a.log"
    log.write_text(text, encoding="utf-8", errors="surrogateescape")
    line = console.failure(RUN, [str(log)], time.time())
    assert line.startswith("error: ")
    assert held in line
    assert line.isprintable()


def test_the_log_of_an_earlier_call_is_not_this_ones(tmp_path):
    log = tmp_path / "a.log"
    log.write_text("[ 1.0 s] error: of yesterday\n", encoding="utf-8")
    os.utime(log, (time.time() - 3600,) * 2)
    for logs in ([str(log)], [str(tmp_path / "none.log")], []):
        assert "ended before its log began" in console.failure(RUN, logs, time.time())


@pytest.mark.parametrize("count", [1, 2, console.MOST_ERRORS, console.MOST_ERRORS + 3])
def test_the_last_lines(count, tmp_path):
    jobs = []
    for number in range(count):
        for twice in range(2):  # two jobs with the same fault
            log = tmp_path / f"{number} {twice}.log"
            log.write_text(f"[ 1.0 s] error: fault {number}; do this\n", encoding="utf-8")
            jobs.append(_train(2 * number + twice, str(log)))
    group = SimpleNamespace(is_group=lambda: True, jobs=jobs[:2])
    *lines, last = console.last_lines(STUDY, [group, *jobs[2:]], time.time(), "s3://b/logs")
    assert lines == [f"error: fault {number}; do this" for number in range(min(count, console.MOST_ERRORS))]
    assert len(lines) + 1 <= 6
    more = f", {count - console.MOST_ERRORS} more errors" if count > console.MOST_ERRORS else ""
    assert last.startswith(f"{2 * count} jobs failed{more}, logs in s3://b/logs; ")


def test_a_call_that_was_stopped_says_so():
    (line,) = console.last_lines(STUDY, [], time.time(), "logs")
    assert line.startswith("error: stopped before the end; ")


@pytest.mark.parametrize("path", ["/usr/bin/python", "/my study/it's $HOME/ünï/{x}/python"])
def test_the_interpreter_is_quoted_in_command_lines_only(path):
    interpreter = console.Interpreter(path)
    assert interpreter == path
    assert os.fspath(interpreter) == path  # as subprocess and os.path take it
    assert shlex.split(f"{interpreter} -m x") == [path, "-m", "x"]
    assert shlex.split(string.Formatter().format("{py_exec} x", py_exec=interpreter)) == [path, "x"]
