"""What made a result: every result file holds it, and the workflow compares it with the config before it uses the file.

Snakemake notes the same in its own folder, which gets lost, or left behind when results are copied.
"""

from __future__ import annotations

import functools
import hashlib
import html
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from activation_study.core import files, own_modules
from activation_study.core.descriptions import dataset as described_dataset
from activation_study.core.errors import StudyError
from activation_study.core.text import plain, shown
from activation_study.data import entries
from activation_study.study import code
from activation_study.study.jobs import RUN_TABLES
from activation_study.tables.described import activation as described_activation

if TYPE_CHECKING:
    from activation_study.study.study import Study

MISSING = "what it is made of is not there"
PAGE_HEAD = 4000
"""Bytes of the page that are searched for its receipt."""
_IN_PAGE = re.compile(r'<meta name="activation-study-receipt" content="([^"]*)">')
Receipt = dict[str, Any]
"""``params`` (plain values) and digests: ``code``, ``constants``, ``data``, ``files``, ``claims``, ``results``; that of
a training job's file has the ``runs``' receipts, by run."""


def of_activation(params: Mapping[str, Any]) -> Receipt:
    """For ``Study.activation_params``."""
    return {"params": params, "code": _code("activation", params["entry"])}


def of_dataset(params: Mapping[str, Any], fingerprint: str) -> Receipt:
    """For ``Study.dataset_params`` and the fingerprint of its files."""
    return {"params": params, "code": _code("dataset"), "files": fingerprint}


def of_cost(params: Mapping[str, Any], description: Mapping[str, Any]) -> Receipt:
    """For ``Study.cost_params`` and the activation's description."""
    return {"params": params, "code": _code("cost", params["entry"]), "constants": _constants(description)}


def of_run(params: Mapping[str, Any], description: Mapping[str, Any], manifest: Mapping[str, Any]) -> Receipt:
    """For ``Run.params``, the activation's description and the dataset's manifest."""
    settings = params["settings"]
    made_by = {"params": params, "code": _code("train", settings["activation"], settings.get("network"))}
    return made_by | {"constants": _constants(description), "data": manifest["sha256"]}


def of_job(runs: Mapping[str, Receipt]) -> Receipt:
    """For a training job's file with these runs."""
    return {"runs": runs}


def beside(made_by: Receipt) -> Receipt:
    """For the other files of a training job with that receipt: a file of another set does not fit."""
    return {"set": hashlib.sha256(json.dumps(made_by, sort_keys=True).encode()).hexdigest()}


def mixed(folder: str | Path) -> bool:
    """Whether a training job's files are not all of one set."""
    *others, last = (Path(folder) / f"{table}.parquet" for table in RUN_TABLES)
    expected = beside(found(last))
    return any(found(file) != expected for file in others)


def of_tables(study: Study, made: Mapping[str, Receipt]) -> Receipt:
    """For the tables that ``collect`` writes of jobs and costs with these receipts, however runs lie in jobs."""
    each = [(name, one) for path, receipt in made.items() for name, one in receipt.get("runs", {path: receipt}).items()]
    results = hashlib.sha256(json.dumps(dict(each), sort_keys=True).encode()).hexdigest()
    return {"params": {"config": study.digest}, "code": _code("tables"), "results": results}


def of_ledger(study: Study, tables: Receipt) -> Receipt:
    """For the two tables of verdicts on tables with this receipt."""
    return _on(study, tables, "ledger")


def of_validity(study: Study, tables: Receipt) -> Receipt:
    """For what the study says of itself: on its verdicts, and on those that they are compared with."""
    compared = [hashlib.sha256(Path(path).read_bytes()).hexdigest() for path in study.compared]
    return of_ledger(study, tables) | {"compared": compared}


def of_report(study: Study, tables: Receipt) -> Receipt:
    """For the page on tables with this receipt."""
    assets = hashlib.sha256()
    for file in study.report_assets():
        assets.update(Path(file).read_bytes())
    more = {"repository": study.config.repository, "assets": assets.hexdigest()}
    return _on(study, tables, "report") | more


def found(path: str | Path) -> Receipt:
    """The receipt in a file, JSON, Parquet or HTML; empty where there is none, or none that can be read."""
    receipt: Any = {}
    try:
        if Path(path).suffix == ".json":
            receipt = files.read_json(path)[files.MADE_BY]
        elif Path(path).suffix == ".html":
            head = files.read_regular(path, PAGE_HEAD, part=True).decode(errors="replace")
            (written,) = _IN_PAGE.findall(head)
            receipt = json.loads(html.unescape(written))
        elif os.path.isfile(path):  # Arrow would wait for a pipe  # noqa: PTH113
            import pyarrow.parquet as pq

            receipt = json.loads((pq.read_schema(path).metadata or {})[files.MADE_BY.encode()])
    except MemoryError:
        raise
    except Exception:  # Arrow has errors of many kinds for damaged files
        return {}
    return receipt if isinstance(receipt, dict) else {}


