"""A clock without time."""

from __future__ import annotations


class Scripted:
    """A timer that takes a fixed time per call, and notes when its turn was."""

    def __init__(self, name, seconds, turns):
        self.name, self.seconds, self.turns = name, seconds, turns

    def timeit(self, number):
        self.turns.append((self.name, number))
        return number * self.seconds

    def repeat(self, repeat, number):
        return [number * self.seconds] * repeat
