"""One finished study for all tests; each derives its own from a copy."""

import pytest

from project import Project, shared


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """A study, `shared()`, and the call that made it. Not to be changed."""
    project = Project.new(tmp_path_factory.mktemp("finished") / "project")
    project.configure(shared())
    call = project.snakemake()
    assert call.code == 0, call.output
    return project, call


@pytest.fixture
def project(finished, tmp_path):
    """A copy of the finished study that a test may change."""
    return finished[0].copy(tmp_path / "project")


@pytest.fixture
def new_project(tmp_path):
    """The project without any results."""
    return Project.new(tmp_path / "project")
