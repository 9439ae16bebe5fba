"""What a call of the workflow prints: a line per finished job, and last of all what went wrong, with its remedy."""

from __future__ import annotations

import logging
import re
import shlex
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from activation_study.core.text import plain
from activation_study.jobs.progress import Pace, duration
from activation_study.study.study import Study

MOST_ERRORS = 5
"""With the last line, and the four that Snakemake adds where a plugin prints, ten lines."""
LOG_END = 64_000
"""Bytes at the end of a job's log that are searched for its error."""
SILENT = {"workflow_started", "resources_info", "job_started", "shellcmd", "group_info", "progress", "rulegraph"}
"""Snakemake's events that say nothing which the line of a job does not say."""
NOISE = (
    "Assuming unrestricted shared filesystem usage",
    "Building DAG of jobs",
    "Complete log(s):",
    "Conda environments: ignored",
    "Config file ",
    "Elapsed time:",
    "Exiting because a job execution failed",
    "Select jobs to execute",
    "Using shell:",
)
OWN_LAST_LINE = "At least one job did not complete successfully"
_REASON = re.compile(r"(?:^|; )([A-Z][a-z]+(?: [a-z]+)+)(?=:|;|$)")


class Console(logging.Formatter):
    """Formatter and filter of Snakemake's own handler, so that logger plugins and the log file go on as they are."""

    def __init__(self, study: Study, workflow: Any) -> None:
        super().__init__()
        self._study, self._workflow = study, workflow
        self._jobs: dict[int, str] = {}
        self._done = 0
        self._pace: Pace | None = None

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether there is anything to print; the text is kept with the record."""
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
            if self._pace is not None:
                self._pace.failed(record.jobid)
            log = ", ".join(record.log)
            return f"{self._count()} failed: {self._jobs.get(record.jobid, record.rule_name)}" + (log and f" ({log})")
        text = record.getMessage() if record.msg else ""
        if event == "error" and (OWN_LAST_LINE in text or "CalledProcessError" in text):
            return None  # the job's own line says more, and the last lines say it again
        if text.startswith("Nothing to be done"):
            return "\n".join([text.rstrip(), *report_line(self._study, self._workflow)])
        return None if text.startswith(NOISE) else text

    def _planned(self, record: Any) -> str | None:
        """Snakemake's table of the jobs: once, so that in a dry run it comes after the jobs."""
        first = self._pace is None
        if first:
            needed = {job.jobid: job for job in self._workflow.dag.needrun_jobs() if job.rule.name != "all"}
            self._jobs = {number: name(job.rule.name, job.wildcards_dict) for number, job in needed.items()}
            runs = self._study.runs
            weights = {number: runs[text].cost if text in runs else 1.0 for number, text in self._jobs.items()}
            self._pace = Pace({number: (job.rule.name, weights[number]) for number, job in needed.items()})
        return None if first and self._workflow.dryrun else record.getMessage()

    def _begun(self, record: Any) -> str | None:
        if self._workflow.dryrun:
            why = "; ".join(_REASON.findall(record.reason)).lower()
            return f"{self._jobs[record.jobid]}: {why}" if record.jobid in self._jobs else None
        if self._pace is not None:
            self._pace.began(record.jobid, record.threads, time.monotonic())
        return None

    def _finished(self, number: int) -> str | None:
        if self._pace is None or number not in self._jobs:
            return None
        self._done += 1
        now = time.monotonic()
        self._pace.ended(number, now)
        left = self._pace.left(now)
        return f"{self._count(left)} {self._jobs[number]}"

    def _count(self, left: float | None = None) -> str:
        total = len(self._jobs)
        time_left = f", about {duration(left)} left" if left and self._done < total else ""
        return f"[{self._done:{len(str(total))}}/{total}{time_left}]"


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
    return [f"Report: {study.page}"] if asked else []


def refused_lines(reasons: list[str]) -> list[str]:
    """What has no results, and why: the study went on without it."""
    more = [f"error: {len(reasons) - MOST_ERRORS} more entries were refused; the report says why"]
    return [f"error: {plain(reason, 500)}" for reason in reasons[:MOST_ERRORS]] + more * (len(reasons) > MOST_ERRORS)


def last_lines(study: Study, failed: Iterable[Any], since: float) -> list[str]:
    """What ended jobs, each with its remedy, and what to do next: the last lines of a call that did not end well.

    Args:
        study: the study.
        failed: Snakemake's jobs that failed, or groups of them.
        since: when the call began, as ``time.time()`` gives it; an older log is of another call.
    """
    single = [job for one in failed for job in (one.jobs if one.is_group() else [one])]
    if not single:
        return ["error: stopped before the end; what is done is kept, and the same command goes on from there"]
    lines = sorted({failure(name(job.rule.name, job.wildcards_dict), list(job.log), since) for job in single})
    jobs = "1 job failed" if len(single) == 1 else f"{len(single)} jobs failed"
    more = f", {len(lines) - MOST_ERRORS} more errors" if len(lines) > MOST_ERRORS else ""
    return [
        *lines[:MOST_ERRORS],
        f"{jobs}{more}, logs in {study.results}/logs; what is done is kept, and the same command goes on from there",
    ]


def failure(job: str, logs: list[str], since: float) -> str:
    """The one line for a job that failed: its own, where its log has one, else what the log tells."""
    log = logs[0] if logs else ""
    try:
        with Path(log).open("rb") as file:
            file.seek(max(Path(log).stat().st_size - LOG_END, 0))
            text = file.read().decode(errors="replace") if Path(log).stat().st_mtime >= since - 2 else ""
    except OSError:
        text = ""
    if not text.strip():
        return f"error: {job}: ended before its log began: it was killed, or what it printed above says why"
    found = re.findall(r"^(?:\[ *[\d.]+ s\] )?(error: .*)$", text, re.MULTILINE)
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
