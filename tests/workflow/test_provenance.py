"""Results are used only where this config and this code made them, whatever Snakemake remembers."""

import shutil

import pandas as pd
import pytest

from project import Call, shared, smoke

pytestmark = pytest.mark.slow
SUMMARIES = {"tables": 1, "ledger": 1, "report": 1}
OWN = """
import torch
from torch import nn

from own_helper import SLOPE


class Two(nn.Module):
    def forward(self, x):
        return torch.where(x > 0, x, SLOPE * x)
"""


def _config_digest(page):
    return page.read_text(encoding="utf-8").split("Config SHA-256")[1].split("</dd>")[0].split(">")[-1]


def test_results_without_snakemakes_memory_are_used_if_they_are_this_configs(project):
    shutil.rmtree(project / ".snakemake")
    assert project.planned() == {}


def test_results_of_another_config_without_snakemakes_memory_are_made_again(project):
    shutil.rmtree(project / ".snakemake")
    other = shared(seeds={"tuning": 1, "evaluation": 3}, cost={"measure": False})
    assert project.planned(other) == {"train": 2} | SUMMARIES
    before = _config_digest(project / "reports/smoke.html")
    call = project.snakemake()
    assert call.code == 0, call.output
    assert "settings.evaluation_seeds 2, now 3" in call.output
    assert project.table("runs").query("role == 'evaluation'").groupby("run").size().unique().tolist() == [3]
    assert _config_digest(project / "reports/smoke.html") != before
    assert project.planned() == {}


@pytest.mark.parametrize("kept", [True, False])
def test_a_config_whose_runs_are_not_there_takes_no_tables_of_another_one(project, kept):
    """With Snakemake's memory and without: there is nothing stale but what would be made last."""
    if not kept:
        shutil.rmtree(project / ".snakemake")
    core = smoke()["experiments"]["core"] | {"steps": 30}
    assert project.planned(smoke(experiments={"core": core})) == {"train": 2} | SUMMARIES
    more = shared(activations={"tanh": {"class": "Tanh"}})
    assert project.planned(more) == {"activation": 1, "cost": 1, "train": 1} | SUMMARIES


def test_results_copied_from_another_study_are_made_again_though_snakemake_remembers_this_one(project, tmp_path):
    """The other study's files lie where this one's did, with this one's .snakemake."""
    kept = shutil.copytree(project / "results", tmp_path / "kept")
    other = shared(learning_rates={"momentum": [0.02, 0.2]}, cost={"measure": False})
    project.configure(other)
    assert project.snakemake().code == 0
    shutil.rmtree(project / "results")
    shutil.copytree(kept, project / "results")
    assert project.planned() == {"train": 2} | SUMMARIES
    assert project.snakemake().code == 0
    assert set(project.table("runs")["learning_rate"]) == {0.02, 0.2}


def test_runs_that_change_under_way_reach_no_page(project, tmp_path):
    """Copied over between training and collecting, as by --touch: refused, with the page as it was."""
    kept = shutil.copytree(project / "results/smoke/runs", tmp_path / "kept")
    project.configure(shared(seeds={"tuning": 1, "evaluation": 3}, cost={"measure": False}))
    assert project.snakemake().code == 0
    page = (project / "reports/smoke.html").read_bytes()
    shutil.copytree(kept, project / "results/smoke/runs", dirs_exist_ok=True)
    call = project.snakemake("--touch")
    call = project.snakemake("--allowed-rules", "tables", "ledger", "report", "--forcerun", "tables")
    assert call.code == 1
    assert "results were not made by this config and code" in call.output
    assert (project / "reports/smoke.html").read_bytes() == page


def test_a_file_that_ones_own_activation_imports_is_part_of_it(project):
    (project / "own_two.py").write_text(OWN, encoding="utf-8")
    (project / "own_helper.py").write_text("SLOPE = 0.1\n", encoding="utf-8")
    config = smoke(cost={"measure": False}) | {"activations": {"two": {"module": "own_two:Two"}}}
    project.configure(config)
    assert project.snakemake().code == 0
    assert project.planned() == {}
    before = pd.read_parquet(project / "results/smoke/tables/activations.parquet")["gain"][0]

    (project / "own_helper.py").write_text("SLOPE = 0.9\n", encoding="utf-8")
    assert project.planned() == {"activation": 1, "train": 1} | SUMMARIES
    shutil.rmtree(project / ".snakemake")
    assert project.planned() == {"activation": 1, "train": 1} | SUMMARIES
    assert project.snakemake().code == 0
    after = pd.read_parquet(project / "results/smoke/tables/activations.parquet")["gain"][0]
    assert (before, after) == pytest.approx(((2 / (1 + 0.1**2)) ** 0.5, (2 / (1 + 0.9**2)) ** 0.5))


def test_ones_own_activation_is_found_in_the_folder_that_one_works_in(new_project, tmp_path):
    """Snakemake is called from there with -s, and follows the files there."""
    folder = tmp_path / "my own folder"
    folder.mkdir()
    (folder / "own_two.py").write_text(OWN, encoding="utf-8")
    (folder / "own_helper.py").write_text("SLOPE = 0.1\n", encoding="utf-8")
    new_project.folder, checkout = folder, new_project.folder
    new_project.configure(smoke(cost={"measure": False}) | {"activations": {"two": {"module": "own_two:Two"}}})

    def call(*arguments) -> Call:
        command = ("-s", str(checkout / "Snakefile"), "--profile", str(checkout / "profiles/default"))
        return new_project.snakemake(*command, *arguments, PYTHONPATH=str(checkout / "src"))

    done = call()
    assert done.code == 0, done.output
    assert call("--dry-run").jobs == {}
    (folder / "own_helper.py").write_text("SLOPE = 0.9\n", encoding="utf-8")
    assert call("--dry-run").jobs == {"activation": 1, "train": 1} | SUMMARIES


def test_a_name_that_hides_a_module_of_pythons_is_one_line(new_project):
    (new_project / "statistics.py").write_text(OWN, encoding="utf-8")
    new_project.configure(smoke(cost={"measure": False}) | {"activations": {"two": {"module": "statistics:Two"}}})
    call = new_project.snakemake()
    assert call.code == 1
    said = [text for text in call.output.splitlines() if text.startswith("error: ")]
    assert len(said) == 1
    assert "statistics.py: has the name of 'statistics'" in said[0]
    assert not (new_project / "results").exists()
