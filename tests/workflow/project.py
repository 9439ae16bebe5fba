"""A copy of the project in a temporary folder, and Snakemake run in it as a user runs it."""

import io
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import yaml

from activation_study.core.files import MADE_BY

ROOT = Path(__file__).resolve().parents[2]
TREE = ("Snakefile", "config.yaml", "environment.yml", "profiles", "scripts", "src", "workflow")
SNAKEMAKE = str(Path(sys.executable).with_name("snakemake"))
TABLES = "results/smoke/tables/runs.parquet"
# What has no clock in it, so that it must be the same in every run.
TIMELESS = ("runs", "curves", "layers", "experiments", "activations", "portraits", "datasets")


def smoke(**changes):
    """The smallest study, its top-level keys updated: mappings merged, anything else replaced."""
    config = yaml.safe_load((ROOT / "tests" / "configs" / "smoke.yaml").read_text(encoding="utf-8"))
    for key, value in changes.items():
        config[key] = config.get(key, {}) | value if isinstance(value, dict) else value
    return config


def titled(page):
    """The blocks of a page of Markdown that are whole files, by the names that their titles give."""
    blocks = re.findall(r'^```\w+ title="([^"]+)"\n(.*?)^```$', page, re.MULTILINE | re.DOTALL)
    assert len(dict(blocks)) == len(blocks), "two files of one name"
    return dict(blocks)


def shared(**changes):
    """As `smoke`, with a second experiment that asks for one of the first one's runs."""
    config = smoke(**changes)
    config["experiments"] = {"again": smoke()["experiments"]["core"] | {"activation": "relu"}} | config["experiments"]
    return config


@dataclass(frozen=True)
class Call:
    """What one call of Snakemake did: exit code, and all that it printed."""

    code: int
    output: str

    @property
    def jobs(self):
        """Number of jobs by rule, from Snakemake's own table; none when there was nothing to do."""
        table = re.search(r"Job stats:\njob +count\n[- ]+\n(.*?)\ntotal ", self.output, re.DOTALL)
        counts = dict(line.split() for line in table[1].splitlines()) if table else {}
        return {rule: int(count) for rule, count in counts.items() if rule != "all"}

    @property
    def finished(self):
        """The jobs that were said to have finished, in their order."""
        return [name for name in re.findall(r"^\[ *\d+/\d+.*?\] (.*)$", self.output, re.M) if "failed" not in name]


class Project:
    """The project's files in a folder of their own, which a test may edit."""

    def __init__(self, folder):
        self.folder = folder

    @classmethod
    def new(cls, folder):
        folder.mkdir(parents=True)
        for name in TREE:
            source = ROOT / name
            if source.is_dir():
                shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
            else:
                shutil.copy2(source, folder / name)
        return cls(folder)

    def copy(self, folder):
        """With results, and the times of all files."""
        return Project(Path(shutil.copytree(self.folder, folder)))

    def __truediv__(self, path):
        return self.folder / path

    def configure(self, config):
        (self / "study.yaml").write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")

    def command(self, *arguments, cores=2):
        return [SNAKEMAKE, "--configfile", "study.yaml", "--cores", str(cores), *arguments]

    def environment(self, **more):
        kept = {name: value for name, value in os.environ.items() if not name.startswith("SNAKEMAKE")}
        return kept | {"PYTHONPATH": str(self / "src")} | more

    def snakemake(self, *arguments, cores=2, **environment):
        """Call it and wait."""
        done = subprocess.run(
            self.command(*arguments, cores=cores),
            cwd=self.folder,
            env=self.environment(**environment),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=600,
            check=False,
        )
        return Call(done.returncode, done.stdout)

    def planned(self, config=None):
        """The jobs that Snakemake would run, by rule."""
        if config is not None:
            self.configure(config)
        call = self.snakemake("--dry-run")
        assert call.code == 0, call.output
        return call.jobs

    def append(self, path, text):
        with (self / path).open("a", encoding="utf-8") as file:
            file.write(text)

    def table(self, name, study="smoke"):
        return pd.read_parquet(self / f"results/{study}/tables/{name}.parquet")

    def timeless(self, study="smoke"):
        """The bytes of the tables without clocks; their receipts, which name the config, are left out."""
        folder, found = self / f"results/{study}/tables", {}
        for name in TIMELESS:
            table = pq.read_table(folder / f"{name}.parquet")
            metadata = {key: value for key, value in table.schema.metadata.items() if key != MADE_BY.encode()}
            pq.write_table(table.replace_schema_metadata(metadata), content := io.BytesIO())
            found[name] = content.getvalue()
        return found
