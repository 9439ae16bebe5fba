"""What can go wrong with a machine, done to the smallest study: ``make faults``.

After each fault the plain command goes on: nothing that was finished is computed again, and the tables are those of the
undisturbed run, byte for byte; or one line says what is wrong, and the tables are untouched.
"""

import argparse
import contextlib
import random
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "workflow"))

import disks
import pyarrow.parquet as pq
from kills import ALWAYS, SCRIPTS, Killed

from activation_study.study.study import Study
from project import Project, shared

TABLES = "results/smoke/tables"
RELU = next(job.id for job in Study.from_config(shared()).jobs.values() if job.activations == ["relu"])


class Session:
    """One undisturbed study, and the faults done to copies of it."""

    def __init__(self, folder: Path, seed: int):
        self.folder, self.source, self.count, self.failures = folder, random.Random(seed), 0, []
        self.undisturbed = self.new("undisturbed")
        call = self.undisturbed.snakemake()
        assert call.code == 0, call.output
        self.expected = self.undisturbed.timeless()

    def new(self, name: str) -> Project:
        """The project without results, configured."""
        project = Project.new(self.folder / name)
        project.append("src/activation_study/training/checkpoint.py", ALWAYS)
        project.configure(shared())
        return project

    def copy(self) -> Project:
        self.count += 1
        return self.undisturbed.copy(self.folder / f"copy {self.count}")

    def say(self, what: str, problem: str | None) -> None:
        """One line per fault."""
        print(f"{'ok  ' if problem is None else 'FAIL'} {what}{'' if problem is None else ': ' + problem}", flush=True)
        if problem is not None:
            self.failures.append(what)

    def done(self, project: Project, call) -> str | None:
        """None if the study is finished with the right tables."""
        if call.code:
            return f"exit code {call.code}: {_last_lines(call.output)}"
        different = [name for name, content in project.timeless().items() if content != self.expected[name]]
        return f"{', '.join(different)} differ" if different else None

    def harmless(self, project: Project, rotten: Path, rotted: int, call) -> str | None:
        """As `done`. The bytes of the file may differ where they stand for the same values, a cost made again at all.

        Args:
            rotted: when the file was, in nanoseconds.
        """
        whole = self.undisturbed.folder / rotten.relative_to(project.folder)
        if rotten.suffix == ".parquet":
            measured = rotten.parent.name == "cost" and rotten.stat().st_mtime_ns != rotted
            if not measured and not pq.read_table(rotten).equals(pq.read_table(whole)):
                return f"{rotten.name} has other values"
            rotten.write_bytes(whole.read_bytes())
        return self.done(project, call)

    def said(self, call, *words: str) -> str | None:
        """None if the call ended with a line, and only that, that holds one of these words."""
        said = ("error: ", "Write-protected output files")  # ours, and Snakemake's for a file that it may not replace
        lines = [line.strip() for line in call.output.splitlines() if line.strip().startswith(said)]
        if "Traceback" in call.output:
            return f"a traceback: {_last_lines(call.output)}"
        if not call.code or not any(word in line for line in lines for word in words):
            return f"exit code {call.code}, without a line that names {' or '.join(words)}: {_last_lines(call.output)}"
        return None

    def kills(self, count: int) -> None:
        """Through every stage in turn, until enough and each was hit; a round is one study from nothing to its end."""
        hits, number = Counter(), 0
        while (hits.total() < count or len(hits) < len(SCRIPTS)) and number < count:
            number += 1
            killed = Killed(self.new(f"killed {number}"), self.source)
            for stage in SCRIPTS:
                try:
                    hit, line = killed.kill(stage)
                except AssertionError as error:
                    self.say(stage, str(error))
                    continue
                if hit is None:
                    break
                hits[hit] += 1
                checkpoints = [*(killed.project / "results").rglob("*.checkpoint.pt")]
                if checkpoints and self.source.random() < 0.2:
                    line += f"; its checkpoint: {disks.rot(self.source.choice(checkpoints), self.source)}"
                self.say(line, None)
            try:
                to_the_end = self.done(killed.project, killed.finish())
                self.say(f"round {number}, after {hits.total()} kills: to the end", to_the_end)
            except AssertionError as error:
                self.say(f"round {number}", str(error))
            left = [*(killed.project / "results").rglob("*checkpoint*")]
            self.say(f"round {number}: no checkpoint stays", f"{left[0]} stays" if left else None)
        never = ", ".join(set(SCRIPTS) - set(hits))
        shown = ", ".join(f"{stage} {hits[stage]}" for stage in SCRIPTS)
        self.say(f"{hits.total()} kills: {shown}", f"never in {never}" if never else None)

    def small_disks(self) -> None:
        """Full at the data, at the runs, at the tables."""
        whole = sum(file.stat().st_size for file in (self.undisturbed / "results").rglob("*") if file.is_file())
        for part in (0.15, 0.5, 0.9):
            project = self.new(f"small {part}")
            try:
                with disks.small_disk(project / "results", int(part * whole / 1024)):
                    what = f"a disk for {part:.0%} of the results"
                    call = project.snakemake()
                    self.say(what, self.said(call, "No space left on device"))
                    disks.enlarge(project / "results")
                    self.say(f"{what}, enlarged", self.done(project, project.snakemake()))
            except disks.NotPermitted as error:
                return print(f"skip a full disk: mounting is not permitted here ({error})")

    def read_only_disk(self) -> None:
        project = self.copy()
        (project / TABLES / "ledger.parquet").unlink()
        try:
            with disks.read_only(project / "results"):
                self.say("a read-only disk", self.said(project.snakemake(), "cannot be written", "Write-protected"))
        except disks.NotPermitted as error:
            return print(f"skip a read-only disk: mounting is not permitted here ({error})")
        self.say("a read-only disk, writable again", self.done(project, project.snakemake()))

    def rotten_files(self, each: int) -> None:
        """A file that rots, and one that must be made again from it. The line says what to delete, and it is."""
        run = [f"results/smoke/runs/{RELU}/runs.parquet", f"{TABLES}/runs.parquet"]  # and what is made from it
        cases = {
            "results/smoke/data/digits.npz": run,
            "results/smoke/data/digits.json": run,
            "results/smoke/activations/relu.json": run,
            f"results/smoke/runs/{RELU}/runs.parquet": [f"{TABLES}/runs.parquet"],
            f"results/smoke/runs/{RELU}/layers.parquet": [f"{TABLES}/runs.parquet"],
            "results/smoke/cost/relu.parquet": [f"{TABLES}/runs.parquet"],
            f"{TABLES}/runs.parquet": ["reports/smoke.html"],
            f"{TABLES}/layers.parquet": ["reports/smoke.html"],
        }
        for rotten, missing in cases.items():
            for _ in range(each):
                project = self.copy()
                (path,) = project.folder.glob(rotten)
                for pattern in missing:
                    (gone,) = project.folder.glob(pattern)
                    gone.unlink()
                what = f"{rotten}: {disks.rot(path, self.source)}"
                rotted, call = path.stat().st_mtime_ns, project.snakemake()
                if call.code == 0:
                    self.say(f"{what}; harmless", self.harmless(project, path, rotted, call))
                    continue
                self.say(what, self.said(call, path.name))
                path.unlink()
                self.say(f"{rotten} deleted, as the line says", self.done(project, project.snakemake()))

    def removed_files(self, times: int) -> None:
        for _ in range(times):
            project = self.copy()
            files = [f for f in (project / "results").rglob("*") if f.is_file() and "logs" not in f.parts]
            chosen = self.source.sample(sorted(files), self.source.randint(1, 8))
            for file in chosen:
                file.unlink()
            self.say(f"{len(chosen)} files removed", self.done(project, project.snakemake()))

    def two_at_once(self) -> None:
        project = self.new("two at once")
        calls = []
        for _ in range(2):
            time.sleep(self.source.uniform(0, 0.5))
            calls.append(
                subprocess.Popen(
                    project.command(),
                    cwd=project.folder,
                    env=project.environment(),
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    text=True,
                )
            )
        outputs = [call.communicate(timeout=600)[0] for call in calls]
        codes = [call.returncode for call in calls]
        refused = [text for text, code in zip(outputs, codes, strict=True) if code]
        fine = sorted(codes) == [0, 1] and "another call works on this study" in refused[0]
        self.say("two studies at once", None if fine and "Traceback" not in refused[0] else f"exit codes {codes}")
        self.say("two studies at once: the tables", self.done(project, project.snakemake()))


