"""A study against a reference: agreement and differences that the tests plant, each found for what it is."""

import numpy as np
import pandas as pd
import pytest

from activation_study.__main__ import main
from activation_study.cli import verify
from activation_study.core.errors import StudyError
from planted import planted

RUNS = planted(lambda dataset, activation, depth: 0.8 + 0.02 * len(activation) - 0.001 * depth)["runs"]
RUNS = RUNS.assign(learning_rate=0.1)
NAMES = RUNS["run"].unique()  # 24
HERE = {"device": "cpu highest", "threads": 1, "processor": "one", "python": "3.11", "torch": "2", "numpy": "2"}
HERE |= {"code": "c0de", "params": "ab"}
ELSEWHERE = {"processor": "another"}
SD = 0.002  # of the planted scores


def _layers():
    rows = RUNS.query("role == 'evaluation'")[["run", "role", "replicate", "learning_rate"]]
    noise = np.random.default_rng(1)
    parts = [rows.assign(step=step, layer=layer, units=64) for step in (0, 100) for layer in (1, 2)]
    layers = pd.concat(parts, ignore_index=True)
    return layers.assign(mean=layers["layer"] + noise.normal(0, SD, len(layers)), dead=0.0)


def _tables():
    verdicts = ["true", "false", "partly", "open"] * 5
    ledger = pd.DataFrame({"family": "claims", "row": [f"C{i}" for i in range(20)], "verdict": verdicts})
    cells = pd.DataFrame({"family": "claims", "row": ledger["row"], "cell": "digits", "dataset": "digits"})
    gains = pd.DataFrame({"activation": ["relu", "tanh"], "gain": [2**0.5, 1.593]})
    return {
        "runs": RUNS.copy(),
        "layers": _layers(),
        "activations": gains,
        "jobs": pd.DataFrame({"run": NAMES, "seconds": 1.0} | HERE),
        "timings": pd.DataFrame({"run": NAMES, "seconds": 1.0}),
        "ledger": ledger,
        "ledger_cells": cells.assign(estimate=0.1, low=0.05, high=0.15),
    }


def _written(tables, folder):
    folder.mkdir()
    for name, table in tables.items():
        table.to_parquet(folder / f"{name}.parquet", index=False)
    return folder


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    return _written(_tables(), tmp_path_factory.mktemp("reference") / "tables")


@pytest.fixture
def study(reference, tmp_path):
    """Writes the reference's tables but for the changes, and compares: table → finding."""

    def compare(machine=(), without=(), **changed):
        tables = _tables() | changed
        tables["jobs"] = tables["jobs"].assign(**dict(machine))
        tables = {name: table for name, table in tables.items() if name not in without}
        found = verify.compare(_written(tables, tmp_path / "tables"), reference)
        assert "\n" not in "".join(map(str, found))
        return {finding.table: finding for finding in found}

    return compare


def _differing(found):
    return {name for name, finding in found.items() if not finding.agrees}


def _command(tables, reference):
    main(["verify", "--tables", str(tables), "--reference", str(reference)])


def test_the_same_bytes_agree(reference, tmp_path, capsys):
    tables = _written(_tables(), tmp_path / "tables")
    _command(tables, reference)
    *lines, last = capsys.readouterr().out.splitlines()
    assert last == f"{tables} agrees with {reference}"
    said = {line.split()[0]: line for line in lines}
    assert set(said) == set(_tables())
    assert all("agrees" in line for line in lines)
    assert {name for name, line in said.items() if line.endswith("identical bytes")} == set(said) - {"jobs", "timings"}
    assert "identical bytes are expected" in said["jobs"]


