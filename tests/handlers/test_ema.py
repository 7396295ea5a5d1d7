"""Averaged weights."""

import weakref

import pytest
import torch
from ignite.engine import Events

from firebox.engine.checks.report import preflight
from firebox.foundation.problems import Refusal
from firebox.handlers.ema import EMA
from firebox.trainers.train_cae_baseline import TRAINER
from tests.handlers.runs import begun, configured, ended, stopped, trained

SECTIONS = {"model": {"name": "cae_baseline", "channels": [4], "latent_dim": 4}}
HANDLERS = {"ema": {"decay": 0.5}, "checkpoint": {"every": "4 iterations"}}


def test_the_average_is_that_of_the_formula(tmp_path):
    run = begun(configured(tmp_path, {"ema": {"decay": 0.5}}, **SECTIONS))
    expected = {name: tensor.clone() for name, tensor in run.model.state_dict().items()}

    def follow():
        decay = min(0.5, (1 + run.iteration) / (10 + run.iteration))
        for name, tensor in run.model.state_dict().items():
            if tensor.is_floating_point() and "running" not in name:
                expected[name] = decay * expected[name] + (1 - decay) * tensor
            else:
                expected[name] = tensor.clone()

    run.trainer.add_event_handler(Events.ITERATION_COMPLETED, follow)
    ended(run)

    for name, tensor in run.averaged_model.state_dict().items():
        torch.testing.assert_close(tensor, expected[name])
        live = run.model.state_dict()[name]
        assert tensor.data_ptr() != live.data_ptr()


def test_averaging_changes_nothing_in_the_training(tmp_path):
    with_average = trained(configured(tmp_path / "with", {"ema": {}}, **SECTIONS))
    without = trained(configured(tmp_path / "without", {}, **SECTIONS))

    for name, tensor in without.model.state_dict().items():
        assert torch.equal(tensor, with_average.model.state_dict()[name])


def test_a_resumed_average_is_that_of_the_uninterrupted_run(tmp_path):
    reference = trained(configured(tmp_path / "reference", HANDLERS, **SECTIONS))
    configuration = configured(tmp_path / "resumed", HANDLERS, **SECTIONS)
    stopped(configuration, 6)
    resumed = trained(configuration)

    for name, tensor in reference.averaged_model.state_dict().items():
        assert torch.equal(tensor, resumed.averaged_model.state_dict()[name])


def test_an_average_that_begins_at_a_checkpoint_without_one_begins_at_its_weights(tmp_path):
    stopped(configured(tmp_path, {"checkpoint": {}}, **SECTIONS), 6)
    run = begun(configured(tmp_path, HANDLERS, **SECTIONS))

    for name, tensor in run.model.state_dict().items():
        assert torch.equal(tensor, run.averaged_model.state_dict()[name])
    ended(run)


def test_the_average_is_what_is_evaluated(tmp_path):
    run = trained(configured(tmp_path, {"ema": {"decay": 0.9}, "evaluation": {}}, **SECTIONS))
    with run.evaluating() as model:
        assert model is run.averaged_model
        assert not model.training
        assert run.module.model is model
    assert run.module.model is run.model
    averaged = run.metrics["test/loss"]
    run.average(run.model)
    run.handlers["evaluation"].evaluate("test")
    assert run.metrics["test/loss"] != averaged


def test_hooks_stay_with_the_model_they_were_put_on(tmp_path):
    class Holder:
        """What a hook belongs to, and what would be copied with it."""

        calls = 0

        def look(self, *_):
            self.calls += 1

        def __deepcopy__(self, memo):
            raise AssertionError("copied with the hook")

    run = begun(configured(tmp_path, {}, **SECTIONS))
    holder = Holder()
    handle = run.model.register_forward_hook(holder.look)
    ema = EMA()
    ema.attach(run)
    image = torch.zeros(1, 1, 8, 8)
    ema.model(image)
    assert holder.calls == 0
    run.model(image)
    assert holder.calls == 1
    handle.remove()
    assert not run.model._forward_hooks
    ended(run)


def test_no_iteration_asks_a_tensor_for_its_value(tmp_path):
    run = begun(configured(tmp_path, {"ema": {}}, **SECTIONS))
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        run.handlers["ema"]._update()
    names = {event.name for event in profile.events()}

    assert "aten::_foreach_lerp_" in names
    assert not names & {"aten::item", "aten::_local_scalar_dense"}
    ended(run)


def test_the_average_is_let_go_with_the_run(tmp_path):
    run = trained(configured(tmp_path, {"ema": {}}, **SECTIONS))
    model = weakref.ref(run.averaged_model)
    assert model() is run.handlers["ema"].model


AVERAGED = """
from firebox.modules.reconstruction import Reconstruction

class Own(Reconstruction):
    averaged = ({pattern!r},)
"""


def in_part(folder, pattern="decoder"):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "own.py").write_text(AVERAGED.format(pattern=pattern))
    handlers = {"ema": {"decay": 0.9}, "evaluation": {}, "checkpoint": {}, "loss_log": {}}
    return configured(folder, handlers, module={"name": "own.py:Own"})


def test_a_module_may_have_a_part_of_its_model_averaged(tmp_path):
    run = trained(in_part(tmp_path))
    trained_weights, evaluated = run.model.state_dict(), run.evaluated_model.state_dict()
    differing = {name for name in trained_weights if not torch.equal(trained_weights[name], evaluated[name])}
    assert differing
    assert all(name.startswith("decoder") for name in differing)
    whole = trained(configured(tmp_path / "whole", {"ema": {"decay": 0.9}}))
    assert all(torch.equal(whole.evaluated_model.state_dict()[name], evaluated[name]) for name in differing)
    assert all(parameter.requires_grad for parameter in run.model.parameters())


def test_an_average_of_a_part_resumes_to_the_bit(tmp_path):
    whole = trained(in_part(tmp_path / "whole"))
    stopped(in_part(tmp_path / "stopped"), 11)
    resumed = trained(in_part(tmp_path / "stopped"))
    assert resumed.directory.losses.read_bytes() == whole.directory.losses.read_bytes()


def test_a_part_that_the_model_has_not_is_refused(tmp_path):
    with pytest.raises(Refusal, match="averaged of the module has 'decodr', which fits no parameter of the model"):
        preflight(in_part(tmp_path, "decodr"), TRAINER)
