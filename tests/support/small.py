"""A study small enough for tests: its config, its data, its training."""

import copy
import math

import numpy as np
import torch

from activation_study.activations.activation import from_entry
from activation_study.data.arrays import Arrays
from activation_study.study.study import Study
from activation_study.training.run import RunTraining

CONFIG = {
    "study": "small",
    "device": "cpu",
    "seeds": {"tuning": 2, "evaluation": 2},
    "learning_rates": {"momentum": [0.003, 0.03, 0.1]},
    "training": {
        "replicas_per_chunk": {"cpu": 4},
        "pruning": {"after": 0.25, "keep": 2},
        "evaluations_per_decade": 5,
        "probes_per_decade": 1,
        "probe_samples": 32,
    },
    "activations": {
        "relu": {"class": "ReLU"},
        "tanh": {"class": "Tanh"},
        "rrelu": {"class": "RReLU"},
        "prelu": {"class": "PReLU"},
    },
    "datasets": {"blobs": {"source": "npz", "path": "blobs.npz", "target": 0.6}},
    "experiments": {"core": {"depth": 2, "width": 16, "steps": 40, "batch_size": 16, "activation": "relu"}},
}
# Closed forms for ReLU; numerical integrals for the others, which only need to be roughly right here.
CONSTANTS = {
    "relu": {"gain": math.sqrt(2), "mean": 1 / math.sqrt(2 * math.pi), "sigma_w2": 2.0, "sigma_b2": 0.0},
    "tanh": {"gain": 1.593, "mean": 0.0, "sigma_w2": 2.153, "sigma_b2": 0.151},
    "rrelu": {"gain": 1.376, "mean": 0.308, "sigma_w2": 1.894, "sigma_b2": 0.0},
    "prelu": {"gain": 1.372, "mean": 0.299, "sigma_w2": 1.882, "sigma_b2": 0.0},
}


def config(**changes):
    """The small config, its top-level keys updated (mappings merged, anything else replaced)."""
    result = copy.deepcopy(CONFIG)
    for key, value in changes.items():
        if isinstance(value, dict) and key in result:
            result[key] |= value
        else:
            result[key] = value
    return result


def run(factors=None, **changes):
    """The one run of the small config with other factors."""
    core = CONFIG["experiments"]["core"] | (factors or {})
    (only,) = Study.from_config(config(experiments={"core": core}, **changes)).runs.values()
    return only


def blobs(samples=300, features=12, classes=3, seed=0, official_test=False, noise=1.0):
    """Gaussian blobs, one per class: easily learned."""
    source = np.random.default_rng(seed)
    y = np.arange(samples) % classes
    x = (source.normal(size=(classes, features))[y] + noise * source.normal(size=(samples, features))).astype(
        np.float32
    )
    test = np.arange(samples) >= samples - samples // 5 if official_test else None
    return Arrays(x, y.astype(np.int64), test, classes, "blobs", f"blobs {samples} {seed}")


def training(chosen, arrays=None, dtype=torch.float32, **more):
    factors = chosen.params["factors"]
    name = factors["activation"]
    activation = from_entry(name, chosen.params["settings"]["activation"])
    constants = CONSTANTS[name] | {"slope_max": 1.0}
    arrays = blobs() if arrays is None else arrays
    return RunTraining(chosen.params, activation, constants, arrays, torch.device("cpu"), dtype=dtype, **more)


def rows(chosen, arrays=None, dtype=torch.float32, **more):
    return training(chosen, arrays, dtype, **more).rows()


def changed(path, value):
    """The small config with one value replaced; ``...`` removes it."""
    result = config()
    *way, last = path.split(".")
    inside = result
    for key in way:
        inside = inside.setdefault(key, {})
    if value is ...:
        del inside[last]
    else:
        inside[last] = value
    return result
