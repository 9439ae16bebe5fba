"""What the ledger's job writes beside its tables: the study's checks on itself, with a second study's verdicts."""

from pathlib import Path

import pytest
import yaml

import small
from activation_study.core import files
from activation_study.core.errors import StudyError
from activation_study.jobs.judge import READ, judge_claims
from activation_study.study import receipts
from activation_study.study.study import Study
from synthetic import SMALL, write_tables

CLAIMS = {
    "claims": [
        {
            "id": "C",
            "quote": "tanh beats ReLU.",
            "rows": [
                {"test": "accuracy", "type": "difference", "experiment": "core", "metric": "test_accuracy",
                 "arms": [{"activation": "tanh"}, {"activation": "relu"}], "smallest": 0.01, "reason": "a point"}
            ],
        }
    ]
}  # fmt: skip
KEYS = {
    "aa_alarms", "aa_tests", "power_at_1_5_smallest", "power_of_accuracy", "power_of_time", "verdicts_same_share",
    "verdicts_reversed", "verdicts_second", "rows_undone_by_one_seed", "diverged", "networks",
}  # fmt: skip

pytestmark = pytest.mark.slow


@pytest.fixture
def judged(tmp_path, monkeypatch):
    """Judges a study of that name in the working directory; what it then says of itself."""
    monkeypatch.chdir(tmp_path)
    Path("mine.yaml").write_text(yaml.safe_dump(CLAIMS), encoding="utf-8")

    def judge(name, other=None, claims=("mine.yaml",)):
        core = small.CONFIG["experiments"]["core"] | {"activation": ["relu", "tanh"]}
        study = Study.from_config(
            small.config(study=name, compare=other, claims=list(claims), experiments={"core": core})
        )
        folder = Path(study.validity_file).parent
        write_tables(folder, SMALL, leave_out=("ledger", "ledger_cells", "validity"))
        outputs = {table: study.table_file(table) for table in ("ledger", "ledger_cells")}
        judge_claims(
            study, {table: study.table_file(table) for table in READ}, outputs | {"validity": study.validity_file}
        )
        said = files.read_json(study.validity_file)
        assert said.pop(files.MADE_BY) == receipts.of_validity(study, {})
        assert said.keys() == KEYS
        return study, said

    return judge


def test_it_says_what_it_can_and_null_where_nothing_is_known(judged):
    _, said = judged("alone")
    assert said["networks"] > said["diverged"] > 0
    assert said["rows_undone_by_one_seed"] == 0
    unknown = {key for key, value in said.items() if value is None}
    assert unknown == KEYS - {"networks", "diverged", "rows_undone_by_one_seed", "verdicts_second"}
    assert said["verdicts_second"] == {}
    _, without = judged("without", claims=())
    assert without["rows_undone_by_one_seed"] is None


def test_verdicts_are_compared_once_the_other_study_has_some(judged):
    study, said = judged("first", "second")
    assert said["verdicts_same_share"] is None
    before = receipts.of_validity(study, {})
    judged("second")
    assert receipts.of_validity(study, {}) != before, "and it is made again"
    _, said = judged("first", "second")
    assert (said["verdicts_same_share"], said["verdicts_reversed"]) == (1.0, 0)
    Path("results/second/tables/ledger.parquet").write_bytes(b"damaged")
    with pytest.raises(StudyError, match=r"results/second/tables/ledger\.parquet"):
        judged("first", "second")