def test_other_bytes_on_the_same_machine_differ(reference, tmp_path, capsys):
    """Far within what another machine may differ by; clocks are no result."""
    runs = RUNS.assign(test_accuracy=RUNS["test_accuracy"] + 1e-9)
    late = {name: _tables()[name].assign(seconds=2.0) for name in ("jobs", "timings")}
    tables = _written(_tables() | {"runs": runs} | late, tmp_path / "tables")
    with pytest.raises(SystemExit) as ended:
        _command(tables, reference)
    assert str(ended.value) == f"{tables} differs from {reference} in runs"  # a text: exit code 1
    assert "runs          DIFFERS  same code, params and machine: identical" in capsys.readouterr().out


def test_the_same_values_in_other_bytes_agree(reference, tmp_path):
    tables = _written(_tables(), tmp_path / "tables")
    RUNS.to_parquet(tables / "runs.parquet", index=False, compression="gzip")
    found = {finding.table: finding for finding in verify.compare(tables, reference)}
    assert found["runs"].agrees
    assert found["runs"].text == f"identical values, {len(RUNS)} rows"


@pytest.mark.slow
@pytest.mark.parametrize("column", verify.MACHINE)
def test_other_seeds_of_noise_on_another_machine_agree(study, column):
    """As if every network had been trained with other roundings: the same distributions, no number the same."""
    noise = np.random.default_rng(2)
    score = RUNS.groupby(["run", "role"])["test_accuracy"].transform("mean")
    runs = RUNS.assign(test_accuracy=score + noise.normal(0, SD, len(RUNS)))
    layers = _layers()
    layers["mean"] = layers["layer"] + noise.normal(0, SD, len(layers))
    found = study({column: 4 if column == "threads" else "other"}, runs=runs, layers=layers)
    assert not _differing(found)
    assert found["jobs"].text.endswith(f"other {column}: statistics are compared")
    assert "100.0% of 24 runs select the same learning rate" in found["runs"].text
    assert "of 24 means within 4 standard errors" in found["runs"].text
    assert "of 96 means" in found["layers"].text


def test_means_that_are_shifted_differ(study):
    layers = _layers()
    layers.loc[(layers["layer"] == 2) & (layers["step"] == 100), "mean"] += 10 * SD
    runs = RUNS.assign(test_accuracy=RUNS["test_accuracy"] + 10 * SD * RUNS["run"].str.contains("tanh"))
    found = study(ELSEWHERE, runs=runs, layers=layers)
    assert _differing(found) == {"runs", "layers"}
    assert "75.0% of 24 means" in found["runs"].text
    assert "75.0% of 96 means" in found["layers"].text  # of mean and dead, in two layers
    assert "tanh" in found["runs"].text.rpartition("largest difference")[2]


def test_one_mean_in_twenty_four_may_be_off(study):
    runs = RUNS.assign(test_accuracy=RUNS["test_accuracy"] + 10 * SD * (RUNS["run"] == NAMES[3]))
    found = study(ELSEWHERE, runs=runs)
    assert not _differing(found)
    assert NAMES[3] in found["runs"].text


def _selecting(rates):
    """RUNS with a grid of rates tried, and these selected by the first runs, 0.1 by the others."""
    chosen = RUNS["run"].map(dict(zip(NAMES, rates, strict=False))).fillna(0.1)
    evaluation = RUNS.assign(learning_rate=chosen)[RUNS["role"] == "evaluation"]
    tuning = [RUNS[RUNS["role"] == "tuning"].assign(learning_rate=rate) for rate in (0.03, 0.1, 0.3, 1.0)]
    return pd.concat([*tuning, evaluation], ignore_index=True)


@pytest.mark.parametrize(
    ("rates", "agrees", "said"),
    [
        ([0.03, 0.3] * 6, True, "50.0% of 24 runs select the same learning rate (at least 50%), 100.0% that or its"),
        ([0.3] * 13, False, "45.8% of 24 runs select the same learning rate (at least 50%), 100.0% that or its"),
        ([1.0], True, "95.8% that or its neighbour (at least 95%)"),
        ([1.0, 1.0], False, "91.7% that or its neighbour"),
        ([5.0, 5.0], False, "91.7% that or its neighbour"),  # not in the grid
    ],
)
def test_other_rates_must_be_neighbours(rates, agrees, said):
    found, text = verify.RULES["runs"](_selecting(rates), _selecting([]))
    assert (found, said in text) == (agrees, True)


