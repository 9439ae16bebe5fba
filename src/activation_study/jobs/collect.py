"""The rows of all runs as the study's tables, validated."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
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
Described = Mapping[str, dict[str, Any]]
"""By name, what its job says of an activation or a dataset."""


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
    for name, table in _collected(study, inputs):  # one at a time: together they may not fit into memory
        try:
            parquet.validate(name, table)
        except pandera.errors.SchemaErrors as error:
            first = error.failure_cases.iloc[0]
            raise StudyError(
                f"table {name}: {len(error.failure_cases)} faults; the first: column {plain(first['column'], 60)}: "
                f"{shown(first['failure_case'])} breaks {plain(first['check'])}"
            ) from None
        parquet.write_parquet(table, outputs[name], made_by)
    with files.replacing(outputs.dictionary) as temporary:
        temporary.write_text(columns.data_dictionary(), encoding="utf-8")


def _collected(study: Study, inputs: Any) -> Iterator[tuple[str, pa.Table]]:
    """Every table with its name."""
    for name in CONCATENATED:
        table = parquet.concatenated(name, inputs[name])
        yield name, in_order(study, table) if name in RUN_TABLES else table
    activations = {n: described.activation(p) for n, p in zip(study.activations(), inputs.activations, strict=True)}
    datasets = {n: descriptions.dataset(p) for n, p in zip(study.datasets(), inputs.datasets, strict=True)}
    yield from of_descriptions(study, activations, datasets)


def in_order(study: Study, table: pa.Table) -> pa.Table:
    """The rows by run, in the config's order, however runs lay in jobs."""
    places = pc.index_in(table["run"], pa.array(list(study.runs)))
    return table.take(pc.array_sort_indices(places))  # which is stable


def of_descriptions(study: Study, activations: Described, datasets: Described) -> Iterator[tuple[str, pa.Table]]:
    """The tables that are made of these activations' and datasets' descriptions and of the config, with their names."""
    available = {name: of for name, of in activations.items() if of["status"] == "available"}
    yield "activations", parquet.from_rows("activations", [of["constants"] for of in available.values()])
    portraits: dict[str, list[Any]] = {column: [] for column in columns.TABLES["portraits"]}
    for name, description in available.items():
        points = description["portrait"]
        portraits["activation"] += [name] * len(points["x"])
        for column, values in points.items():
            portraits[column] += values
    yield "portraits", parquet.arrow_table("portraits", portraits)
    yield "datasets", parquet.from_rows("datasets", [_dataset(study, name, of) for name, of in datasets.items()])
    named = [of | {"kind": "activation", "name": name} for name, of in activations.items()]
    named += [of | {"kind": "dataset", "name": name} for name, of in datasets.items()]
    yield "gaps", parquet.from_rows("gaps", [of for of in named if of["status"] != "available"])
    experiments, runs = zip(*study.membership, strict=True)
    yield "experiments", parquet.arrow_table("experiments", {"experiment": experiments, "run": runs})


def _dataset(study: Study, name: str, manifest: Mapping[str, Any]) -> dict[str, Any]:
    entry = study.config.datasets[name]
    message = plain(manifest["message"], 2_000)  # of an error somewhere, on to the page
    about = {"dataset": name, "target": entry.target, "target_reason": entry.target_reason, "message": message}
    return {**manifest, **about}
