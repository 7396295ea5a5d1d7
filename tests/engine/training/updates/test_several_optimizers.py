"""Modules with several optimizers, through the ordinary factory: what each loss reaches, and what each step sees."""

import textwrap

import pytest

from firebox.engine.checks.report import preflight
from firebox.engine.launch.replay import replay
from firebox.engine.records import checkpoints
from firebox.foundation.problems import Refusal
from firebox.trainers.train_cae_baseline import TRAINER
from tests.exactness import differing
from tests.handlers.runs import begun, configured, ended, rows_of, stopped, tensorboard_of, trained

DIRAC = """
    import torch
    from torch import nn
    from firebox import Evaluated, Module, loss_metric

    class Point(nn.Module):
        def __init__(self, input_shape, *, start: float = 1.0, latent_dim: int = 1):
            super().__init__()
            self.theta = nn.Parameter(torch.full((), start))
        def forward(self, images):
            return self.theta * torch.ones_like(images)

    class Dirac(Module):
        def __init__(self, model, specification, *, critic_steps: int = 1):
            super().__init__(model, specification)
            self.psi, self.critic_steps = nn.Parameter(torch.full((), 0.5)), critic_steps
        def parameters(self):
            return {{"generator": [self.model.theta], "critic": [self.psi]}}
        {attributes}
        def training_step(self, batch, update):
            {step}
        def evaluation_step(self, batch):
            {evaluation}
        def metrics(self, device):
            return {{"loss": loss_metric("loss", device)}}
"""
ALTERNATING = """
critic = self.psi * self.model.theta.detach()
update(critic, "critic")
generator = -self.psi * self.model.theta
update(generator, "generator")
return {"loss": generator.detach(), "critic": critic.detach()}
"""
PLAIN = """
losses = (-self.psi * self.model.theta).expand(len(batch.images)).detach()
return Evaluated({"loss": losses}, batch.images, batch.images)
"""


def dirac(folder, handlers=None, *, step=ALTERNATING, evaluation=PLAIN, attributes="pass", **sections):
    """Returns the configuration of a Dirac-GAN: a generator of one number θ, a critic of slope ψ, and data at 0.

    Mescheder, Geiger and Nowozin, "Which Training Methods for GANs do actually Converge?" (2018), with f(t) = t.
    """
    folder.mkdir(parents=True, exist_ok=True)
    parts = {"attributes": attributes, "step": step, "evaluation": evaluation}
    margins = {"attributes": 8, "step": 12, "evaluation": 12}
    indented = {name: textwrap.indent(text.strip(), " " * margins[name]).strip() for name, text in parts.items()}
    (folder / "own.py").write_text(textwrap.dedent(DIRAC.format(**indented)))
    own = {
        "model": {"name": "own.py:Point"},
        "module": {"name": "own.py:Dirac"},
        "optimizer": {"name": "sgd", "lr": 0.1},
        "datagenerator": {"train_length": 30},
        "training": {"epochs": 1},
    }
    sections = {name: {**own.get(name, {}), **sections.get(name, {})} for name in own.keys() | sections.keys()}
    return configured(folder, handlers or {"loss_log": {}}, **sections)


def point(run):
    return run.module.model.theta.item(), run.module.psi.item()


ATTACHED = ALTERNATING.replace(".detach()\n", "\n", 1)


@pytest.mark.parametrize("step", [ALTERNATING, ATTACHED], ids=["detached", "attached"])
def test_each_loss_of_a_gan_reaches_its_own_parameters_alone(tmp_path, step):
    assert point(trained(dirac(tmp_path, step=step))) == pytest.approx((1.088504, 0.18904), abs=1e-6)


def test_the_recursion_differs_where_the_generators_loss_leaks_into_the_critic(tmp_path):
    run = begun(dirac(tmp_path))
    run.update._reaches_others = False
    assert point(ended(run)) == pytest.approx((1.118804, 0.39204), abs=1e-6)


def test_a_loss_may_come_in_parts_for_one_step(tmp_path):
    parts = ALTERNATING.replace(
        'update(critic, "critic")',
        'update(0.25 * critic, "critic", step=False)\nupdate(0.75 * self.psi * self.model.theta, "critic")',
    )
    assert point(trained(dirac(tmp_path, step=parts))) == pytest.approx((1.088504, 0.18904), abs=1e-6)


SEVERAL = """
for _ in range(self.critic_steps):
    critic = self.psi * self.model.theta
    update(critic, "critic")
generator = -self.psi * self.model.theta
update(generator, "generator")
return {"loss": generator.detach()}
"""
SELDOM = """
critic = self.psi * self.model.theta
update(critic, "critic")
if update.iteration % self.critic_steps == 0:
    update(-self.psi * self.model.theta, "generator")
return {"loss": critic.detach()}
"""


def by_hand(steps, critic_steps, seldom):
    theta, psi = 1.0, 0.5
    for step in range(1, steps + 1):
        for _ in range(1 if seldom else critic_steps):
            psi -= 0.1 * theta
        if not seldom or step % critic_steps == 0:
            theta += 0.1 * psi
    return theta, psi


