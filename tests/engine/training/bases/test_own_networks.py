"""Networks that a module has beside its model: saved, resumed, replayed and archived as the model is."""

import textwrap

import pytest
import torch

from firebox.engine.archives.loading import load_archive
from firebox.engine.archives.making import archive_run
from firebox.engine.checks.report import preflight
from firebox.engine.launch import launch
from firebox.engine.launch.replay import replay
from firebox.engine.records import checkpoints
from firebox.engine.records.run_directory import RunDirectory
from firebox.engine.training import run as run_file
from firebox.engine.training.bases import ownership
from firebox.engine.training.limits.stopping import StopRequest
from firebox.foundation.problems import Refusal
from firebox.trainers.train_cae_baseline import TRAINER
from tests.exactness import differing
from tests.handlers.runs import configured, stopped, trained

SOURCE = """
    import torch
    from torch import nn
    from firebox.modules.reconstruction import Reconstruction

    class Own(Reconstruction):
        def __init__(self, model, specification):
            super().__init__(model, specification)
            self.critic = nn.Sequential(nn.Flatten(), nn.Linear(64, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))
            self.temperature = nn.Parameter(torch.ones(()))
            self.seen = torch.zeros(2)
            {more}
        def parameters(self):
            return {{**super().parameters(), "critic": [*self.critic.parameters(), self.temperature{extra}]}}
        def training_step(self, batch, update):
            output = self.model(batch.images)
            critic = (self.critic(batch.images) - self.critic(output.detach())).mean() * self.temperature
            loss = (output - batch.images).square().mean() + self.critic(output).mean() * 0.01
            update(loss)
            update(critic.square() + 0.1 * self.temperature.square(), "critic")
            self.seen += 1
            return {{"loss": loss.detach(), "critic": critic.detach()}}
        def state_dict(self):
            return {{"seen": self.seen{state}}}
        def load_state_dict(self, state):
            self.seen = state["seen"]
            {load}
"""
HANDLERS = {"loss_log": {}, "evaluation": {"every": "1 epoch"}, "checkpoint": {"every": "5 iterations"}}


def adversarial(folder, more="pass", extra="", state="", load="pass"):
    folder.mkdir(parents=True, exist_ok=True)
    text = SOURCE.format(more=more, extra=extra, state=state, load=load)
    (folder / "own.py").write_text(textwrap.dedent(text))
    return configured(folder, HANDLERS, module={"name": "own.py:Own"})


def final(run):
    return checkpoints.load(checkpoints.path_of(run.directory.checkpoints, 18))


def test_a_modules_network_is_in_the_checkpoint_with_its_buffers(tmp_path):
    run = trained(adversarial(tmp_path))
    state = final(run)["networks"]
    assert set(state) == {"critic", "temperature"}
    assert torch.equal(state["critic"]["2.running_mean"], run.module.critic[2].running_mean)
    assert torch.equal(state["temperature"], run.module.temperature.detach())


def test_a_resumed_module_has_its_network_back(tmp_path):
    whole = trained(adversarial(tmp_path / "whole"))
    configuration = adversarial(tmp_path / "stopped")
    stopped(configuration, 11)
    resumed = trained(configuration)
    assert differing(final(resumed), final(whole)) == []
    assert resumed.directory.losses.read_bytes() == whole.directory.losses.read_bytes()


def test_a_network_that_is_not_saved_is_noticed_by_the_same_comparison(tmp_path, monkeypatch):
    monkeypatch.setattr(run_file, "own_networks", lambda module: {})
    whole = trained(adversarial(tmp_path / "whole"))
    configuration = adversarial(tmp_path / "stopped")
    stopped(configuration, 11)
    assert trained(configuration).directory.losses.read_bytes() != whole.directory.losses.read_bytes()


def test_a_replay_and_an_archive_have_the_network(tmp_path):
    configuration = adversarial(tmp_path)
    assert launch.train(configuration, None, StopRequest()) == launch.COMPLETED
    directory = RunDirectory(configuration.directory / configuration.output.version)
    assert replay(configuration, directory, 13).equal
    archive = load_archive(archive_run(directory.path, "last"), trust_code=True)
    state = checkpoints.load(checkpoints.path_of(directory.checkpoints, 18))
    assert differing(archive.module.critic.state_dict(), state["networks"]["critic"]) == []
    assert torch.equal(archive.module.temperature.detach(), state["networks"]["temperature"])
    assert torch.equal(archive.module.seen, torch.full((2,), 18.0))
    assert "module.pt" in archive.card["files"]


def test_a_network_that_no_checkpoint_would_have_is_refused(tmp_path):
    listed = adversarial(tmp_path, more="self.more = [nn.Linear(3, 2)]", extra=", *self.more[0].parameters()")
    with pytest.raises(
        Refusal, match=r"module.name: the optimizer critic trains a parameter of shape \(2, 3\) that no"
    ):
        preflight(listed, TRAINER)


@pytest.mark.parametrize(
    "settings",
    [
        {"more": "self.more = nn.ModuleList([nn.Linear(3, 2)])"},
        {
            "more": "self.more = [nn.Linear(3, 2)]",
            "state": ', "more": self.more[0].state_dict()',
            "load": 'self.more[0].load_state_dict(state["more"])',
        },
    ],
    ids=["module list", "own state"],
)
def test_one_that_some_state_has_is_not(tmp_path, settings):
    configuration = adversarial(tmp_path, extra=", *self.more[0].parameters()", **settings)
    preflight(configuration, TRAINER)


def test_a_part_of_the_model_is_saved_once(tmp_path):
    run = stopped(adversarial(tmp_path, more="self.encoder, self.weight = model.encoder, model.encoder[-1].weight"), 2)
    assert set(ownership.own_networks(run.module)) == {"critic", "temperature"}


def test_a_network_of_another_shape_is_refused_by_name(tmp_path):
    run = stopped(adversarial(tmp_path), 3)
    for name, change in (("temperature", torch.ones(1)), ("critic", {})):
        state = run.snapshot()
        state["networks"][name] = change
        with pytest.raises(ownership.StateMismatch, match=f"the state of the module's {name}: "):
            run.load_state_dict(state)