def _last_lines(output: str) -> str:
    lines = [line for line in output.splitlines() if re.search(r"rror|damaged|cannot", line)] or output.splitlines()
    return " | ".join(lines[-3:])[:400]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=30, help="at least so many (default: %(default)s)")
    parser.add_argument("--each", type=int, default=2, help="faults per kind of file (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=None, help="of the random moments (default: from the clock)")
    parser.add_argument("--only", choices=["kills", "disks", "files", "two"], help="one part alone")
    chosen = parser.parse_args()
    seed = chosen.seed if chosen.seed is not None else time.time_ns() % 10**6
    print(f"seed {seed}: make faults FAULTS='--seed {seed}' does the same again", flush=True)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="faults ") as folder, contextlib.chdir(folder):
        session = Session(Path(folder), seed)
        print(f"     the undisturbed run took {time.monotonic() - began:.0f} s", flush=True)
        if chosen.only in (None, "disks"):
            session.small_disks()
            session.read_only_disk()
        if chosen.only in (None, "two"):
            session.two_at_once()
        if chosen.only in (None, "files"):
            session.removed_files(3)
            session.rotten_files(chosen.each)
        if chosen.only in (None, "kills"):
            session.kills(chosen.kills)
    failed = len(session.failures)
    print(f"{failed} failed in {(time.monotonic() - began) / 60:.0f} min; seed {seed}")
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
