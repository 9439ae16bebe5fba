"""What a call of the workflow prints: a line per finished job, and last of all what went wrong, with its remedy."""

from __future__ import annotations

import logging
import re
import shlex
import sys
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from activation_study.core.text import plain
from activation_study.jobs import cluster
from activation_study.jobs.progress import Pace, duration
from activation_study.jobs.store import Store
from activation_study.study.runs import Run
from activation_study.study.study import Study

DONE, KEPT = "done: ", "kept: "
"""Before a run's name, in the log of a training job: it has ended, or was there before."""
FOLLOWED_EVERY = 0.5
"""Seconds."""
MOST_ERRORS = 5
"""With the last line, and the four that Snakemake adds where a plugin prints, ten lines."""
SILENT = {"workflow_started", "resources_info", "job_started", "shellcmd", "group_info", "progress", "rulegraph"}
"""Snakemake's events that say nothing which the line of a job does not say."""
NOISE = (
    "Assuming unrestricted shared filesystem usage",
    "Building DAG of jobs",
    "Cannot restore ",
    "Cleaning up SLURM log files",
    "Complete log(s):",
    "Conda environments: ignored",
    "Config file ",
    "Elapsed time:",
    "Exiting because a job execution failed",
    "Finished retrieval",
    "Finished upload",
    "No SLURM account given",
    "No account was given",
    "Removing local copy of storage file",
    "Restored previous version of ",
    "Retrieving from storage",
    "SLURM run ID",
    "Select jobs to execute",
    "Skipped removing non-empty directory",
    "Storing in storage",
    "Storing output in storage",
    "Unable to guess SLURM account",
    "Uploading source archive",
    "Using shell:",
)
SUBMITTED = re.compile(r"Job \d+ has been submitted with ")
OWN_LAST_LINE = "At least one job did not complete successfully"
SBATCH = re.compile(r"SLURM sbatch failed. The error message was '(.*?)'\.$", re.DOTALL | re.MULTILINE)
_TIME = re.compile(r"^\[ *[\d.]+ s\] ")
_REASON = re.compile(r"(?:^|; )([A-Z][a-z]+(?: [a-z]+)+)(?=:|;|$)")


