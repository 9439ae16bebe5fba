"""`make fuzz`: an hour of inputs made wrong at random, all kinds in turn, with its figures at the end."""

import argparse
import contextlib
import os
import sys
import tempfile
import time
import traceback
import warnings
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, seed, settings

from kinds import KINDS, outcome

ROUND = 200
"""Inputs of one kind before the next one's turn."""


class Figures:
    """What became of the inputs of one kind."""

    def __init__(self) -> None:
        self.inputs = self.successes = self.refused = 0
        self.slowest = 0.0
        self.failures: dict[str, tuple[str, str]] = {}

    def take(self, kind: str, value: object, folder: str) -> None:
        """Give one input to its action; what should not be is noted, once for every place that it comes from."""
        self.inputs += 1
        try:
            ended = outcome(KINDS[kind][1], value, Path(folder))
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            place = traceback.extract_tb(error.__traceback__)[-1]
            self.failures.setdefault(
                f"{type(error).__name__}, {place.filename}:{place.lineno}", (repr(value)[:2000], str(error))
            )
            return
        self.successes += ended.ended == "success"
        self.refused += ended.ended == "refused"
        self.slowest = max(self.slowest, ended.seconds)

    def line(self, kind: str) -> str:
        return (
            f"{kind:<12} {self.inputs:>8} inputs: {self.successes} read, {self.refused} refused in a line, "
            f"{len(self.failures)} kinds of failure; the slowest took {self.slowest:.2f} s"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=float(os.environ.get("FUZZ_MINUTES", "60")))
    parser.add_argument("--examples", type=int, default=sys.maxsize, help="at most so many of each kind")
    parser.add_argument("--seed", type=int, default=time.time_ns() % 10**6)
    parser.add_argument("--only", choices=list(KINDS), help="one kind alone")
    chosen = parser.parse_args()
    warnings.simplefilter("ignore")  # Pillow's, of damaged files
    print(f"seed {chosen.seed}: make fuzz FUZZ='--seed {chosen.seed}' does the same again", flush=True)
    figures = {kind: Figures() for kind in ([chosen.only] if chosen.only else KINDS)}
    end, turn = time.monotonic() + 60 * chosen.minutes, chosen.seed
    waiting = list(figures)
    with contextlib.suppress(KeyboardInterrupt):  # the figures so far are printed
        while waiting and time.monotonic() < end:
            kind = waiting.pop(0)
            _round(kind, figures[kind], turn, end)
            turn += 1
            if figures[kind].inputs < chosen.examples:
                waiting.append(kind)
    for kind, found in figures.items():
        print(found.line(kind))
        for place, (value, message) in found.failures.items():
            print(f"  {place}: {message[:300]}\n    {value}")
    sys.exit(any(found.failures for found in figures.values()))


def _round(kind: str, figures: Figures, number: int, end: float) -> None:
    @seed(number)
    @settings(max_examples=ROUND, deadline=None, database=None, phases=[Phase.generate],
              suppress_health_check=list(HealthCheck))  # fmt: skip
    @given(KINDS[kind][0])
    def fuzz(value: object) -> None:
        if time.monotonic() < end:
            with tempfile.TemporaryDirectory() as folder:
                figures.take(kind, value, folder)

    fuzz()


if __name__ == "__main__":
    main()
