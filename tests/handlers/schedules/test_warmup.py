"""A warm-up in front of another schedule."""

import pytest

from firebox.engine.checks.report import preflight
from firebox.foundation.problems import Refusal
from firebox.handlers.schedules.reduce_on_plateau import ReduceOnPlateau
from firebox.handlers.schedules.warmup import Warmup
from firebox.trainers.train_cae_baseline import TRAINER
from tests.handlers.runs import trained
from tests.handlers.schedules.rates import LR, rates, scheduled


def test_a_warm_up_rises_to_the_other_schedule_which_goes_on_alone(tmp_path):
    other = {"name": "step", "every": "6 iterations", "gamma": 0.5}
    values = rates(trained(scheduled(tmp_path / "warm", name="warmup", duration="4 iterations", schedule=other)))
    alone = rates(trained(scheduled(tmp_path / "alone", **other)))

    assert values[:4] == pytest.approx([LR / 4, LR / 2, LR * 3 / 4, LR])
    assert values[4:] == alone[4:]
    assert values[:3] != alone[:3]


def test_what_does_not_fit_is_refused(tmp_path):
    with pytest.raises(ValueError, match="got ReduceOnPlateau, expected one that is a function of the iteration"):
        Warmup(schedule=ReduceOnPlateau())
    late = {"name": "piecewise_linear", "milestones": [[0, 0.1], [3, 0.0]]}
    with pytest.raises(Refusal) as refused:
        preflight(scheduled(tmp_path, name="warmup", duration="2 epochs", schedule=late), TRAINER)
    assert {problem.key for problem in refused.value.problems} == {"scheduler.schedule", "scheduler.duration"}
