"""The path of the weights during training, against the whole walk."""

import math

import numpy as np
import pytest
import torch

from activation_study.quantities.measures.trajectory import Path
from activation_study.training.optimisers import Optimiser
from stacks import samples_of, unsettled


def _walked(points):
    """points: [steps + 1][R, P]."""
    path = Path([points[0]])
    for point in points[1:]:
        path.step([point])
    return path


def test_a_straight_line_and_a_circle():
    line = [torch.tensor([[1.0, 2.0], [0.5, 0.0]], dtype=torch.float64) * t for t in range(6)]
    path = _walked(line)
    np.testing.assert_allclose(path.tortuosity(), 1, rtol=1e-12)
    np.testing.assert_allclose(path.step_cosine(), 1, rtol=1e-12)
    angles = [math.pi * k / 50 for k in range(51)]  # half a circle
    path = _walked([torch.tensor([[math.cos(a), math.sin(a)]], dtype=torch.float64) for a in angles])
    assert path.tortuosity().item() == pytest.approx(50 * math.sin(math.pi / 100))
    assert path.step_cosine().item() == pytest.approx(math.cos(math.pi / 50))


def test_paths_that_rest_turn_back_or_close():
    places = torch.tensor([[0, 0, 0, 0], [0, 1, 1, 1], [0, 2, 1, 2], [0, 1, 2, 3], [0, 0, 2, 3]]).double()
    path = _walked(list(places.unsqueeze(2)))  # at rest; there and back; a pause between two steps; one at the end
    np.testing.assert_array_equal(path.tortuosity(), [np.nan, np.inf, 1, 1])
    np.testing.assert_array_equal(path.step_cosine(), [np.nan, 1 / 3, np.nan, 1])
    assert _walked(list(places[:2].unsqueeze(2))).step_cosine().isnan().all(), "one step has no next one"


@pytest.mark.parametrize(("dtype", "rtol"), [(torch.float32, 1e-5), (torch.float64, 1e-11)])
def test_the_path_of_a_training(dtype, rtol):
    """Against the stored way of each network, with a break and a replica that leaves."""
    network = unsettled("prelu", normalisation="batch", dtype=dtype)
    rule = Optimiser("momentum", network.parameters, torch.tensor([0.01, 0.1, 0.3]))
    path, whole = Path(network.parameters), Path(network.parameters)
    inputs, labels = samples_of(dtype=dtype)

    def here():
        return np.concatenate([p.double().flatten(1).numpy() for p in network.parameters], 1)

    way = [here()]
    for step in range(12):
        rule.begin_step()
        network.loss_and_gradients(inputs, labels, rule.update)
        rule.end_step()
        way.append(here())
        whole.step(network.parameters)
        path.step(network.parameters)
        if step == 5:
            saved = [tensor.clone() for tensor in path.state]
            path = Path(network.parameters)
            path.load(saved)
    way = np.stack(way)
    assert way.shape[2] == network.parameter_count
    updates = np.diff(way, axis=0)
    norms = np.linalg.norm(updates, axis=2)
    cosines = (updates[1:] * updates[:-1]).sum(2) / norms[1:] / norms[:-1]
    np.testing.assert_allclose(path.step_cosine(), cosines.mean(0), rtol=rtol)
    want = norms.sum(0) / np.linalg.norm(way[-1] - way[0], axis=1)
    np.testing.assert_allclose(path.tortuosity(), want, rtol=rtol)
    for mine, theirs in zip(path.state, whole.state, strict=True):
        assert torch.equal(mine, theirs)

    rest = Path([tensor[[2, 0]] for tensor in path.state[:1]])
    rest.load([tensor[[2, 0]] for tensor in path.state])
    moved = [p[[2, 0]] + 0.1 for p in network.parameters]
    rest.step(moved)
    path.step([p + 0.1 for p in network.parameters])
    assert torch.equal(rest.tortuosity(), path.tortuosity()[[2, 0]])
    assert torch.equal(rest.step_cosine(), path.step_cosine()[[2, 0]])
    assert not torch.equal(whole.tortuosity(), path.tortuosity()), "paths share no memory"


def test_a_replica_that_is_lost_does_not_touch_the_paths_of_others():
    points = list(torch.randn(5, 2, 7, generator=torch.Generator().manual_seed(0)))
    fine = _walked(points)
    points[3][1] = torch.nan
    found = _walked(points)
    assert torch.equal(found.tortuosity()[0], fine.tortuosity()[0])
    assert torch.equal(found.step_cosine()[0], fine.step_cosine()[0])
    assert found.tortuosity()[1].isnan()