class Console(logging.Formatter):
    """Formatter and filter of Snakemake's own handler, so that logger plugins and the log file go on as they are."""

    def __init__(self, study: Study, workflow: Any) -> None:
        super().__init__()
        self._study, self._workflow = study, workflow
        self._jobs: dict[int, str] = {}
        self._runs: dict[int, Sequence[Run]] = {}
        self._total = 0
        self._pace: Pace | None = None
        self._logs: dict[int, Follower] = {}
        self._lock = threading.RLock()

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether there is anything to print; the text is kept with the record."""
        with self._lock:
            vars(record)["printed"] = text = self._text(record)
        return bool(text)

    def format(self, record: logging.LogRecord) -> str:
        return str(vars(record)["printed"])

    def _text(self, record: Any) -> str | None:
        event = getattr(record, "event", None)
        if event in SILENT or (event == "debug_dag" and not self._workflow.output_settings.debug_dag):
            return None
        if event == "run_info":
            return self._planned(record)
        if event == "job_info":
            return self._begun(record)
        if event == "job_finished":
            return self._finished(record.job_id)
        if event == "job_error":
            return self._failed(record)
        text = record.getMessage() if record.msg else ""
        if event == "error" and (OWN_LAST_LINE in text or "CalledProcessError" in text):
            return None  # the job's own line says more, and the last lines say it again
        if text.startswith("Nothing to be done"):
            return "\n".join([text.rstrip(), *report_line(self._study, self._workflow)])
        return None if text.startswith(NOISE) or SUBMITTED.match(text) else text

    def _planned(self, record: Any) -> str | None:
        """Snakemake's table of the jobs: once, so that in a dry run it comes after the jobs."""
        first = self._pace is None
        if first:
            needed = {job.jobid: job for job in self._workflow.dag.needrun_jobs() if job.rule.name != "all"}
            things: dict[tuple[int, str], tuple[str, float]] = {}
            for number, job in needed.items():
                called = name(job.rule.name, job.wildcards_dict)
                self._runs[number] = runs = self._study.jobs[called].runs if job.rule.name == "train" else ()
                self._jobs[number] = runs[0].id if len(runs) == 1 else called
                weights = {run.id: run.cost for run in runs} or {called: 1.0}
                things |= {(number, thing): (job.rule.name, weight) for thing, weight in weights.items()}
            self._pace, self._total = Pace(things), len(things)
            if not self._workflow.dryrun:
                threading.Thread(target=self._follow, daemon=True).start()
        return None if first and self._workflow.dryrun else record.getMessage()

    def _begun(self, record: Any) -> str | None:
        if self._workflow.dryrun:
            why = "; ".join(_REASON.findall(record.reason)).lower()
            if record.jobid not in self._jobs:
                return None
            things = [run.id for run in self._runs[record.jobid]] or [self._jobs[record.jobid]]
            return "\n".join(f"{thing}: {why}" for thing in things)
        if self._pace is not None:
            self._pace.began(record.jobid, record.threads, time.monotonic())
            if self._runs.get(record.jobid) and record.log:
                self._logs[record.jobid] = Follower(Path(record.log[0]))
        return None

    def _follow(self) -> None:
        """Say each run when its job's log says it: a job may take minutes."""
        logger = logging.getLogger("snakemake.logging")
        while True:
            time.sleep(FOLLOWED_EVERY)
            with self._lock:
                lines = [line for number in [*self._logs] for line in self._ended(number)]
            for line in lines:
                logger.info(line)

    def _ended(self, number: int) -> list[str]:
        """A line for each run that has ended in a job since this was last asked."""
        said: list[str] = []
        if self._pace is None or number not in self._logs:
            return said
        for line in self._logs[number].lines():
            if (run := line.removeprefix(KEPT)) != line:
                self._pace.kept(number, run)
            elif (run := line.removeprefix(DONE)) != line:
                before = self._pace.things_left
                self._pace.ended(number, run, now := time.monotonic())
                if self._pace.things_left < before:
                    said.append(f"{self._count(self._pace.left(now))} {run}")
        return said

    def _finished(self, number: int) -> str | None:
        if self._pace is None or number not in self._jobs:
            return None
        said = self._ended(number)
        follower, before, now = self._logs.pop(number, None), self._pace.things_left, time.monotonic()
        self._pace.finished(number, now)
        if before > self._pace.things_left:  # no log told of them
            said.append(f"{self._count(self._pace.left(now))} {self._jobs[number]}")
        elif follower is not None and not follower.said(DONE):
            said.append(f"{self._count(self._pace.left(now))} {self._jobs[number]}: was there already")
        return "\n".join(said) or None

    def _failed(self, record: Any) -> str:
        said = self._ended(record.jobid)
        self._logs.pop(record.jobid, None)
        if self._pace is not None:
            self._pace.failed(record.jobid)
        logs = [log for log in record.log if log and log != "None"]
        why = cluster.ended_by(logs[1:]) or "".join(SBATCH.findall(getattr(record, "rule_msg", None) or ""))
        failed = f"{self._count()} failed: {self._jobs.get(record.jobid, record.rule_name)}"
        failed += f": {plain(why, 300)}" * bool(why) + f" ({', '.join(logs)})" * bool(logs)
        return "\n".join([*said, failed])

    def _count(self, left: float | None = None) -> str:
        done = self._total - (self._pace.things_left if self._pace is not None else 0)
        time_left = f", about {duration(left)} left" if left and done < self._total else ""
        return f"[{done:{len(str(self._total))}}/{self._total}{time_left}]"


class Follower:
    """Reads on in a log of this call, whole lines without their time; an older one of that name is not followed."""

    def __init__(self, path: Path) -> None:
        self._path, self._since, self._place, self._said = path, time.time(), 0, set[str]()

    def lines(self) -> list[str]:
        try:
            if self._path.stat().st_mtime < self._since - 2:
                return []
            if self._path.stat().st_size < self._place:  # the job began anew
                self._place = 0
            with self._path.open("rb") as file:
                file.seek(self._place)
                whole, newline, _ = file.read().rpartition(b"\n")
        except OSError:
            return []
        self._place += len(whole) + len(newline)
        found = [_TIME.sub("", line) for line in whole.decode(errors="replace").splitlines()]
        self._said |= {line[: line.find(" ") + 1] for line in found}
        return found

    def said(self, first: str) -> bool:
        """Whether a line that was read begins with that word."""
        return first in self._said


