"""Random draws depend on what they are for, and on nothing else."""

import hashlib
import itertools

import torch

from activation_study.core.seeds import generator, seed_of


def test_a_seed_is_the_hash_of_its_parts():
    digest = hashlib.sha256(b"digits|5|tuning|0|main").digest()
    assert seed_of("digits", 5, "tuning", 0, "main") == int.from_bytes(digest[:8], "little") // 2


def test_seeds_fit_every_generator_and_differ():
    parts = itertools.product(["digits", "mnist1d"], [5, 20, 50], ["tuning", "evaluation"], range(200), ["main", "b"])
    seeds = [seed_of(*part) for part in parts]
    assert len(set(seeds)) == len(seeds)
    assert min(seeds) >= 0
    assert max(seeds) < 2**63


def test_generators_do_not_touch_each_other_or_the_global_one():
    torch.manual_seed(0)
    before = torch.random.get_rng_state()
    one, other = generator("a", 1), generator("a", 1)
    first = torch.randn(3, generator=one)
    torch.randn(5, generator=generator("b"))
    assert torch.equal(first, torch.randn(3, generator=other))
    assert not torch.equal(first, torch.randn(3, generator=one))
    assert torch.equal(before, torch.random.get_rng_state())
