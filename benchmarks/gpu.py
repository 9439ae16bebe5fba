"""How much faster a GPU trains the study's stacks than the usual loop: results/gpu/figures.json.

Training alone, in replica-steps per second: depth 20, width 64, ReLU, Adam, batch 128. All ways take turns, and a ratio
is the median over the turns. On a CPU the same runs in small, so that it is known to run.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

import baselines
import data
import document
import study_side
from activation_study.training import device as devices
from activation_study.training.graph import recorded
from activation_study.training.stack import Stack

FIGURES = document.ROOT / "results" / "gpu" / "figures.json"
LARGE = {"depth": 20, "width": 64, "batch": 128, "replicas": 512, "steps": 200, "turns": 5}
SMALL = {"depth": 2, "width": 8, "batch": 100, "replicas": 3, "steps": 5, "turns": 2}


class GraphedLoop:
    """The fair loop's step, one network, as a CUDA graph: what a user may get without the study."""

    def __init__(self, model: nn.Module, x: torch.Tensor, y: torch.Tensor, batch: int):
        self.samples, self.batch, self.total = len(y), batch, torch.zeros((), device=x.device)
        self.chosen = torch.zeros(batch, dtype=torch.int64, device=x.device)
        criterion = nn.CrossEntropyLoss()
        rule = torch.optim.Adam(model.parameters(), lr=baselines.LEARNING_RATE, capturable=x.is_cuda)

        def step() -> None:
            rule.zero_grad(set_to_none=False)
            loss = criterion(model(x[self.chosen]), y[self.chosen])
            loss.backward()
            rule.step()
            self.total += loss.detach()

        step()  # the rule's memory is made then
        self.go = recorded(step, [self.total])

    def epoch(self) -> float:
        """Sum of the losses of as many batches as there are."""
        order = torch.randperm(self.samples, device=self.chosen.device).split(self.batch)
        for chosen in order[: self.samples // self.batch]:
            self.chosen.copy_(chosen)
            self.go()
        return self.total.item()


def ways(kind: str, size: dict[str, int], tf32: bool) -> dict[str, Callable[[], float]]:
    """Each way to train, as what gives its replica-steps per second."""
    depth, width, batch, device = size["depth"], size["width"], size["batch"], torch.device(kind)
    split = data.split()
    x, y, validation_x, validation_y = (
        tensor.to(device) for tensor in (split.train_x, split.train_y, split.validation_x, split.validation_y)
    )

    def model() -> nn.Module:
        return baselines.mlp(depth, width, nn.ReLU).to(device)

    fair = baselines.FairLoop(model(), x, y, validation_x, validation_y, batch)
    graphed = GraphedLoop(model(), x, y, batch)

    def epochs(loop: baselines.FairLoop | GraphedLoop) -> float:
        steps = len(y) // batch
        return steps / _seconds(loop.epoch)

    found = {"fair": lambda: epochs(fair), "graphed": lambda: epochs(graphed)}
    for name in ("stack", "stack_tf32") if tf32 else ("stack",):
        with _precision("high" if name == "stack_tf32" else torch.get_float32_matmul_precision()):
            found[name] = _stack(kind, size)
    return found


def _stack(kind: str, size: dict[str, int]) -> Callable[[], float]:
    shape = {name: size[name] for name in ("depth", "width", "batch", "replicas")}
    stack = Stack([study_side.chunk(**shape, optimiser="adam", device=kind)], size["replicas"])

    def rate() -> float:
        steps = size["steps"]
        return size["replicas"] * steps / _seconds(lambda: stack._advance(stack.step_number + steps))

    return rate


def _seconds(do: Callable[[], Any]) -> float:
    since = time.perf_counter()
    do()  # each ends with a number that comes from the device, or waits for it
    return time.perf_counter() - since


@contextmanager
def _precision(precision: str) -> Iterator[None]:
    """A graph keeps the products that it was recorded with."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(precision)
    yield
    torch.set_float32_matmul_precision(before)


def measured(kind: str, size: dict[str, int]) -> dict[str, Any]:
    """The ratios, and the rates behind them."""
    device, product = devices.prepare(kind)
    rates: dict[str, list[float]] = defaultdict(list)
    chosen = ways(kind, size, tf32=device.type == "cuda" and devices.tf32_serves(device))
    for _ in range(size["turns"] + 1):
        for name, rate in chosen.items():
            rates[name].append(rate())
    kept = {name: values[1:] for name, values in rates.items()}  # the first turn warms up

    def over(name: str, other: str) -> float:
        return statistics.median(one / two for one, two in zip(kept[name], kept[other], strict=True))

    ratios = {"gpu_vs_fair": over("stack", "fair"), "gpu_vs_graphed": over("stack", "graphed")}
    if "stack_tf32" in kept:
        ratios |= {
            "tf32_vs_fair": over("stack_tf32", "fair"),
            "tf32_vs_graphed": over("stack_tf32", "graphed"),
        }
    return ratios | {
        "replica_steps_per_second": {name: statistics.median(values) for name, values in kept.items()},
        "size": size,
        "product": product,
    }


def study_seconds() -> float:
    """Of the default study from start to page, by Snakemake, on the GPU."""
    options = ["--profile", "profiles/gpu", "--cores", "all", "--config", "study=gpu", "device=cuda"]
    command = [sys.executable, "-m", "snakemake", *options]
    return _seconds(lambda: subprocess.run(command, cwd=document.ROOT, check=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda", help="cpu: in small, as a trial")
    parser.add_argument("--study", action="store_true", help="run the default study as well: gpu_study_s")
    arguments = parser.parse_args()
    gpu = arguments.device == "cuda"
    summary = measured(arguments.device, LARGE if gpu else SMALL)
    if arguments.study:
        summary["gpu_study_s"] = study_seconds()
    card = torch.cuda.get_device_name() if gpu else "none"
    document.write_json(FIGURES, summary | {"card": card, "torch": torch.__version__, "host": platform.machine()})


if __name__ == "__main__":
    main()
