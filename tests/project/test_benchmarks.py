"""What the benchmarks compute besides seconds; and that each runs to its end, on networks of a few units."""

import json
import os
from itertools import pairwise

import pandas as pd
import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

import baselines
import data
import document
import gpu
import growth
import machines
import pruning
import rounding
import run as bench
import snakemake_side
import step_profile
import study_side
import workers
from activation_study.data.arrays import Arrays
from activation_study.quantities.curves import probe_steps

TINY = {"depth": 2, "width": 8, "batch": 500}
SPLIT_SAMPLES = 1100


@pytest.fixture(autouse=True)
def _random_images(monkeypatch):
    """A few, whatever this machine holds of Fashion-MNIST."""
    source = torch.Generator().manual_seed(0)
    x = torch.randint(256, (SPLIT_SAMPLES, 784), generator=source, dtype=torch.uint8).numpy()
    arrays = Arrays(
        x,
        torch.arange(SPLIT_SAMPLES).numpy() % 10,
        (torch.arange(SPLIT_SAMPLES) >= 600).numpy(),
        10,
        "random",
        "",
    )
    data.split.cache_clear()
    monkeypatch.setattr(data, "arrays", lambda: arrays)
    monkeypatch.setattr(data, "TRAIN", 500)
    yield
    data.split.cache_clear()
    workers._study_epoch.cache_clear()
    workers._loop.cache_clear()


@pytest.mark.parametrize(("depth", "width", "batch"), [(1, 8, 4), (5, 16, 3)])
def test_flops_are_those_that_pytorch_counts(depth, width, batch):
    model = baselines.mlp(depth, width, nn.ReLU)
    with FlopCounterMode(display=False) as counter:
        nn.functional.cross_entropy(model(torch.randn(batch, 784)), torch.zeros(batch, dtype=torch.long)).backward()
    assert counter.get_total_flops() == data.training_flops(depth, width, batch)


@pytest.mark.slow
def test_the_product_rate_is_positive_and_leaves_the_product_as_it_was():
    before = torch.get_float32_matmul_precision()
    rates = data.product_rates(0.0005)
    assert torch.get_float32_matmul_precision() == before
    assert {name.split()[0] for name in rates} == {"highest", data.exact_product()}
    assert min(rates.values()) > 0


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["usual", "fair", "tuned"])
def test_the_loops_learn(kind, tmp_path):
    """On labels that can be read off the image; so each baseline is a training and no imitation of one."""
    arrays = data.arrays()
    arrays.x[:] = 0
    for pixel in range(10):
        arrays.x[arrays.y == pixel, 70 * pixel : 70 * pixel + 70] = 200
    data.write_torchvision_files(tmp_path)
    torch.manual_seed(0)
    model, split = baselines.mlp(1, 32, nn.ReLU), data.split()
    if kind == "usual":
        loop = baselines.UsualLoop(model, tmp_path, 50)
        assert len(loop.train_loader.dataset) == loop.samples == 500
        assert len(loop.test_loader.dataset) == 500
    else:
        parts = (split.train_x, split.train_y, split.validation_x, split.validation_y)
        loop = baselines.FairLoop(model, *parts, 50, fused=kind == "tuned")
    losses, accuracies = zip(*(loop.epoch() for _ in range(5)), strict=True)
    assert all(later < earlier for earlier, later in pairwise(losses))
    assert losses[0] > 0.5
    assert accuracies[-1] > 0.95


def test_a_task_counts_what_it_trains():
    work = workers._study_epoch(**TINY, optimiser="momentum", replicas=3)
    done = work()
    assert done["samples"] == 3 * 500
    assert done["flops"] == 3 * data.training_flops(2, 8, 500)
    assert done["seconds"] > 0
    assert workers._study_epoch(threads=0, **TINY)() == {}