def test_what_depends_on_the_rate_is_compared_at_the_same_rate():
    """Half of the runs selected another rate, and there the layers differ."""
    layers = _layers()
    moved = layers["run"].isin(NAMES[:12])
    layers.loc[moved, ["learning_rate", "mean"]] = [0.3, 5.0]
    agrees, text = verify.RULES["layers"](layers, _layers())
    assert (agrees, "of 48 means" in text) == (True, True)
    layers.loc[moved, "learning_rate"] = 0.1
    assert not verify.RULES["layers"](layers, _layers())[0]


def test_curves_are_compared_at_the_rates_that_both_sides_trained():
    """Beside the selected rate this side has another one, at which all differs."""
    here = _layers().drop(columns=["layer", "units"]).drop_duplicates(["run", "replicate", "step"])
    other = here.assign(learning_rate=0.3, mean=5.0)
    agrees, text = verify.RULES["curves"](pd.concat([here, other]), here)
    assert (agrees, "of 48 means" in text) == (True, True)
    assert not verify.RULES["curves"](pd.concat([here, other]), pd.concat([here, other.assign(mean=1.0)]))[0]


def test_steps_before_the_last_are_not_compared(study):
    layers = _layers()
    layers.loc[layers["step"] == 0, "mean"] += 1
    assert not _differing(study(ELSEWHERE, layers=layers))


def test_means_that_are_gone_differ(study):
    found = study(ELSEWHERE, layers=_layers().query("layer == 1"))
    assert _differing(found) == {"layers"}
    assert "50.0% of 96 means" in found["layers"].text


def test_a_run_without_evaluation_differs(study):
    gone = (RUNS["role"] == "evaluation") & RUNS["run"].isin(NAMES[:3])
    assert _differing(study(ELSEWHERE, runs=RUNS[~gone])) == {"runs"}


def test_another_study_differs(study):
    found = study(ELSEWHERE, runs=RUNS.assign(run=RUNS["run"].replace(NAMES[0], f"{NAMES[0]},width=64")))
    assert _differing(found) == {"runs"}
    assert found["runs"].text == "another study: 1 of the reference's runs are missing, 1 are new"


@pytest.mark.parametrize(
    ("changed", "agrees"),
    [
        ({0: "open", 1: "open"}, True),  # of twenty
        ({0: "open", 1: "open", 2: "open"}, False),
        ({0: "false"}, False),
        ({1: "true"}, False),
    ],
)
def test_one_verdict_in_ten_may_change_and_none_may_turn_round(study, changed, agrees):
    ledger = _tables()["ledger"]
    first = min(changed)
    before = ledger.loc[first, "verdict"]
    ledger.loc[list(changed), "verdict"] = list(changed.values())
    found = study(ELSEWHERE, ledger=ledger)["ledger"]
    assert found.agrees is agrees
    assert f"the first: C{first} {changed[first]} instead of {before}" in found.text


def test_a_verdict_less_or_more_differs(study):
    ledger = _tables()["ledger"]
    found = study(ELSEWHERE, ledger=ledger[:-1])["ledger"]
    assert not found.agrees
    assert "1 of the reference's 20 rows are missing" in found.text


def test_intervals_of_cells_must_overlap(study):
    cells = _tables()["ledger_cells"]
    near = cells.assign(estimate=0.19, low=0.14, high=0.24)
    far = cells.assign(estimate=0.3, low=0.25, high=0.35)
    assert not _differing(study(ELSEWHERE, ledger_cells=near))
    assert not verify.RULES["ledger_cells"](far, cells)[0]
    assert not verify.RULES["ledger_cells"](near[:-1], cells)[0]
    costs = far.assign(dataset="")
    assert verify.RULES["ledger_cells"](pd.concat([near, costs]), pd.concat([cells, costs.assign(low=0, high=0)]))[0]


