"""The rows of all runs as the study's tables, validated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandera.errors
import pyarrow as pa
import pyarrow.compute as pc

from activation_study.core import descriptions, files
from activation_study.core.errors import StudyError
from activation_study.core.text import plain, shown
from activation_study.study import receipts
from activation_study.study.jobs import RUN_TABLES
from activation_study.study.study import Study
from activation_study.tables import columns, described, parquet

CONCATENATED = (*RUN_TABLES, "cost")


def collect_tables(study: Study, inputs: Any, outputs: Any) -> None:
    """Write every table of the study from the files of its jobs, in the config's order.

    Args:
        study: the validated config.
        inputs: with the paths of the jobs' files: ``runs``, ``curves``, ``layers``, ``measurements``, ``timings``,
            ``jobs`` (one each per training job), ``cost`` (one per activation, or none), ``activations``,
            ``datasets`` (one each).
        outputs: with a path per table and ``dictionary`` for the data dictionary.

    Raises:
        StudyError: if a file is not what its name says, or was made by another config or other code, or a table breaks
            its schema.
    """
    made_by = receipts.checked(study, inputs)
    collected = {name: parquet.concatenated(name, inputs[name]) for name in CONCATENATED}
    collected |= {name: _in_order(study, collected[name]) for name in RUN_TABLES}
    collected |= _described(study, inputs.activations) | {"datasets": _datasets(study, inputs.datasets)}
    collected["gaps"] = _gaps(study, inputs)
    experiments, runs = zip(*study.membership, strict=True)
    collected["experiments"] = parquet.arrow_table("experiments", {"experiment": experiments, "run": runs})
    for name, table in collected.items():
        try:
            parquet.validate(name, table)
        except pandera.errors.SchemaErrors as error:
            first = error.failure_cases.iloc[0]
            raise StudyError(
                f"table {name}: {len(error.failure_cases)} faults; the first: column {plain(first['column'], 60)}: "
                f"{shown(first['failure_case'])} breaks {plain(first['check'])}"
            ) from None
    for name, table in collected.items():
        parquet.write_parquet(table, outputs[name], made_by)
    with files.replacing(outputs.dictionary) as temporary:
        temporary.write_text(columns.data_dictionary(), encoding="utf-8")


def _in_order(study: Study, table: pa.Table) -> pa.Table:
    """The rows by run, in the config's order, however runs lay in jobs."""
    places = pc.index_in(table["run"], pa.array(list(study.runs)))
    return table.take(pc.array_sort_indices(places))  # which is stable


def _described(study: Study, paths: Sequence[str]) -> dict[str, pa.Table]:
    constants: list[Mapping[str, Any]] = []
    portraits: dict[str, list[Any]] = {column: [] for column in columns.TABLES["portraits"]}
    for name, path in zip(study.activations(), paths, strict=True):
        description = described.activation(path)
        if description["status"] != "available":
            continue
        constants.append(description["constants"])
        points = description["portrait"]
        portraits["activation"] += [name] * len(points["x"])
        for column, values in points.items():
            portraits[column] += values
    return {
        "activations": parquet.from_rows("activations", constants),
        "portraits": parquet.arrow_table("portraits", portraits),
    }


def _datasets(study: Study, paths: Sequence[str]) -> pa.Table:
    rows: list[Mapping[str, Any]] = []
    for name, path in zip(study.datasets(), paths, strict=True):
        entry = study.config.datasets[name]
        manifest = descriptions.dataset(path)
        manifest["message"] = plain(manifest["message"], 2_000)  # of an error somewhere, on to the page
        manifest |= {"dataset": name, "target": entry.target, "target_reason": entry.target_reason}
        rows.append(manifest)
    return parquet.from_rows("datasets", rows)


def _gaps(study: Study, inputs: Any) -> pa.Table:
    named = [("activation", *pair) for pair in zip(study.activations(), inputs.activations, strict=True)]
    named += [("dataset", *pair) for pair in zip(study.datasets(), inputs.datasets, strict=True)]
    readers = {"activation": described.activation, "dataset": descriptions.dataset}
    found = [readers[kind](path) | {"kind": kind, "name": name} for kind, name, path in named]
    return parquet.from_rows("gaps", [row for row in found if row["status"] != "available"])
