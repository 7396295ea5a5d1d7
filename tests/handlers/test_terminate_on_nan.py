"""A loss that is no number stops the run before it does harm."""

import json
import math

import pytest
import torch
from ignite.engine import Events

from firebox.engine.commands import command_line
from firebox.engine.launch import launch
from firebox.engine.records import checkpoints
from firebox.engine.training.limits.stopping import StopRequest
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


def weights_after(run, iteration):
    weights = {}

    def remember():
        if run.iteration == iteration:
            weights.update({name: tensor.clone() for name, tensor in run.model.state_dict().items()})

    run.trainer.add_event_handler(Events.ITERATION_COMPLETED, remember)
    return weights


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_run_stops_with_what_it_was_before(tmp_path, value):
    run = poisoned(configured(tmp_path, HANDLERS), 7, value)
    before, after = weights_after(run, 6), weights_after(run, 7)
    with pytest.raises(NonFiniteLoss, match=r"iteration 7: loss (nan|inf); no checkpoint has what came of it"):
        ended(run)

    assert run.iteration == 8
    assert all(torch.equal(tensor, before[name]) for name, tensor in after.items())
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


def with_gradient(configuration, iteration, factor):
    """Returns a run in whose iteration the gradient of one weight is multiplied, while its loss stays finite."""
    run = begun(configuration)
    weight = next(run.model.parameters())
    weight.register_hook(lambda gradient: gradient * factor if run.iteration == iteration else gradient)
    return run


@pytest.mark.parametrize("training", [{}, {"gradient_clip_norm": 1.0}, {"accumulation": 3}])
@pytest.mark.parametrize("iteration", [7, 18])
def test_gradients_that_are_not_finite_stop_a_run_whose_loss_is(tmp_path, iteration, training):
    run = with_gradient(configured(tmp_path, HANDLERS, training=training), iteration, math.nan)
    before, after = weights_after(run, iteration - 1), weights_after(run, iteration)
    message = rf"iteration {iteration}: loss [0-9.e-]+, but its gradients are not finite; no checkpoint"
    with pytest.raises(NonFiniteLoss, match=message):
        ended(run)

    assert all(torch.equal(tensor, before[name]) for name, tensor in after.items())
    assert max(checkpoints.iterations_in(run.directory.checkpoints)) < iteration
    assert all(row["loss"] is not None for row in rows_of(run))


def test_unwatched_gradients_break_the_weights_which_no_checkpoint_has(tmp_path):
    run = with_gradient(configured(tmp_path, HANDLERS), 18, math.nan)
    run.update._watch = lambda tensors: None
    with pytest.raises(NonFiniteLoss, match=r"iteration 18: the model's \S+ came out of it not finite"):
        ended(run)

    assert not all(tensor.isfinite().all() for tensor in run.model.state_dict().values())
    assert checkpoints.iterations_in(run.directory.checkpoints) == [10, 15]


def test_a_buffer_that_is_infinite_by_design_is_left_alone(tmp_path):
    run = begun(configured(tmp_path, HANDLERS))
    run.model.register_buffer("mask", torch.tensor([0.0, -math.inf]))
    run.handlers["terminate_on_nan"].start(run)
    assert ended(run).iteration == 18


def test_gradients_whose_norm_overflows_are_not_clipped_to_nothing(tmp_path):
    run = with_gradient(configured(tmp_path, HANDLERS, training={"gradient_clip_norm": 1.0}), 7, 1e30)
    with pytest.raises(NonFiniteLoss, match="its gradients are not finite"):
        ended(run)


def test_gradients_that_overflow_float16_at_every_step_stop_the_run(tmp_path):
    training = {"precision": "float16", "epochs": 8}
    run = begun(configured(tmp_path, HANDLERS, training=training))
    next(run.model.parameters()).register_hook(lambda gradient: gradient * math.inf)
    with pytest.raises(NonFiniteLoss, match="its gradients overflow float16 even where the loss is scaled by"):
        ended(run)
    assert 40 < run.iteration < 50


def test_the_iteration_is_replayed_and_says_what_was_not_finite(tmp_path, capsys):
    (tmp_path / "own.py").write_text(
        "import torch\nfrom firebox.modules.reconstruction import Reconstruction\n"
        "class Own(Reconstruction):\n"
        "    def training_step(self, batch, update):\n"
        "        images = batch.images\n"
        "        zero = (self.model(images) * 0).abs().sum()\n"
        "        loss = self.loss.mean(self.model(images), images)\n"
        "        update(loss + (zero.sqrt() if update.iteration == 7 else zero))\n"
        "        return {'loss': loss.detach()}\n"
    )
    configuration = configured(tmp_path, HANDLERS, module={"name": "own.py:Own"})
    assert launch.train(configuration, None, StopRequest()) == launch.FAILED
    for iteration in (7, 8):
        command_line.main(["replay", str(configuration.directory / "run"), "--iteration", str(iteration)])
        shown = capsys.readouterr().out
        assert "losses: equal" in shown
        assert ("not finite: the gradient of" in shown) is (iteration == 7)


def test_without_the_handler_the_step_alone_is_left_out_and_said(tmp_path, caplog):
    run = with_gradient(configured(tmp_path, {"loss_log": {}}), 7, math.nan)
    before, after, next_ = (weights_after(run, iteration) for iteration in (6, 7, 8))
    ended(run)

    assert run.iteration == 18
    assert all(torch.equal(tensor, before[name]) for name, tensor in after.items())
    assert not all(torch.equal(tensor, before[name]) for name, tensor in next_.items())
    assert all(tensor.isfinite().all() for tensor in run.model.state_dict().values())
    assert "iteration 7 took no step, 1 so far" in caplog.text


def test_with_no_handler_at_all_it_is_said_at_the_end(tmp_path, caplog):
    ended(poisoned(configured(tmp_path, {}), 7, math.nan))
    assert caplog.text.count("took no step") == 1
    assert "iteration 7 took no step, 1 so far" in caplog.text


def test_a_sound_run_is_left_alone(tmp_path):
    run = trained(configured(tmp_path, HANDLERS))

    assert run.iteration == 18
    assert not (run.directory.path / "non_finite.json").exists()