@pytest.mark.parametrize(("step", "seldom"), [(SEVERAL, False), (SELDOM, True)], ids=["within", "across"])
def test_a_critic_may_step_more_often_than_its_generator(tmp_path, step, seldom):
    configuration = dirac(tmp_path, step=step, module={"critic_steps": 2}, training={"epochs": 2})
    preflight(configuration, TRAINER)
    assert point(trained(configuration)) == pytest.approx(by_hand(6, 2, seldom), abs=1e-6)


def test_an_optimizer_that_would_be_due_after_the_end_of_the_run_is_refused(tmp_path):
    preflight(dirac(tmp_path, step=SELDOM, module={"critic_steps": 12}, training={"epochs": 4}), TRAINER)
    message = "for the optimizer generator with a loss that reaches its parameters in the 9 iterations of the run"
    with pytest.raises(Refusal, match=message):
        preflight(dirac(tmp_path, step=SELDOM, module={"critic_steps": 12}, training={"epochs": 3}), TRAINER)


HANDLERS = {"loss_log": {}, "evaluation": {"every": "1 epoch"}, "checkpoint": {"every": "2 iterations"}}


def test_parts_at_different_rates_resume_and_replay_to_the_bit(tmp_path):
    def made(name):
        sections = {"module": {"critic_steps": 3}, "training": {"epochs": 4}, "optimizer": {"name": "adam"}}
        return dirac(tmp_path / name, HANDLERS, step=SELDOM, **sections)

    whole = trained(made("whole"))
    stopped(made("stopped"), 5)
    resumed = trained(made("stopped"))
    states = [checkpoints.load(checkpoints.path_of(run.directory.checkpoints, 12)) for run in (whole, resumed)]
    assert differing(*states) == []
    assert resumed.directory.losses.read_bytes() == whole.directory.losses.read_bytes()
    assert replay(made("whole"), whole.directory, 8).equal


PENALISED = """
with torch.enable_grad():
    images = batch.images.clone().requires_grad_()
    (slope,) = torch.autograd.grad((self.psi * images.square()).sum(), images)
return Evaluated({"loss": slope.flatten(1).norm(dim=1)}, batch.images, batch.images)
"""
DETACHED = PENALISED.replace("dim=1)}", "dim=1).detach()}")


def test_an_evaluation_that_needs_gradients_has_them(tmp_path):
    needed = "evaluation_needs_gradients = True"
    configuration = dirac(tmp_path, HANDLERS, evaluation=DETACHED, attributes=needed)
    preflight(configuration, TRAINER)
    run = trained(configuration)
    assert rows_of(run)[-1]["loss"] > 0
    assert run.module.psi.grad is None


@pytest.mark.parametrize(
    ("evaluation", "attributes", "problem"),
    [
        (PENALISED, "pass", "an evaluation step with 20 images fails"),
        (PENALISED.replace("slope.flatten(1)", "(self.psi * slope).flatten(1)"), "evaluation_needs_gradients = True",
         "its evaluation step's .loss. comes with its graph"),
        (DETACHED.replace("(slope,) = ", "self.psi.square().backward(); (slope,) = "),
         "evaluation_needs_gradients = True", "its evaluation step leaves gradients in the parameters"),
    ],
    ids=["undeclared", "graph", "left"],
)  # fmt: skip
def test_what_an_evaluation_may_not_do_with_gradients_is_refused(tmp_path, evaluation, attributes, problem):
    with pytest.raises(Refusal, match=problem):
        preflight(dirac(tmp_path, HANDLERS, evaluation=evaluation, attributes=attributes), TRAINER)


UNFINISHED = """
update(self.psi * self.model.theta, "critic", step=False)
generator = -self.psi * self.model.theta
update(generator, "generator")
return {"loss": generator.detach()}
"""


@pytest.mark.parametrize(
    ("step", "problem"),
    [
        (UNFINISHED, "its training step leaves gradients in the parameters"),
        (UNFINISHED, "its training step never calls update for the optimizer critic"),
        (ALTERNATING.replace("-self.psi * self.model.theta", "-self.psi * self.model.theta.detach()"),
         "never calls update for the optimizer generator with a loss that reaches its parameters"),
        (ALTERNATING.replace('"critic")', '"critc")'), "got critc, expected the name of an optimizer.*mean critic"),
        (ALTERNATING.replace('"generator")', '"main")'), "as parameters.. of the module gives them: generator, critic"),
    ],
    ids=["left", "unfinished", "detached", "unknown", "main"],
)  # fmt: skip
def test_a_step_that_can_not_be_made_is_refused(tmp_path, step, problem):
    with pytest.raises(Refusal, match=problem):
        preflight(dirac(tmp_path, step=step), TRAINER)


def test_accumulation_with_several_optimizers_is_refused(tmp_path):
    with pytest.raises(Refusal, match=r"training.accumulation: got 2, but the module has several"):
        preflight(dirac(tmp_path, training={"accumulation": 2}), TRAINER)


