"""The workflow by its other ways in: workflow/Snakefile, and as a module of somebody else's workflow."""

import subprocess

import pytest
import yaml

from project import ROOT, SNAKEMAKE, Call, Project, smoke

pytestmark = pytest.mark.slow
MODULE = """\
configfile: "config/config.yaml"

module activations:
    snakefile: "{root}/workflow/Snakefile"
    config: config

use rule * from activations{named}
"""


def _planned(folder, *arguments):
    environment = Project(ROOT).environment()
    done = subprocess.run(
        [SNAKEMAKE, "--dry-run", "--cores", "1", *arguments],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return Call(0, done.stdout).jobs


@pytest.fixture(scope="module")
def jobs(tmp_path_factory):
    """What the Snakefile in the root plans of the smallest study."""
    config = ROOT / "tests/configs/smoke.yaml"
    jobs = _planned(tmp_path_factory.mktemp("root"), "-s", ROOT / "Snakefile", "--configfile", config)
    assert jobs["train"] == 2
    return jobs


def test_the_conventional_snakefile_plans_the_same(jobs, tmp_path):
    config = ROOT / "tests/configs/smoke.yaml"
    assert _planned(tmp_path, "-s", ROOT / "workflow/Snakefile", "--configfile", config) == jobs


def test_without_a_config_it_takes_the_checkouts(tmp_path):
    assert _planned(tmp_path, "-s", ROOT / "workflow/Snakefile")["train"] > 50


@pytest.mark.parametrize("prefix", ["", "my_"])
def test_a_module_plans_the_same_under_its_own_names(jobs, tmp_path, prefix):
    """Of its own config, and not of the default one in the working folder."""
    for folder in ("config", "workflow"):
        (tmp_path / folder).mkdir()
    (tmp_path / "config/config.yaml").write_text(yaml.safe_dump(smoke()), encoding="utf-8")
    (tmp_path / "config.yaml").write_text("study: another\n", encoding="utf-8")
    text = MODULE.format(root=ROOT, named=f" as {prefix}*" if prefix else "")
    (tmp_path / "workflow/Snakefile").write_text(text, encoding="utf-8")
    assert _planned(tmp_path) == {f"{prefix}{rule}": count for rule, count in jobs.items()} | (
        {"my_all": 1} if prefix else {}
    )
