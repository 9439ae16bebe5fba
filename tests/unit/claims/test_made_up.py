"""The made-up tables are such as a study writes."""

import pyarrow as pa
import pytest

from activation_study.study.config import ROOT
from activation_study.study.study import Study
from activation_study.tables import parquet
from made_up import made_up_tables

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def made_up():
    return made_up_tables(Study.from_file(ROOT / "config.yaml"))


@pytest.mark.parametrize("name", ["runs", "curves", "layers", "measurements", "cost", "experiments"])
def test_the_made_up_tables_are_valid(made_up, name):
    parquet.validate(name, pa.Table.from_pandas(made_up[name], preserve_index=False))
