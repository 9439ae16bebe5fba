"""`make bench`: every target of the trainer, measured in one go and written to results/bench/summary.json.

Sides that are compared take turns, ratios are those of neighbours in time, and a value is the median over the
rounds; the spread is the smallest and the largest. Seconds are those of processor time, but for Snakemake's.
Nothing else should run on the machine: the share of the processor that the measured processes got is written
down too.
"""

from __future__ import annotations

import argparse
import datetime
import json
import platform
import re
import statistics
import tempfile
from collections import defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import data
import psutil
import snakemake_side
import torch
import workers

ROOT = Path(__file__).resolve().parents[1]
SUMMARY = ROOT / "results" / "bench" / "summary.json"
ROUNDS = 5
BUSY = 0.95  # with a smaller share of the processor than this, something else was running

# key -> what is measured, whether more is better, the target
TARGETS = {
    "vs_fair_fanout": ("study over in-memory nn.Sequential: depth 20, width 128, ReLU", True, 2.5),
    "vs_fair_fanout_elu": ("the same with ELU", True, 3.5),
    "vs_usual_loop_d4": ("study over the usual loop: depth 4, width 128, ReLU", True, 11),
    "vs_usual_loop_d20": ("the same at depth 20", True, 6),
    "vs_usual_loop_d50": ("the same at depth 50", True, 3.7),
    "roofline_w128": ("training over the best product rate: depth 20, width 128, Adam, batch 256", True, 0.70),
    "roofline_w64": ("training over the best product rate: depth 20, width 64, momentum, batch 128", True, 0.50),
    "probe_overhead": ("default probes on, against off: 1,000 steps, the worse of depth 5 and 20", False, 0.10),
    "job_overhead": ("share of a study's time without training, evaluation or probes", False, 0.15),
    "dag_1k_s": ("seconds of a dry run of 1,000 runs; the target is the ratio's", False, None),
    "dag_10k_s": ("seconds of a dry run of 10,000 runs; the target is that over 1,000", False, 11),
}
W128 = {"width": 128, "batch": 256, "optimiser": "adam"}
W64 = {"width": 64, "batch": 128, "optimiser": "momentum"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--readme", action="store_true", help="put the table into README.md and docs/performance.md")
    readme = parser.parse_args().readme
    samples, context = measure(lambda line: print(line, flush=True))
    summary = summarised(samples) | context
    SUMMARY.parent.mkdir(parents=True, exist_ok=True)
    SUMMARY.write_text(json.dumps(summary, indent=2, ensure_ascii=False) + "\n")
    text = markdown(summary)
    print(text)
    if readme:
        for file in (ROOT / "README.md", ROOT / "docs" / "performance.md"):
            replace_section(file, "bench", text)


def measure(log: Callable[[str], None]) -> tuple[dict[str, list[float]], dict[str, Any]]:
    """The values of each key by round, and what else belongs into the summary."""
    samples: dict[str, list[float]] = defaultdict(list)
    absolute: dict[str, list[float]] = defaultdict(list)
    log("dry runs")
    for size in (1, 10, 1, 10, 1):  # 25 × 40 and 100 × 100 runs
        seconds = snakemake_side.dry_run_seconds(*((25, 40) if size == 1 else (100, 100)))
        samples[f"dag_{size}k_s"].append(seconds)
    log("a study's jobs")
    jobs = snakemake_side.job_overhead()
    samples["job_overhead"].append(jobs.pop("value"))

    study, loops = workers.Pair("study"), workers.Pair("loops")
    with tempfile.TemporaryDirectory() as root:
        data.write_torchvision_files(Path(root))
        for i in range(ROUNDS):
            log(f"round {i + 1} of {ROUNDS}")
            _throughputs(study, loops, root, samples, absolute)
            _rooflines(study, samples, absolute)
            _probes(study, i, samples, absolute)
    study.close()
    loops.close()
    context = {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "machine": machine(study.shares + loops.shares),
        "versions": versions(),
        "data": data.arrays().source,
        "jobs": jobs,
        "absolute": {name: _median_and_spread(values) for name, values in absolute.items()},
    }
    return samples, context


def _throughputs(
    study: workers.Pair, loops: workers.Pair, root: str, samples: dict[str, list], absolute: dict[str, list]
) -> None:
    """An epoch of 5,000 samples with an evaluation of 500, on either side; two processes at once."""

    def of_study(depth: int, activation: str) -> float:
        timings = study.run("study_epoch", depth=depth, activation=activation, **W128)
        if (depth, activation) == (20, "ReLU"):
            absolute["training_flops_w128"].append(_training_flops(timings))
        return workers.throughput(timings)

    def of_loop(kind: str, depth: int, activation: str) -> float:
        shape = {"depth": depth, "width": W128["width"], "batch": W128["batch"]}
        return workers.throughput(loops.run("loop", kind=kind, activation=activation, root=root, **shape))

    for depth, activation in ((4, "ReLU"), (20, "ReLU"), (50, "ReLU"), (20, "ELU")):
        name = f"d{depth}" + ("_elu" if activation == "ELU" else "")
        mine = of_study(depth, activation)
        absolute[f"study_{name}"].append(mine)
        if depth == 20:
            absolute[f"fair_{name}"].append(of_loop("fair", depth, activation))
            key = "vs_fair_fanout" + ("_elu" if activation == "ELU" else "")
            samples[key].append(mine / absolute[f"fair_{name}"][-1])
        if activation == "ReLU":
            absolute[f"usual_{name}"].append(of_loop("usual", depth, activation))
            samples[f"vs_usual_loop_{name}"].append(mine / absolute[f"usual_{name}"][-1])


def _training_flops(timings: list[workers.Timing]) -> float:
    """FLOP/s of one process's training steps, the mean of both."""
    return statistics.mean(t.work["flops"] / (t.work["seconds"] * t.cpu / t.wall) for t in timings)


def _rooflines(study: workers.Pair, samples: dict[str, list], absolute: dict[str, list]) -> None:
    absolute["training_flops_w64"].append(_training_flops(study.run("study_epoch", depth=20, **W64)))
    rates = [timing.work for timing in study.run("products")]
    best = max(rates[0], key=lambda name: sum(rate[name] for rate in rates))
    absolute["best_product_flops"].append(statistics.mean(rate[best] for rate in rates))
    for width in ("w128", "w64"):
        ratio = absolute[f"training_flops_{width}"][-1] / absolute["best_product_flops"][-1]
        samples[f"roofline_{width}"].append(ratio)


def _probes(study: workers.Pair, turn: int, samples: dict[str, list], absolute: dict[str, list]) -> None:
    """One process probes and the other does not, at the same time; they change places in every round."""
    overheads = []
    for depth in (5, 20):
        each = [{"probes": turn % 2 == place} for place in range(workers.PROCESSES)]
        timings = study.run("study_run", *each, depth=depth)
        seconds = [timing.cpu for timing in timings]
        on, off = (seconds[turn % 2], seconds[1 - turn % 2])
        overheads.append(on / off - 1)
        absolute[f"probe_overhead_d{depth}"].append(overheads[-1])
        clock = timings[1 - turn % 2].work
        absolute[f"evaluation_over_training_d{depth}"].append(clock["validation"] / clock["training"])
    samples["probe_overhead"].append(max(overheads))


def summarised(samples: Mapping[str, list[float]]) -> dict[str, Any]:
    """One entry per key of TARGETS: value, target, spread, met, rounds, what."""
    found = {}
    for key, (what, more, target) in TARGETS.items():
        entry = _median_and_spread(samples[key]) | {"target": target, "what": what}
        judged = entry["value"]
        if key.startswith("dag"):
            judged = statistics.median(samples["dag_10k_s"]) / statistics.median(samples["dag_1k_s"])
            entry |= {"target": TARGETS["dag_10k_s"][2], "ratio": judged}
        entry["met"] = bool(judged >= entry["target"] if more else judged <= entry["target"])
        found[key] = entry | {"better": "more" if more else "less"}
    return found


def _median_and_spread(values: list[float]) -> dict[str, Any]:
    return {"value": statistics.median(values), "spread": [min(values), max(values)], "rounds": len(values)}


def machine(shares: list[float]) -> dict[str, Any]:
    info = Path("/proc/cpuinfo")
    models = re.findall(r"model name\s*: (.*)", info.read_text()) if info.exists() else []
    share = statistics.median(shares)
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


def markdown(summary: Mapping[str, Any]) -> str:
    """The table, with a line on where it was measured."""
    rows = ["| key | what | measured | spread | target | met |", "|---|---|---|---|---|---|"]
    for key in TARGETS:
        entry = summary[key]
        low, high = entry["spread"]
        value = f"{entry['value']:.3g}" + (f" (ratio {entry['ratio']:.3g})" if "ratio" in entry else "")
        sign, met = "≥" if entry["better"] == "more" else "≤", "yes" if entry["met"] else "**no**"
        rows.append(
            f"| `{key}` | {entry['what']} | {value} | {low:.3g}–{high:.3g} | {sign} {entry['target']} | {met} |"
        )
    m = summary["machine"]
    where = (
        f"{m['cores']} cores of {m['processor']} ({m['capability']}), torch {summary['versions']['torch']}, "
        f"{summary['date'][:10]}; medians of {summary['vs_fair_fanout']['rounds']} rounds with their extremes."
    )
    if not m["otherwise_idle"]:
        share = f"{m['processor_share']:.0%}"
        where += f" Other programs were running: the measured processes got {share} of their cores."
    return "\n".join([*rows, "", where])


def replace_section(file: Path, name: str, text: str) -> None:
    """Put the text between the markers, if the file has them."""
    if file.exists():
        old = file.read_text(encoding="utf-8")
        section = re.compile(rf"(<!-- {name} -->).*(<!-- /{name} -->)", re.DOTALL)
        file.write_text(section.sub(lambda m: f"{m[1]}\n{text}\n{m[2]}", old), encoding="utf-8")


if __name__ == "__main__":
    main()
