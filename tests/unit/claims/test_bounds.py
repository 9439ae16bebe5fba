"""Effects on times that not every network reached."""

import pandas as pd
import pytest

from activation_study.claims.bounds import bound


def _arm(*reached):
    return pd.DataFrame({"reached": pd.Series(reached, dtype="object")})


@pytest.mark.parametrize(
    ("arms", "weights", "said"),
    [
        ([_arm(True, True), _arm(True)], [1, -1], ""),
        ([_arm(True, False), _arm(True, True)], [1, -1], "a lower bound: 1 of 4 networks"),
        ([_arm(True, None), _arm(True, True)], [-0.5, 0.5], "an upper bound: 1 of 4 networks"),
        ([_arm(False), _arm(False)], [1, -1], "an estimate within the budget: 2 of 2 networks"),
        ([_arm(False), _arm(True), _arm(True)], [0, 1, -1], ""),
    ],
)
def test_which_side_the_truth_lies_on(arms, weights, said):
    found = bound(arms, weights)
    assert found.startswith(said)
    assert bool(found) == bool(said)
