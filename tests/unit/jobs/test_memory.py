"""What a job needs is declared before it starts, and too little memory is one line."""

import errno
import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

import small
from activation_study.core import files
from activation_study.core.errors import StudyError, lacks_memory
from activation_study.jobs import job
from activation_study.jobs.train import train
from activation_study.study.jobs import RUN_TABLES
from activation_study.study.study import BASE_MB, Study

EVERY_MEASUREMENT = ["noise", "selectivity", "covariate_shift", "sign_agreement", "saturation", "path"]
NETWORKS = {
    "mine": {"module": "own_networks:residual"},
    "resnet": {"class": "torchvision.models.resnet18", "replace": "ReLU"},
}
ROOT = Path(__file__).resolve().parents[3]
STATUS = Path("/proc/self/status")
MEASURED = """
import json, sys
from dataclasses import replace
from pathlib import Path
import torch
torch.set_num_threads(1)
import small
def peak():
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024 / 1e6
asked, images = json.loads(sys.argv[1]), replace(small.blobs(300, features=256), shape=(16, 16, 1))
# What the first training loads is not the networks'.
small.rows(small.run({"steps": 2, "width": 8}), images)
before = peak()
small.rows(small.run(asked["factors"], **asked["more"]), images)
print(json.dumps([before, peak()]))
"""


