"""The study with its results in an object store, and with pods that share nothing else: ``make test-store``.

The store is S3 on loopback. A pod is a process in an empty folder, started by Snakemake's generic executor: what
Kubernetes itself does is not here, but its profile is read.
"""

import contextlib
import logging
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "workflow"))

import boto3
from moto.server import ThreadedMotoServer

from project import ROOT, Call, Project, smoke

POD = Path(__file__).with_name("pod.sh")
BUCKET = "results"
IN_PODS = (
    *("--executor", "cluster-generic", "--cluster-generic-submit-cmd", f"{shlex.quote(str(POD))} start"),
    *("--cluster-generic-status-cmd", f"{shlex.quote(str(POD))} state", "--seconds-between-status-checks", "1"),
    *("--jobs", "2", "--shared-fs-usage", "none", "--job-deploy-sources", "--retries", "1", "--latency-wait", "10"),
)
FAILING = """
def network(activation, depth, width, shape, classes):
    raise ValueError("no such network")
"""
SUMMARIES = {"tables": 1, "ledger": 1, "report": 1}
REFUSED = """
from torch import nn


class Refused(nn.Module):
    def forward(self, x):
        raise ValueError("no such luck")
"""


class Session:
    """A server, and the machines that know it: each a folder with a copy of the project."""

    def __init__(self, folder: Path, url: str):
        self.folder, self.failures, self.began = folder, [], time.monotonic()
        self.client = boto3.client("s3", endpoint_url=url, region_name="us-east-1")
        self.environment = {
            "SNAKEMAKE_STORAGE_S3_ENDPOINT_URL": url,
            "PODS": str(folder / "pods"),
            # The plugins were installed for this alone; a pod's image has the code, and brings no bytecode of its own.
            "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), os.environ["PYTHONPATH"]]),
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        (folder / "pods").mkdir()
        self.client.create_bucket(Bucket=BUCKET)

    def say(self, what: str, problem: str | None) -> None:
        """A line for each thing that was tried."""
        took = f"{what} ({time.monotonic() - self.began:.0f} s)"
        print(f"{'ok  ' if problem is None else 'FAIL'} {took}{'' if problem is None else ': ' + problem}", flush=True)
        self.failures += [what] * (problem is not None)
        self.began = time.monotonic()

    def machine(self, name: str, **changes: object) -> Project:
        project = Project.new(self.folder / name)
        (project / "refused.py").write_text(REFUSED, encoding="utf-8")
        project.configure(smoke(**changes))
        return project

    def call(self, project: Project, *arguments: str, prefix: str = "here") -> Call:
        store = ("--default-storage-provider", "s3", "--default-storage-prefix", f"s3://{BUCKET}/{prefix}")
        return project.snakemake(*store, *arguments, **self.environment)

    def planned(self, what: str, project: Project, expected: dict[str, int]) -> None:
        call = self.call(project, "--dry-run")
        problem = None if (call.code, call.jobs) == (0, expected) else f"{call.jobs}: {last(call)}"
        self.say(what, problem)

    def fetched(self, prefix: str) -> Project:
        """What the store has, as files."""
        folder = self.folder / f"fetched {prefix}"
        for page in self.client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=f"{prefix}/"):
            for one in page["Contents"]:
                file = folder / one["Key"].removeprefix(f"{prefix}/")
                file.parent.mkdir(parents=True, exist_ok=True)
                self.client.download_file(BUCKET, one["Key"], str(file))
        return Project(folder)

    def same(self, what: str, call: Call, prefix: str, expected: Project) -> None:
        """The call has ended well, and the store has the tables of this machine alone, byte for byte, and the page."""
        if call.code:
            return self.say(what, f"exit code {call.code}: {last(call)}")
        project, tables = self.fetched(prefix), expected.timeless()
        wrong = [name for name, content in project.timeless().items() if content != tables[name]]
        wrong += [] if (project / "reports/smoke.html").is_file() else ["the page is not there"]
        wrong += [] if call.output.rstrip().endswith(f"s3://{BUCKET}/{prefix}/reports/smoke.html") else [last(call)]
        self.say(what, ", ".join(wrong) or None)


def last(call: Call) -> str:
    return " | ".join(call.output.splitlines()[-6:])[:900]