def difference(path: str | Path, expected: Receipt) -> str | None:
    """None if the file was made by what is expected; else, in a few words, what made it instead."""
    receipt = found(path)
    if "runs" in expected:
        runs = runs_of(receipt)
        changed = (difference_of(runs.get(run, {}), wanted) for run, wanted in expected["runs"].items())
        return next((why for why in changed if why is not None), None) or (
            "its files are not of one set" if mixed(Path(path).parent) else None
        )
    return difference_of(receipt, expected)


def runs_of(receipt: Receipt) -> dict[str, Receipt]:
    """The runs' receipts in that of a training job's file; none, where it is no such receipt."""
    runs = receipt.get("runs")
    return runs if isinstance(runs, dict) and all(isinstance(one, dict) for one in runs.values()) else {}


def difference_of(receipt: Receipt, expected: Receipt) -> str | None:
    """As `difference`, of a receipt."""
    if all(receipt.get(key) == value for key, value in expected.items()):
        return None
    if not receipt:
        return "nothing in it says what made it"
    if expected["params"].keys() == {"config"} and receipt.get("params") != expected["params"]:
        return "made with another config"
    if receipt.get("params") != expected["params"]:
        changes = list(_changes(receipt.get("params"), expected["params"], ()))
        more = f" and {len(changes) - 1} more" if len(changes) > 1 else ""
        return f"made with {changes[0]}{more}"
    return f"made with other {next(key for key in expected if receipt.get(key) != expected[key])}"


def stale(study: Study, at: Callable[[str], str] = str) -> dict[str, str]:
    """The result files that are there and were made by something else than now would make them.

    What follows from stale files is not compared any further: Snakemake makes it from what is made anew.

    Args:
        study: the validated config.
        at: where each file can be read, if not in its own place.

    Returns:
        file → what made it, in the order in which results follow from each other.
    """
    wrong: dict[str, str] = {}
    described: dict[str, Mapping[str, Any] | None] = {}
    manifests: dict[str, Mapping[str, Any] | None] = {}

    def fresh(path: str, expected: Receipt) -> bool:
        if not os.path.exists(at(path)):  # noqa: PTH110  # ten thousand times
            return False
        if (why := difference(at(path), expected)) is not None:
            wrong[path] = why
        return why is None

    for name in study.activations():
        path = study.activation_file(name)
        if fresh(path, of_activation(study.activation_params(SimpleNamespace(activation=name)))):
            described[name] = _read(described_activation, path, wrong, at)
    for name in study.datasets():
        path = study.dataset_file(name)
        fingerprint = entries.fingerprint(study.config.datasets[name].model_dump())
        if fresh(path, of_dataset(study.dataset_params(SimpleNamespace(dataset=name)), fingerprint)):
            manifests[name] = _read(described_dataset, path, wrong, at)
    known = [{name: one for name, one in found.items() if one is not None} for found in (described, manifests)]
    now = made(study, *known)
    for path, expected in now.items():
        fresh(path, expected)
    if wrong:
        return wrong
    last = [study.table_file("runs"), study.table_file("ledger"), study.validity_file, study.page]
    if [*map(len, known)] != [len(study.activations()), len(study.datasets())]:
        # What is missing Snakemake makes only where what follows from it is missing or made anew as well.
        return {path: MISSING for path in last if os.path.exists(at(path))}  # noqa: PTH110
    tables = of_tables(study, now)
    then = [tables, of_ledger(study, tables), of_validity(study, tables), of_report(study, tables)]
    for path, expected in zip(last, then, strict=True):
        fresh(path, expected)
    return wrong


def _read(
    reader: Callable[[str], dict[str, Any]], path: str, wrong: dict[str, str], at: Callable[[str], str]
) -> dict[str, Any] | None:
    """None, and a note among what is wrong, where the file is not what it should be."""
    try:
        return reader(at(path))
    except (OSError, StudyError):
        wrong[path] = "it is damaged"
        return None


def to_make_again(study: Study, at: Callable[[str], str] = str) -> dict[str, str]:
    """``stale``, and what was refused or could not be had: it is tried at every call."""
    return stale(study, at) | {path: status for path, (status, _) in _without(study, at).items()}


