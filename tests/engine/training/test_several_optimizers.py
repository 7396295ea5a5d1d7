"""Modules with several optimizers, through the ordinary factory: what each loss reaches, and what each step sees."""

import textwrap

import pytest

from firebox.engine.checks.report import preflight
from firebox.engine.launch.replay import replay
from firebox.engine.records import checkpoints
from firebox.foundation.problems import Refusal
from firebox.trainers.train_cae_baseline import TRAINER
from tests.exactness import differing
from tests.handlers.runs import begun, configured, ended, rows_of, stopped, trained

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


def test_an_evaluation_that_needs_gradients_has_them(tmp_path):
    needed = "evaluation_needs_gradients = True"
    evaluation = PENALISED.replace(".norm(dim=1)}", ".norm(dim=1).detach()}")
    configuration = dirac(tmp_path, HANDLERS, evaluation=evaluation, attributes=needed)
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
        (PENALISED.replace("(slope,) = ", "self.psi.square().backward(); (slope,) = ").replace("dim=1)}", "dim=1).detach()}"),
         "evaluation_needs_gradients = True", "its evaluation step leaves gradients in the parameters"),
    ],
    ids=["undeclared", "graph", "left"],
)  # fmt: skip
def test_what_an_evaluation_may_not_do_with_gradients_is_refused(tmp_path, evaluation, attributes, problem):
    with pytest.raises(Refusal, match=problem):
        preflight(dirac(tmp_path, HANDLERS, evaluation=evaluation, attributes=attributes), TRAINER)


@pytest.mark.parametrize(
    ("step", "sections", "problem"),
    [
        (ALTERNATING, {"training": {"accumulation": 2}}, "training.accumulation: got 2, but the module has several"),
        ("update(self.psi * self.model.theta, 'critic', step=False)\n" + ALTERNATING.replace('update(critic, "critic")', ""),
         {}, "its training step leaves gradients in the parameters.*never calls update for the optimizer critic"),
        (ALTERNATING.replace('"critic")', '"critc")'), {}, "got critc, expected the name of an optimizer.*did you mean critic"),
        (ALTERNATING.replace('"generator")', '"main")'), {}, "as parameters.. of the module gives them: generator, critic"),
    ],
    ids=["accumulation", "unfinished", "mistyped", "main"],
)  # fmt: skip
def test_a_step_that_can_not_be_made_is_refused(tmp_path, step, sections, problem):
    if "unfinished" in problem:
        step = step.replace("critic.detach()", "generator.detach()")
    with pytest.raises(Refusal, match="(?s)" + problem):
        preflight(dirac(tmp_path, step=step, **sections), TRAINER)


def test_several_steps_of_the_only_optimizer_are_refused_with_accumulation(tmp_path):
    step = "loss = self.psi * self.model.theta\nupdate(loss)\nupdate(self.psi * self.model.theta)\nreturn {'loss': loss.detach()}"
    attributes = "def parameters(self):\n    return {'main': [self.model.theta, self.psi]}"
    with pytest.raises(Refusal, match="makes several steps of one optimizer"):
        preflight(dirac(tmp_path, step=step, attributes=attributes, training={"accumulation": 2}), TRAINER)
