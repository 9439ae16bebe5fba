"""Jobs that wait in SLURM's queue: where their logs lie, what ended them, and those that a killed call left behind."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from activation_study.core.text import plain
from activation_study.study.study import Study

BESIDE_MB = 350
"""Of Snakemake, which runs twice beside a job on another machine: 108 MB each were measured, and srun's."""
LOG_END = 64_000
"""Bytes at the end of a log that are searched for what ended the job."""
ENDINGS = (
    (r"DUE TO TIME LIMIT", "took longer than its runtime; a retry asks for more, and so does --set-resources"),
    (r"(?i)oom[-_ ]kill|out of memory|exceeded (?:job )?memory limit", "needed more memory than its mem_mb"),
    (r"DUE TO NODE FAILURE", "its node failed"),
    (r"DUE TO PREEMPTION", "had to make way for another job"),
    (r"\*\*\* JOB \d+ ON \S+ CANCELLED", "was cancelled"),
)
"""What SLURM writes into a job's log, and what that means; the first one that is found."""


def memory(workflow: Any, of: int | Callable[..., int]) -> Callable[..., int]:
    """Of a rule: the memory in MB that its job asks for, more by as much with each attempt.

    Args:
        workflow: Snakemake's, which knows only when it starts whether jobs run on other machines.
        of: that of the script, a number or a function of the wildcards and the inputs.
    """

    def mem_mb(wildcards: Any, input: Any, attempt: int) -> int:
        needed = of if isinstance(of, int) else of(wildcards, input)
        return (needed + (0 if workflow.local_exec else BESIDE_MB)) * attempt

    return mem_mb


def logs(study: Study) -> Path:
    """The folder of SLURM's own logs of the study's jobs."""
    return Path(study.results, "logs", "slurm")


def log_of(study: Study, rule: str, wildcards: Mapping[str, str]) -> str | None:
    """SLURM's newest log of a job, as its plugin for Snakemake names it; None if there is none."""
    folder = logs(study) / f"rule_{rule}" / "_".join(wildcards.values()).replace("/", "_")
    return str(max(folder.glob("*.log"), key=lambda path: path.stat().st_mtime, default=None) or "") or None


def ended_by(files: Iterable[str | None], since: float = 0.0) -> str | None:
    """What SLURM says in these logs of the end of a job, if they were written since then; None if nothing."""
    for file in filter(None, files):
        text = end_of(file, since)
        found = next((meaning for pattern, meaning in ENDINGS if re.search(pattern, text)), None)
        if found:
            return found
    return None


def end_of(file: str | Path, since: float = 0.0) -> str:
    """The end of a log; nothing of one that cannot be read, or was last written before that time."""
    try:
        with Path(file).open("rb") as log:
            log.seek(max(Path(file).stat().st_size - LOG_END, 0))
            return log.read().decode(errors="replace") if Path(file).stat().st_mtime >= since else ""
    except OSError:
        return ""


def begin(study: Study, workflow: Any) -> None:
    """Where jobs go to SLURM: let its logs lie beside the others, and cancel what a killed call left in the queue.

    A job that it left would train beside the one that is now submitted for the same runs.
    """
    executor = workflow.scheduler._executor
    if not hasattr(executor, "slurm_logdir"):
        return
    if workflow.executor_settings.logdir is None:
        executor.slurm_logdir = logs(study).resolve()
    name = Path(study.results, ".slurm")
    if name.exists():
        subprocess.run(["scancel", f"--name={plain(name.read_text(encoding='utf-8'))}"], timeout=60, check=False)
    name.write_text(executor.run_uuid, encoding="utf-8")