def summary(again: Mapping[str, str]) -> str:
    """One line about the stale files among them; "" where there is none."""
    made = {path: why for path, why in again.items() if why not in ("unavailable", "refused")}
    if not made:
        return ""
    first, why = next(iter(made.items()))
    others = f" and {len(made) - 1} other files" if len(made) > 1 else ""
    known = "cannot be checked" if why == MISSING else "are of another config or other code"
    return f"{plain(first)} ({plain(why)}){others} {known}: they are made again"


def refused(study: Study, at: Callable[[str], str] = str) -> list[str]:
    """Why activations and datasets were refused, a line each."""
    return [message for status, message in _without(study, at).values() if status == "refused"]


def _without(study: Study, at: Callable[[str], str]) -> dict[str, tuple[str, str]]:
    """File → status and reason of every activation and dataset that has no results."""
    places = {study.activation_file(name): described_activation for name in study.activations()}
    places |= {study.dataset_file(name): described_dataset for name in study.datasets()}
    found = {}
    for path, reader in places.items():
        with suppress(OSError, StudyError):  # not there yet, or damaged, which the job that reads it says
            description = reader(at(path))
            if description["status"] != "available":
                found[path] = (description["status"], description["message"])
    return found


def checked(study: Study, inputs: Any) -> Receipt:
    """The receipt of the tables to be made of these files.

    What something else made is refused: it would stand on a page with this config's name.

    Args:
        study: the validated config.
        inputs: with the paths of ``jobs``, ``cost``, ``activations`` and ``datasets``, in the config's order.

    Raises:
        StudyError: how many files something else made, the first of them, and what to do.
    """
    descriptions = {n: described_activation(p) for n, p in zip(study.activations(), inputs.activations, strict=True)}
    manifests = {n: described_dataset(p) for n, p in zip(study.datasets(), inputs.datasets, strict=True)}
    paths = dict(zip(map(study.cost_file, study.costed()), inputs.cost, strict=True))
    paths |= dict(zip(map(study.job_file, study.jobs.values()), inputs.jobs, strict=True))
    expected = made(study, descriptions, manifests)
    wrong = {name: why for name, one in expected.items() if (why := difference(paths[name], one))}
    if wrong:
        first, why = next(iter(wrong.items()))
        raise StudyError(
            f"{study.results}: {len(wrong)} of {len(expected)} results were not made by this config and code, the "
            f"first {plain(first)} ({why}); give the same command again, and they are made again"
        )
    return of_tables(study, expected)


def made(study: Study, descriptions: Mapping[str, Any], manifests: Mapping[str, Any]) -> dict[str, Receipt]:
    """The receipts of the jobs and costs whose activations are described and whose data are there, by their files."""
    found = {}
    for name in study.costed():
        if name in descriptions:
            params = study.cost_params(SimpleNamespace(activation=name))
            found[study.cost_file(name)] = of_cost(params, descriptions[name])
    for job in study.jobs.values():
        runs = {
            run.id: of_run(run.params, descriptions[run.factors.activation], manifests[run.factors.dataset])
            for run in job.runs
            if run.factors.activation in descriptions and run.factors.dataset in manifests
        }
        if runs:
            found[study.job_file(job)] = of_job(runs)
    return found


def _on(study: Study, tables: Receipt, step: str) -> Receipt:
    claims = {path: hashlib.sha256(Path(path).read_bytes()).hexdigest() for path in study.config.claims}
    made_by = {"params": tables.get("params"), "code": _code(step), "results": tables.get("results")}
    return made_by | {"claims": claims}


@functools.cache
def _own(module: str) -> str:
    return own_modules.digest({"module": module})


def _code(step: str, *entries: Mapping[str, Any] | None) -> str:
    own = "".join(_own(entry["module"]) for entry in entries if entry and "module" in entry)
    return hashlib.sha256(f"{code.digest(step)}{own}".encode()).hexdigest()


def _constants(description: Mapping[str, Any]) -> str:
    known = {key: description[key] for key in ("status", "constants")}
    return hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()


def _changes(was: Any, now: Any, path: tuple[str, ...]) -> Iterator[str]:
    if isinstance(was, dict) and isinstance(now, Mapping):
        for key in sorted({*was, *now}, key=str):
            if was.get(key) != now.get(key):
                yield from _changes(was.get(key), now.get(key), (*path, key))
    else:
        yield f"{plain('.'.join(map(str, path)), 60) or 'params'} {shown(was)}, now {shown(now)}"
