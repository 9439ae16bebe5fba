"""Wherever the checkout, the config and the working folder lie, and whoever prints."""

import os
import re
import shutil
import subprocess
import sysconfig
import venv
from pathlib import Path

import pytest
import yaml

from project import ROOT, SNAKEMAKE, Call, Project, smoke

pytestmark = pytest.mark.slow
ODD = 'my study\'s dir/"proj" copy $HOME ünï'
TINY = smoke(cost={"measure": False}) | {"activations": {"relu": {"class": "ReLU"}}}
NAMES = ["dataset digits", "activation relu", "digits/relu/", "tables", "ledger", "report"]
LINE = "#!/bin/sh\n'''exec' \"{0}/python\" \"$0\" \"$@\"\n' '''\n"  # as pip writes it where a path has blanks


def _call(folder, *command, **environment):
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("SNAKEMAKE", "MAKE", "MFLAGS"))}
    done = subprocess.run(
        command,
        cwd=folder,
        env=kept | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=600,
        check=False,
    )
    return Call(done.returncode, done.stdout)


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """A checkout in an odd place, with an environment of its own that borrows the packages of this one."""
    project = Project.new(tmp_path_factory.mktemp("places") / ODD)
    for name in ("Makefile", "requirements.lock", "claims.yaml"):
        shutil.copy(ROOT / name, project.folder)
    venv.create(project / ".venv", with_pip=False, symlinks=True)
    site = next((project / ".venv/lib").glob("python*/site-packages"))
    (site / "borrowed.pth").write_text(f"{sysconfig.get_path('purelib')}\n{project / 'src'}\n", encoding="utf-8")
    command = project / ".venv/bin/snakemake"
    program = "import sys\nfrom snakemake.cli import main\nsys.exit(main())\n"
    quoted = str(project / ".venv/bin").replace("\\", "\\\\").replace('"', '\\"').replace("$", "\\$")
    command.write_text(LINE.format(quoted) + program, encoding="utf-8")
    command.chmod(0o755)
    shutil.copy(ROOT / "requirements.lock", project / ".venv")
    return project


def _whole(call, names=NAMES):
    assert call.code == 0, call.output
    assert all(any(said.startswith(name) for said in call.finished) for name in names), call.output


def test_make_in_an_odd_place_with_an_odd_config(checkout):
    """Snakemake starts each job by the path of the environment's Python: every one ended with 127."""
    name = 'my "odd" config\'s $HOME.yaml'
    (checkout / name).write_text(yaml.safe_dump(TINY | {"study": "odd"}), encoding="utf-8")
    _whole(_call(checkout.folder, "make", "study", f"CONFIG={name}", "CORES=1"))
    assert (checkout / "reports/odd.html").exists()
    (checkout / "reports/odd.html").unlink()
    call = _call(checkout.folder, "make", "report", f"CONFIG={name}", "CORES=1")
    assert call.finished == ["report"], call.output
    assert call.output.splitlines()[-1] == "Report: reports/odd.html"
    assert (checkout / "reports/odd.html").exists()


def test_from_a_folder_of_ones_own(checkout, tmp_path):
    """The checkout is as it was: code and default config are read there, all that is made lies here."""
    before = sorted(path for path in checkout.folder.rglob("*") if "__pycache__" not in path.parts)
    (tmp_path / "my.yaml").write_text(yaml.safe_dump(TINY | {"study": "own"}), encoding="utf-8")
    command = [str(checkout / ".venv/bin/snakemake"), "-s", str(checkout / "Snakefile"), "--cores", "2"]
    _whole(_call(tmp_path, *command, "--configfile", "my.yaml"))
    assert {path.name for path in tmp_path.iterdir()} == {"my.yaml", "results", "reports", ".snakemake"}
    assert sorted(path for path in checkout.folder.rglob("*") if "__pycache__" not in path.parts) == before
    # Without a config here it is the checkout's, with its claims.
    planned = _call(tmp_path, *command, "--dry-run", "--config", "study=other")
    assert planned.code == 0, planned.output
    assert planned.jobs["train"] > 50


