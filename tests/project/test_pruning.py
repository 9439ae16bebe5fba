"""The pilot of pruning."""

import pytest

import pruning
import study_side
from activation_study.core.factors import Pruning


def _pilot_rows(final, early, diverged=()):
    """Curves of one tuning seed with those accuracies, by rate, at step 4 and 1 of 4."""
    rows = {"runs": [], "curves": []}
    for rate in final:
        lost = rate in diverged
        key = {"role": "tuning", "replicate": 0, "learning_rate": rate}
        row = {"status": "diverged" if lost else "finished", "diverged_step": 1 if lost else None}
        rows["runs"].append(key | row | {"steps_done": 1 if lost else 4, "validation_accuracy": final[rate]})
        for step, accuracy in ((0, 0.1), (1, early[rate]), (4, final[rate]))[: 1 if lost else 3]:
            point = {"step": step, "train_loss": 1.0, "validation_loss": 1 - accuracy, "validation_accuracy": accuracy}
            rows["curves"].append(key | point)
    return rows


def test_the_pilot_says_when_the_rule_would_discard_the_best():
    run = next(iter(study_side.DEFAULT.runs.values()))
    rates = [0.1, 0.2, 0.3, 0.4]
    run = type(run)(
        run.factors.model_copy(update={"steps": 4}), run.settings.model_copy(update={"learning_rates": tuple(rates)})
    )
    final = dict(zip(rates, (0.5, 0.6, 0.7, 0.1), strict=True))
    for early, kept, changed, rank in (
        ((0.3, 0.4, 0.2, 0.1), [0.1, 0.2], True, 3),
        ((0.3, 0.2, 0.4, 0.1), [0.1, 0.3], False, 1),
    ):
        rows = _pilot_rows(final, dict(zip(rates, early, strict=True)), diverged=(0.4,))
        found = pruning.comparison(run, rows, 10, Pruning(after=0.25, keep=2))
        assert (found["kept"], found["changed"], found["early_rank_of_best"]) == (kept, changed, rank)
        assert found["best"] == 0.3
        assert found["accuracy_lost"] == pytest.approx(0.1 if changed else 0)
        assert (found["diverged"], found["steps_of_diverged"], found["replica_steps"]) == (1, 3, 16)


def test_the_pilot_is_unpruned_on_seeds_of_its_own_and_part_of_the_core():
    runs = pruning.pilot(study_side.DEFAULT.config).runs
    core = {run.id: run for run in study_side.DEFAULT.runs.values()}
    assert len(runs) == len(pruning.ACTIVATIONS) * len(pruning.DATASETS) * len(pruning.DEPTHS)
    for run in runs.values():
        twin = core[run.id.replace("seed_stream=pilot,", "")]
        assert run.settings.pruning.keep >= len(run.settings.learning_rates)
        different = {"pruning", "evaluation_seeds", "measure"}
        assert run.settings.model_dump(exclude=different) == twin.settings.model_dump(exclude=different)


def test_savings_count_what_experiments_share():
    found = pruning.savings(study_side.DEFAULT)
    assert found["runs"] == len(study_side.DEFAULT.runs) < found["runs_asked_for"]
    assert found["replica_steps"] < found["without_pruning"] < found["without_either"]
    assert found["replica_steps"] < found["without_sharing"] < found["without_either"]