def store(session: Session, alone: Project) -> None:
    """One store, and several machines that work with it one after the other."""
    first = session.machine("first")
    session.same("a store: the tables are those without one", session.call(first), "here", alone)
    second = session.machine("second")
    for script in (second / "scripts").iterdir():
        script.touch()  # as a new clone has them
    session.planned("another machine, a newer clone without Snakemake's notes, finds all done", second, {})
    more = session.machine("third", activations={"tanh": {"class": "Tanh"}})
    wanted = {"activation": 1, "cost": 1, "train": 1} | SUMMARIES
    session.planned("one more activation: nothing that is done is trained again", more, wanted)
    own = {"refused": {"module": "refused:Refused"}}
    steps = {"core": smoke()["experiments"]["core"] | {"steps": 50}}
    other = session.machine("fourth", allow_modules=True, activations=own, experiments=steps)
    wanted = {"activation": 1, "cost": 1, "train": 3} | SUMMARIES
    session.planned("another config: what it does not share is not taken for its own", other, wanted)
    call = session.call(other)
    said = [line for line in call.output.splitlines()[-10:] if line.startswith("error: activations.refused: ")]
    session.say("a refused activation is named", None if call.code == 1 and said else f"{call.code}: {last(call)}")
    session.planned("the first machine, whose notes call its page new, makes it again", first, SUMMARIES)
    second.configure(smoke(seeds={"tuning": 2, "evaluation": 3}))
    session.planned("other seeds: the runs are made again", second, {"train": 2} | SUMMARIES)
    call = session.call(second)
    session.say("they were", None if call.code == 0 and len(call.finished) == 5 else f"{call.code}: {last(call)}")
    session.planned("and are at rest", second, {})


def profile(session: Session) -> None:
    """That of Kubernetes, up to where a cluster is needed."""
    project = session.machine("profile")
    call = session.call(project, "--profile", "profiles/kubernetes", "--dry-run", prefix="profile")
    wanted = {"activation": 2, "dataset": 1, "cost": 2, "train": 2} | SUMMARIES
    session.say("the profile for Kubernetes is read", None if call.jobs == wanted else last(call))


def pods(session: Session, alone: Project) -> None:
    """Pods that share nothing but the store, one of which is killed; then some that fail."""
    project = session.machine("main")
    (session.folder / "pods" / "kill").touch()
    call = session.call(project, *IN_PODS, prefix="pods")
    session.same("pods, one of which is killed: the tables are those without any", call, "pods", alone)
    killed = not (session.folder / "pods" / "kill").exists()
    session.say("one was killed", None if killed else "none trained")
    call = session.call(project, *IN_PODS, "--forcerun", "train", "--until", "train", prefix="pods")
    logs = (session.fetched("pods").folder / "results/smoke/logs/runs").rglob("*.log")
    kept = [log for log in logs if "kept: " in log.read_text(encoding="utf-8")]
    problem = None if (call.code, len(kept)) == (0, 2) else f"{call.code}, {len(kept)} kept: {last(call)}"
    session.say("what is done is kept by a pod that has it to do again", problem)
    (project / "failing.py").write_text(FAILING, encoding="utf-8")
    experiments = {"core": smoke()["experiments"]["core"] | {"network": "mine", "initialisation": "torch_default"}}
    mine = {"networks": {"mine": {"module": "failing:network"}}, "cost": {"measure": False}}
    project.configure(smoke(allow_modules=True, experiments=experiments, **mine))
    for command in (("init", "--quiet"), ("add", "--force", "failing.py", "study.yaml")):  # what pods are given
        subprocess.run(["git", *command], cwd=project.folder, check=True)
    call = session.call(project, *IN_PODS, "--retries", "0", prefix="failing")
    said = [line for line in call.output.splitlines()[-10:] if "no such network" in line]
    session.say("a pod that fails says why", None if call.code == 1 and said else f"{call.code}: {last(call)}")


def end(folder: Path) -> None:
    """Every pod that still works."""
    for group in (folder / "pods").glob("*/group"):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(int(group.read_text()), signal.SIGKILL)


def main() -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # which says every request
    os.environ.update(AWS_ACCESS_KEY_ID="nobody", AWS_SECRET_ACCESS_KEY="nothing", AWS_DEFAULT_REGION="us-east-1")
    began, server = time.monotonic(), ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    with tempfile.TemporaryDirectory(prefix="store ") as name:
        folder = Path(name)
        try:
            session = Session(folder, "http://{}:{}".format(*server.get_host_and_port()))
            alone = session.machine("alone")
            call = alone.snakemake()
            session.say("without a store", None if call.code == 0 else last(call))
            store(session, alone)
            profile(session)
            pods(session, alone)
        finally:
            end(folder)
            server.stop()
    print(f"{len(session.failures)} failed in {time.monotonic() - began:.0f} s")
    sys.exit(bool(session.failures))


if __name__ == "__main__":
    main()
