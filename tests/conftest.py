"""What the tests share."""

import pytest
import torch

torch.set_num_threads(1)


@pytest.fixture
def unchecked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tables are read without the checks of what they hold: what comes after must be safe by itself."""
    from activation_study import checked_tables

    monkeypatch.setattr(checked_tables, "_held", lambda name, table, path: table.to_pandas())
