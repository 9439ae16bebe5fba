"""The study on a real SLURM, which is started for it on this machine: ``make test-slurm``.

The tables are those of a run on this machine alone, byte for byte; with ``--faults`` also after what happens on
clusters: a job is cancelled, a node is lost and comes back, a job needs more memory or time than it asked for, and
Snakemake is killed while its jobs wait in the queue.
"""

import argparse
import contextlib
import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "workflow"))

import yaml
from slurm import Slurm, cluster, missing

from project import ROOT, Call, Project, smoke

TABLES = "results/smoke/tables/runs.parquet"
RUNS = "results/smoke/runs"
# A real cluster is asked less often. A job that asks for little may fail at first: each retry asks for more.
QUICK = ("--jobs", "2", "--slurm-init-seconds-before-status-checks", "2", "--latency-wait", "10")
# An activation that waits as long as a file is there.
HELD = """
from pathlib import Path
from time import sleep

from torch import nn


class Held(nn.Module):
    def forward(self, x):
        while Path("hold").exists():
            sleep(0.1)
        return x.relu()
"""
LONGEST = 1800  # seconds for which anything is waited for, on a machine that does much else


class Session:
    """A cluster, what is done on it, and the Python environment of that."""

    def __init__(self, folder: Path, slurm: Slurm, environment: Path):
        self.folder, self.slurm, self.environment, self.failures = folder, slurm, environment, []
        self.began = time.monotonic()

    def say(self, what: str, problem: str | None) -> None:
        """A line for each thing that was tried."""
        took = f"{what} ({time.monotonic() - self.began:.0f} s)"
        print(f"{'ok  ' if problem is None else 'FAIL'} {took}{'' if problem is None else ': ' + problem}", flush=True)
        self.failures += [what] * (problem is not None)
        self.began = time.monotonic()

    def start(self, project: Project, *arguments: str) -> subprocess.Popen[str]:
        """Snakemake with the profile, in the background; what it prints is in `call.log`."""
        environment = project.environment(**self.slurm.environment)
        # The plugin may have been installed for this alone: pip install --target.
        environment["PYTHONPATH"] += os.pathsep + os.environ.get("PYTHONPATH", "")
        with (project / "call.log").open("w", encoding="utf-8") as log:
            return subprocess.Popen(
                [
                    *(str(self.environment / "bin" / "python"), "-m", "snakemake"),
                    *("--configfile", "study.yaml", "--profile", "profiles/slurm", *QUICK, *arguments),
                ],
                cwd=project.folder,
                env=environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                text=True,
            )

    def finish(self, project: Project, *arguments: str) -> Call:
        """The same, waited for."""
        call = self.start(project, *arguments)
        try:
            return Call(call.wait(LONGEST), (project / "call.log").read_text(encoding="utf-8"))
        finally:
            call.kill()

    def compared(self, what: str, config: dict, *arguments: str) -> None:
        """The study of this config, on the cluster and here."""
        here = Project.new(self.folder / f"{what} here")
        here.configure(config)
        there = here.copy(self.folder / f"{what} there")
        call = self.finish(there, *arguments)
        local = here.snakemake(*arguments)
        problem = f"here: {last(local)}" if local.code else different(there, call, here, config["study"])
        self.say(f"{what}: the tables are those of this machine alone", problem)
        page = there / f"reports/{config['study']}.html"
        self.say(f"{what}: the page is there", None if page.is_file() else "it is not")

    def until(self, what: Callable[[], object], call: subprocess.Popen[str]) -> None:
        """Wait for something while the call goes on."""
        until = time.monotonic() + LONGEST
        while not what():
            if call.poll() is not None or time.monotonic() > until:
                raise RuntimeError("it did not come to that")
            time.sleep(0.3)

    def training(self) -> list[str]:
        """The jobs that train."""
        listed = self.slurm.command("squeue", "--noheader", "--states=RUNNING", "--format=%A %k").splitlines()
        return [line.split()[0] for line in listed if "rule_train" in line]


def different(project: Project, call: Call, expected: Project, study: str = "smoke") -> str | None:
    """None if the call has ended well, with the tables that are expected."""
    if call.code:
        return f"exit code {call.code}: {last(call)}"
    tables = expected.timeless(study)
    names = [name for name, content in project.timeless(study).items() if content != tables[name]]
    return f"{', '.join(names)} differ" if names else None


def last(call: Call) -> str:
    return " | ".join(call.output.splitlines()[-4:])[:600]


def demo(session: Session) -> None:
    """Of the demo three activations, both datasets and one depth, with few steps."""
    config = yaml.safe_load((ROOT / "config" / "demo.yaml").read_text(encoding="utf-8"))
    kept = {name: config["activations"][name] for name in ("relu", "tanh", "prelu")}
    steps = {"core": {"depth": 5, "steps": 60, "clip": 5}}
    session.compared("demo", config | {"device": "cpu", "activations": kept, "experiments": steps})


def smallest(session: Session) -> None:
    """The smallest study, one key of which stands in the command alone; a GPU is asked for, and found to be none."""
    session.compared("smoke", smoke() | {"device": "auto"}, "--config", 'seeds={"evaluation": 3}')
    asked = {
        rule: {job.get(key, "nothing") for job in session.slurm.told() if job["Comment"].startswith(f"rule_{rule}")}
        for rule, key in (("train", "TresPerJob"), ("cost", "OverSubscribe"))
    }
    wanted = {"train": {"gres:gpu:1"}, "cost": {"NO"}}
    session.say("smoke: a GPU for each training job, a node for each cost", None if asked == wanted else str(asked))


