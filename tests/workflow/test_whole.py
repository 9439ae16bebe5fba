"""From nothing to the report, and always to the same numbers."""

import json
import re

import pytest
from project import Project, shared

pytestmark = pytest.mark.slow


def test_a_study_goes_from_nothing_to_its_report(finished):
    project, call = finished
    assert call.jobs == {"dataset": 1, "activation": 2, "train": 2, "cost": 2, "tables": 1, "ledger": 1, "report": 1}
    html = (project / "reports/smoke.html").read_text(encoding="utf-8")
    assert "quick_gelu" in html
    runs = project.table("runs")
    assert set(runs["status"]) == {"finished", "pruned"}
    # Per run 2 seeds × 3 rates, one of which is pruned, and 2 fresh seeds at the best rate.
    assert runs.groupby(["activation", "role"]).size().unique().tolist() == [2, 6]
    assert set(project.table("cost")["activation"]) == {"relu", "quick_gelu"}
    assert project.table("datasets")["status"].tolist() == ["available"]


def test_a_run_that_two_experiments_ask_for_is_trained_once(finished):
    project, call = finished
    assert call.jobs["train"] == 2
    members = project.table("experiments").groupby("run")["experiment"].agg(list)
    experiments = {run.split("/")[1]: names for run, names in members.items()}
    assert experiments == {"relu": ["again", "core"], "quick_gelu": ["core"]}
    assert len(project.table("runs").query("activation == 'relu'")) == 8


def test_a_second_call_does_nothing(project):
    before = {file: file.stat().st_mtime_ns for file in (project / "results").rglob("*")}
    call = project.snakemake()
    assert call.code == 0
    assert "Nothing to be done" in call.output
    assert {file: file.stat().st_mtime_ns for file in (project / "results").rglob("*")} == before


def test_the_progress_is_printed_after_each_run(finished):
    project, call = finished
    plan = json.loads((project / "results/smoke/plan.json").read_text(encoding="utf-8"))
    assert set(plan["costs"]) == set(project.table("runs")["run"])
    lines = re.findall(r"^(\d) of 2 runs have results", call.output, re.MULTILINE)
    assert lines[-1] == "2"
    assert len(lines) == 2


def test_nothing_half_written_stays(finished):
    hidden = {path.name for path in (finished[0] / "results").rglob(".*")}
    assert hidden <= {".lock"}


def test_one_core_in_another_folder_gives_the_same_bytes(finished, tmp_path):
    """The first was made on two cores."""
    other = Project.new(tmp_path / "somewhere else")
    other.configure(shared(cost={"measure": False}))
    call = other.snakemake("results/smoke/tables/runs.parquet", cores=1)
    assert call.code == 0, call.output
    assert "cost" not in call.jobs
    assert other.timeless() == finished[0].timeless()


def test_the_workflow_passes_snakemakes_own_lint(project):
    call = project.snakemake("--lint")
    assert call.code == 0, call.output
    assert "in a good condition" in call.output


def test_snakemakes_own_report_holds_ours(project):
    call = project.snakemake("--report", "workflow.html")
    assert call.code == 0, call.output
    assert "smoke.html" in (project / "workflow.html").read_text(encoding="utf-8")
