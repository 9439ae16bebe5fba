"""Fixtures of the tests of claims."""

import numpy as np
import pytest
import yaml


@pytest.fixture
def rng():
    return np.random.default_rng(5)


@pytest.fixture
def written(tmp_path):
    """Write a claims file with these rows of one claim, C1, and return its path."""

    def write(*rows, **claim):
        path = tmp_path / "mine.yaml"
        path.write_text(yaml.safe_dump({"claims": [{"id": "C1", "quote": "a is better", "rows": list(rows), **claim}]}))
        return path

    return write
