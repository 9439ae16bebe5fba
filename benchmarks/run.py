"""`make bench`: every target of the trainer, measured in one go and written to results/bench/summary.json.

Sides that are compared take turns, ratios are those of neighbours in time, and a value is the median over the
rounds; the spread is the smallest and the largest. Seconds are those of processor time, but for Snakemake's and where
two threads share a task.
Nothing else should run on the machine: the share of the processor that the measured processes got is written
down too.
"""

from __future__ import annotations

import argparse
import datetime
import platform
import re
import statistics
import tempfile
from collections import defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import psutil
import torch

import data
import document
import snakemake_side
import study_side
import workers

SUMMARY = document.BENCH / "summary.json"
ROUNDS = 5
DRY_RUNS = 3  # turns of two dry runs
BUSY = 0.95  # with a smaller share of the processor than this, something else was running

# key -> what is measured, whether more is better, the target
TARGETS = {
    "vs_fair_fanout": ("study over in-memory nn.Sequential: depth 20, width 128, ReLU", True, 2.5),
    "vs_fair_fanout_elu": ("the same with ELU", True, 3.5),
    "vs_usual_loop_d4": ("study over the usual loop: depth 4, width 128, ReLU", True, 11),
    "vs_usual_loop_d20": ("the same at depth 20", True, 6),
    "vs_usual_loop_d50": ("the same at depth 50", True, 3.7),
    "roofline_w128": ("training over the best product rate: depth 20, width 128, Adam, batch 256", True, 0.70),
    "roofline_w64": ("training over the best product rate: depth 20, width 64, momentum, batch 128", True, 0.55),
    "probe_overhead": (
        "default probes on, against off: the default study's steps, the worse of depth 5 and 20",
        False,
        0.10,
    ),
    "clip_overhead": ("a step with clipping, against one without: depth 20, the worse of the two widths", False, 0.08),
    "job_overhead": ("share of a study's time without training, evaluation or measurement", False, 0.06),
    "dag_1k_s": ("seconds of a dry run of 1,000 runs; the target is the ratio's", False, None),
    "dag_10k_s": ("seconds of a dry run of 10,000 runs; the target is that over 1,000", False, 11),
}
W128 = {"width": 128, "batch": 256, "optimiser": "adam"}
W64 = {"width": 64, "batch": 128, "optimiser": "momentum"}
SHAPES = {"w128": W128, "w64": W64}

