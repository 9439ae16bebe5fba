"""How throughput and memory grow with replicas, width, depth and batch: results/bench/growth.json and figures.

Two processes train at once, as in a study on two cores; every point has a pair of processes of its own, so that its
peak of memory is its own as well. The shapes take turns, three times over.
"""

from __future__ import annotations

import multiprocessing
import resource
import statistics
import sys
import time
import traceback
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import matplotlib
import psutil
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullLocator

import data
import document
import run
import study_side
import workers
from activation_study.training import device

BASE = {"depth": 20, "width": 64, "batch": 128, "replicas": study_side.REPLICAS}
SWEEPS = {
    "replicas": (1, 2, 4, 8, 16, 32, 64),
    "width": (32, 64, 128, 256, 512),
    "depth": (2, 5, 10, 20, 50, 100),
    "batch": (32, 64, 128, 256, 512, 1024),
}
UNITS = {"replicas": "networks per process", "width": "units", "depth": "hidden layers", "batch": "samples"}
PASSES, SLICES = 3, 3
SECONDS = 0.2  # of a slice
PATIENCE = 120  # seconds, after which a process that has not answered must have been killed
CONTEXT = multiprocessing.get_context("fork")  # a child starts with everything imported, and the data
INK, MUTED, GRID, MEASURED, BOUND = "#1b1f24", "#57606a", "#d9dee3", "#0a5cad", "#b54708"


def main() -> None:
    found = measure(SWEEPS, BASE, lambda line: print(line, flush=True))
    document.write_json(document.BENCH / "growth.json", found)
    for name in SWEEPS:
        draw(found, name)


def measure(sweeps: dict[str, tuple[int, ...]], base: dict[str, int], log: Callable[[str], None]) -> dict[str, Any]:
    """Replica-steps per second of both processes, peak memory of one in MB, and the bound, for every point."""
    device.prepare("cpu")
    data.split()
    shapes = {tuple(sorted((base | {name: value}).items())) for name, values in sweeps.items() for value in values}
    speeds, memory, products, shares = defaultdict(list), defaultdict(list), [], []
    for turn in range(PASSES):
        products.append(_product_rate(_at_once(lambda together: data.product_rates(SECONDS))))
        for number, shape in enumerate(sorted(shapes), 1):
            log(f"pass {turn + 1} of {PASSES}, shape {number} of {len(shapes)}: {dict(shape)}")
            both = _at_once(lambda together, shape=shape: _point(dict(shape), together))
            for speed in zip(*(one["speeds"] for one in both), strict=True):
                speeds[shape].append(sum(speed))
            memory[shape].append(max(one["peak_mb"] for one in both))
            shares += [one["share"] for one in both]
    best = workers.PROCESSES * statistics.median(products)
    points: dict[str, list[dict[str, Any]]] = {}
    for name, values in sweeps.items():
        for value in values:
            shape = tuple(sorted((base | {name: value}).items()))
            flops = data.training_flops(*(dict(shape)[key] for key in ("depth", "width", "batch")))
            point = run.median_and_spread(speeds[shape]) | {"peak_mb": max(memory[shape]), "bound": best / flops}
            points.setdefault(name, []).append({"at": value} | point)
    return {
        "base": base,
        "processes": workers.PROCESSES,
        "best_product_flops": run.median_and_spread([rate * workers.PROCESSES for rate in products]),
        "machine": run.machine(shares),
        "points": points,
    }


def _product_rate(both: list[dict[str, float]]) -> float:
    """FLOP/s of one process at the best product, the mean of both."""
    return max(statistics.mean(one[name] for one in both) for name in both[0])


def _at_once(task: Callable[[Callable[[], Any]], Any]) -> list[Any]:
    """What the task gives in two new processes at the same time; it gets a function that waits for the other one."""
    barrier, answers = CONTEXT.Barrier(workers.PROCESSES), CONTEXT.Queue()

    def child() -> None:
        try:
            answers.put(task(lambda: barrier.wait(PATIENCE)))
        except Exception:
            answers.put(RuntimeError(traceback.format_exc()))

    processes = [CONTEXT.Process(target=child) for _ in range(workers.PROCESSES)]
    for process in processes:
        process.start()
    found = [answers.get(timeout=PATIENCE) for _ in processes]
    for process in processes:
        process.join()
    for answer in found:
        if isinstance(answer, Exception):
            raise answer
    return found


