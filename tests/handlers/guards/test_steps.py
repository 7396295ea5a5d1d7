"""A module that a run can't train by, or whose losses and metrics can't be recorded, is refused in one line."""

import textwrap

import pytest
import torch

from firebox.engine.checks.report import preflight
from firebox.engine.configuration import read
from firebox.engine.launch import launch
from firebox.engine.training.limits.stopping import StopRequest
from firebox.engine.training.steps.terms import faults_of_terms
from firebox.foundation.problems import Refusal
from firebox.trainers.train_cae_baseline import TRAINER
from tests.handlers.runs import configured

OWN = """
import torch
from ignite.metrics import Metric
from firebox.engine.training.bases.module import Evaluated
from firebox.modules.reconstruction import Reconstruction, loss_metric


class Last(Metric):
    def reset(self): ...
    def update(self, output): self.value = output
    def compute(self): return self.value[0]


class Own(Reconstruction):
    def training_step(self, batch, update):
        loss = self.loss.mean(self.model(batch.images), batch.images)
        {step}

    def evaluation_step(self, batch):
        evaluated = super().evaluation_step(batch)
        return {evaluated}

    def metrics(self, device):
        return {{{metrics}}}
"""
STEP = "update(loss); return {'loss': loss.detach()}"
LOSS = "'loss': loss_metric('loss', device)"
SCALAR = "expected a scalar tensor of shape ()"


def checked(folder, *, step=STEP, evaluated="evaluated", metrics=LOSS, extra="", handlers="[]"):
    source = OWN.format(step=step, evaluated=evaluated, metrics=metrics) + textwrap.indent(
        textwrap.dedent(extra), "    "
    )
    (folder / "own.py").write_text(source)
    (folder / "x.yaml").write_text(
        "model: {name: linear_autoencoder, latent_dim: 2}\nmodule: {name: 'own.py:Own'}\n"
        "datamodule: {name: fashion_mini, batch_size: 64}\ntraining: {device: cpu}\n"
        f"handlers: {handlers}\noutput: {{root: {folder / 'runs'}}}\n"
    )
    return preflight(read(TRAINER.name, TRAINER.default, folder / "x.yaml"), TRAINER)


def refused(folder, **parts):
    with pytest.raises(Refusal) as caught:
        checked(folder, **parts)
    return [str(problem).removeprefix(f"{folder}/") for problem in caught.value.problems]


STEPS = {
    "never": ("return {'loss': loss.detach()}", "its training step never calls update for the optimizer main"),
    "nothing": ("update(loss)", "its training step returns None, expected a dict of the loss terms by name"),
    "loss": ("update(loss); return loss.detach()", "its training step returns a tensor of shape (), expected a dict"),
    "no loss": ("update(loss); return {'mse': loss.detach()}", 'returns "mse", expected loss among them: the total'),
    "none": ("update(loss); return {}", "its training step returns no loss terms, expected loss among them"),
    "vector": (
        "update(loss); return {'loss': loss.detach(), 'each': torch.zeros(3)}",
        f'its training step\'s "each" is a tensor of shape (3,), {SCALAR}',
    ),
    "number": (
        "update(loss); return {'loss': loss.detach(), 'beta': 0.5}",
        f'its training step\'s "beta" is a float, {SCALAR}',
    ),
    "graph": ("update(loss); return {'loss': loss}", "expected it detached: .detach()"),
}


@pytest.mark.parametrize(("step", "message"), STEPS.values(), ids=STEPS)
def test_a_training_step_that_can_not_be_trained_by_is_refused(tmp_path, step, message):
    (line,) = refused(tmp_path, step=step)
    assert line.startswith("x.yaml:2:16  module.name: its training step")
    assert message in line


@pytest.mark.parametrize("name", ["split", "iteration", "epoch", "learning_rate"])
def test_a_term_or_metric_named_as_a_column_of_the_losses_is_refused(tmp_path, name):
    step = f"update(loss); return {{'loss': loss.detach(), '{name}': loss.detach()}}"
    lines = refused(tmp_path, step=step, metrics=f"{LOSS}, '{name}': loss_metric('loss', device)")
    expected = "{}, which losses.jsonl has a column of; expected another name"
    assert [line.partition("module.name: ")[2] for line in lines] == [
        f"calls a {what} {expected.format(name)}" for what in ("loss term", "metric")
    ]


@pytest.mark.parametrize("name", ['a"b', "a'b", "<b>", "[red]", "a/b", "a\\b", "a\nb", "\x1b[2J", "", 3, "a&b", "{a}"])
def test_a_name_that_something_would_act_on_is_refused(name):
    (fault,) = faults_of_terms({"loss": torch.zeros(()), name: torch.zeros(())})
    assert fault.isprintable()
    assert fault.startswith("calls a loss term ")


