"""A loss that is no number stops the run before it does harm."""

import json
import math

import pytest
import torch
from ignite.engine import Events

from firebox.engine.launch import launch
from firebox.engine.records import checkpoints
from firebox.engine.training.stopping import StopRequest
from firebox.handlers.terminate_on_nan import NonFiniteLoss
from tests.handlers.runs import begun, configured, ended, rows_of, trained

HANDLERS = {"terminate_on_nan": {"every": "4 iterations"}, "loss_log": {}, "checkpoint": {"every": "5 iterations"}}
EXPLODING = {"optimizer": {"name": "sgd", "lr": 1e30}}


def poisoned(configuration, iteration, value):
    """Returns a run whose batch of one iteration holds a pixel that is no number."""
    run = begun(configuration)
    prepare = run.training._prepare

    def poison(raw):
        batch = prepare(raw)
        if run.iteration == iteration:
            batch.images[0, 0, 0, 0] = value
        return batch

    run.training._prepare = poison
    return run


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_run_stops_with_what_it_was_before(tmp_path, value):
    run = poisoned(configured(tmp_path, HANDLERS), 7, value)
    weights = {}

    def remember():
        if run.iteration == 6:
            weights.update({name: tensor.clone() for name, tensor in run.model.state_dict().items()})

    run.trainer.add_event_handler(Events.ITERATION_COMPLETED, remember)
    with pytest.raises(NonFiniteLoss, match=r"iteration 7: loss (nan|inf); no checkpoint has what came of it"):
        ended(run)

    assert run.iteration == 8
    assert all(torch.equal(tensor, weights[name]) for name, tensor in run.model.state_dict().items())
    assert checkpoints.iterations_in(run.directory.checkpoints) == [5]
    state = checkpoints.load(run.directory.checkpoints / "iteration_00000005")
    assert all(tensor.isfinite().all() for tensor in state["model"].values())


def test_the_message_says_which_samples_and_how_to_see_it_again(tmp_path):
    run = poisoned(configured(tmp_path, HANDLERS), 7, math.nan)
    with pytest.raises(NonFiniteLoss) as caught:
        ended(run)
    content = json.loads((run.directory.path / "non_finite.json").read_text())

    assert content["iteration"] == 7
    assert content["losses"] == {"loss": "nan"}
    assert content["indices"] == run.streams["train"].indices(6).tolist()
    message = str(caught.value)
    assert f"samples [{content['indices'][0]}, " in message
    assert f"firebox replay {run.directory.path} --iteration 7" in message
    assert max(map(len, message.splitlines()[:1])) < 120


def test_the_losses_are_logged_down_to_the_offending_one_and_beyond(tmp_path):
    run = poisoned(configured(tmp_path, HANDLERS), 7, math.nan)
    with pytest.raises(NonFiniteLoss):
        ended(run)
    losses = {row["iteration"]: row["loss"] for row in rows_of(run)}

    assert list(losses) == list(range(1, 9))
    assert [iteration for iteration, loss in losses.items() if loss is None] == [7]


def test_a_checkpoint_that_comes_before_the_next_look_is_not_written(tmp_path):
    handlers = {**HANDLERS, "terminate_on_nan": {"every": "1 epoch"}, "loss_log": {"every": "1 epoch"}}
    run = poisoned(configured(tmp_path, handlers), 4, math.nan)
    with pytest.raises(NonFiniteLoss, match="iteration 4"):
        ended(run)

    assert run.iteration == 5
    assert checkpoints.iterations_in(run.directory.checkpoints) == []


def test_the_last_iterations_are_looked_at_too(tmp_path):
    run = poisoned(configured(tmp_path, {"terminate_on_nan": {"every": "16 iterations"}}), 18, math.nan)
    with pytest.raises(NonFiniteLoss, match="iteration 18"):
        ended(run)


def test_a_run_that_explodes_fails_with_one_message_and_resumes(tmp_path, caplog):
    configuration = configured(tmp_path, HANDLERS, **EXPLODING)
    assert launch.train(configuration, None, StopRequest()) == launch.FAILED
    run = begun(configuration)

    assert "Traceback" not in caplog.text
    assert run.iteration == 0
    assert all(tensor.isfinite().all() for tensor in run.model.state_dict().values())
    run.finish_early("not trained")
    ended(run)


def test_without_the_handler_a_run_goes_on_and_still_takes_no_step(tmp_path):
    handlers = {"loss_log": {}}
    run = ended(poisoned(configured(tmp_path, handlers), 7, math.nan))

    assert run.iteration == 18
    assert all(tensor.isfinite().all() for tensor in run.model.state_dict().values())


def test_a_sound_run_is_left_alone(tmp_path):
    run = trained(configured(tmp_path, HANDLERS))

    assert run.iteration == 18
    assert not (run.directory.path / "non_finite.json").exists()