def _peaks(**asked):
    """Resident MB at most before a run and after it, in a process of its own (getrusage's begins with its parent's)."""
    places = ROOT / "tests" / "support", ROOT / "src"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, places))}
    command = [sys.executable, "-c", MEASURED, json.dumps(asked)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


@pytest.mark.skipif(not STATUS.exists(), reason="the peak is read as Linux tells it")
@pytest.mark.slow
@pytest.mark.parametrize(
    "factors",
    [
        {"width": 512, "depth": 4, "batch_size": 8},  # the weights
        {"width": 64, "depth": 20, "batch_size": 512, "normalisation": "batch"},  # the activations
        {"width": 512, "depth": 4, "optimiser": "adam", "normalisation": "batch", "measure": EVERY_MEASUREMENT},
    ],
)
def test_a_job_takes_what_was_declared_and_not_much_less(factors):
    factors, more = factors | {"steps": 2}, {"training": {"probe_samples": 128}}
    run = small.run(factors, **more)
    before, after = _peaks(factors=factors, more=more)
    declared = run.mem_mb(samples=300, features=256) - BASE_MB
    assert before < BASE_MB
    assert 0.2 * declared < after - before < declared


@pytest.mark.skipif(not STATUS.exists(), reason="the peak is read as Linux tells it")
@pytest.mark.slow
@pytest.mark.parametrize(("network", "depth"), [("mine", 4), ("resnet", 17)])
def test_a_job_with_modules_takes_what_was_declared_and_not_much_less(network, depth):
    factors = {"network": network, "depth": depth, "width": 64, "batch_size": 64, "steps": 2}
    factors["initialisation"] = "torch_default"
    few = {"max_validation": 40, "replicas_per_chunk": {"cpu": 1}}
    more = {"networks": NETWORKS, "training": few, "seeds": {"tuning": 1, "evaluation": 1}}
    more["learning_rates"] = {"momentum": [0.01]}
    before, after = _peaks(factors=factors, more=more)
    declared = small.run(factors, **more).mem_mb(samples=300, features=256) - BASE_MB
    assert before < BASE_MB
    assert 0.2 * declared < after - before < declared


@pytest.mark.parametrize(
    ("factors", "changes"),
    [
        ({"width": 512}, {}),
        ({"depth": 3}, {}),
        ({"clip": 5.0}, {}),
        ({"batch_size": 4096}, {}),
        ({}, {"training": {"replicas_per_chunk": {"cpu": 400}}}),
        ({}, {"training": {"probe_samples": 4096}}),
        ({}, {"training": {"max_validation": 100_000}}),
        ({}, {"seeds": {"tuning": 900}}),
        ({}, {"seeds": {"evaluation": 1000}}),
    ],
)
def test_what_is_larger_is_declared_larger(factors, changes):
    wide = {"width": 256}
    assert small.run(wide | factors, **changes).mem_mb(300, 64) > small.run(wide).mem_mb(300, 64)


def test_large_data_count(tmp_path):
    """By hand: 60,000 colour images of 32 × 32 as float32 are 737 MB; the split takes as much."""
    study = Study.from_config(small.config())
    (run,) = study.runs.values()
    (one,) = study.jobs.values()
    wildcards = SimpleNamespace(shape=one.shape, part=one.part)
    manifest = tmp_path / "blobs.json"
    with pytest.raises(FileNotFoundError):  # by which Snakemake knows that it must ask again
        study.job_mem_mb(wildcards, SimpleNamespace(manifests=[manifest]))
    whole = {"status": "available", "message": "", "source": "", "sha256": "", "samples": 60_000, "features": 3072}
    files.write_json(whole | {"classes": 10, "official_test": False}, manifest)
    large = study.job_mem_mb(wildcards, SimpleNamespace(manifests=[manifest]))
    assert large > BASE_MB + 2 * 737
    files.write_json(whole | {"classes": 10, "official_test": True}, manifest)
    replicates = run.settings.tuning_seeds + run.settings.evaluation_seeds
    assert large - study.job_mem_mb(wildcards, SimpleNamespace(manifests=[manifest])) == pytest.approx(
        737 * (replicates - 1), abs=2
    )
    for text in ('{"status": "unavailable"}', "{", "[]", '{"samples": "x", "features": 1}'):
        manifest.write_text(text)
        assert BASE_MB < study.job_mem_mb(wildcards, SimpleNamespace(manifests=[manifest])) < BASE_MB + 100


ALLOCATORS = [
    MemoryError(),
    MemoryError("Unable to allocate 8.00 GiB for an array with shape (1024, 1024, 1024)"),
    RuntimeError("[enforce fail at alloc_cpu.cpp:124] err == 0. DefaultCPUAllocator: can't allocate memory: you tried"),
    RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
]


@pytest.mark.parametrize("error", ALLOCATORS, ids=lambda error: str(error)[:20])
def test_any_job_without_memory_is_one_line(error, tmp_path):
    with pytest.raises(SystemExit) as ended, job.job(tmp_path / "job.log"):
        raise error
    assert str(ended.value).startswith("error: this job needs more memory than there is; run fewer jobs at a time")
    assert "Traceback" not in (tmp_path / "job.log").read_text(encoding="utf-8")


SHORT = """
import runpy, sys
from pathlib import Path
from types import SimpleNamespace

class Short:
    def find_spec(self, name, path=None, target=None):
        if name == sys.argv[1]:
            raise MemoryError

sys.meta_path.insert(0, Short())
files = {name: Path("tables/runs.parquet") for name in ("arrays", "manifest", "html", "constants")}
files = type("Files", (list,), files)(files.values())
params = SimpleNamespace(dataset={"name": "x", "entry": {}}, attempt=0, runs=[], activation={}, cost={})
snakemake = SimpleNamespace(log=["job.log"], config={}, input=files, output=files, params=params, threads=1)
runpy.run_path(sys.argv[2], {"snakemake": snakemake})
"""


@pytest.mark.slow
@pytest.mark.parametrize("script", sorted(path.stem for path in (ROOT / "scripts").glob("*.py")))
def test_a_job_that_cannot_even_import_is_one_line(script, tmp_path):
    """A planted lack, for what a library does that gets no memory while it starts is its own: some end the process."""
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    command = [sys.executable, "-c", SHORT, "numpy", str(ROOT / "scripts" / f"{script}.py")]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: this job needs more memory than there is; run fewer jobs at a time")
    assert done.returncode == 1
    assert "Traceback" not in (tmp_path / "job.log").read_text(encoding="utf-8")


SAID_WITHOUT_MEMORY = [
    OSError(errno.ENOMEM, "Cannot allocate memory"),
    ImportError("libtorch_cpu.so: cannot allocate memory in static TLS block"),
    ImportError("libarrow.so: failed to map segment from shared object"),
    RuntimeError("std::bad_alloc"),
    RuntimeError("can't start new thread"),
]


@pytest.mark.parametrize("error", SAID_WITHOUT_MEMORY, ids=lambda error: str(error)[:20])
def test_lack_of_memory_is_known_under_any_name(error):
    assert lacks_memory(error)
    wrapped = ImportError("NumPy cannot be imported")
    wrapped.__cause__ = error
    assert lacks_memory(wrapped)


@pytest.mark.parametrize("error", [ImportError("no module x"), OSError(errno.ENOSPC, "full"), ValueError("memory")])
def test_other_errors_are_not_taken_for_it(error):
    assert not lacks_memory(error)


class Named(dict):
    """Files by name, as Snakemake hands them over."""

    __getattr__ = dict.__getitem__


def _train(folder, monkeypatch, rows, **changes):
    """A training job whose training does what ``rows`` does, with changes of the small config."""
    from activation_study.data import arrays
    from activation_study.training import device as devices
    from activation_study.training import run as training

    monkeypatch.setattr(training.RunTraining, "rows", rows)
    monkeypatch.setattr(devices, "prepare", lambda *asked: (small.torch.device("cpu"), "highest"))
    data, named = small.blobs(), {"arrays": folder / "blobs.npz", "manifest": folder / "blobs.json"}
    digest = arrays.content_sha256(data.x, data.y, None)
    sizes = {"samples": 300, "features": 12, "classes": 3, "official_test": False}
    described = sizes | {"status": "available", "message": "", "source": "blobs", "sha256": digest}
    arrays.write_prepared(data, described, *named.values())
    params = {"name": "relu", "entry": {"class": "ReLU"}, "allow_modules": True, "widths": []}
    job.describe_activation(params, folder / "relu.json")
    outputs = Named({part: folder / "run" / f"{part}.parquet" for part in RUN_TABLES})
    inputs = Named(arrays=[named["arrays"]], manifests=[named["manifest"]], constants=[folder / "relu.json"])
    train([small.run(**changes).params], inputs, outputs, lambda line: None)


@pytest.mark.slow
@pytest.mark.parametrize("error", ALLOCATORS, ids=lambda error: str(error)[:20])
def test_a_training_job_without_memory_names_the_key(error, tmp_path, monkeypatch):
    def rows(training):
        raise error

    with pytest.raises(StudyError) as caught:
        _train(tmp_path, monkeypatch, rows)
    message = str(caught.value)
    assert message.startswith("training.replicas_per_chunk.cpu: 4 networks at once need more memory than there is for ")
    assert "blobs/relu/depth=2" in message
    assert "\n" not in message
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("tuning", "evaluation", "keep", "networks"),
    [(2, 2, 2, 6), (6, 2, 3, 18), (1, 9, 1, 9), (1, 9, 2, 9), (1, 9, 3, 18)],  # of three rates
)
def test_it_counts_the_networks_that_train_at_once(tuning, evaluation, keep, networks, tmp_path, monkeypatch):
    def rows(training):
        raise MemoryError

    chunks = small.CONFIG["training"] | {"replicas_per_chunk": {"cpu": 512}, "pruning": {"after": 0.25, "keep": keep}}
    with pytest.raises(StudyError, match=f"replicas_per_chunk.cpu: {networks} networks at once"):
        _train(tmp_path, monkeypatch, rows, training=chunks, seeds={"tuning": tuning, "evaluation": evaluation})


def test_an_allocation_that_fails_is_known_for_what_it_is():
    """PyTorch's own words, which another version may change."""
    with pytest.raises((RuntimeError, MemoryError)) as caught:
        small.torch.empty(2**60, dtype=small.torch.uint8)
    assert job.lacks_memory(caught.value)


def test_another_error_of_pytorchs_is_no_lack_of_memory(tmp_path, monkeypatch):
    def rows(training):
        return small.torch.ones(2) @ small.torch.ones(3)

    with pytest.raises(RuntimeError, match="size"):
        _train(tmp_path, monkeypatch, rows)


@pytest.mark.parametrize("number", sorted(job.DISK))
def test_a_disk_that_takes_nothing_is_one_line(number, tmp_path):
    with pytest.raises(SystemExit) as ended, job.job(tmp_path / "job.log"):
        raise OSError(number, os.strerror(number), "results/runs.parquet")
    assert str(ended.value).startswith(f"error: results/runs.parquet: cannot be written ({os.strerror(number)})")


def test_a_file_that_is_missing_is_a_bug(tmp_path):
    with pytest.raises(FileNotFoundError), job.job(tmp_path / "job.log"):
        raise OSError(errno.ENOENT, "no such file", "x")
