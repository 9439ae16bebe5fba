"""A page of what a study has so far, while a call works on it: `python -m activation_study.jobs.so_far CONFIG`.

It reads what is there and writes nothing that the workflow knows: `results/<study>/so_far/` and
`reports/<study>-so-far.html`. Verdicts are not given: they would be looked at until they please.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from activation_study.core import descriptions
from activation_study.core.errors import StudyError
from activation_study.jobs import collect, progress
from activation_study.jobs.cluster import LOG_END
from activation_study.jobs.kept import KeptRuns
from activation_study.jobs.provenance import provenance
from activation_study.report.page import build
from activation_study.study import receipts
from activation_study.study.jobs import RUN_TABLES, Job
from activation_study.study.study import Study
from activation_study.tables import described, parquet
from activation_study.training.rows import no_data_rows

MADE = 75
"""Exit code where a page was made; 0 where no call works on the study, and the workflow can make it."""
STATES = ("done", "running", "failed", "waiting")


def main(arguments: Sequence[str]) -> None:
    try:
        study = Study.from_file(arguments[0])
        if progress.at_work(study):
            print(write(study), file=sys.stderr)
            sys.exit(MADE)
    except StudyError as error:
        sys.exit(f"error: {error}")


def write(study: Study) -> str:
    """Write the page, and return a line that says where it is and how far the study has come.

    Raises:
        StudyError: the results or the page cannot be written as they are.
    """
    activations = _there(described.activation, {name: study.activation_file(name) for name in study.activations()})
    datasets = _there(descriptions.dataset, {name: study.dataset_file(name) for name in study.datasets()})
    made, count = receipts.made(study, activations, datasets), Counter[str]()
    parts: dict[str, list[pa.Table]] = {name: [] for name in RUN_TABLES}
    for job in study.jobs.values():
        wanted = made.get(study.job_file(job), {}).get("runs", {})
        for tables, states in _of_job(study, job, wanted):
            count.update(states)
            for name, table in tables.items():
                parts[name].append(table)
    folder = Path(study.results) / "so_far"
    for name, table in _tables(study, parts, activations, datasets):
        parquet.validate(name, table)
        parquet.write_parquet(table, folder / f"{name}.parquet")
    now = datetime.now(UTC)
    come = ", ".join(f"{count[name]:,} {name}" for name in STATES)
    out = Path(study.page).with_name(f"{study.name}-so-far.html")
    said = f"Of {len(study.runs):,} runs {come}, {now:%Y-%m-%d %H:%MZ}."
    build(f"{study.name}-so-far", folder, out, provenance(study), claims=study.config.claims, state=said, now=now)
    return f"{out}: {said}"


def _there(reader: Callable[[str], dict[str, Any]], places: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    found = {}
    for name, path in places.items():
        with suppress(OSError, StudyError):  # not there yet, or just being replaced
            found[name] = reader(path)
    return found


def _of_job(
    study: Study, job: Job, wanted: Mapping[str, receipts.Receipt]
) -> Iterator[tuple[dict[str, pa.Table], Counter[str]]]:
    """Tables of some of the job's runs, and how many runs are in which state. Those that are not done have no data."""
    path = study.job_file(job)
    if len(wanted) == len(job.runs) and receipts.difference(path, receipts.of_job(wanted)) is None:
        tables = {name: parquet.read(name, study.job_file(job, name)) for name in RUN_TABLES}
        yield tables, Counter(done=len(job.runs))
        return
    kept, log = KeptRuns(Path(path).parent, wanted).tables, _log(study, job)
    for run in job.runs:
        if run.id in kept:
            yield kept[run.id], Counter(["done"])
        else:
            state = "waiting" if not log else "failed" if _failed(log, run.id) else "running"
            rows = no_data_rows(run.params)
            yield {name: parquet.from_rows(name, part) for name, part in rows.items()}, Counter([state])


def _log(study: Study, job: Job) -> str:
    """The end of the job's log, if the call that is at work wrote it."""
    log, lock = Path(f"{study.results}/logs/runs/{job.id}.log"), progress.lock_file(study)
    try:
        if log.stat().st_mtime < lock.stat().st_mtime:
            return ""
        return log.read_bytes()[-LOG_END:].decode(errors="replace")
    except OSError:
        return ""


def _failed(log: str, run: str) -> bool:
    return f"failed: {run}: " in log or "] error: " in log or "Traceback (most recent call last)" in log


def _tables(
    study: Study,
    parts: Mapping[str, Sequence[pa.Table]],
    activations: collect.Described,
    datasets: collect.Described,
) -> Iterator[tuple[str, pa.Table]]:
    for name in RUN_TABLES:
        if parts[name]:
            plain = [table.replace_schema_metadata(parts[name][0].schema.metadata) for table in parts[name]]
            yield name, collect.in_order(study, pa.concat_tables(plain))
    costs = [path for name in study.costed() if Path(path := study.cost_file(name)).exists()]
    yield "cost", parquet.concatenated("cost", costs)
    yield from collect.of_descriptions(study, activations, datasets)


if __name__ == "__main__":
    main(sys.argv[1:])