TWICE = """
loss = self.psi * self.model.theta
update(loss)
update(self.psi * self.model.theta)
return {"loss": loss.detach()}
"""
ONE = """
def parameters(self):
    return {"main": [self.model.theta, self.psi]}
"""


def test_several_steps_of_the_only_optimizer_are_refused_with_accumulation_alone(tmp_path):
    preflight(dirac(tmp_path, step=TWICE, attributes=ONE), TRAINER)
    with pytest.raises(Refusal, match="makes several steps of one optimizer"):
        preflight(dirac(tmp_path, step=TWICE, attributes=ONE, training={"accumulation": 2}), TRAINER)


PARTS = {"critic": {"lr": 0.4, "weight_decay": 0.1}, "generator": {"lr": 0.2}}


def test_each_optimizer_has_its_settings_and_every_rate_is_recorded(tmp_path):
    optimizer = {"name": "sgd", "lr": 0.1, "parts": PARTS}
    scheduler = {"name": "step", "every": "1 iterations", "gamma": 0.5, "parts": {"critic": {"gamma": 1.0}}}
    run = trained(dirac(tmp_path, optimizer=optimizer, scheduler=scheduler))
    rows = [row for row in rows_of(run) if row["split"] == "train"]
    assert [row["learning_rate"] for row in rows] == pytest.approx([0.2, 0.1, 0.05])
    assert [row["learning_rate/critic"] for row in rows] == pytest.approx([0.4] * 3)
    assert run.update.optimizers["critic"].param_groups[0]["weight_decay"] == 0.1
    assert tensorboard_of(run.directory.tensorboard).Scalars("optimization/learning_rate/critic")[
        -1
    ].value == pytest.approx(0.4)


def test_an_optimizer_without_a_schedule_keeps_its_rate(tmp_path):
    scheduler = {"name": "step", "every": "1 iterations", "gamma": 0.5, "parts": {"critic": None}}
    last = rows_of(trained(dirac(tmp_path, scheduler=scheduler)))[-1]
    assert (last["learning_rate"], last["learning_rate/critic"]) == pytest.approx((0.025, 0.1))


def test_the_norm_of_each_optimizers_gradients_has_its_own_name_whichever_stepped(tmp_path):
    sections = {"module": {"critic_steps": 2}, "training": {"gradient_clip_norm": 9.0}}
    run = trained(dirac(tmp_path, {"loss_log": {"every": "1 iterations"}}, step=SELDOM, **sections))
    scalars = tensorboard_of(run.directory.tensorboard)
    steps = {
        tag: [event.step for event in scalars.Scalars(tag)]
        for tag in scalars.Tags()["scalars"]
        if "gradient_norm" in tag
    }
    assert steps == {"optimization/gradient_norm/critic": [1, 2, 3], "optimization/gradient_norm/generator": [2]}


def test_gradients_are_clipped_for_each_optimizer_alone(tmp_path):
    run = trained(
        dirac(
            tmp_path, optimizer={"parts": {"critic": {"gradient_clip_norm": 0.01}}}, datagenerator={"train_length": 10}
        )
    )
    assert point(run) == pytest.approx((1.0 + 0.1 * 0.499, 0.5 - 0.1 * 0.01), abs=1e-6)


@pytest.mark.parametrize("section", ["optimizer", "scheduler"])
def test_a_part_that_the_module_has_no_optimizer_for_is_refused(tmp_path, section):
    settings = {"optimizer": {"parts": {"critc": {"lr": 1.0}}}, "scheduler": {"parts": {"critc": {"name": "step"}}}}
    message = rf"{section}.parts.critc: the module Dirac has no optimizer of this name; did you mean critic"
    with pytest.raises(Refusal, match=message):
        preflight(dirac(tmp_path, **{section: settings[section]}), TRAINER)


def test_schedules_with_a_state_of_their_own_resume_to_the_bit(tmp_path):
    plateau = {"name": "reduce_on_plateau", "patience": 0, "mode": "max", "factor": 0.5}
    sections = {
        "optimizer": {"name": "adam", "parts": PARTS | {"critic": {"lr": 0.4}}},
        "scheduler": {**plateau, "parts": {"critic": {"patience": 1}}},
        "training": {"epochs": 4},
    }
    handlers = {**HANDLERS, "evaluation": {"every": "1 iterations"}}
    whole = trained(dirac(tmp_path / "whole", handlers, **sections))
    configuration = dirac(tmp_path / "stopped", handlers, **sections)
    stopped(configuration, 5)
    resumed = trained(configuration)
    assert rows_of(whole)[-1] == rows_of(resumed)[-1]
    states = [checkpoints.load(checkpoints.path_of(run.directory.checkpoints, 12)) for run in (whole, resumed)]
    assert {"reduce_on_plateau", "reduce_on_plateau.critic"} <= states[0]["handlers"].keys()
    assert differing(*states) == []
    rates = {(row["learning_rate"], row["learning_rate/critic"]) for row in rows_of(whole) if row["split"] == "train"}
    assert len(rates) > 2
