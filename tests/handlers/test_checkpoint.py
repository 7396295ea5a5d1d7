"""Which checkpoints there are, and when."""

import json
import math

import pytest
import torch

from firebox.engine.records import checkpoints
from firebox.engine.records.checkpoints import SaveError
from tests.handlers.runs import begun, configured, ended, stopped, trained

HANDLERS = {"evaluation": {"every": "3 iterations", "test": False}}


def kept(run):
    return checkpoints.iterations_in(run.directory.checkpoints)


def saving(folder, handlers=None, **settings):
    return configured(folder, {**(HANDLERS if handlers is None else handlers), "checkpoint": settings})


@pytest.mark.parametrize("background", [True, False])
def test_the_last_are_kept(tmp_path, background):
    run = trained(saving(tmp_path, every="2 iterations", keep_last=3, keep_best=0, background=background))
    assert kept(run) == [14, 16, 18]


def test_the_end_of_the_run_is_saved_whatever_the_interval(tmp_path):
    run = trained(saving(tmp_path, {}, every="7 iterations", keep_last=9, keep_best=0))
    assert kept(run) == [7, 14, 18]


def test_the_best_is_kept_beside_the_last(tmp_path):
    run = begun(saving(tmp_path, {}, every="1 iteration", keep_last=1, keep_best=2, monitor="validation/loss"))
    values = {3: 0.5, 6: 0.2, 9: 0.4, 12: 0.3, 15: 0.6}
    handler = run.handlers["checkpoint"]
    for iteration in range(1, 19):
        run.trainer.state.iteration = iteration
        if iteration in values:
            run.record_evaluation("validation", {"loss": values[iteration]})
        handler.save()
    run.background.drain()

    assert kept(run) == [6, 12, 18]
    ended(run)


def test_a_best_one_is_saved_though_none_was_due(tmp_path):
    run = trained(saving(tmp_path, every="2 epochs", keep_last=1, keep_best=1))
    measured = {manifest.iteration: manifest.metrics for manifest in map(checkpoints.verify, folders(run))}
    assert kept(run) == [18]
    assert measured[18]["validation/loss"] == run.metrics["validation/loss"]


def folders(run):
    return [checkpoints.path_of(run.directory.checkpoints, iteration) for iteration in kept(run)]


@pytest.mark.parametrize("order", [[math.nan, 2.0, 1.0], [2.0, math.nan, 1.0], [1.0, 2.0, math.nan]])
def test_what_is_no_number_is_never_the_best(tmp_path, order):
    run = begun(saving(tmp_path, {}, keep_last=1, keep_best=1))
    handler = run.handlers["checkpoint"]
    for iteration, value in enumerate([*order, 5.0], start=1):
        run.trainer.state.iteration = iteration
        run.record_evaluation("validation", {"loss": value})
        handler.save()
    run.background.drain()

    assert kept(run) == [order.index(1.0) + 1, 4]
    ended(run)


def test_the_best_is_remembered_by_the_disk_when_a_run_is_resumed(tmp_path):
    configuration = saving(tmp_path, {}, keep_last=1, keep_best=1)
    values = {3: 0.2, 6: 0.5, 9: 0.4, 12: 0.3}
    for iterations in ((3, 6), (9, 12)):
        run = begun(configuration)
        for iteration in iterations:
            run.trainer.state.iteration = iteration
            run.record_evaluation("validation", {"loss": values[iteration]})
            run.handlers["checkpoint"]._save_best()
            run.handlers["checkpoint"].save()
        run.finish_early("not trained")
        ended(run)

    assert kept(run) == [3, 6, 12]


def test_the_checkpoint_that_a_run_was_resumed_from_is_not_pruned(tmp_path):
    configuration = saving(tmp_path, {}, every="3 iterations", keep_last=1, keep_best=0)
    stopped(configuration, 8)
    assert kept(trained(configuration)) == [8, 18]


def test_a_checkpoint_has_the_state_of_every_handler(tmp_path):
    handlers = {**HANDLERS, "loss_log": {}, "early_stopping": {"patience": 30}, "ema": {}}
    run = trained(saving(tmp_path, handlers))
    state = torch.load(folders(run)[-1] / "state.pt", weights_only=True)

    assert set(state["handlers"]) == {"evaluation", "loss_log", "early_stopping", "ema", "checkpoint"}
    assert state["handlers"]["early_stopping"]["best"] == run.metrics["validation/loss"]
    assert state["handlers"]["loss_log"] == {"logged_evaluation": 18, "evaluations": 6}
    assert state["iteration"] == 18


def test_what_is_logged_is_on_disk_when_a_checkpoint_is(tmp_path):
    run = begun(configured(tmp_path, {"loss_log": {"every": "2 epochs"}, "checkpoint": {"every": "2 iterations"}}))
    write, seen = run.handlers["checkpoint"]._write, []

    def look(state, iteration, *rest):
        seen.append((iteration, len(run.directory.losses.read_text().splitlines())))
        write(state, iteration, *rest)

    run.handlers["checkpoint"]._write = look
    ended(run)

    assert seen == [(iteration, iteration) for iteration in range(2, 19, 2)]


@pytest.mark.parametrize("background", [True, False])
def test_a_save_that_fails_stops_the_run_and_leaves_what_was(tmp_path, background):
    run = begun(saving(tmp_path, {}, every="4 iterations", keep_last=5, keep_best=0, background=background))
    write = run.handlers["checkpoint"]._write

    def fail(state, iteration, *rest):
        if iteration == 8:
            state["model"] = {"unwritable": open}
            (run.directory.checkpoints / ".iteration_00000008.writing").symlink_to("/proc/1/nothing")
        write(state, iteration, *rest)

    run.handlers["checkpoint"]._write = fail
    with pytest.raises(SaveError, match="can't write the checkpoint of iteration 8"):
        ended(run)
    assert kept(run)[0] == 4
    assert 8 not in kept(run)


def test_a_signal_saves_at_the_end_of_its_iteration(tmp_path):
    run = stopped(saving(tmp_path, {}, every="1 epoch"), 5)
    assert run.iteration == 5
    assert kept(run) == [5]
    manifest = json.loads((folders(run)[0] / "manifest.json").read_text())
    assert (manifest["iteration"], manifest["epoch"]) == (5, 1)
