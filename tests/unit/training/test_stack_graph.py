"""A stack's step is one that a CUDA graph can hold; what of that can be seen without a GPU."""

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode, unset_fake_temporarily
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten

import mixed
from activation_study.networks import noise
from activation_study.networks.closed_forms import forget_scratch
from activation_study.training import batches
from activation_study.training import stack as stacks
from activation_study.training.stack import Stack

VIEWS = {"view", "slice", "select", "unsqueeze", "squeeze", "transpose", "expand", "detach", "alias", "t", "unbind"}


class _Log(TorchDispatchMode):
    """Every operation with its arguments, tensors by their shape and device."""

    def __init__(self):
        super().__init__()
        self.calls = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        given, _ = tree_flatten((args, kwargs or {}))
        plain = [(tuple(a.shape), a.device) if isinstance(a, torch.Tensor) else a for a in given]
        self.calls.append((func.overloadpacket.__name__, repr(plain)))
        return func(*args, **(kwargs or {}))

    @property
    def launches(self):
        return [name for name, _ in self.calls if name not in VIEWS]


def _stack(groups, slots=64):
    for group in groups:
        group.start()
    stack = Stack(groups, slots)
    stack._upload(0)
    stack.step()  # allocates what stays
    return stack


def _logged(stack):
    with _Log() as log:
        stack.step()
    return log


KINDS = pytest.mark.parametrize("kind", ["sgd", "momentum", "adam"])
EVERY_KERNEL = ("relu", "rrelu", "rrelu_paper", "prelu", "prelu_per_unit", "elu", "gelu", "mish", "shifted_relu")


@pytest.mark.slow
@pytest.mark.parametrize("normalisation", ["none", "batch", "noisy_batch"])
@KINDS
def test_every_step_is_the_same_program(kind, normalisation):
    """The same operations with the same shapes and numbers: a graph would repeat what it has recorded."""
    stack = _stack(mixed.groups(EVERY_KERNEL, optimiser=kind, normalisation=normalisation))
    stack.optimiser.clip = 0.5
    first, second = _logged(stack), _logged(stack)
    assert first.calls == second.calls


@pytest.mark.slow
@pytest.mark.parametrize("normalisation", ["none", "batch", "noisy_batch"])
@KINDS
def test_no_step_waits_for_the_device_or_leaves_it(kind, normalisation):
    """`lift_fresh` is a tensor made of Python's numbers, which has to be brought there."""
    stack = _stack(mixed.groups(EVERY_KERNEL, optimiser=kind, normalisation=normalisation))
    names = set(_logged(stack).launches)
    assert not names & {"_local_scalar_dense", "item", "nonzero", "is_nonzero", "_to_cpu", "equal", "lift_fresh"}


@KINDS
def test_a_step_stays_on_its_memory(kind):
    stack = _stack(mixed.groups(["relu", "prelu"], optimiser=kind, normalisation="batch"), 8)

    def places():
        network = stack.network
        held = [*stack.state, *network.inputs, network.starts, network.gradients, stack._batches, stack._batch]
        held += [p for kernel in network.kernels for _, one in kernel._kernels for p in one.parameters.values()]
        return [tensor.data_ptr() for tensor in [*held, stack.rates, stack._starts]]

    before, values = places(), [tensor.clone() for tensor in stack.state]
    for _ in range(2):
        stack.step()
    assert places() == before
    changed = [not torch.equal(old, new) for old, new in zip(values, stack.state, strict=True)]
    assert all(changed), "what does not change need not be kept"


def test_launches_depend_on_the_depth_and_the_kernels_not_on_the_replicas():
    def launches(groups):
        return len(_logged(_stack(groups)).launches)

    one = launches([mixed.group("relu")])
    assert launches([mixed.group("relu", rates=[0.01] * 20)]) == one
    # A dataset's own: its samples, the first layer's product and that of its gradient.
    assert launches(mixed.groups(["relu"])) == one + 3
    # An activation forward and backward in both layers.
    assert launches([mixed.group("relu"), mixed.group("tanh")]) == one + 3 + 4
    per_layer = launches([mixed.group("relu", depth=3)]) - one
    assert per_layer <= 8, f"{one} launches a step, {per_layer} more for each layer"


def _on_fake_gpu(monkeypatch):
    """Where there is no GPU: tensors without values that know their device, and refuse those of another one.

    Whatever is read back from the device is one, or true.
    """

    def ones(self):
        with unset_fake_temporarily():
            return torch.ones(self.shape, dtype=self.dtype).numpy().tolist()

    def moved(self, device, dtype):
        for name, parameter in list(self.named_parameters(recurse=False)):
            setattr(self, name, torch.nn.Parameter(parameter.detach().to(device, dtype)))
        return self

    monkeypatch.setattr(FakeTensor, "tolist", ones)
    monkeypatch.setattr(torch.nn.Module, "to", moved)  # else it swaps parameters in place
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: None)
    monkeypatch.setattr(stacks, "recorded", lambda step, state: step)


@pytest.fixture
def _own_buffers():
    yield
    forget_scratch()
    noise._pool.cache_clear()
    batches._ON_DEVICE.clear()


@pytest.mark.slow
@pytest.mark.usefixtures("_own_buffers")
@pytest.mark.parametrize(("kind", "normalisation"), [("sgd", "none"), ("momentum", "batch"), ("adam", "noisy_batch")])
def test_nothing_is_left_behind_on_the_cpu(monkeypatch, kind, normalisation):
    """Groups alone, in a stack, at probes and when scored. Autograd asks for a real GPU, so no expression is here."""
    names = [name for name in EVERY_KERNEL if name != "shifted_relu"]
    plan = mixed.Plan([0, 1, 3], frozenset([0, 3]), 16)
    for features in mixed.FEATURES:
        for place in range(2):
            mixed.split(features, 10 * features + place)
    for name in names:
        mixed.activation(name)
    _on_fake_gpu(monkeypatch)
    monkeypatch.setattr("activation_study.quantities.probe.some", lambda mask: True)  # so both of its ways are taken
    factors = {"optimiser": kind, "normalisation": normalisation, "dtype": torch.float32, "device": "cuda"}
    with FakeTensorMode(allow_non_fake_inputs=True):
        groups = mixed.groups(names, plan=plan, **factors)
        groups[4].train(1)
        groups[4].score()
        groups = [group for place, group in enumerate(groups) if place % 3 == 0]
        for group in groups:
            group.start()
        stack = Stack(groups, 64)
        stack.optimiser.clip = 0.5
        stack.train(3, lambda group: None)
        assert all(group.step == 3 for group in groups)
        with pytest.raises(Exception, match=r"device|cpu"):
            stack.network.flat.add_(torch.zeros(stack.network.flat.shape))
    assert not torch.cuda.is_initialized()