def attach(study: Study, workflow: Any) -> None:
    """Print so, where Snakemake prints by itself: unless a plugin does, or --quiet or --verbose asks for its own."""
    settings = workflow.output_settings
    if settings.quiet or settings.verbose:
        return
    for handler in logging.getLogger("snakemake.logging").handlers:
        if handler.name == "DefaultStreamHandler":
            console = Console(study, workflow)
            handler.addFilter(console)
            handler.setFormatter(console)


class Interpreter(str):
    """The interpreter's path, which is quoted where it becomes part of a command line; Snakemake itself does not."""

    __slots__ = ()

    def __format__(self, spec: str) -> str:
        return format(shlex.quote(str(self)), spec)


def quote_interpreter() -> None:
    """Let Snakemake start its jobs from a folder whose path has blanks, quotes or the like."""
    sys.executable = Interpreter(sys.executable)


def name(rule: str, wildcards: Mapping[str, str]) -> str:
    """What a job is called: a run's own name, else the rule and what it is about."""
    values = "/".join(wildcards.values())
    return values if rule == "train" else f"{rule} {values}".rstrip()


def report_line(study: Study, workflow: Any) -> list[str]:
    """Where the report lies, if this call was asked for it."""
    asked = any(job.rule.name == "report" for job in workflow.dag.jobs)
    return [f"Report: {Store(workflow).query(study.page)}"] if asked else []


def refused_lines(reasons: list[str]) -> list[str]:
    """What has no results, and why: the study went on without it."""
    more = [f"error: {len(reasons) - MOST_ERRORS} more entries were refused; the report says why"]
    return [f"error: {plain(reason, 500)}" for reason in reasons[:MOST_ERRORS]] + more * (len(reasons) > MOST_ERRORS)


def last_lines(study: Study, failed: Iterable[Any], since: float, logs: str) -> list[str]:
    """What ended jobs, each with its remedy, and what to do next: the last lines of a call that did not end well.

    Args:
        study: the study.
        failed: Snakemake's jobs that failed, or groups of them.
        since: when the call began, as ``time.time()`` gives it; an older log is of another call.
        logs: where they lie, for people.
    """
    single = [job for one in failed for job in (one.jobs if one.is_group() else [one])]
    if not single:
        return ["error: stopped before the end; what is done is kept, and the same command goes on from there"]
    lines = sorted(
        {
            failure(
                name(job.rule.name, job.wildcards_dict),
                list(job.log),
                since,
                cluster.ended_by([cluster.log_of(study, job.rule.name, job.wildcards_dict)], since),
            )
            for job in single
        }
    )
    jobs = "1 job failed" if len(single) == 1 else f"{len(single)} jobs failed"
    more = f", {len(lines) - MOST_ERRORS} more errors" if len(lines) > MOST_ERRORS else ""
    return [
        *lines[:MOST_ERRORS],
        f"{jobs}{more}, logs in {logs}; what is done is kept, and the same command goes on from there",
    ]


def failure(job: str, logs: list[str], since: float, queue: str | None = None) -> str:
    """The one line for a job that failed: its own, where its log has one, else what the queue or the log tells."""
    log = logs[0] if logs else ""
    text = cluster.end_of(log, since - 2)
    found = re.findall(r"^(?:\[ *[\d.]+ s\] )?(error: .*)$", text, re.MULTILINE)
    if not found and queue:
        return f"error: {job}: {queue}"
    if not text.strip():
        return f"error: {job}: ended before its log began: it was killed, or what it printed above says why"
    if found:
        return plain(found[-1], 500)
    last = text.rstrip().rpartition("\n")[2]
    if "Traceback (most recent call last)" in text:
        return plain(f"error: {job}: {last}; this looks like a fault of the program: report it, with {log}", 500)
    if last.endswith("] done"):
        return (
            f"error: {job}: is done, but Snakemake does not find its files; on a slow file system "
            "--latency-wait 60 helps"
        )
    return f"error: {job}: was killed, by hand or because memory ran out; fewer jobs at a time (--cores) need less"