def test_the_looks_are_those_of_a_run_of_the_default_study():
    for depth in study_side.DEPTHS:
        run = next(r for r in study_side.DEFAULT.runs.values() if r.factors.depth == depth)
        steps = study_side.core_steps(depth)
        evaluations, probes = study_side.default_looks(steps)
        assert run.settings.replicas_per_chunk.cpu == study_side.REPLICAS
        assert probes == probe_steps(steps, run.settings.probes_per_decade)
        assert {0, steps // 4, steps} <= set(evaluations)


@pytest.mark.slow
def test_training_with_and_without_probes_is_the_same_training(monkeypatch):
    monkeypatch.setattr(study_side, "core_steps", lambda depth: 12)
    chunks = []
    real = study_side.chunk
    monkeypatch.setattr(study_side, "chunk", lambda **given: chunks.append(real(**given | TINY)) or chunks[-1])
    clocks = [workers._study_run(2, probes)() for probes in (True, False)]
    assert "probe" in clocks[0]
    assert "probe" not in clocks[1]
    for mine, other in zip(*(chunk.network.parameters for chunk in chunks), strict=True):
        assert torch.equal(mine, other)
    curves = [repr([record.curve for record in chunk.records]) for chunk in chunks]
    assert curves[0] == curves[1]


def test_a_diverged_replica_stops_the_benchmark():
    chunk = study_side.chunk(**TINY, optimiser="sgd", replicas=2)
    chunk.network.weights[0][1] = torch.nan
    with pytest.raises(RuntimeError, match="1 of 2 replicas diverged"):
        study_side.advance(chunk, 1)


def test_the_parts_of_a_step_leave_the_training_alone_and_add_up():
    shape = {"depth": 3, "width": 8, "batch": 20, "optimiser": "momentum", "replicas": 2}
    plain, parted = study_side.chunk(**shape), study_side.chunk(**shape)
    before = torch.bmm
    parts = step_profile.Parts(parted)
    seconds = study_side.advance(parted, 5)
    study_side.advance(plain, 5)
    assert torch.bmm is before
    for mine, other in zip(plain.network.parameters, parted.network.parameters, strict=True):
        assert torch.equal(mine, other)
    expected = {"products", "bias gradients", "activation, forward", "activation, backward", "optimiser", "batches"}
    assert set(parts.seconds) == expected | {"loss"}
    assert 0 < sum(parts.seconds.values()) < seconds


@pytest.mark.slow
def test_growth_is_measured_and_drawn_alike_twice(monkeypatch, tmp_path):
    monkeypatch.setattr(growth, "SECONDS", 0.001)
    monkeypatch.setattr(growth, "PASSES", 1)
    monkeypatch.setattr(document, "FIGURES", tmp_path)
    sweeps = {"replicas": (1, 2), "depth": (1, 2)}
    found = growth.measure(sweeps, TINY | {"replicas": 2, "batch": 50}, lambda line: None)
    for name, values in sweeps.items():
        assert [point["at"] for point in found["points"][name]] == list(values)
        for point in found["points"][name]:
            assert point["value"] > 0
            assert point["peak_mb"] > 0
            assert point["rounds"] == growth.SLICES
        growth.draw(found, name)
        once = (tmp_path / f"growth-{name}.svg").read_bytes()
        growth.draw(found, name)
        assert once == (tmp_path / f"growth-{name}.svg").read_bytes()
        for text in (b"measured", b"roofline", b"MB per process", name.encode()):
            assert text in once
    shallow, deep = found["points"]["depth"]
    assert shallow["bound"] > deep["bound"]
    assert f"figures/growth-{name}.svg" in document.growth(found)


def test_job_seconds_are_read_from_snakemakes_log():
    log = """
[Mon Nov 23 08:08:25 2026]
localrule activation:
    input: a
    jobid: 14
[Mon Nov 23 08:08:26 2026]
rule train:
    jobid: 3
[Mon Nov 23 08:08:36 2026]
Finished jobid: 14 (Rule: activation)
[Tue Nov 24 08:08:26 2026]
Finished jobid: 3 (Rule: train)
"""
    assert snakemake_side._job_seconds(log) == {"activation": [11.0], "train": [86400.0]}


def test_job_overhead_is_that_of_the_last_whole_call_of_the_default_study(tmp_path):
    """100 s on 2 cores, 20 s of them for costs: 160 core-seconds, of which one run worked 40 and the other 80."""
    folder = tmp_path / "results/default/tables"
    folder.mkdir(parents=True)
    phases = [("training", 30.0), ("probe", 5.0), ("measurement", 5.0), ("data", 9.0)]
    rows = [
        {"run": f"digits/{name}/depth=5", "phase": phase, "seconds": seconds * times}
        for name, times in (("relu", 1), ("tanh", 2), ("elu", 99))
        for phase, seconds in phases
    ]
    pd.DataFrame(rows).to_parquet(folder / "timings.parquet")
    end = pd.Timestamp("2026-11-23T08:01:50Z")
    began = {
        "relu": end - pd.Timedelta(90, "s"),
        "tanh": end - pd.Timedelta(20, "s"),
        "elu": end - pd.Timedelta(1, "D"),
    }
    rows = [{"run": f"digits/{name}/depth=5", "started": time.isoformat()} for name, time in began.items()]
    pd.DataFrame(rows).to_parquet(folder / "jobs.parquet")
    job = "[Mon Nov 23 08:00:{:02} 2026]\nlocalrule {}:\n    jobid: {}\n"
    over = "[Mon Nov 23 08:01:{:02} 2026]\nFinished jobid: {} (Rule: x)\n"
    whole = "Provided cores: 2\n" + "".join(job.format(0, "train", i) + over.format(0, i) for i in range(2))
    whole += job.format(50, "cost", 7) + over.format(10, 7)
    whole += "results/default/tables/timings.parquet\nElapsed time: 0:01:40.000000\n"
    logs = tmp_path / ".snakemake/log"
    logs.mkdir(parents=True)
    (logs / "1.snakemake.log").write_text(whole)
    (logs / "2.snakemake.log").write_text("Provided cores: 2\nElapsed time: 0:00:01\n")
    os.utime(logs / "1.snakemake.log", (end.timestamp(),) * 2)
    found = snakemake_side.job_overhead(tmp_path)
    assert found["study"] == "the default study, 2 of its 3 runs in one call on 2 cores"
    assert found["value"] == pytest.approx(1 - 120 / 160)
    assert found["with_cost_jobs"] == pytest.approx(1 - 120 / 200)
    assert found["outside_training_alone"] == pytest.approx(1 - 90 / 160)
    assert (found["cost_jobs_s"], found["training_jobs_s"]) == (20, 120)


class OneProcess:
    """Two workers of the benchmark in this process, one after the other, on networks of a few units."""

    def __init__(self, side):
        self.shares = [1.0]

    def run(self, task, *each, **arguments):
        small = {key: value for key, value in {"depth": 2, "width": 8, "seconds": 1e-4}.items() if key in arguments}
        timings = []
        for own in each or [{}, {}]:
            one = {key: min(value, 1) if key == "threads" else value for key, value in own.items()}
            work = workers.TASKS[task](**arguments | small | one)
            timings.append(workers.Timing(0.5, 0.5, work()))
        return timings

    def close(self):
        pass


@pytest.mark.slow
def test_the_whole_benchmark_runs_and_is_written(monkeypatch, tmp_path):
    monkeypatch.setattr(workers, "Pair", OneProcess)
    monkeypatch.setattr(study_side, "core_steps", lambda depth: 4)
    monkeypatch.setattr(data, "product_rates", lambda seconds: {"highest": 2e9, "medium": 3e9})
    monkeypatch.setattr(bench, "ROUNDS", 2)
    monkeypatch.setattr(bench, "SUMMARY", tmp_path / "summary.json")
    monkeypatch.setattr(snakemake_side, "dry_run_seconds", lambda a, d: [1.0 * a * d, 2.0 * a * d])
    jobs = {"value": 0.1, "study": "a study", "wall_s": 60.0, "core_seconds": {"training": 1.0}}
    monkeypatch.setattr(snakemake_side, "job_overhead", lambda study: jobs | {"outside_training_alone": 0.2})
    monkeypatch.setattr("sys.argv", ["run.py"])
    bench.main()
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert list(bench.TARGETS) == [
        key for key, entry in summary.items() if isinstance(entry, dict) and "target" in entry
    ]
    assert summary["dag_1k_s"]["ratio"] == 10
    assert summary["dag_1k_s"]["rounds"] == 2 * bench.DRY_RUNS
    assert summary["roofline_w64"]["rounds"] == summary["vs_usual_loop_d50"]["rounds"] == 2
    absolute = summary["absolute"]
    assert absolute["best_product_flops"]["value"] == 3e9
    worst = max(absolute[f"probe_overhead_d{depth}"]["value"] for depth in study_side.DEPTHS)
    assert summary["probe_overhead"]["value"] == worst
    worst = max(absolute[f"clip_overhead_{shape}"]["value"] for shape in bench.SHAPES)
    assert summary["clip_overhead"]["value"] == worst
    assert summary["gains"]["fair_d20"]["value"] == 1
    for section in document.SECTIONS["summary"].values():
        assert section(summary).startswith("| ")


def _summary():
    samples = {key: [1.0, 3.0, 2.0] for key in bench.TARGETS} | {"dag_10k_s": [20.0, 22.0, 21.0]}
    return bench.summarised(samples)


def test_targets_are_judged_by_the_median():
    summary = _summary()
    assert summary["roofline_w128"] | {"value": 2.0, "spread": [1.0, 3.0], "met": True} == summary["roofline_w128"]
    assert summary["vs_fair_fanout"]["met"] is False
    assert summary["probe_overhead"]["met"] is False
    assert summary["dag_1k_s"]["ratio"] == summary["dag_10k_s"]["ratio"] == 10.5
    assert summary["dag_1k_s"]["met"]
    assert all({"value", "target", "spread"} <= entry.keys() for entry in summary.values())


def test_sections_are_replaced_between_their_markers_only(tmp_path):
    file = tmp_path / "page.md"
    file.write_text("a\n<!-- bench -->\nold\n<!-- /bench -->\nb\n<!-- gains -->\n<!-- /gains -->\n")
    machine = {"cores": 2, "processor": "P", "capability": "AVX2", "otherwise_idle": False, "processor_share": 0.5}
    context = {"machine": machine, "versions": {"torch": "2"}, "date": "2026-01-01T00"}
    table = document.bench(_summary() | context)
    for _ in range(2):
        document.replace_section(file, "bench", table)
    text = file.read_text()
    assert text.startswith("a\n<!-- bench -->\n| key |")
    assert text.endswith("\n<!-- /bench -->\nb\n<!-- gains -->\n<!-- /gains -->\n")
    assert "old" not in text
    assert text.count("| `vs_fair_fanout` |") == 1
    assert "got 50% of their cores" in text
    document.replace_section(tmp_path / "none.md", "bench", table)


def test_every_section_has_its_markers():
    text = "".join(page.read_text(encoding="utf-8") for page in document.FILES)
    for sections in document.SECTIONS.values():
        for name in sections:
            assert text.count(f"<!-- {name} -->") == text.count(f"<!-- /{name} -->") == 1, name


def test_rounding_compares_replicas_and_means_by_hand():
    """Two runs of two seeds: one equal but for a replica that differs by 4 points, one with another rate."""
    key = {"depth": 5, "status": "finished"}
    here = pd.DataFrame(
        [
            key
            | {"run": run, "replicate": seed, "learning_rate": 0.1, "test_accuracy": score, "validation_loss": score}
            for run, scores in {"a": (0.80, 0.90), "b": (0.50, 0.52)}.items()
            for seed, score in enumerate(scores)
        ]
    )
    there = here.copy()
    there.loc[0, ["test_accuracy", "validation_loss"]] = 0.84
    there.loc[here["run"] == "b", "learning_rate"] = 0.3
    found = rounding.compared(here, there)["depths"]["depth 5"]
    assert (found["runs"], found["replicas"], found["equal"], found["other_rate"]) == (2, 4, 0.75, 1)
    assert (found["median"], found["largest"]) == (pytest.approx(0), pytest.approx(0.04))
    assert found["largest_of_means"] == pytest.approx(0.02)
    # Standard deviations of 0.0707 and 0.0424 over two seeds each.
    assert found["largest_in_standard_errors"] == pytest.approx(0.02 / (0.005 / 2 + 0.0018 / 2) ** 0.5)
    assert "| depth 5 | 4 | 75% | 0.00, 4.0 | 1 of 2 | 2.00 (0.3 standard errors) |" in document.rounding(
        {"depths": {"depth 5": found}}
    )


def test_machines_counts_verdicts_that_changed():
    runs = pd.DataFrame(
        {"run": "a", "role": ["tuning", "evaluation", "evaluation"], "replicate": [0, 0, 1], "depth": 5,
         "learning_rate": 0.1, "selected": True, "status": "finished", "test_accuracy": [0.1, 0.8, 0.9],
         "validation_loss": 0.3}
    )  # fmt: skip
    ledger = pd.DataFrame({"family": "claims", "row": ["A", "B", "C"], "verdict": ["true", "false", "partly"]})
    other = ledger.assign(verdict=["true", "true", "open"])
    found = machines.compared({"runs": runs, "ledger": other}, {"runs": runs, "ledger": ledger})
    assert found["depths"]["depth 5"]["replicas"] == 2
    assert (found["verdicts"], found["opposite"]) == (3, 1)
    assert found["changed"] == {"B": ("false", "true"), "C": ("partly", "open")}
    said = document.machines(found)
    assert "Of 3 verdicts 2 changed, 1 of them to the opposite (B: false, then true; C: partly" in said


def test_rounding_trains_the_pilots_runs_pruned_on_all_seeds():
    pilot, unpruned = rounding.pilot(), pruning.pilot(study_side.DEFAULT.config)
    assert set(pilot.runs) == set(unpruned.runs)
    for run in pilot.runs.values():
        assert run.settings.evaluation_seeds == study_side.DEFAULT.config.seeds.evaluation
        assert run.settings.pruning == study_side.DEFAULT.config.training.pruning


@pytest.mark.slow
def test_what_a_gpu_is_measured_by_runs_in_small_on_a_cpu(tmp_path, monkeypatch):
    monkeypatch.setattr(gpu, "FIGURES", tmp_path / "summary.json")
    monkeypatch.setattr("sys.argv", ["gpu.py", "--device", "cpu"])
    gpu.main()
    found = json.loads((tmp_path / "summary.json").read_text(encoding="utf-8"))
    rates = found["replica_steps_per_second"]
    assert set(rates) == {"fair", "graphed", "stack"}
    assert found["card"] == "none"
    assert min(found["gpu_vs_fair"], found["gpu_vs_graphed"], *rates.values()) > 0
