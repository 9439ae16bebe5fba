"""What the interval of each design covers when the learning rate is tuned too: results/bench/designs.json.

Studies of one activation in one cell are simulated from known scores; a second one of the same activation is what A
against A compares. Each design is held against its own estimand: the expected score at the rates that it selects.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

import document
from activation_study.analysis.tuned import contrast, tuned_moments
from activation_study.core.tuning import Replicates, rate_weights

Rng = np.random.Generator

STUDIES = 20_000
AT_ONCE = 2_000
"""Studies simulated together, as many as stay in a processor's cache or near it."""
EVALUATION = 10
GAPS = (0.0, 0.25, 0.5, 1.0, 2.0)
"""Points between the expected scores of neighbouring rates."""
SHARED = 0.5
"""The part of its variance that a network's validation and test scores have in common."""


@dataclass(frozen=True)
class Noise:
    """`sd` [G] of a network's score at each rate, in points; the part `of_seed` of its variance is the same at all."""

    sd: NDArray
    of_seed: float = 0

    def drawn(self, rng: Rng, *shape: int) -> NDArray:
        """The noise [..., G] of networks whose seeds have that shape."""
        seeds, own = rng.normal(size=(*shape, 1)), rng.normal(size=(*shape, len(self.sd)))
        return self.sd * (np.sqrt(self.of_seed) * seeds + np.sqrt(1 - self.of_seed) * own)


NOISES = {
    "the same at each rate": Noise(np.ones(7)),
    "growing with the rate": Noise(np.linspace(0.5, 1.5, 7)),
    "half of it a seed's, at each rate": Noise(np.ones(7), of_seed=0.5),
}
Studies = tuple[Replicates, NDArray]
"""Of N studies: the evaluation seeds' scores, and the expected score [N] at the rates that were selected."""
Design = Callable[[Rng, int, NDArray, Noise], Studies]
"""From the number of studies, the expected scores [G] and the noise."""


def main() -> None:
    document.write_json(document.BENCH / "designs.json", simulated(STUDIES))
    document.fill()


def simulated(studies: int) -> dict[str, Any]:
    """Every design in every setting, each from a random stream of its own."""
    places = list(product(DESIGNS, NOISES, GAPS))
    streams = np.random.SeedSequence(0).spawn(len(places))
    settings = [
        {"design": name, "noise": noise, "gap": gap}
        | judged(DESIGNS[name], NOISES[noise], gap, studies, np.random.default_rng(stream))
        for (name, noise, gap), stream in zip(places, streams, strict=True)
    ]
    return {"studies": studies, "settings": settings}


def judged(design: Design, noise: Noise, gap: float, studies: int, rng: Rng) -> dict[str, float]:
    """How often A against A is an alarm at 5%, how often nominal 95% hold the estimand, and the estimate's sd."""
    rates = len(noise.sd)
    scores = -gap * np.abs(np.arange(rates) - rates // 2)
    chunks = []
    for start in range(0, studies, AT_ONCE):
        (a, expected), (b, _) = (design(rng, min(AT_ONCE, studies - start), scores, noise) for _ in "ab")
        chunks.append([*tuned_moments([a]), *tuned_moments([contrast([a, b], (1, -1))]), expected])
    estimate, se, df, difference, its_se, its_df, expected = np.concatenate(chunks, axis=1)
    return {
        "alarms": float(1 - held(difference, its_se, its_df).mean()),
        "coverage": float(held(estimate - expected.mean(), se, df).mean()),
        "sd": float(estimate.std()),
    }


def held(error: NDArray, se: NDArray, df: NDArray) -> NDArray:
    """Whether the nominal 95% interval holds the truth, from which the estimate is off by `error`."""
    return np.abs(error) <= stats.t.ppf(0.975, df) * se


def selected_rate(rng: Rng, studies: int, scores: NDArray, noise: Noise) -> Studies:
    """Three seeds select the rate that fresh seeds evaluate; the interval is over these alone."""
    weights = rate_weights(scores + noise.drawn(rng, studies, 3)).weights
    values = ((scores + noise.drawn(rng, studies, EVALUATION)) * weights[:, None]).sum(axis=-1)
    return of_evaluation(values), weights @ scores


def leave_one_out(rng: Rng, studies: int, scores: NDArray, noise: Noise) -> Studies:
    """Each seed is evaluated at the rate that the others select, as if they were independent."""
    parts = [noise.drawn(rng, studies, EVALUATION) for _ in range(3)]
    network = scores + np.sqrt(SHARED) * parts[0]
    validation, test = (network + np.sqrt(1 - SHARED) * part for part in parts[1:])
    selected = (validation.sum(axis=1, keepdims=True) - validation).argmax(axis=-1)
    values = np.take_along_axis(test, selected[..., None], axis=-1)[..., 0]
    return of_evaluation(values), scores[selected].mean(axis=-1)


def triples(rng: Rng, studies: int, scores: NDArray, noise: Noise, tuning: int) -> Studies:
    """`analysis.tuned`, with so many tuning seeds."""
    weights = rate_weights(scores + noise.drawn(rng, studies, tuning))
    return weights.replicates(scores + noise.drawn(rng, studies, EVALUATION)), weights.weights @ scores


def of_evaluation(values: NDArray) -> Replicates:
    """Replicates [N, E] whose choice of the rate is taken as given: nothing changes without one of its seeds."""
    return Replicates(values, np.repeat(values[:, None], 2, axis=1))


DESIGNS: Mapping[str, Design] = {
    "the one that 3 tuning seeds select": selected_rate,
    "for each seed, what the other 9 select": leave_one_out,
} | {f"weighted over triples of {tuning} tuning seeds": partial(triples, tuning=tuning) for tuning in (5, 6, 8)}


if __name__ == "__main__":
    main()