def test_a_checkout_that_cannot_be_written_names_the_way(checkout):
    """On a file system that is read-only, where root too is refused."""
    mount = ["mount", "--bind", str(checkout.folder), str(checkout.folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting is not permitted here")
    try:
        subprocess.run(["mount", "-o", "remount,ro,bind", str(checkout.folder)], check=True)
        for command in (["make", "study"], [str(checkout / ".venv/bin/snakemake"), "--cores", "1"]):
            call = _call(checkout.folder, *command)
            assert call.code
            assert "Traceback" not in call.output
            (line,) = [line for line in call.output.splitlines() if line.startswith("error: ")]
            assert "cannot be written; in a folder of your own" in line
            assert line.endswith("--configfile my.yaml --cores all")
    finally:
        subprocess.run(["umount", str(checkout.folder)], check=True)


@pytest.mark.parametrize("file", [False, True])
def test_config_on_the_command_line_changes_single_keys(tmp_path, file):
    """Of config.yaml, or of the file that is named, also from another folder."""
    below = TINY | {"seeds": {"tuning": 1, "evaluation": 2}, "learning_rates": {"momentum": [0.01, 0.03, 0.1]}}
    below["training"] = TINY["training"] | {"pruning": {"after": 0.5, "keep": 2}}
    (tmp_path / ("their.yaml" if file else "config.yaml")).write_text(yaml.safe_dump(below), encoding="utf-8")
    if file:
        (tmp_path / "config.yaml").write_text("study: another\nclaims: [nowhere.yaml]\n", encoding="utf-8")
    changes = ["study=nested", 'seeds={"evaluation": 3}', 'training={"pruning": {"keep": 1}}']
    changes += ['activations={"gelu": {"class": "GELU"}}', 'learning_rates={"momentum": [0.02, 0.2]}']
    source = "from activation_study.study.study import Study\nimport json, sys\n"
    snakefile = (ROOT / "Snakefile").read_text(encoding="utf-8")
    include = re.sub(r'include: "', f'include: "{ROOT}/', snakefile)
    probe = tmp_path / "Snakefile"
    probe.write_text(f"{include}\n\n{source}print(json.dumps([config, STUDY.config.model_dump()]))\nsys.exit(7)\n")
    call = _call(
        tmp_path,
        *(SNAKEMAKE, "--cores", "1", "--dry-run", *(["--configfile", "their.yaml"] * file), "--config", *changes),
        PYTHONPATH=str(ROOT / "src"),
    )
    (line,) = [line for line in call.output.splitlines() if line.startswith("[{")]
    asked, study = yaml.safe_load(line)
    assert study["study"] == asked["study"] == "nested"
    assert (study["seeds"]["tuning"], study["seeds"]["evaluation"]) == (1, 3)
    assert study["training"]["pruning"] == {"after": 0.5, "keep": 1}
    assert study["training"]["probe_samples"] == TINY["training"]["probe_samples"]
    assert study["learning_rates"]["momentum"] == [0.02, 0.2]
    assert list(study["activations"]) == ["relu", "gelu"]
    assert study["datasets"].keys() == TINY["datasets"].keys()
    assert asked["claims"] == [] if "claims" in asked else study["claims"] == []


PLUGIN = """
from snakemake_interface_logger_plugins.base import LogHandlerBase


class LogHandler(LogHandlerBase):
    writes_to_stream, writes_to_file, has_filter, has_formatter, needs_rulegraph = True, False, True, True, False

    def emit(self, record):
        with open("events", "a") as file:
            print(getattr(record, "event", None), record.getMessage().split("\\\\n")[0], file=file)
"""


def test_a_logger_plugin_hears_everything_and_prints_alone(new_project):
    new_project.configure(TINY)
    plugin = Path(new_project / "src/snakemake_logger_plugin_heard")
    plugin.mkdir()
    (plugin / "__init__.py").write_text(PLUGIN, encoding="utf-8")
    call = new_project.snakemake("--logger", "heard", "--", "results/smoke/tables/runs.parquet")
    assert call.code == 0, call.output
    assert call.output.splitlines()[1:] == []
    events = (new_project / "events").read_text(encoding="utf-8").splitlines()
    for event, count in (("job_info", 4), ("job_finished", 4), ("progress", 4), ("run_info", 1)):
        assert sum(line.startswith(f"{event} ") for line in events) == count, event


def test_a_dry_run_names_the_jobs_and_ends_with_their_table(new_project):
    new_project.configure(TINY)
    call = new_project.snakemake("--dry-run")
    lines = call.output.splitlines()
    assert call.jobs == {"dataset": 1, "activation": 1, "train": 1, "tables": 1, "ledger": 1, "report": 1}
    assert lines.count("Job stats:") == 1
    assert "dataset digits: missing output files" in lines
    assert not [line for line in lines if "reason:" in line or ".parquet" in line]
    assert len(lines) < 40


@pytest.mark.parametrize(
    ("text", "held"),
    [
        ("import os\nos.kill(os.getpid(), 9)\n", "it was killed, or what it printed"),
        (
            "with job(snakemake.log[0]) as log:\n    log('a')\n    1 / 0\n",
            "ZeroDivisionError",
        ),
        ("with job(snakemake.log[0]) as log:\n    log('a')\n", "--latency-wait"),
        ("import nowhere\n", "ended before its log began"),
    ],
)
def test_every_failure_ends_in_its_line(new_project, text, held):
    new_project.configure(TINY)
    script = new_project / "scripts/describe_activation.py"
    script.write_text(f"from activation_study.jobs.job import job\n{text}", encoding="utf-8")
    call = new_project.snakemake("--latency-wait", "0", "results/smoke/activations/relu.json")
    assert call.code == 1
    fault, last = call.output.splitlines()[-2:]
    assert fault.startswith("error: activation relu: ")
    assert held in fault
    assert last.startswith("1 job failed, logs in results/smoke/logs; ")