@pytest.mark.parametrize("name", ["kl", "l2-norm", "psnr@1", "kl (nats)", "ошибка", "top.5", "a_b"])
def test_an_ordinary_name_is_taken(name):
    assert not list(faults_of_terms({"loss": torch.zeros(()), name: torch.zeros(())}))


CRITIC = """
def parameters(self):
    own = super().parameters()["main"]
    return {"main": own[:1], "critic": own[1:]}
"""


@pytest.mark.parametrize(
    ("due", "refusal"), [("False", True), ("update.iteration % 5 == 0", False), ("update.iteration % 12 == 0", False)]
)
def test_each_optimizer_must_be_due_at_some_iteration(tmp_path, due, refusal):
    step = f"update(loss) if not {due} else update(loss, 'critic'); return {{'loss': loss.detach()}}"
    if refusal:
        (line,) = refused(tmp_path, step=step, extra=CRITIC)
        expected = (
            "its training step never calls update for the optimizer critic with a loss that reaches its parameters"
        )
        assert line.endswith(f"module.name: {expected}")
    else:
        checked(tmp_path, step=step, extra=CRITIC)


@pytest.mark.parametrize(
    ("evaluated", "message"),
    [
        ("None", "its evaluation step returns None, expected Evaluated(losses, prediction, target)"),
        ("{'loss': 1}", "its evaluation step returns a dict, expected Evaluated"),
        (
            "Evaluated({'loss': evaluated.losses['loss'].mean()}, evaluated.prediction, evaluated.target)",
            'its evaluation step\'s "loss" is a tensor of shape (), expected a tensor of shape',
        ),
    ],
)
def test_an_evaluation_step_that_metrics_can_not_read_is_refused(tmp_path, evaluated, message):
    assert message in refused(tmp_path, evaluated=evaluated)[0]


def test_an_evaluation_without_the_loss_is_refused(tmp_path):
    lines = refused(tmp_path, metrics="'psnr': loss_metric('loss', device)")
    assert "its metrics are psnr, expected loss among them: the mean over all samples" in lines[-1]


@pytest.mark.parametrize(
    ("value", "kind"),
    [("e.losses['loss']", "Tensor of shape (2,)"), ("{'a': 1.0}", "dict"), ("'good'", "str"), ("{1.0}", "set")],
)
def test_a_watched_metric_that_is_no_number_is_refused(tmp_path, value, kind):
    metrics = f"{LOSS}, 'own': Last(lambda e: ({value},))"
    (line,) = refused(tmp_path, metrics=metrics, handlers="[{early_stopping: {monitor: validation/own}}]")
    assert line.startswith("x.yaml:5:")
    assert f"early_stopping.monitor: got validation/own, whose value is a {kind}, expected a single number" in line
    checked(tmp_path, metrics=metrics)  # not watched, it may be what it is


@pytest.mark.parametrize("value", ["e.losses['loss'].mean()", "1.5", "2"])
def test_a_watched_metric_that_is_a_number_is_taken(tmp_path, value):
    metrics = f"{LOSS}, 'own': Last(lambda e: ({value},))"
    checked(tmp_path, metrics=metrics, handlers="[{early_stopping: {monitor: validation/own}}]")


def test_what_could_not_be_rehearsed_is_noticed_at_the_first_iteration(tmp_path, caplog):
    step = "loss.item(); update(loss); return {'loss': loss.detach(), 'beta': 0.5}"
    (tmp_path / "own.py").write_text(OWN.format(step=step, evaluated="evaluated", metrics=LOSS))
    configuration = configured(tmp_path, {"loss_log": {}}, module={"name": "own.py:Own"})
    assert launch.train(configuration, None, StopRequest()) == launch.FAILED
    assert f'its training step\'s "beta" is a float, {SCALAR}' in caplog.text
    assert "Traceback" not in caplog.text


def test_a_metric_that_is_no_number_is_evaluated_all_the_same(tmp_path):
    from tests.handlers.runs import trained

    metrics = f"{LOSS}, 'own': Last(lambda e: ('good',))"
    (tmp_path / "own.py").write_text(OWN.format(step=STEP, evaluated="evaluated", metrics=metrics))
    run = trained(configured(tmp_path, {"evaluation": {}}, module={"name": "own.py:Own"}))
    assert run.tables["validation/own"] == "good"
    assert "validation/loss" in run.metrics
