"""A step as a CUDA graph: recorded once, then started as a whole instead of kernel by kernel."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from activation_study.networks.closed_forms import forget_scratch

WARM_UP = 3
"""Steps before the recording, in which libraries choose their kernels and take their memory."""


def recorded(step: Callable[[], None], state: Sequence[Tensor]) -> Callable[[], None]:
    """What does the same as ``step``, which only works on memory that stays; on a CPU ``step`` itself.

    Args:
        state: all tensors that a step changes and the next one reads; they are as they were afterwards.
    """
    if state[0].device.type != "cuda":
        return step
    before = [tensor.clone() for tensor in state]
    aside = torch.cuda.Stream()
    aside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(aside):
        for _ in range(WARM_UP):
            step()
    torch.cuda.current_stream().wait_stream(aside)
    for tensor, value in zip(state, before, strict=True):
        tensor.copy_(value)
    forget_scratch()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    forget_scratch()
    return graph.replay
