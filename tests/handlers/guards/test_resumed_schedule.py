"""A resumed run whose learning rate jumps because of another number of epochs says so, and how to keep it."""

import logging

import pytest

from firebox.engine.checks.report import preflight
from firebox.engine.launch import launch
from firebox.engine.launch.admission import Request, configure
from firebox.foundation.exit_codes import COMPLETED
from firebox.trainers.train_cae_baseline import TRAINER
from tests import ways_out
from tests.handlers.runs import configured, rows_of, stopped, trained

HANDLERS = {"evaluation": {}, "loss_log": {"every": "1 iterations"}, "checkpoint": {"every": "4 iterations"}}
ONE_CYCLE = {"name": "one_cycle", "max_lr": 0.01}
SPANNING = [ONE_CYCLE, {"name": "cosine"}, {"name": "cosine", "warmup": "5 iterations"}]
LOCAL = [
    {"name": "step", "every": "1 epoch", "gamma": 0.1},
    {"name": "piecewise_linear", "milestones": [[0, 0.01], [1, 0.001]]},
    {"name": "reduce_on_plateau"},
]


@pytest.fixture(autouse=True)
def captured(caplog):
    caplog.set_level(logging.INFO, logger="firebox")


def finished(folder, scheduler):
    return trained(configured(folder, HANDLERS, scheduler=scheduler))


def warnings(caplog, run, *assignments, epochs=4, allowed=("training.epochs",)):
    caplog.clear()
    request = Request(
        TRAINER,
        None,
        [f"training.epochs={epochs}", *assignments],
        resume=str(run.directory.path),
        allowed_changes=allowed,
    )
    configuration, directory = configure(request)
    preflight(configuration, TRAINER, directory)
    return [
        record.getMessage()
        for record in caplog.records
        if record.levelno == logging.WARNING and record.getMessage().startswith("scheduler: ")
    ]


def resumed(run, *assignments, allowed=("training.epochs",)):
    request = Request(TRAINER, None, assignments, resume=str(run.directory.path), allowed_changes=allowed)
    assert launch.launch(request) == COMPLETED
    return {row["iteration"]: row["learning_rate"] for row in rows_of(run) if row["split"] == "train"}


def test_the_rate_before_and_after_is_said_where_a_completed_cycle_is_extended(tmp_path, caplog):
    run = finished(tmp_path, ONE_CYCLE)
    (message,) = warnings(caplog, run)
    rates = resumed(run, "training.epochs=4")
    assert rates[18] < 1e-7
    assert rates[19] > 1e-3
    assert (
        f"the learning rate is {rates[19]:.3g} at iteration 19, after {rates[18]:.3g} at the end of epoch 2" in message
    )
    assert "one_cycle spans the whole run, now 4 epochs" in message


def test_the_way_out_keeps_the_rate(tmp_path, caplog):
    run = finished(tmp_path, ONE_CYCLE)
    (message,) = warnings(caplog, run)
    (_, assignment), (_, key) = ways_out.options(message)
    given = "training.epochs=4", assignment
    allowed = ["training.epochs", key]
    assert warnings(caplog, run, assignment, allowed=allowed) == []
    rates = resumed(run, *given, allowed=allowed)
    assert [rates[iteration] for iteration in range(19, 37)] == [rates[18]] * 18


@pytest.mark.parametrize("scheduler", SPANNING, ids=str)
def test_an_interrupted_run_says_what_the_shorter_one_would_have_had(tmp_path, caplog, scheduler):
    configuration = configured(tmp_path / "stopped", HANDLERS, scheduler=scheduler)
    run = stopped(configuration, iteration=10)
    whole = finished(tmp_path / "whole", scheduler)
    expected = {row["iteration"]: row["learning_rate"] for row in rows_of(whole) if row["split"] == "train"}
    (message,) = warnings(caplog, run)
    rates = resumed(run, "training.epochs=4")
    iteration = run.iteration + 1
    assert (
        f"is {rates[iteration]:.3g} at iteration {iteration}, where a run of 2 epochs has {expected[iteration]:.3g}"
        in message
    )


@pytest.mark.parametrize("scheduler", LOCAL, ids=str)
def test_a_schedule_that_the_length_of_the_run_is_nothing_to_is_silent(tmp_path, caplog, scheduler):
    run = finished(tmp_path / "completed", scheduler)
    assert warnings(caplog, run) == []
    assert (
        warnings(caplog, stopped(configured(tmp_path / "stopped", HANDLERS, scheduler=scheduler), iteration=10)) == []
    )


def test_the_same_length_is_silent(tmp_path, caplog):
    run = stopped(configured(tmp_path, HANDLERS, scheduler=ONE_CYCLE), iteration=10)
    assert warnings(caplog, run, epochs=2) == []
