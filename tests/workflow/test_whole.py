"""From nothing to the report, and always to the same numbers."""

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
    assert call.output.splitlines()[-1] == "Report: reports/smoke.html"
    assert {file: file.stat().st_mtime_ns for file in (project / "results").rglob("*")} == before


def test_every_finished_job_is_one_line(finished):
    """With what is done of all, the time left once a run has ended, and the run's name; and nothing else is said."""
    project, call = finished
    lines = [line for line in call.output.splitlines() if line.startswith("[")]
    heads = [re.fullmatch(r"\[ *(\d+)/(\d+)(, about [\d.]+ (?:s|min|h) left)?\] (.*)", line) for line in lines]
    assert [(int(head[1]), int(head[2])) for head in heads] == [(number, 10) for number in range(1, 11)]
    names = [head[4] for head in heads]
    runs = set(project.table("runs")["run"])
    others = {"dataset digits", "tables", "ledger", "report"}
    others |= {f"{rule} {name}" for rule in ("activation", "cost") for name in ("relu", "quick_gelu")}
    assert set(names) == runs | others
    trained = [number for number, name in enumerate(names) if name in runs]
    assert all(head[3] is None for head in heads[: trained[0]])
    assert any(head[3] for head in heads)
    assert heads[-1][3] is None

    first, *said = call.output.splitlines()
    assert first == "Using workflow specific profile profiles/default for setting default command line arguments."
    assert said[0] == "Job stats:"
    table = said.index(next(line for line in said if line.startswith("total ")))
    assert said[table + 1 :] == ["", *lines, "Report: reports/smoke.html"]


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