def _point(shape: dict[str, int], together: Callable[[], Any]) -> dict[str, Any]:
    before = psutil.Process().memory_info().rss
    chunk = study_side.chunk(**shape, optimiser="momentum")
    study_side.advance(chunk, 2)
    steps = max(1, round(3 * SECONDS / study_side.advance(chunk, 3)))
    speeds = []
    together()
    start, begun = time.perf_counter(), time.process_time()
    for _ in range(SLICES):
        wall, cpu = time.perf_counter(), time.process_time()
        seconds = study_side.advance(chunk, steps)
        share = (time.process_time() - cpu) / (time.perf_counter() - wall)
        speeds.append(steps * shape["replicas"] / (seconds * share))
    share = (time.process_time() - begun) / (time.perf_counter() - start)
    unit = 1 if sys.platform == "darwin" else 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    return {"speeds": speeds, "share": share, "peak_mb": (peak - before) / 1e6}


def draw(found: dict[str, Any], name: str) -> None:
    """docs/figures/growth-<name>.svg: throughput under its roofline, and peak memory."""
    points, base = found["points"][name], found["base"]
    x = [point["at"] for point in points]
    fixed = ", ".join(f"{key} {value}" for key, value in base.items() if key != name)
    style = {"svg.fonttype": "none", "svg.hashsalt": f"growth {name}", "font.family": "DejaVu Sans", "font.size": 9}
    with matplotlib.rc_context(style):
        figure = Figure(figsize=(8.4, 3.3), layout="constrained", facecolor="white")
        left, right = figure.subplots(1, 2)
        low, high = zip(*(point["spread"] for point in points), strict=True)
        left.fill_between(x, low, high, color=MEASURED, alpha=0.2, linewidth=0)
        left.plot(x, [point["value"] for point in points], "o-", color=MEASURED, markersize=4)
        left.plot(x, [point["bound"] for point in points], "--", color=BOUND)
        _label(left, x[-1], points[-1]["value"], "measured", MEASURED, below=True)
        _label(left, x[0], points[0]["bound"], "roofline", BOUND, below=False)
        right.plot(x, [point["peak_mb"] for point in points], "o-", color=MEASURED, markersize=4)
        titles = (
            (left, "Throughput", f"replica-steps per second, {found['processes']} processes"),
            (right, "Peak memory beyond imports and data", "MB per process"),
        )
        for axes, title, unit in titles:
            _axes(axes, x, title, unit, f"{name} ({UNITS[name]})")
        figure.suptitle(f"Against {name}, with {fixed}", x=0.01, ha="left", color=INK)
        document.FIGURES.mkdir(parents=True, exist_ok=True)
        figure.savefig(document.FIGURES / f"growth-{name}.svg", metadata={"Date": None, "Creator": None})


def _label(axes: Axes, x: float, y: float, text: str, colour: str, *, below: bool) -> None:
    """Under a line's last point, or over its first one: lines fall, so there is room."""
    offset, va, ha = ((0, -6), "top", "right") if below else ((0, 5), "bottom", "left")
    axes.annotate(text, (x, y), xytext=offset, textcoords="offset points", va=va, ha=ha, color=colour)


def _axes(axes: Axes, x: list[int], title: str, unit: str, name: str) -> None:
    axes.set(xscale="log", yscale="log", xlabel=name)
    axes.set_title(f"{title}\n", loc="left", color=INK, fontsize=9, fontweight="bold")
    axes.text(0, 1.03, unit, transform=axes.transAxes, color=MUTED)
    axes.xaxis.set_major_locator(FixedLocator(x))
    axes.xaxis.set_minor_locator(NullLocator())
    plain = FuncFormatter(lambda value, _: f"{value:,.15g}")
    axes.xaxis.set_major_formatter(plain)
    axes.yaxis.set_major_locator(LogLocator(10, (1, 2, 5)))
    axes.yaxis.set_major_formatter(plain)
    axes.yaxis.set_minor_locator(NullLocator())
    axes.margins(y=0.15)
    axes.grid(color=GRID, linewidth=0.6)
    axes.tick_params(colors=INK, length=0)
    axes.spines[:].set_visible(False)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
