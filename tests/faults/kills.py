"""A study that is killed again and again: at chosen stages and random moments."""

import contextlib
import os
import random
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from project import Call, Project

# In the order of a study, whose costs are measured last: a stage is there while a process runs this script, and its
# logs or files fit.
SCRIPTS = {
    "dataset": "prepare_dataset.py",
    "activation": "describe_activation.py",
    "tuning": "train.py",
    "evaluation": "train.py",
    "checkpoint": "train.py",
    "cost": "measure_cost.py",
    "collect": "collect_tables.py",
    "ledger": "judge_claims.py",
    "report": "make_report.py",
}
GRACE = 2.0  # seconds for which a later stage is passed over while the wished one may yet come
LONGEST = 1.5  # seconds between the beginning of a stage and the kill, at most
# Appended to the copied checkpoints.py, before the undisturbed run: one is written at every evaluation.
ALWAYS = "\n\nINTERVAL = 0.0\n"
OWN_LINES = ("--quiet", "host")  # Snakemake's own, which name the outputs of every job


class Killed:
    """Calls of one study that end by SIGKILL, and what they had finished by then."""

    def __init__(self, project: Project, source: random.Random):
        self.project, self.source = project, source
        self._finished: dict[Path, tuple[int, int]] = {}  # output → inode and time

    def kill(self, stage: str, **options: int) -> tuple[str | None, str]:
        """Start the study and kill it, or one of its jobs, in a stage, or in a later one if that is over.

        Returns:
            The stage, None if the study was over before; and a line that says what happened.
        """
        log = self.project / "call.log"
        with log.open("w", encoding="utf-8") as output:
            call = subprocess.Popen(
                self.project.command(*OWN_LINES, **options),
                cwd=self.project.folder,
                env=self.project.environment(),
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            hit, victim = self._wait(call, stage)
            delay = 0.0 if hit in (None, "checkpoint") else self.source.uniform(0, LONGEST)
            time.sleep(delay)
            whole = victim is None or self.source.random() < 0.7
            if not whole:
                self._signal(victim)
                call.wait(300)  # the others go on
        finally:
            family = _family(call.pid)
            if call.poll() is None:
                os.killpg(call.pid, signal.SIGKILL)
                call.wait()
            for process in family:
                self._signal(process)
            psutil.wait_procs(family, timeout=30)
        text = log.read_text(encoding="utf-8")
        self.check(text)
        what = "the study" if whole else "its job"
        return hit, f"{hit}: {what} killed {delay:.2f} s into it" if hit else "the study was over before"

    def finish(self) -> Call:
        """Let the study run to its end."""
        call = self.project.snakemake(*OWN_LINES)
        self.check(call.output)
        return call

    def check(self, output: str) -> None:
        """What earlier calls had finished is still the same file; what this one has finished is noted."""
        for path, known in self._finished.items():
            assert _identity(self.project / path) == known, f"{path} was finished, and made again"
        self._finished |= {path: _identity(self.project / path) for path in finished_outputs(output)}

    def _wait(self, call: subprocess.Popen, stage: str) -> tuple[str, psutil.Process] | tuple[None, None]:
        """The stage that was reached, this one or a later one, and the process at it; None if the call ends without."""
        stages, seen = list(SCRIPTS), None
        later = stages[stages.index(stage) + 1 :]
        while call.poll() is None:
            processes = [(_command(process), process) for process in _family(call.pid)]
            for name in [stage, *later]:
                for command, process in processes:
                    if SCRIPTS[name] in command and self._is_there(name):
                        seen = seen or time.monotonic()
                        if name == stage or time.monotonic() - seen > GRACE:
                            return name, process
            time.sleep(0.005 if stage == "checkpoint" else 0.03)
        return None, None

    def _is_there(self, stage: str) -> bool:
        results = self.project / "results" / "smoke"
        if stage == "checkpoint":  # half written
            return any((results / "runs").rglob(".*.checkpoint.pt.*"))
        if stage == "evaluation":
            logs = (results / "logs" / "runs").rglob("*.log")
            return any("selected learning rate" in text and "done" not in text for text in map(_text, logs))
        return True

    @staticmethod
    def _signal(process: psutil.Process) -> None:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(signal.SIGKILL)


def finished_outputs(output: str) -> Iterator[Path]:
    """The outputs of the jobs that Snakemake, by what it printed, has finished."""
    outputs: dict[str, list[str]] = {}
    for block in re.finditer(r"^(?:local)?rule \w+:\n((?:    .*\n)+)", output, re.MULTILINE):
        fields = dict(re.findall(r"^    (\w+): (.*)$", block[1], re.MULTILINE))
        if "output" in fields:
            outputs[fields["jobid"]] = [name.split(" (")[0] for name in fields["output"].split(", ")]
    for job in re.findall(r"Finished jobid: (\d+)", output):
        yield from map(Path, outputs.get(job, []))


def _identity(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_ino, found.st_mtime_ns


def _family(pid: int) -> list[psutil.Process]:
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def _command(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return ""
