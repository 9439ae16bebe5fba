"""The study's own false alarms, from one function under two names with different seeds.

Whatever is called a difference between such twins is a false alarm. A block is a comparison as the study makes them: a
run of each twin, with tuning and evaluation seeds that no other run has. Runs whose seed stream is `control_1`,
`control_2` ... are controls; of two twins, the first stream of the one is compared with the first of the other, and so
on. With tuning seeds in common all blocks would share one choice of the learning rate, and their alarms come together.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd

from activation_study.analysis.choices import Choice, Choices, log_time
from activation_study.analysis.inference import ALPHA, wilson
from activation_study.analysis.tuned import contrast, tuned_interval, two_sided
from activation_study.core.runs import RunId
from activation_study.core.tuning import Replicates

METRICS = {"test_accuracy": "accuracy", "log_time": "speed"}
"""What twins are compared in, and what learning rates are chosen for (``select``) where a claim is judged by it."""
CONTROL = re.compile(r"control_([1-9][0-9]*)")


@dataclass(frozen=True)
class Twins:
    """Two names of one function, in one `cell`: a metric's differences in each block.

    `as_judged`: the learning rates were chosen for this metric, as where a claim is judged by it. Chosen for accuracy,
    they leave the time to the target to chance: it differs by a factor from one rate to the next.
    """

    first: str
    second: str
    cell: str
    metric: str
    blocks: Sequence[Replicates]
    as_judged: bool = True


def same_functions(portraits: pd.DataFrame) -> set[tuple[str, str]]:
    """Pairs of activations, each pair in both orders, whose values and derivatives agree to 1e-9 everywhere."""
    curves = {
        str(name): rows.sort_values("x")[["x", "value", "derivative"]].to_numpy()
        for name, rows in portraits.groupby("activation")
    }
    return {
        (one, other)
        for one, a in curves.items()
        for other, b in curves.items()
        if one != other and a.shape == b.shape and np.allclose(a, b, rtol=0, atol=1e-9)
    }


def control_twins(runs: pd.DataFrame, portraits: pd.DataFrame) -> list[Twins]:
    """All pairs of control runs that differ in the activation's name and the stream alone, for each of ``METRICS``.

    Seeds are paired by their number, which means nothing across streams: the pairs are independent. A stream that both
    twins have is in none.
    """
    same, choices = same_functions(portraits), Choices(runs)
    runs = runs[runs["seed_stream"].str.fullmatch(CONTROL.pattern) & ~runs["status"].isin(["no_data", "pruned"])]
    networks = runs[runs["role"] == "evaluation"]
    networks = networks.assign(log_time=log_time(networks))
    by_run = dict(tuple(networks.groupby("run", sort=False)))
    alike: dict[str, dict[str, dict[int, str]]] = {}
    for run, rows in by_run.items():
        name, stream = rows["activation"].iloc[0], CONTROL.fullmatch(rows["seed_stream"].iloc[0])
        assert stream
        cell = RunId.read(run).without("seed_stream").cell
        alike.setdefault(cell, {}).setdefault(name, {})[int(stream[1])] = run
    found = []
    for cell, streams in alike.items():
        for first, second in combinations(sorted(streams), 2):
            if (first, second) in same:
                mine, others = streams[first], streams[second]
                own = [sorted(one.keys() - other.keys()) for one, other in ((mine, others), (others, mine))]
                pairs = [(mine[a], others[b]) for a, b in zip(*own, strict=False)]
                for metric, select in METRICS.items() if pairs else ():
                    blocks = [_block(metric, [(by_run[run], choices[run]) for run in pair]) for pair in pairs]
                    chosen_for = by_run[pairs[0][0]]["select"].iloc[0]
                    found.append(Twins(first, second, cell, metric, blocks, chosen_for == select))
    return found


def _block(metric: str, runs: Sequence[tuple[pd.DataFrame, Choice]]) -> Replicates:
    """The difference of two runs in a metric."""
    arms = []
    for networks, choice in runs:
        scores = networks.pivot(index="replicate", columns="learning_rate", values=metric).reindex(columns=choice.rates)
        arms.append(choice.weights.replicates(scores.to_numpy(dtype=float)))
    return contrast(arms, (1, -1))


def false_alarms(twins: Sequence[Twins]) -> pd.DataFrame:
    """One row per pair, cell and metric: in how many blocks the study's two-sided 5% test calls a difference.

    Columns first, second, cell, metric, seeds (of evaluation, in all), difference (_low, _high: 95% interval over all
    blocks), comparisons, alarms, rate (_low, _high: Wilson).
    """
    rows = []
    for pair in twins:
        alarms = sum(two_sided([block]) < ALPHA for block in pair.blocks)
        whole, rate = tuned_interval(pair.blocks), wilson(alarms, len(pair.blocks))
        rows.append(
            {
                "first": pair.first,
                "second": pair.second,
                "cell": pair.cell,
                "metric": pair.metric,
                "seeds": sum(int((~np.isnan(block.evaluation)).sum()) for block in pair.blocks),
                "difference": whole.estimate,
                "difference_low": whole.low,
                "difference_high": whole.high,
                "comparisons": len(pair.blocks),
                "alarms": alarms,
                "rate": rate.estimate,
                "rate_low": rate.low,
                "rate_high": rate.high,
            }
        )
    return pd.DataFrame(rows)