# From the usual loop to the study's, and that one otherwise, at depth 20, width 128, ReLU: name -> what is different
GAINS = {
    "usual_d20": "the usual loop: torchvision's dataset, DataLoader, Adam",
    "fair_d20": "data as tensors in memory",
    "tuned_d20": "and Adam's fused kernel, products by oneDNN",
    "study_one_d20": "the study's trainer, one replica",
    "study_d20": "its replicas as one batched network: what the study does",
    "study_slow_product_d20": "the study, but PyTorch's default products",
    "study_threads_d20": "the study, but one process of two threads",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--document", action="store_true", help="put the table into docs/performance.md")
    parser.add_argument(
        "--study",
        type=Path,
        default=document.ROOT,
        metavar="CHECKOUT",
        help="where the default study was run, if not here: for job_overhead",
    )
    arguments = parser.parse_args()
    samples, context = measure(arguments.study, lambda line: print(line, flush=True))
    summary = summarised(samples) | context
    document.write_json(SUMMARY, summary)
    print(document.bench(summary))
    if arguments.document:
        document.fill()


def measure(checkout: Path, log: Callable[[str], None]) -> tuple[dict[str, list[float]], dict[str, Any]]:
    """The values of each key by round, and what else belongs into the summary."""
    samples: dict[str, list[float]] = defaultdict(list)
    absolute: dict[str, list[float]] = defaultdict(list)
    log("a study's jobs")
    jobs = snakemake_side.job_overhead(checkout)
    samples["job_overhead"].append(jobs.pop("value"))
    for turn in range(DRY_RUNS):
        log(f"dry runs, turn {turn + 1} of {DRY_RUNS}")
        samples["dag_1k_s"] += snakemake_side.dry_run_seconds(25, 40)
        samples["dag_10k_s"] += snakemake_side.dry_run_seconds(100, 100)

    study, loops = workers.Pair("study"), workers.Pair("loops")
    with tempfile.TemporaryDirectory() as root:
        data.write_torchvision_files(Path(root))
        for i in range(ROUNDS):
            log(f"round {i + 1} of {ROUNDS}")
            _throughputs(study, loops, root, samples, absolute)
            _other_ways(study, loops, root, absolute)
            _rooflines(study, samples, absolute)
            _clipping(study, absolute)
            _probes(study, i, absolute)
    study.close()
    loops.close()
    for key, places in (("probe_overhead", [f"d{depth}" for depth in study_side.DEPTHS]), ("clip_overhead", SHAPES)):
        samples[key] = max((absolute[f"{key}_{place}"] for place in places), key=_median)
    context = {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "machine": machine(study.shares + loops.shares),
        "versions": versions(),
        "data": data.arrays().source,
        "replicas": study_side.REPLICAS,
        "steps": {f"depth {depth}": study_side.core_steps(depth) for depth in study_side.DEPTHS},
        "jobs": jobs,
        "absolute": {name: median_and_spread(values) for name, values in absolute.items()},
        "gains": _gains(absolute),
    }
    return samples, context


def _throughputs(
    study: workers.Pair, loops: workers.Pair, root: str, samples: dict[str, list], absolute: dict[str, list]
) -> None:
    """An epoch of 5,000 samples with an evaluation of 500, on either side; two processes at once."""

    def of_study(depth: int, activation: str) -> float:
        timings = study.run("study_epoch", depth=depth, activation=activation, **W128)
        if (depth, activation) == (20, "ReLU"):
            absolute["training_flops_w128"].append(workers.training_flops(timings))
        return workers.throughput(timings)

    for depth, activation in ((4, "ReLU"), (20, "ReLU"), (50, "ReLU"), (20, "ELU")):
        name = f"d{depth}" + ("_elu" if activation == "ELU" else "")
        mine = of_study(depth, activation)
        absolute[f"study_{name}"].append(mine)
        if depth == 20:
            absolute[f"fair_{name}"].append(_of_loop(loops, root, "fair", depth, activation))
            key = "vs_fair_fanout" + ("_elu" if activation == "ELU" else "")
            samples[key].append(mine / absolute[f"fair_{name}"][-1])
        if activation == "ReLU":
            absolute[f"usual_{name}"].append(_of_loop(loops, root, "usual", depth, activation))
            samples[f"vs_usual_loop_{name}"].append(mine / absolute[f"usual_{name}"][-1])


def _of_loop(loops: workers.Pair, root: str, kind: str, depth: int, activation: str) -> float:
    shape = {"depth": depth, "width": W128["width"], "batch": W128["batch"]}
    return workers.throughput(loops.run("loop", kind=kind, activation=activation, root=root, **shape))


def _other_ways(study: workers.Pair, loops: workers.Pair, root: str, absolute: dict[str, list]) -> None:
    """The steps between the loops and the study, and threads instead of processes: samples per second."""
    shape = {"depth": 20, "activation": "ReLU", **W128}
    absolute["tuned_d20"].append(_of_loop(loops, root, "tuned", 20, "ReLU"))
    absolute["study_one_d20"].append(workers.throughput(study.run("study_epoch", replicas=1, **shape)))
    slow = study.run("study_epoch", precision="highest", **shape)
    absolute["study_slow_product_d20"].append(workers.throughput(slow))
    alone, _ = study.run("study_epoch", {"threads": workers.PROCESSES}, {"threads": 0}, **shape)
    absolute["study_threads_d20"].append(alone.work["samples"] / alone.wall)


def _gains(absolute: Mapping[str, list[float]]) -> dict[str, Any]:
    """Throughput over that of the fair loop, in the same round."""
    return {
        name: median_and_spread([a / b for a, b in zip(absolute[name], absolute["fair_d20"], strict=True)])
        | {"what": what, "samples_per_s": _median(absolute[name])}
        for name, what in GAINS.items()
    }


def _rooflines(study: workers.Pair, samples: dict[str, list], absolute: dict[str, list]) -> None:
    absolute["training_flops_w64"].append(workers.training_flops(study.run("study_epoch", depth=20, **W64)))
    absolute["best_product_flops"].append(workers.best_product(study.run("products")))
    for width in SHAPES:
        ratio = absolute[f"training_flops_{width}"][-1] / absolute["best_product_flops"][-1]
        samples[f"roofline_{width}"].append(ratio)


def _clipping(study: workers.Pair, absolute: dict[str, list]) -> None:
    for name, shape in SHAPES.items():
        plain, clipped = (
            workers.training_flops(study.run("study_epoch", depth=20, clip=limit, **shape)) for limit in (None, 5.0)
        )
        absolute[f"clip_overhead_{name}"].append(plain / clipped - 1)


def _probes(study: workers.Pair, turn: int, absolute: dict[str, list]) -> None:
    """One process probes and the other does not, at the same time; they change places in every round."""
    for depth in study_side.DEPTHS:
        each = [{"probes": turn % 2 == place} for place in range(workers.PROCESSES)]
        timings = study.run("study_run", *each, depth=depth)
        on, off = timings[turn % 2], timings[1 - turn % 2]
        absolute[f"probe_overhead_d{depth}"].append(on.cpu / off.cpu - 1)
        absolute[f"evaluation_over_training_d{depth}"].append(off.work["validation"] / off.work["training"])


def summarised(samples: Mapping[str, list[float]]) -> dict[str, Any]:
    """One entry per key of TARGETS: value, target, spread, met, rounds, what."""
    found = {}
    for key, (what, more, target) in TARGETS.items():
        entry = median_and_spread(samples[key]) | {"target": target, "what": what}
        judged = entry["value"]
        if key.startswith("dag"):
            judged = _median(samples["dag_10k_s"]) / _median(samples["dag_1k_s"])
            entry |= {"target": TARGETS["dag_10k_s"][2], "ratio": judged}
        entry["met"] = bool(judged >= entry["target"] if more else judged <= entry["target"])
        found[key] = entry | {"better": "more" if more else "less"}
    return found


def _median(values: list[float]) -> float:
    return statistics.median(values)


def median_and_spread(values: list[float]) -> dict[str, Any]:
    return {"value": _median(values), "spread": [min(values), max(values)], "rounds": len(values)}


def machine(shares: list[float]) -> dict[str, Any]:
    info = Path("/proc/cpuinfo")
    models = re.findall(r"model name\s*: (.*)", info.read_text()) if info.exists() else []
    share = _median(shares)
    return {
        "processor": models[0] if models else platform.processor(),
        "capability": torch.backends.cpu.get_cpu_capability(),
        "cores": psutil.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "system": platform.platform(),
        "processor_share": share,  # of the measured processes, of their wall time
        "otherwise_idle": share >= BUSY,
    }


def versions() -> dict[str, str]:
    import snakemake
    import torchvision

    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "torchvision": torchvision.__version__,
        "snakemake": snakemake.__version__,
    }


if __name__ == "__main__":
    main()
