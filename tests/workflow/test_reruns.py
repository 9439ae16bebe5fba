"""A change reruns what depends on it, and nothing else."""

import os
import shutil

import numpy as np
import pandas as pd
import pytest

from project import TABLES, shared, smoke

pytestmark = pytest.mark.slow
SUMMARIES = {"tables": 1, "ledger": 1, "report": 1}
CORE = smoke()["experiments"]["core"]


def test_an_added_activation_runs_its_own_jobs(project):
    added = shared(activations={"tanh": {"class": "Tanh"}})
    assert project.planned(added) == {"activation": 1, "train": 1, "cost": 1} | SUMMARIES


def test_a_changed_activation_runs_its_own_jobs(project):
    changed = shared(activations={"quick_gelu": {"expression": "x * sigmoid(1.703 * x)"}})
    assert project.planned(changed) == {"activation": 1, "train": 1, "cost": 1} | SUMMARIES


def test_the_code_of_ones_own_activation_is_part_of_it(project):
    """First there is the file, then it changes: the activation and what follows from it."""
    own = "from torch import nn\n\n\nclass Own(nn.Module):\n    def forward(self, x):\n        return x.{}()\n"
    (project / "own.py").write_text(own.format("tanh"), encoding="utf-8")
    project.configure(shared(activations={"own": {"module": "own:Own"}}, cost={"measure": False}))
    call = project.snakemake("results/smoke/activations/own.json")
    assert call.code == 0, call.output
    assert project.planned() == {"train": 1} | SUMMARIES
    (project / "own.py").write_text(own.format("atan"), encoding="utf-8")
    assert project.planned() == {"activation": 1, "train": 1} | SUMMARIES


def test_a_removed_activation_leaves_no_trace(project):
    """Its runs' files stay, for when it comes back; tables and report know nothing of it."""
    config = shared()
    del config["activations"]["quick_gelu"]
    project.configure(config)
    call = project.snakemake()
    assert call.code == 0, call.output
    assert call.jobs == SUMMARIES
    for file in (project / "results/smoke/tables").glob("*.parquet"):
        assert "quick_gelu" not in pd.read_parquet(file).to_csv(), file
    for file in (project / "reports").rglob("*"):
        assert "quick_gelu" not in file.name
        if file.suffix in (".html", ".csv", ".svg"):
            assert "quick_gelu" not in file.read_text(encoding="utf-8"), file
    assert project.planned(shared()) == SUMMARIES


def test_an_added_dataset_runs_its_own_jobs(project):
    source = np.random.default_rng(0)
    np.savez(project / "own.npz", x=source.normal(size=(90, 4)), y=np.arange(90) % 3)
    added = shared(datasets={"own": {"source": "npz", "path": "own.npz", "target": 0.5}})
    # One experiment asks for both activations; the other shares one of these runs.
    assert project.planned(added) == {"dataset": 1, "train": 2} | SUMMARIES
    assert project.snakemake("results/smoke/data/own.json").code == 0
    assert project.planned() == {"train": 2} | SUMMARIES
    os.utime(project / "own.npz")  # touched, it is still the same
    assert project.planned() == {"train": 2} | SUMMARIES
    np.savez(project / "own.npz", x=source.normal(size=(90, 4)), y=np.arange(90) % 3)
    assert project.planned() == {"dataset": 1, "train": 2} | SUMMARIES


def test_a_changed_target_trains_again_on_the_same_data(project):
    digits = smoke()["datasets"]["digits"] | {"target": 0.6}
    assert project.planned(shared(datasets={"digits": digits})) == {"train": 2} | SUMMARIES


def test_a_changed_reason_trains_nothing(project):
    digits = smoke()["datasets"]["digits"] | {"target_reason": "another"}
    assert project.planned(shared(datasets={"digits": digits})) == SUMMARIES


def test_an_experiment_of_known_runs_trains_nothing(project):
    assert project.planned(shared(experiments={"third": CORE})) == SUMMARIES


def test_verdicts_are_compared_with_those_of_another_study_once_they_are_there(project):
    """And no oftener: two studies that name each other would else take turns for ever."""
    tables = project / "results/smoke/tables"
    project.configure(shared(compare="other"))
    assert project.snakemake().jobs == SUMMARIES
    other = project / "results/other/tables/ledger.parquet"
    other.parent.mkdir(parents=True)
    shutil.copy(tables / "ledger.parquet", other)
    call = project.snakemake()
    assert (call.code, call.jobs) == (0, {"ledger": 1, "report": 1}), call.output
    os.utime(other)
    assert project.planned() == {}
    other.unlink()
    assert project.planned() == {"ledger": 1, "report": 1}


def test_two_values_exchanged_are_another_run(project):
    exchanged = CORE | {"depth": 16, "width": 2}
    assert project.planned(shared(experiments={"core": exchanged})) == {"train": 2} | SUMMARIES


@pytest.mark.parametrize(
    ("file", "old", "new", "expected"),
    [
        ("src/activation_study/training/optimisers.py", "0.9", "0.8", {"train": 2} | SUMMARIES),
        ("src/activation_study/data/public.py", "seed + 1", "seed + 2", {"dataset": 1, "train": 2} | SUMMARIES),
        ("src/activation_study/core/factors.py", "hidden layers", "layers", SUMMARIES),
        ("src/activation_study/report/words.py", '("no", "one"', '("none", "one"', {"report": 1}),
        ("src/activation_study/report/style.css", "\n", "\n/* edited */\n", {"report": 1}),
        ("scripts/make_report.py", "\n", "\n# edited\n", {"report": 1}),
    ],
)
def test_edited_code_reruns_what_it_makes(project, file, old, new, expected):
    source = (project / file).read_text(encoding="utf-8")
    assert old in source
    (project / file).write_text(source.replace(old, new, 1), encoding="utf-8")
    assert project.planned() == expected


def test_what_computes_nothing_reruns_nothing(project):
    """Comments, docstrings, the layout, how long a download may take."""
    for file in (project / "src" / "activation_study").rglob("*.py"):
        text = file.read_text(encoding="utf-8").replace("\n\n\n", "\n\n\n# edited\n\n")
        file.write_text(text.replace('"""', '"""Edited: ', 1) if text.startswith('"""') else text, encoding="utf-8")
    downloads = project / "src" / "activation_study" / "data" / "downloads.py"
    text = downloads.read_text(encoding="utf-8")
    assert "NETWORK_TIMEOUT = 2" in text
    downloads.write_text(text.replace("NETWORK_TIMEOUT = 2", "NETWORK_TIMEOUT = 32"), encoding="utf-8")
    assert project.planned() == {}


def test_touched_files_rerun_nothing(project):
    for file in [*(project / "src").rglob("*.*"), *(project / "results").rglob("*.json")]:
        os.utime(file)
    assert project.planned() == {}


def test_a_project_that_moves_keeps_its_results(project, tmp_path):
    moved = project.folder.rename(tmp_path / "moved to 'another' place")
    assert type(project)(moved).planned() == {}


def test_a_lost_table_is_made_again(project):
    (project / TABLES).unlink()
    assert project.planned() == SUMMARIES
