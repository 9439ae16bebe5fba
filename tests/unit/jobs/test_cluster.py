"""Jobs in a queue: what they ask for, and what is said of their ends."""

import re
from pathlib import Path
from types import SimpleNamespace

import pytest

import small
from activation_study.jobs import cluster, console
from activation_study.study.config import merged
from activation_study.study.study import Study

ROOT = Path(__file__).parents[3]
STUDY = Study.from_config(small.config())
(JOB,) = STUDY.jobs.values()
WILDCARDS = {"shape": JOB.shape, "part": JOB.part}


CONFIGS = [path for path in sorted(ROOT.glob("config/*.yaml")) if not path.stem.endswith("_claims")]
LAID_OVER = ("second", "families")
"""What is laid over config.yaml and is no study without it."""


@pytest.mark.parametrize("config", [ROOT / "config.yaml", *CONFIGS], ids=lambda path: path.stem)
@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_every_executor_takes_the_wildcards(config, device, monkeypatch):
    """Snakemake hands them to jobs elsewhere as name=value, with commas between, after a colon."""
    monkeypatch.chdir(ROOT)
    files = [ROOT / "config.yaml", config] if config.stem in LAID_OVER else [config]
    study = Study.from_config(merged(list(map(str, files)), {"device": device}))
    names = {part for job in study.jobs.values() for part in (job.shape, job.part)}
    names |= {*study.datasets(), *study.activations()}
    assert [name for name in names if not re.fullmatch(r"[A-Za-z0-9_.-]+", name)] == []


@pytest.mark.parametrize(("local", "beside"), [(True, 0), (False, cluster.BESIDE_MB)])
def test_a_retry_asks_for_more_memory(local, beside):
    workflow = SimpleNamespace(local_exec=local)
    fixed = cluster.memory(workflow, 1000)
    assert [fixed(None, None, attempt) for attempt in (1, 2, 3)] == [(1000 + beside) * n for n in (1, 2, 3)]
    by_job = cluster.memory(workflow, lambda wildcards, input: wildcards + input)
    assert by_job(300, 20, 2) == 2 * (320 + beside)


def test_a_retry_asks_for_more_time():
    first, second = (STUDY.job_runtime(SimpleNamespace(**WILDCARDS), attempt) for attempt in (1, 2))
    assert second == 2 * first
    assert 20 < first < 60


TIME = "slurmstepd: error: *** JOB 12 ON n1 CANCELLED AT 2026-11-27T17:00:00 DUE TO TIME LIMIT ***"


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        (TIME, "took longer than its runtime"),
        ("slurmstepd-n1: error: StepId=2.0 exceeded memory limit (197 > 104), being killed", "memory than its mem_mb"),
        ("slurmstepd: error: Detected 1 oom_kill event in StepId=2.batch", "memory than its mem_mb"),
        ("slurmstepd: error: *** JOB 3 ON n1 CANCELLED AT 2026-11-27T17:00:00 DUE TO NODE FAILURE ***", "node failed"),
        ("slurmstepd: error: *** JOB 3 ON n1 CANCELLED AT 2026-11-27T17:00:00 ***", "was cancelled"),
    ],
)
def test_what_slurm_writes_is_said(text, meaning, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cluster.log_of(STUDY, "train", WILDCARDS) is None
    folder = cluster.logs(STUDY) / "rule_train" / f"{JOB.shape}_{JOB.part}"
    folder.mkdir(parents=True)
    (folder / "12.log").write_text(f"srun: …\n{text}\n[0/0] failed\n", encoding="utf-8")
    found = cluster.ended_by([None, cluster.log_of(STUDY, "train", WILDCARDS)])
    assert meaning in found
    job = SimpleNamespace(rule=SimpleNamespace(name="train"), wildcards_dict=WILDCARDS, log=[], is_group=lambda: False)
    assert console.last_lines(STUDY, [job], 0.0, "logs")[0] == f"error: {JOB.id}: {found}"


def test_a_log_that_says_nothing_of_it(tmp_path):
    (tmp_path / "1.log").write_text("[1/1] done\n", encoding="utf-8")
    assert cluster.ended_by([str(tmp_path / "1.log"), str(tmp_path / "none.log")]) is None


def _workflow(logdir=None, **executor):
    return SimpleNamespace(
        scheduler=SimpleNamespace(_executor=SimpleNamespace(**executor)),
        executor_settings=SimpleNamespace(logdir=logdir),
    )


def test_the_logs_lie_with_the_others_and_what_a_killed_call_left_is_cancelled(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path(STUDY.results).mkdir(parents=True)
    called = []
    monkeypatch.setattr(cluster.subprocess, "run", lambda words, **_: called.append(words))
    cluster.begin(STUDY, _workflow())  # another executor
    for name in ("first", "second"):
        workflow = _workflow(slurm_logdir=Path("elsewhere"), run_uuid=name)
        cluster.begin(STUDY, workflow)
        assert workflow.scheduler._executor.slurm_logdir == tmp_path / STUDY.results / "logs" / "slurm"
    assert called == [["scancel", "--name=first"]]
