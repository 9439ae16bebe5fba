"""What a run is: its factors, which are its identity, and its settings, whatever else its results depend on."""

from __future__ import annotations

import functools
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from activation_study.core.models import LISTED, NUMBER, TRUTH, WHOLE, Model
from activation_study.core.names import Name


def _increasing(rates: tuple[float, ...]) -> tuple[float, ...]:
    if list(rates) != sorted(set(rates)):
        raise PydanticCustomError("increasing", "must increase strictly")
    return rates


Rate = Annotated[float, Field(gt=0, le=1000), NUMBER]
Rates = Annotated[tuple[Rate, ...], Field(min_length=1, max_length=100), AfterValidator(_increasing), LISTED]
"""Learning rates, in increasing order."""
Replicas = Annotated[int, Field(ge=1, le=4096), WHOLE]
Seeds = Annotated[int, Field(ge=1, le=1000), WHOLE]
TUNED_ON = 3
"""Tuning seeds that select a learning rate together."""
Device = Literal["auto", "cpu", "cuda"]
Precision = Literal["float32", "tf32"]


class Factors(Model):
    """The factors of a run. Those at their default are not named in its id, so that a new factor renames no run."""

    activation: Name = Field(description="activation, by its name in the config")
    dataset: Name = Field(description="dataset, by its name in the config")
    depth: Annotated[int, Field(ge=1, le=1000), WHOLE] = Field(description="hidden layers")
    width: Annotated[int, Field(ge=1, le=65_536), WHOLE] = Field(default=64, description="units per hidden layer")
    steps: Annotated[int, Field(ge=1, le=10_000_000), WHOLE] = Field(
        default=1000, description="training steps asked for"
    )
    batch_size: Annotated[int, Field(ge=1, le=65_536), WHOLE] = Field(default=128, description="samples per step")
    network: Name = Field(default="mlp", description="family of networks, or one of the config's networks, by its name")
    optimiser: Literal["momentum", "sgd", "adam"] = Field(
        default="momentum", description="momentum (SGD, 0.9), sgd or adam"
    )
    clip: Annotated[float, Field(gt=0, le=1e6), NUMBER] | None = Field(
        default=None, description="largest norm of a network's gradient, scaled down to it; missing means any"
    )
    initialisation: Literal["gain", "torch_default", "edge_of_chaos", "lsuv"] = Field(
        default="gain",
        description="gain (second-moment gain, zero bias), torch_default, edge_of_chaos (at q = 1), or lsuv (gain, "
        "then layer by layer divided by the standard deviation of the first batch's pre-activations)",
    )
    normalisation: Literal["none", "batch", "noisy_batch", "group"] = Field(
        default="none", description="none, batch, noisy_batch or group; h and dL/dh are then after it, the input of phi"
    )
    input_transform: Literal["standardised", "gaussianised", "heavy_tailed"] = Field(
        default="standardised", description="standardised; gaussianised or heavy_tailed, by rank"
    )
    input_shift: Annotated[float, Field(ge=-1000, le=1000), NUMBER] = Field(
        default=0.0, description="added to the standardised inputs"
    )
    initial_bias: Annotated[float, Field(ge=-1000, le=1000), NUMBER] = Field(
        default=0.0, description="initial bias of the hidden layers, in pre-activation standard deviations"
    )
    train_size: Annotated[int, Field(ge=2), WHOLE] | None = Field(
        default=None, description="training samples asked for, nested subsets of the training split; missing means all"
    )
    centred: Annotated[bool, TRUTH] = Field(
        default=False,
        description="whether the activation's mean under N(0,1) is subtracted, with biases that keep the initial "
        "function as it was",
    )
    seed_stream: Name = Field(default="main", description="names a family of seeds")
    rates: Literal["all", "coarse"] = Field(
        default="all", description="all or coarse, every second one: how much of the learning-rate grid was tried"
    )
    select: Literal["accuracy", "speed"] = Field(
        default="accuracy", description="accuracy or speed, the time to target: what the learning rate was selected for"
    )
    evaluation_seeds: Seeds | None = Field(
        default=None, description="evaluation seeds asked for; missing means the study's"
    )
    tuning_seeds: Seeds | None = Field(default=None, description="tuning seeds asked for; missing means the study's")

    @property
    def splits_of(self) -> tuple[Any, ...]:
        """Runs of one study that agree in it train on the same splits."""
        return self.dataset, self.train_size, self.input_transform, self.input_shift

    @classmethod
    @functools.cache
    def defaults(cls) -> dict[str, Any]:
        """The factors in order, with their defaults; ``...`` where one must be given."""
        return {name: ... if field.is_required() else field.default for name, field in cls.model_fields.items()}


class ReplicasPerChunk(Model):
    """How many networks are trained at once as one batched network."""

    cpu: Replicas = Field(default=11, description="On a CPU.")
    cuda: Replicas = Field(default=512, description="On a GPU, with those of other runs.")


class Pruning(Model):
    """Learning rates that fall behind stop early."""

    after: Annotated[float, Field(gt=0, lt=1), NUMBER] = Field(
        default=0.25, description="The part of the steps after which rates are compared."
    )
    keep: Annotated[int, Field(ge=1), WHOLE] = Field(default=3, description="How many rates go on.")


class Training(Model):
    """What every run of a study has in common."""

    replicas_per_chunk: ReplicasPerChunk = Field(
        default=ReplicasPerChunk(),
        description="How many networks are trained at once as one batched network. Part of a run's identity, since it "
        "can change the last bits.",
    )
    pruning: Pruning = Field(
        default=Pruning(),
        description="Learning rates that fall behind stop early. keep equal to the grid's length switches it off.",
    )
    evaluations_per_decade: Annotated[int, Field(ge=2, le=200), WHOLE] = Field(
        default=40,
        description="Evaluations per factor of ten in steps, on a logarithmic grid. Five at most for tuning networks, "
        "unless speed selects the rate.",
    )
    probes_per_decade: Annotated[int, Field(ge=1, le=50), WHOLE] = Field(
        default=2,
        description="Layer-by-layer probes per factor of ten in steps. Step 0 and the last step are always probed, "
        "steps 1 to 4 never.",
    )
    probe_samples: Annotated[int, Field(ge=2, le=10_000), WHOLE] = Field(
        default=128, description="Training samples of the gradient probe."
    )
    max_validation: Annotated[int, Field(ge=10), WHOLE] = Field(
        default=1000, description="At most this many validation samples are used."
    )


class Data(Model):
    """What a run takes of its dataset's entry."""

    source: str
    target: float
    max_train: int | None
    max_test: int | None


class Settings(Training):
    """Whatever the results of a run depend on beside its factors and the code."""

    activation: dict[str, Any]
    network: dict[str, Any] | None = None
    allow_modules: bool
    dataset: Data
    device: Device
    precision: Precision = "float32"
    evaluation_seeds: Seeds
    tuning_seeds: Seeds
    stream: Name | None = None
    measure: Annotated[tuple[str, ...], LISTED]
    learning_rates: Rates

    def stream_of(self, factors: Factors) -> str:
        """The name of a run's family of seeds: the study's own stream, if it has one, makes them all others."""
        return f"{self.stream}/{factors.seed_stream}" if self.stream else factors.seed_stream