class Faults:
    """Done to copies of one study, whose data and constants are there and whose runs are not."""

    def __init__(self, session: Session):
        self.session, self.slurm = session, session.slurm
        self.here = Project.new(session.folder / "whole")
        (self.here / "held.py").write_text(HELD, encoding="utf-8")
        self.here.configure(smoke(cost={"measure": False}) | {"activations": {"held": {"module": "held:Held"}}})
        call = self.here.snakemake(TABLES)
        session.say("the undisturbed study", last(call) if call.code else None)

    def project(self, name: str, *, hold: bool = True) -> Project:
        made = self.here.copy(self.session.folder / name)
        shutil.rmtree(made / RUNS)
        shutil.rmtree(made / "results/smoke/tables")
        if hold:
            (made / "hold").touch()
        return made

    def ends(self, what: str, project: Project, call: subprocess.Popen[str], *said: str) -> None:
        """Nothing holds it any more: it ends well, and has said this."""
        (project / "hold").unlink(missing_ok=True)
        try:
            ended = Call(call.wait(LONGEST), (project / "call.log").read_text(encoding="utf-8"))
        finally:
            call.kill()
        unsaid = [words for words in said if words not in ended.output]
        problem = different(project, ended, self.here)
        self.session.say(what, problem or (f"not said: {unsaid[0]}: {last(ended)}" if unsaid else None))

    def cancelled(self) -> None:
        project = self.project("cancelled")
        call = self.session.start(project, TABLES)
        self.session.until(self.session.training, call)
        self.slurm.command("scancel", *self.session.training())
        self.session.until(lambda: "was cancelled" in (project / "call.log").read_text(encoding="utf-8"), call)
        self.ends("a job is cancelled, and submitted again", project, call)

    def node_lost(self) -> None:
        project = self.project("node")
        call = self.session.start(project, TABLES)
        self.session.until(self.session.training, call)
        (job,) = self.session.training()
        node = self.slurm.told(job)[0]["NodeList"]
        self.slurm.kill(node)
        self.session.until(lambda: self.slurm.state(node).startswith("down"), call)
        self.slurm.start(node)
        self.ends(f"node {node} is lost under a job, and comes back", project, call)

    def memory(self) -> None:
        project = self.project("memory", hold=False)
        call = self.session.start(project, TABLES, "--set-resources", "train:mem_mb=500 * attempt")
        self.ends("a job needs more memory than it asked for", project, call, "needed more memory than its mem_mb")

    def time(self) -> None:
        project = self.project("time")
        call = self.session.start(project, TABLES, "--set-resources", "train:runtime=1 if attempt == 1 else 30")
        self.session.until(lambda: "took longer than its runtime" in (project / "call.log").read_text(), call)
        self.ends("a job needs more time than it asked for", project, call)

    def snakemake_killed(self) -> None:
        project = self.project("killed")
        call = self.session.start(project, TABLES)
        self.session.until(self.session.training, call)
        left = self.slurm.queue()
        os.killpg(call.pid, 9)
        call.wait()
        again = self.session.start(project, TABLES)
        self.session.until(lambda: self.session.training() and not set(left) & set(self.slurm.queue()), again)
        self.ends("Snakemake is killed; the next call cancels what it left in the queue", project, again)


STUDIES = {"smoke": smallest, "demo": demo}
FAULTS = ("cancelled", "node_lost", "memory", "time", "snakemake_killed")


def terminated(*_: object) -> None:
    """Every process that was started ends in any case."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.exit(143)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--faults", action="store_true", help="also what goes wrong on clusters")
    parser.add_argument("--only", nargs="+", choices=[*STUDIES, *FAULTS], help="these alone")
    chosen = parser.parse_args()
    wanted = chosen.only or [*STUDIES, *FAULTS * chosen.faults]
    signal.signal(signal.SIGTERM, terminated)
    if lacking := missing():
        sys.exit(f"error: {', '.join(lacking)} cannot be found: on Debian, apt-get install slurm-wlm munge")
    if importlib.util.find_spec("snakemake_executor_plugin_slurm") is None:
        sys.exit("error: Snakemake's plugin is missing: install the extra, activation-study[slurm]")
    with tempfile.TemporaryDirectory(prefix="slurm ") as folder, tempfile.TemporaryDirectory() as daemons:
        began = time.monotonic()
        with contextlib.ExitStack() as stack:
            try:
                slurm = stack.enter_context(cluster(Path(daemons) / "slurm"))
            except RuntimeError as error:
                return print(f"skip: SLURM does not start on this machine: {error}")
            # The plugin does not quote its Python's path, and the environment's own may hold a blank.
            environment = Path(daemons) / "environment"
            environment.symlink_to(sys.prefix)
            session = Session(Path(folder), slurm, environment)
            if set(wanted) & set(FAULTS):
                faults = Faults(session)
            for name in wanted:
                try:
                    getattr(faults, name)() if name in FAULTS else STUDIES[name](session)
                except (RuntimeError, subprocess.SubprocessError, ValueError) as error:
                    session.say(name, str(error))
    print(f"{len(session.failures)} failed in {time.monotonic() - began:.0f} s")
    sys.exit(bool(session.failures))


if __name__ == "__main__":
    main()
