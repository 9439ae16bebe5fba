"""What the tests share."""

from collections.abc import Iterator

import pytest
import torch

import products

torch.set_num_threads(1)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--medium",
        choices=products.KINDS,
        help="what the float32 product of precision 'medium' is taken to be; left out: what this processor makes of it",
    )


@pytest.fixture(scope="session", autouse=True)
def _medium(request: pytest.FixtureRequest) -> Iterator[None]:
    """Every test of this process on a processor of the other kind."""
    with pytest.MonkeyPatch.context() as patch:
        if kind := request.config.getoption("--medium"):
            products.simulate(patch, kind)
        yield


@pytest.fixture
def unchecked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tables are read without the checks of what they hold: what comes after must be safe by itself."""
    from activation_study import checked_tables

    monkeypatch.setattr(checked_tables, "_held", lambda name, table, path: table.to_pandas())
