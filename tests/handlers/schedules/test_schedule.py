"""Learning-rate schedules, held against torch's."""

import pytest
import torch
from ignite.engine import Events
from torch.optim import lr_scheduler

from tests.handlers.runs import begun, configured, ended, stopped, trained
from tests.handlers.schedules.rates import LR, STILL, of_torch, rates, scheduled


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
        (
            {"name": "polynomial", "power": 2.0},
            lambda optimizer: lr_scheduler.PolynomialLR(optimizer, total_iters=18, power=2.0),
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


@pytest.mark.parametrize(
    "settings",
    [
        {"name": "one_cycle", "max_lr": 0.01},
        {"name": "cosine", "warmup": "4 iterations"},
        {"name": "step", "every": "4 iterations"},
        {"name": "warmup", "duration": "8 iterations", "schedule": {"name": "polynomial", "final_lr": 1e-4}},
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


def test_the_rate_is_set_before_the_iteration_that_it_is_logged_with(tmp_path):
    run = begun(scheduled(tmp_path, name="one_cycle", max_lr=0.01))
    seen = []
    groups = run.update.optimizers["main"].param_groups
    run.trainer.add_event_handler(Events.ITERATION_COMPLETED, lambda: seen.append(groups[0]["lr"]))

    assert rates(ended(run)) == seen
