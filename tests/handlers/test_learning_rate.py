"""Learning-rate schedules, held against torch's."""

import math
from itertools import pairwise

import pytest
import torch
from ignite.engine import Events
from torch.optim import lr_scheduler

from firebox.handlers.learning_rate import OneCycle, PiecewiseLinear
from tests.handlers.runs import begun, configured, ended, rows_of, stopped, trained

LR = 0.002
STILL = {"name": "sgd", "lr": 1e-6}


def rates(run):
    """Returns the learning rate of every iteration."""
    return [row["learning_rate"] for row in rows_of(run) if row["split"] == "train"]


def scheduled(folder, handlers=None, **settings):
    return configured(folder, {"loss_log": {}, **(handlers or {})}, scheduler=settings)


def of_torch(make, steps=18):
    """Returns the values of a schedule of torch's."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=LR)
    scheduler = make(optimizer)
    values = []
    for _ in range(steps):
        values.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return values


@pytest.mark.parametrize(
    ("settings", "make"),
    [
        (
            {"name": "one_cycle", "max_lr": 0.01},
            lambda optimizer: lr_scheduler.OneCycleLR(optimizer, 0.01, total_steps=19, cycle_momentum=False),
        ),
        ({"name": "cosine"}, lambda optimizer: lr_scheduler.CosineAnnealingLR(optimizer, T_max=18)),
        (
            {"name": "cosine", "final_lr": 0.001},
            lambda optimizer: lr_scheduler.CosineAnnealingLR(optimizer, T_max=18, eta_min=0.001),
        ),
        (
            {"name": "step", "every": "4 iterations", "gamma": 0.5},
            lambda optimizer: lr_scheduler.StepLR(optimizer, step_size=4, gamma=0.5),
        ),
    ],
)
def test_a_run_has_the_rates_of_torchs_schedule(tmp_path, settings, make):
    if settings["name"] == "one_cycle":
        # torch refuses the step after the last, so its cycle is asked for the run's own steps only.
        expected = of_torch(lambda optimizer: lr_scheduler.OneCycleLR(optimizer, 0.01, total_steps=18), 17)
    else:
        expected = of_torch(make)
    assert rates(trained(scheduled(tmp_path, **settings)))[: len(expected)] == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("total", [1, 2, 3, 10, 500])
@pytest.mark.parametrize("pct_start", [0.05, 0.3, 0.9])
def test_one_cycle_is_torchs_over_any_number_of_steps(total, pct_start):
    schedule = OneCycle(max_lr=0.5, pct_start=pct_start, div_factor=10.0, final_div_factor=100.0)
    schedule.total = total
    values = [schedule.rate(step, LR) for step in range(total)]

    assert all(math.isfinite(value) and 0 < value <= 0.5 for value in values)
    if pct_start * total > 1:
        expected = of_torch(
            lambda optimizer: lr_scheduler.OneCycleLR(
                optimizer, 0.5, total_steps=total, pct_start=pct_start, div_factor=10.0, final_div_factor=100.0
            ),
            total - 1,
        )
        assert values[:-1] == pytest.approx(expected, rel=1e-9)
    if total > 1:
        assert values[-1] == pytest.approx(0.5 / 10 / 100)


def test_a_warm_up_rises_in_a_line_to_the_optimizers_rate(tmp_path):
    values = rates(trained(scheduled(tmp_path, name="cosine", warmup="4 iterations")))

    assert values[:5] == pytest.approx([LR / 4, LR / 2, LR * 3 / 4, LR, LR])
    assert all(later < earlier for earlier, later in pairwise(values[4:]))
    assert values[-1] == pytest.approx(LR / 2 * (1 + math.cos(math.pi * 13 / 14)))


def test_milestones_are_joined_by_lines(tmp_path):
    milestones = [[0, 0.1], [1, 0.4], [1.5, 0.0]]
    values = rates(trained(scheduled(tmp_path, name="piecewise_linear", milestones=milestones)))

    assert values[:10] == pytest.approx([0.1 + 0.3 * step / 9 for step in range(10)])
    assert values[13] == pytest.approx(0.4 * (1 - 8 / 9))
    assert values[14:] == [0.0] * 4


@pytest.mark.parametrize("milestones", [[], [(1.0, 0.1), (1.0, 0.2)], [(2.0, 0.1), (1.0, 0.2)]])
def test_milestones_out_of_order_are_refused(milestones):
    with pytest.raises(ValueError, match="expected at least one, each later than the one before"):
        PiecewiseLinear(milestones=milestones)


@pytest.mark.parametrize(
    "settings",
    [
        {"name": "one_cycle", "max_lr": 0.01},
        {"name": "cosine", "warmup": "4 iterations"},
        {"name": "step", "every": "4 iterations"},
        {"name": "piecewise_linear", "milestones": [[0, 0.1], [2, 0.0]]},
        {"name": "reduce_on_plateau", "patience": 0, "factor": 0.5},
    ],
)
def test_a_resumed_run_has_the_rates_of_the_uninterrupted_run(tmp_path, settings):
    handlers = {"loss_log": {}, "checkpoint": {}, "evaluation": {"every": "3 iterations", "test": False}}
    sections = {"scheduler": settings, "optimizer": STILL if settings["name"] == "reduce_on_plateau" else {}}
    reference = trained(configured(tmp_path / "reference", handlers, **sections))
    configuration = configured(tmp_path / "resumed", handlers, **sections)
    stopped(configuration, 7)
    stopped(configuration, 9)

    assert rates(trained(configuration)) == rates(reference)


def test_every_optimizer_and_every_group_is_set_from_its_own_rate(tmp_path):
    run = begun(configured(tmp_path, {}, scheduler={"name": "step", "every": "9 iterations", "gamma": 0.5}))
    optimizer = torch.optim.SGD(
        [{"params": [torch.nn.Parameter(torch.zeros(1))], "lr": lr} for lr in (1.0, 0.1)], lr=1.0
    )
    run.update.optimizers = {**run.update.optimizers, "second": optimizer}
    run.handlers["step"].attach(run)
    ended(run)

    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([0.5, 0.05])
    assert run.update.optimizers["main"].param_groups[0]["lr"] == pytest.approx(LR / 2)


def test_a_plateau_lowers_the_rate_once_and_no_further_than_its_end(tmp_path):
    settings = {"name": "reduce_on_plateau", "patience": 0, "min_lr": 5e-8}
    handlers = {"loss_log": {}, "evaluation": {"every": "3 iterations", "test": False}}
    run = trained(configured(tmp_path, handlers, scheduler=settings, optimizer=STILL))

    # At this rate no evaluation is better than the first.
    assert rates(run)[:6] == pytest.approx([1e-6] * 6)
    assert rates(run)[6:9] == pytest.approx([1e-7] * 3)
    assert rates(run)[9:] == pytest.approx([5e-8] * 9)


def test_the_rate_is_set_before_the_iteration_that_it_is_logged_with(tmp_path):
    run = begun(scheduled(tmp_path, name="one_cycle", max_lr=0.01))
    seen = []
    groups = run.update.optimizers["main"].param_groups
    run.trainer.add_event_handler(Events.ITERATION_COMPLETED, lambda: seen.append(groups[0]["lr"]))

    assert rates(ended(run)) == seen
