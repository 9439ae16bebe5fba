"""The schemas of a study's tables: every column's type, unit and meaning, in one place.

The data dictionary is printed from it; what reads, writes and validates tables goes by it.
"""

from __future__ import annotations

from typing import NamedTuple

SCHEMA_VERSION = 2


class Column(NamedTuple):
    """A column: its type (``str``, ``int``, ``float`` or ``bool``), its meaning, and whether a value may be missing."""

    type: str
    meaning: str
    nullable: bool = False
    low: float | None = None
    high: float | None = None


def _fraction(meaning: str, *, nullable: bool = False) -> Column:
    return Column("float", meaning, nullable, 0, 1)


REPLICA = {
    "run": Column("str", "run: dataset/activation/condition"),
    "role": Column("str", "tuning (chooses the learning rate) or evaluation (fresh seeds, scored)"),
    "replicate": Column("int", "number of the seed within its role", low=0),
    "learning_rate": Column("float", "learning rate", low=0),
}

FACTORS = {
    "activation": Column("str", "activation, by its name in the config"),
    "dataset": Column("str", "dataset, by its name in the config"),
    "depth": Column("int", "hidden layers", low=1),
    "width": Column("int", "units per hidden layer", low=1),
    "steps": Column("int", "training steps asked for", low=1),
    "batch_size": Column("int", "samples per step", low=1),
    "optimiser": Column("str", "momentum (SGD, 0.9), sgd or adam"),
    "initialisation": Column("str", "gain, torch_default or edge_of_chaos"),
    "normalisation": Column("str", "none, batch or noisy_batch; h and dL/dh are then after it, the input of phi"),
    "input_transform": Column("str", "standardised, gaussianised or heavy_tailed"),
    "input_shift": Column("float", "added to the standardised inputs"),
    "initial_bias": Column("float", "initial bias of the hidden layers, in pre-activation standard deviations"),
    "train_size": Column("int", "training samples asked for; missing means all", nullable=True, low=1),
    "centred": Column("bool", "whether the activation's mean under N(0,1) is subtracted"),
    "seed_stream": Column("str", "names a family of seeds"),
    "rates": Column("str", "all or coarse: how much of the learning-rate grid was tried"),
    "select": Column("str", "accuracy or speed: what the learning rate was selected for"),
    "evaluation_seeds": Column("int", "evaluation seeds asked for; missing means the study's", nullable=True, low=1),
    "tuning_seeds": Column("int", "tuning seeds asked for; missing means the study's", nullable=True, low=1),
}

LAYER_METRICS = {
    "preactivation_mean": Column("float", "mean pre-activation h over samples and units", nullable=True),
    "preactivation_sd": Column("float", "standard deviation of h over samples and units", nullable=True, low=0),
    "preactivation_q05": Column("float", "5% quantile of h (first 32 samples)", nullable=True),
    "preactivation_q50": Column("float", "median of h (first 32 samples)", nullable=True),
    "preactivation_q95": Column("float", "95% quantile of h (first 32 samples)", nullable=True),
    "mean": Column("float", "mean activation over samples and units", nullable=True),
    "sd": Column("float", "standard deviation of the activations over samples and units", nullable=True, low=0),
    "excess_kurtosis": Column("float", "of the activations over samples and units; missing if constant", nullable=True),
    "centredness": Column(
        "float", "median over units of |mean activation| over the layer's sd; 0 is centred", nullable=True
    ),
    "zero_fraction": _fraction("activations that are exactly zero", nullable=True),
    "saturated_low": _fraction("elements with |slope| < 0.1 of the largest, where h < 0", nullable=True),
    "saturated_high": _fraction("elements with |slope| < 0.1 of the largest, where h >= 0", nullable=True),
    "dead": _fraction("units whose slope is exactly zero on every sample", nullable=True),
    "unusable_001": _fraction("units whose largest |slope| is below 0.001 of the activation's largest", nullable=True),
    "unusable_01": _fraction("units whose largest |slope| is below 0.01 of the activation's largest", nullable=True),
    "born_dead": _fraction("units that were dead at step 0", nullable=True),
    "died": _fraction("units that died since the probe before", nullable=True),
    "revived": _fraction("units that came back to life since the probe before", nullable=True),
    "dormant_0": _fraction("units whose mean |activation| is 0", nullable=True),
    "dormant_025": _fraction("units whose mean |activation| is at most 0.025 of the layer's", nullable=True),
    "dormant_1": _fraction("units whose mean |activation| is at most 0.1 of the layer's", nullable=True),
    "effective_rank": Column(
        "float", "exp of the entropy of the centred activations' singular values", nullable=True, low=0
    ),
    "correlation": Column("float", "mean |correlation| of two units that vary", nullable=True, low=0),
    "gradient_norm_log10": Column(
        "float", "log10 of the root mean square over samples of ||dL/dh||; missing if 0", nullable=True
    ),
    "gradient_zero": Column("bool", "whether that norm is exactly 0", nullable=True),
    "weight_gradient_norm_log10": Column(
        "float", "log10 of ||dL/dW|| of the probe samples; missing if 0", nullable=True
    ),
    "weight_norm_log10": Column("float", "log10 of ||W||", nullable=True),
    "sign_agreement": _fraction("mean over neurons of |sum of signs| / count of the non-zero dL/dW", nullable=True),
}

