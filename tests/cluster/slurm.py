"""A real SLURM on loopback, of Debian's packages: two nodes on this machine, their controller, and munge between them.

Nothing outside its folder is touched, and nobody but the user who starts it is needed. Memory is measured once a
second, as control groups cannot be had everywhere, and there is no accounting.
"""

import contextlib
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scancel", "scontrol", "sinfo")
NODES = ("n1", "n2")
# Where Debian has daemons, which are on root's PATH alone.
PLACES = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/local/sbin", "/usr/sbin", "/sbin"))
CONFIG = """\
ClusterName=loopback
SlurmctldHost={host}(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.sock
CredType=cred/munge
SlurmctldPort={port}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
SlurmdParameters=config_overrides
SlurmdTimeout=10
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SwitchType=switch/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
SchedulerType=sched/backfill
SchedulerParameters=bf_interval=2,batch_sched_delay=0
ReturnToService=2
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
AccountingStorageType=accounting_storage/none
MinJobAge=600
KillWait=2
GresTypes=gpu
PartitionName=main Nodes=ALL Default=YES State=UP
"""


def missing() -> list[str]:
    """The programs that this machine lacks."""
    return [program for program in PROGRAMS if shutil.which(program, path=PLACES) is None]


class Slurm:
    """The cluster while it runs; ``environment`` is what its commands and Snakemake need."""

    def __init__(self, folder: Path):
        self.folder, self._daemons = folder, dict[str, subprocess.Popen[bytes]]()
        self.environment = {"PATH": f"{folder}/bin{os.pathsep}{os.environ['PATH']}"}

    def command(self, *words: str) -> str:
        """What such a command prints. Raises CalledProcessError."""
        environment = os.environ | self.environment
        return subprocess.run(words, env=environment, capture_output=True, text=True, check=True, timeout=60).stdout

    def queue(self) -> list[str]:
        """The jobs that wait or run, by number."""
        return self.command("squeue", "--noheader", "--format=%A").split()

    def told(self, *job: str) -> list[dict[str, str]]:
        """What the controller knows of a job; of all, also those that have ended, if none is named."""
        lines = self.command("scontrol", "--oneliner", "show", "job", *job).splitlines()
        return [dict(word.split("=", 1) for word in line.split() if "=" in word) for line in lines]

    def start(self, *names: str) -> None:
        """Start these daemons, and wait until they answer."""
        for name in names:
            program, *arguments = {
                "munged": ["munged", "--foreground", "--force", f"--key-file={self.folder}/munge.key"]
                + [
                    f"--{kind}={self.folder}/munge.{kind[:4]}"
                    for kind in ("socket", "pid-file", "log-file", "seed-file")
                ],
                "slurmctld": ["slurmctld", "-D", "-i"],
                **{node: ["slurmd", "-D", "-N", node] for node in NODES},
            }[name]
            with (self.folder / f"{name}.out").open("ab") as output:
                self._daemons[name] = subprocess.Popen(
                    [shutil.which(program, path=PLACES) or program, *arguments],
                    env=os.environ | {"SLURM_CONF": str(self.folder / "slurm.conf")},
                    stdout=output,
                    stderr=output,
                    start_new_session=True,
                )
            self._wait(name)

    def kill(self, node: str) -> None:
        """As a node does that loses its power: its daemon and its jobs are gone, and nothing is put in order."""
        daemon = self._daemons.pop(node)
        daemon.kill()
        daemon.wait()
        self._kill_jobs(node)

    def _kill_jobs(self, *nodes: str) -> None:
        conf = str(self.folder / "slurm.conf")
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                environment = process.environ()
                if environment.get("SLURM_CONF") == conf and environment.get("SLURMD_NODENAME") in nodes:
                    above = process.parent()
                    if above and "slurmstepd" in above.name():
                        above.kill()
                    process.kill()

    def _wait(self, name: str) -> None:
        answers = {
            "munged": lambda: (self.folder / "munge.sock").exists(),
            "slurmctld": lambda: "UP" in self.command("scontrol", "ping"),
        }.get(name, lambda: self.state(name) in ("idle", "mixed", "allocated"))
        for _ in range(150):
            if self._daemons[name].poll() is not None:
                break
            with contextlib.suppress(subprocess.SubprocessError):
                if answers():
                    return
            time.sleep(0.2)
        raise RuntimeError(f"{name} does not start: {(self.folder / f'{name}.out').read_text()[-2000:]}")

    def state(self, node: str) -> str:
        """Idle, mixed, down …"""
        return self.command("sinfo", "--noheader", f"--nodes={node}", "--Format=StateCompact").strip()

    def stop(self) -> None:
        """The jobs, then the daemons."""
        with contextlib.suppress(subprocess.SubprocessError):
            self.command("scancel", "--state=PENDING", "--me")
            self.command("scancel", "--me")
            for _ in range(50):
                if not self.queue():
                    break
                time.sleep(0.2)
        for daemon in reversed(self._daemons.values()):
            daemon.terminate()
            try:
                daemon.wait(10)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()
        self._kill_jobs(*NODES)


@contextlib.contextmanager
def cluster(folder: Path, cores: int = 4, memory_mb: int = 16000) -> Iterator[Slurm]:
    """A cluster in this folder, each of whose nodes says that it has so many cores, so much memory and a GPU."""
    for name in ("state", "bin", *(f"spool-{node}" for node in NODES)):
        (folder / name).mkdir(parents=True)
    (folder / "munge.key").write_bytes(os.urandom(128))
    (folder / "munge.key").chmod(0o400)
    folder.chmod(0o755)
    controller, *ports = _free_ports(1 + len(NODES))
    host = socket.gethostname().partition(".")[0]
    user = os.environ.get("USER") or subprocess.check_output(["id", "-un"], text=True).strip()
    lines = [
        f"NodeName={node} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs={cores} RealMemory={memory_mb} "
        f"Gres=gpu:1 State=UNKNOWN\n"
        for node, port in zip(NODES, ports, strict=True)
    ]
    config = CONFIG.format(host=host, user=user, folder=folder, port=controller)
    (folder / "slurm.conf").write_text(config + "".join(lines))
    (folder / "gres.conf").write_text("Name=gpu File=/dev/zero\n")
    # Jobs get no variable of SLURM's from Snakemake's plugin: the commands themselves say where the cluster is.
    for program in PROGRAMS[3:]:
        script = folder / "bin" / program
        found = shutil.which(program, path=PLACES)
        script.write_text(f'#!/bin/sh\nSLURM_CONF="{folder}/slurm.conf" exec {found} "$@"\n')
        script.chmod(0o755)
    made = Slurm(folder)
    try:
        made.start("munged", "slurmctld", *NODES)
        yield made
    finally:
        made.stop()


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as open_ones:
        sockets = [open_ones.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
