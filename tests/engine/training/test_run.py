"""Who may change a run."""

from dataclasses import FrozenInstanceError

import pytest
import torch

from tests.handlers.runs import begun, configured, ended


def test_what_a_run_is_made_of_and_what_it_knows_can_not_be_replaced_from_outside(tmp_path):
    run = begun(configured(tmp_path, {}))
    for name in ("model", "update", "metrics", "finished", "averaged_model", "directory", "resumed_at"):
        # Python 3.11 has a TypeError for what is no field of a frozen dataclass with slots.
        with pytest.raises((FrozenInstanceError, AttributeError, TypeError)):
            setattr(run, name, None)
    with pytest.raises(TypeError):
        run.metrics["validation/loss"] = 0.0
    ended(run)


def test_an_evaluation_of_the_validation_split_makes_due_what_acts_after_it(tmp_path):
    run = begun(configured(tmp_path, {}))
    run.trainer.state.iteration = 5
    run.record_evaluation("test", {"loss": torch.tensor(0.25)})
    assert not run.evaluated
    run.record_evaluation("validation", {"loss": 0.5, "confusion_matrix": torch.ones(2, 2)})
    assert run.evaluated
    assert run.dispatcher.evaluated_at == 5
    assert run.metrics == {"test/loss": 0.25, "validation/loss": 0.5}
    assert list(run.tables) == ["validation/confusion_matrix"]
    run.trainer.state.iteration = 6
    assert not run.evaluated
    run.finish_early("not trained")
    ended(run)