TABLES: dict[str, dict[str, Column]] = {
    "runs": {
        **REPLICA,
        **FACTORS,
        "selected": Column("bool", "whether this is the learning rate that the run selected"),
        "edge": Column("bool", "whether the selected rate stands on the edge of the grid"),
        "status": Column("str", "finished, diverged, pruned or no_data"),
        "steps_done": Column("int", "steps trained", low=0),
        "diverged_step": Column("int", "evaluation step that noticed the divergence", nullable=True, low=0),
        "train_loss": Column("float", "final cross-entropy on at most 1,000 training samples, nats", nullable=True),
        "train_accuracy": _fraction("final accuracy on the same", nullable=True),
        "validation_loss": Column("float", "last cross-entropy on the validation samples, nats", nullable=True),
        "validation_accuracy": _fraction("last accuracy on the validation samples", nullable=True),
        "test_loss": Column("float", "final cross-entropy on the test samples, nats", nullable=True),
        "test_accuracy": _fraction("final accuracy on the test samples", nullable=True),
        "time_to_target": Column(
            "float",
            "steps until the validation accuracy first reached the target, interpolated; missing if never",
            nullable=True,
        ),
        "reached": Column(
            "bool", "whether the target was reached; if not, the time is right-censored at the horizon", nullable=True
        ),
        "target": _fraction("the validation accuracy to reach"),
        "horizon": Column("int", "steps at which a time to target is right-censored", low=1),
        "area_under_loss": Column("float", "mean of log validation loss over log-spaced steps", nullable=True),
        "parameters": Column("int", "trained parameters of one network", low=0),
        "classes": Column("int", "classes of the dataset", low=0),
        "train_samples": Column("int", "training samples used", low=0),
    },
    "curves": {
        **REPLICA,
        "step": Column("int", "steps trained when evaluated", low=0),
        "train_loss": Column("float", "mean loss of the batches since the evaluation before", nullable=True),
        "validation_loss": Column("float", "cross-entropy on the validation samples, nats", nullable=True),
        "validation_accuracy": _fraction("accuracy on the validation samples", nullable=True),
    },
    "layers": {
        **REPLICA,
        "step": Column("int", "steps trained when probed", low=0),
        "layer": Column("int", "1 is nearest the input; depth + 1 is the output", low=1),
        **LAYER_METRICS,
        "units": Column("int", "units of the layer", low=1),
        "samples": Column(
            "int",
            "validation samples behind the activation metrics; the rate of dead units falls with them",
            low=1,
        ),
    },
    "measurements": {
        **REPLICA,
        "measurement": Column(
            "str",
            "noise_accuracy: with noise of standard deviation dose on the validation inputs; noise_gain: relative "
            "variance of that noise in a layer over that in the inputs; selectivity: class selectivity, mean over "
            "units; covariate_shift: change of a layer's gradient by the step of the layers below, relative; "
            "sign_agreement: as in layers, for a batch of dose samples, per neuron, and for a whole layer "
            "(sign_agreement_layer); saturation: elements with |slope| < 0.1 of the largest; step_cosine: mean "
            "cosine of successive updates; tortuosity: length of the path over its end-to-end distance",
        ),
        "step": Column("int", "steps trained when measured", low=0),
        "layer": Column("int", "1 is nearest the input; 0 is the whole network", low=0),
        "dose": Column("float", "what the measurement says; missing where there is none", nullable=True),
        "value": Column("float", "missing where it is undefined", nullable=True),
    },
    "timings": {
        "run": REPLICA["run"],
        "phase": Column("str", "data, training, validation, probe or measurement"),
        "seconds": Column("float", "wall-clock seconds", low=0),
        "replica_steps": Column("int", "training steps over all replicas", low=0),
        "device": Column("str", "device and float32 product in use"),
    },
    "jobs": {
        "run": REPLICA["run"],
        "started": Column("str", "when the job that finished the run began, UTC"),
        "seconds": Column("float", "wall-clock seconds of that job", low=0),
        "device": Column("str", "device and float32 product in use; none without data"),
        "threads": Column("int", "CPU threads of the arithmetic", low=1),
        "deterministic": Column("bool", "whether PyTorch was held to deterministic algorithms; a CPU needs no flag"),
        "processor": Column("str", "CPU, or GPU where one was used"),
        "python": Column("str", "version of Python"),
        "torch": Column("str", "version of PyTorch"),
        "numpy": Column("str", "version of NumPy"),
        "code": Column("str", "SHA-256 of the files that training depends on, one's own activation included"),
        "params": Column("str", "SHA-256 of the run's factors and settings"),
    },
    "cost": {
        "activation": FACTORS["activation"],
        "quantity": Column(
            "str",
            "op_forward, op_backward: the activations of a network alone; product: the linear layer on their "
            "output; step: forward, backward and update of the network; inference: a batch; op_share: both ops over "
            "the step; saved_memory: what autograd keeps for the backward pass; step_memory: that, parameters, "
            "gradients and momentum; zero_fraction: of hidden activations; skippable_macs: multiplications by an "
            "exact zero in a forward pass",
        ),
        "unit": Column("str", "ns/element, ms, bytes or fraction"),
        "width": Column("int", "units per layer", low=1),
        "median": Column("float", "median over the pairs, on one CPU thread; a count's value", low=0),
        "ratio_to_relu": Column("float", "median over the pairs of the ratio to ReLU in the same process", low=0),
        "ratio_low": Column("float", "lower end of its 95% interval; missing for a count", nullable=True, low=0),
        "ratio_high": Column("float", "upper end of its 95% interval; missing for a count", nullable=True, low=0),
        "pairs": Column("int", "timed pairs; 0 for a count", low=0),
    },
    "experiments": {
        "experiment": Column("str", "experiment, by its name in the config"),
        "run": REPLICA["run"],
    },
    "activations": {
        "activation": FACTORS["activation"],
        "kind": Column("str", "class, expression or module"),
        "definition": Column("str", "how it is defined"),
        "gain": Column(
            "float",
            "second-moment gain 1/sqrt(E phi(z)^2), z ~ N(0,1); E is also over the random slopes of RReLU, over 128 "
            "seeded draws of random initial parameters, and over units that differ",
        ),
        "chi": Column("float", "chi at that gain and q = 1: growth of the squared gradient norm per layer"),
        "mean": Column("float", "E phi(z)"),
        "slope_max": Column("float", "largest |phi'|"),
        "sigma_w2": Column(
            "float", "weight variance times fan-in at the edge of chaos, q = 1; missing if there is none", nullable=True
        ),
        "sigma_b2": Column("float", "bias variance there", nullable=True),
        "learnable": Column("bool", "whether it has parameters of its own"),
        "stochastic": Column("bool", "whether it is random in training"),
    },
    "portraits": {
        "activation": FACTORS["activation"],
        "x": Column("float", "pre-activation"),
        "value": Column("float", "phi(x) in evaluation mode"),
        "derivative": Column("float", "phi'(x)"),
    },
    "datasets": {
        "dataset": FACTORS["dataset"],
        "status": Column("str", "available or unavailable"),
        "message": Column("str", "why it is unavailable"),
        "samples": Column("int", "samples, test set included", low=0),
        "features": Column("int", "values per sample", low=0),
        "classes": Column("int", "classes", low=0),
        "source": Column("str", "where the data came from"),
        "sha256": Column("str", "of the arrays"),
        "target": _fraction("validation accuracy that counts as reached"),
        "target_reason": Column("str", "why this target"),
    },
    "ledger": {
        "family": Column("str", "claims file; the rows of one are judged together (Holm)"),
        "claims_sha256": Column("str", "of that file"),
        "claim": Column("str", "claim, by its name in the file"),
        "row": Column("str", "one test of the claim"),
        "quote": Column("str", "what the article says"),
        "section": Column("str", "where it says so"),
        "test": Column("str", "what is compared"),
        "type": Column("str", "of the test, as in the file"),
        "experiment": Column("str", "experiment that holds the runs; empty if it needs none"),
        "metric": Column("str", "metric or computation"),
        "unit": Column("str", "of estimate, interval and smallest effect of interest"),
        "verdict": Column(
            "str", "the outcome: of a test by its type's rules, of an exact row that it holds or is wrong"
        ),
        "reason": Column("str", "why this verdict; the computation of an exact row"),
        "estimate": Column("float", "effect, positive as the claim has it; an exact row's number", nullable=True),
        "low": Column("float", "lower end of its 95% interval", nullable=True),
        "high": Column("float", "upper end", nullable=True),
        "clustered_low": Column("float", "lower end, seeds as clusters", nullable=True),
        "clustered_high": Column("float", "upper end", nullable=True),
        "informative_estimate": Column("float", "the estimate over informative cells alone", nullable=True),
        "standardised": Column("float", "effect over the standard deviation of the paired differences", nullable=True),
        "superiority_probability": _fraction("P(A > B) over paired seeds, ties half", nullable=True),
        "p_superior": _fraction("Holm's p-value for an effect in the claimed direction", nullable=True),
        "p_negligible": _fraction("for an effect below the smallest of interest", nullable=True),
        "p_reversed": _fraction("for an effect in the other direction", nullable=True),
        "p_superior_raw": _fraction("p_superior before Holm's correction", nullable=True),
        "n": Column("int", "paired values; timed pairs of a cost", nullable=True, low=0),
        "cells": Column("int", "dataset × condition cells; widths of a cost", nullable=True, low=0),
        "informative_cells": Column(
            "int", "of them, where not every arm is at chance or without the target", nullable=True, low=0
        ),
        "seeds": Column("int", "fewest pairs of a cell", nullable=True, low=0),
        "diverged": Column("int", "diverged networks among them", nullable=True, low=0),
        "threshold": Column("float", "what the estimate is the distance from", nullable=True),
        "smallest": Column("float", "smallest effect of interest, fixed beforehand", nullable=True),
        "smallest_reason": Column("str", "why that"),
        "minimum_detectable": Column("float", "effect that would be found with a power of 80%", nullable=True),
        "seeds_to_settle": Column(
            "int", "seeds that would settle an inconclusive row; of a cost, timed pairs", nullable=True, low=0
        ),
        "known": Column("str", "what is known from elsewhere"),
        "source": Column("str", "where from"),
        "correction": Column("str", "the right statement, where the article's is wrong as written"),
    },
    "ledger_cells": {
        "family": Column("str", "claims file"),
        "row": Column("str", "row of the ledger"),
        "cell": Column("str", "dataset and condition, or a cost's width"),
        "dataset": Column("str", "dataset, by its name in the config; empty for a cost"),
        "estimate": Column("float", "effect in this cell", nullable=True),
        "low": Column("float", "lower end of its 95% interval", nullable=True),
        "high": Column("float", "upper end", nullable=True),
        "n": Column("int", "paired values", low=0),
        "informative": Column("bool", "whether not every arm is at chance or without the target"),
    },
}


def data_dictionary() -> str:
    """Every table and column as Markdown."""
    parts = [f"# Tables (schema version {SCHEMA_VERSION})"]
    for name, columns in TABLES.items():
        parts.append(f"\n## {name}\n\n| column | type | meaning |\n|---|---|---|")
        parts += [
            f"| {c} | {s.type}{', may be missing' if s.nullable else ''} | {s.meaning} |" for c, s in columns.items()
        ]
    return "\n".join(parts) + "\n"
