"""A run: its identity, what its job is given, and how much it will take.

Pure Python: neither PyTorch nor Snakemake is imported, so reading a config costs nothing.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from activation_study.core.factors import TUNED_ON, Factors, Settings
from activation_study.core.runs import RunId
from activation_study.networks.base import architecture

BASE_MB = 800
"""Of Python with PyTorch: 560 MB were measured."""


@dataclass(frozen=True)
class Run:
    """One condition × one activation: one job, which trains all its replicas (seed × learning rate).

    ``factors`` is the identity; ``settings`` is whatever else the outcome depends on.
    """

    factors: Factors
    settings: Settings

    @functools.cached_property
    def _id(self) -> RunId:
        return RunId.of(self.factors)

    @property
    def condition(self) -> str:
        return self._id.condition

    @property
    def id(self) -> str:
        return str(self._id)

    @property
    def params(self) -> dict[str, Any]:
        """All that determines the result, as one plain dict with sorted keys."""
        return plain_sorted(
            {"factors": self.factors.model_dump(), "id": self.id, "settings": self.settings.model_dump()}
        )

    @property
    def networks(self) -> int:
        """How many are trained: tuning seeds × learning rates, and about `evaluation_networks`."""
        return len(self.settings.learning_rates) * self.settings.tuning_seeds + self.evaluation_networks

    @property
    def evaluation_networks(self) -> int:
        """Evaluation seeds × the learning rates that count: one, or where tuning seeds may disagree about two."""
        settings = self.settings
        rates = min(2, settings.pruning.keep, len(settings.learning_rates))
        return settings.evaluation_seeds * (rates if settings.tuning_seeds > TUNED_ON else 1)

    @property
    def replica_steps(self) -> float:
        """Training steps over all `networks`, pruning counted in."""
        settings, steps = self.settings, self.factors.steps
        rates, seeds = len(settings.learning_rates), settings.tuning_seeds
        kept = min(rates, settings.pruning.keep)
        part = settings.pruning.after if kept < rates else 1.0
        tuning = seeds * (rates * part + kept * (1 - part))
        return steps * (tuning + self.evaluation_networks)

    @functools.cached_property
    def cost(self) -> float:
        """Relative cost: floating-point operations, with an overhead per layer."""
        per_sample = architecture(self.factors.network, self.settings.network).flops(self.factors)
        return self.replica_steps * self.factors.batch_size * per_sample

    def mem_mb(self, samples: int, features: int, *, own_test: bool = False) -> int:
        """Memory that the job needs at most, in MB: PyTorch, the data, one chunk and its float64 probe.

        Args:
            samples, features: the dataset's.
            own_test: whether it has test samples of its own; without, every replicate has another split.
        """
        f, s = self.factors, self.settings
        chunk = s.replicas_per_chunk.cpu
        if s.device == "cuda":
            chunk = max(chunk, s.replicas_per_chunk.cuda)
        family = architecture(f.network, s.network)
        size = family.size(f, features)
        activations = size.activations * (5 * f.batch_size + 6 * s.probe_samples)
        if not family.together:  # what is seen of all their layers is held until the last has been evaluated
            activations = math.ceil(activations / chunk) + size.activations * min(samples, s.max_validation)
        validation = 4 * size.widest * s.max_validation
        replicas = max(len(s.learning_rates) * s.tuning_seeds, self.evaluation_networks)
        copies = 5 + 3 * (f.optimiser == "adam") + (f.clip is not None)  # both keep gradients, Adam the probe's too
        copies += 4 * (not family.together)  # their gradients one by one, before they are stacked, and autograd's
        networks = chunk * (activations + validation + copies * size.parameters) + 3 * replicas * size.parameters
        return BASE_MB + math.ceil(4 * networks / 1e6) + self.data_mb(samples, features, own_test=own_test)

    def data_mb(self, samples: int, features: int, *, own_test: bool = False) -> int:
        """What the data and the splits of its replicas take of that."""
        f, s = self.factors, self.settings
        splits = 1 if own_test and f.train_size is None else s.tuning_seeds + s.evaluation_seeds
        caps = s.dataset.max_train, s.dataset.max_test, s.max_validation
        split = min(samples, sum(cap or samples for cap in caps))
        return math.ceil(4 * features * (2 * samples + splits * split) / 1e6)


def plain_sorted(mapping: Mapping[str, Any]) -> dict[str, Any]:
    """As JSON has it, with sorted keys at every depth."""
    return {key: _plain(mapping[key]) for key in sorted(mapping)}


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return plain_sorted(value)
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value
