"""A study in progress: whose results folder it is, and how long the rest will take."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from activation_study.core.errors import StudyError
from activation_study.core.text import plain

if TYPE_CHECKING:
    from activation_study.study.study import Study

_HELD: list[FileLock] = []
"""A lock that nobody knows of any more is given back."""


def check_place(checkout: str | Path) -> None:
    """Raises :class:`StudyError` where Snakemake cannot work, with the way out: by the checkout's path, or here."""
    if {"{", "}"} & set(str(checkout)):
        raise StudyError(f"{plain(checkout)}: Snakemake takes braces in a path for wildcards; rename that folder")
    notes = Path.cwd() / ".snakemake"
    exists = notes.exists()
    if (exists and not notes.is_dir()) or not os.access(notes if exists else notes.parent, os.W_OK):
        command = shlex.join(["snakemake", "-s", str(Path(checkout) / "Snakefile"), "--configfile", "my.yaml"])
        raise StudyError(
            f"{plain(notes)}: cannot be written; in a folder of your own, with your config in it, run "
            f"{plain(command, 500)} --cores all"
        )


def lock_results(study: Study) -> None:
    """Keep the study's results folder for this process until it ends, however it ends.

    Snakemake's own lock outlives a killed process, and the next call would stop at it.

    Raises:
        StudyError: another process works on this study, or the folder cannot be written.
    """
    results = Path(study.results)
    lock = FileLock(lock_file(study), blocking=False)
    try:
        results.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        raise StudyError(f"{plain(results)}: another call works on this study; wait for its end or stop it") from None
    except OSError as error:
        line = f"{plain(results)}: cannot be written ({error.strerror}); the study keeps its results there"
        raise StudyError(line) from None
    _HELD.append(lock)


def lock_file(study: Study) -> Path:
    return Path(study.results, ".lock")


def at_work(study: Study) -> bool:
    """Whether some call on this machine works on the study now."""
    if not lock_file(study).exists():
        return False
    lock = FileLock(lock_file(study), blocking=False)
    try:
        with lock:
            return False
    except Timeout:
        return True
    except OSError:  # somebody else's folder
        return False


class Pace:
    """How long a call will take, from what has ended of it.

    A job is about one thing or, training, about several runs, which end one by one; each has a weight, which says how
    its work compares with that of the others of its rule. Work is seconds × threads.
    """

    def __init__(self, things: Mapping[tuple[int, str], tuple[str, float]]) -> None:
        """Takes the rule and the weight of all that the call's jobs are about, by the job's number and a name."""
        self._left = dict(things)
        self._running: dict[int, tuple[float, int]] = {}
        self._ended: dict[str, tuple[float, float]] = {}  # by rule: weight and work
        self._start: float | None = None

    def began(self, job: int, threads: int, now: float) -> None:
        self._start = now if self._start is None else self._start
        self._running[job] = now, threads

    def ended(self, job: int, name: str, now: float) -> None:
        """One of the things that the job is about."""
        if (job, name) in self._left:
            began, threads = self._running.get(job, (now, 1))
            rule, weight = self._left.pop((job, name))
            weights, work = self._ended.get(rule, (0.0, 0.0))
            self._ended[rule] = weights + weight, work + (now - began) * threads
            self._running[job] = now, threads

    def kept(self, job: int, name: str) -> None:
        """It was there before."""
        self._left.pop((job, name), None)

    def finished(self, job: int, now: float) -> None:
        for other, name in [*self._left]:
            if other == job:
                self.ended(job, name, now)
        self._running.pop(job, None)

    def failed(self, job: int) -> None:
        """It may begin once more."""
        self._running.pop(job, None)

    @property
    def things_left(self) -> int:
        return len(self._left)

    def left(self, now: float) -> float | None:
        """Seconds until all are done, at the pace so far; None before a job of every costly kind has ended.

        The costly kind is training: of another rule, no job of which has ended, nothing is known and nothing counted.
        """
        if any(rule == "train" for rule, _ in self._left.values()) and "train" not in self._ended:
            return None
        running = sum((now - began) * threads for began, threads in self._running.values())
        done = running + sum(work for _, work in self._ended.values())
        if self._start is None or done <= 0:
            return None
        ahead = 0.0
        for rule, weight in self._left.values():
            weights, work = self._ended.get(rule, (1.0, 0.0))
            ahead += weight * work / weights
        return max(ahead - running, 0.0) * (now - self._start) / done


def duration(seconds: float) -> str:
    """Rounded for reading: seconds, minutes or hours."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