def test_one_cell_in_ten_may_differ():
    """Of twenty."""
    cells = _tables()["ledger_cells"]
    for moved, agrees in ((2, True), (3, False)):
        far = cells.copy()
        far.loc[: moved - 1, ["estimate", "low", "high"]] = [0.3, 0.25, 0.35]
        assert verify.RULES["ledger_cells"](far, cells)[0] is agrees


@pytest.mark.parametrize(("factor", "agrees"), [(1 + 1e-9, True), (1 + 1e-4, False)])
def test_constants_agree_to_six_digits(study, factor, agrees):
    gains = _tables()["activations"]
    found = study(ELSEWHERE, activations=gains.assign(gain=gains["gain"] * factor))["activations"]
    assert found.agrees is agrees
    assert ("column gain: 2 of 2 values differ; the first: 1.4143" in found.text) is not agrees


def test_a_table_of_other_columns_or_rows_differs(study):
    gains = _tables()["activations"]
    found = study(ELSEWHERE, activations=gains[:1], runs=RUNS.assign(more=1))
    assert found["activations"].text == "1 rows instead of 2"
    assert found["runs"].text == "other columns: more"
    assert _differing(found) == {"activations", "runs"}


def test_a_table_that_is_missing_differs(study):
    found = study(without=["layers"])
    assert _differing(found) == {"layers"}
    assert found["layers"].text.endswith("tables/layers.parquet is missing")


def test_a_reference_may_lack_the_large_tables(tmp_path, capsys):
    """What it holds is compared, and without its jobs nothing is known of its machine."""
    held = {name: table for name, table in _tables().items() if name not in ("layers", "jobs", "timings")}
    kept = _written(held, tmp_path / "reference")
    shifted = RUNS.assign(test_accuracy=RUNS["test_accuracy"] + 1e-6)
    _command(_written(_tables() | {"runs": shifted}, tmp_path / "tables"), kept)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[:-1]] == sorted(held)
    worse = _tables()["activations"].assign(gain=1.0)
    with pytest.raises(SystemExit, match=r"in activations$"):
        _command(_written(_tables() | {"activations": worse}, tmp_path / "worse"), kept)


def test_jobs_of_an_earlier_version_tell_no_machine(study):
    runs = RUNS.assign(test_accuracy=RUNS["test_accuracy"] + 1e-9)
    found = study(jobs=_tables()["jobs"].drop(columns="numpy"), runs=runs)
    assert not _differing(found)
    assert found["jobs"].text.endswith("other numpy: statistics are compared")


@pytest.mark.parametrize("option", ["--tables", "--reference"])
@pytest.mark.parametrize("folder", ["nowhere", "empty", "x" * 300, "file"])
def test_a_folder_without_tables_is_one_line(option, folder, reference, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    folders = {"--tables": reference, "--reference": reference} | {option: tmp_path / folder}
    with pytest.raises(SystemExit) as ended:
        main(["verify", *(str(part) for pair in folders.items() for part in pair)])
    assert str(ended.value).startswith(f"error: {option}: {tmp_path}")
    assert "\n" not in str(ended.value)


@pytest.mark.slow
def test_a_damaged_table_is_one_line(reference, tmp_path):
    """Cut anywhere, or any bit turned: a difference, or a line that names the file; never anything else."""
    content = (reference / "activations.parquet").read_bytes()
    tables, source, refused = _written(_tables(), tmp_path / "tables"), np.random.default_rng(3), []
    for trial in range(60):
        place, damaged = int(source.integers(len(content))), bytearray(content)
        damaged[place] ^= 1 << int(source.integers(8))
        (tables / "activations.parquet").write_bytes(damaged if trial % 3 else content[:place])
        try:
            verify.compare(tables, reference)
        except StudyError as error:
            refused.append(str(error))
    assert len(refused) >= 20
    for line in refused:
        assert line.startswith(f"{tables / 'activations.parquet'} cannot be read as a table")
        assert "\n" not in line
