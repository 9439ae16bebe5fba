"""What the tests share."""

import gc
from collections.abc import Iterator

import pytest

import products
from chrome import chromium

__all__ = ["chromium"]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--medium",
        choices=products.KINDS,
        help="what the float32 product of precision 'medium' is taken to be; left out: what this processor makes of it",
    )


@pytest.fixture(scope="module")
def frozen_garbage() -> Iterator[None]:
    """`multipletests` of statsmodels collects garbage at every call, which takes long among so many modules."""
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(scope="session", autouse=True)
def _medium(request: pytest.FixtureRequest) -> Iterator[None]:
    """Every test of this process on one thread, and on a processor of the other kind.

    PyTorch is imported here, as the process that hands the tests to others needs none.
    """
    import torch

    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        if kind := request.config.getoption("--medium"):
            products.simulate(patch, kind)
        yield


@pytest.fixture
def unchecked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tables are read without the checks of what they hold: what comes after must be safe by itself."""
    from activation_study.tables import checked

    monkeypatch.setattr(checked, "_held", lambda name, table, path, spec: table.to_pandas())
