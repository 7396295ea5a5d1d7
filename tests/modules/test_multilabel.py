"""The module of several labels: its loss, precision and F1 of each label, and what it shows."""

import pytest
import torch
from ignite.engine import Engine
from torch import nn
from torch.nn import functional

from firebox.data.declarations.specification import ImageSpecification
from firebox.data.declarations.targets import Labels
from firebox.data.sources.batch import Batch
from firebox.engine.training.bases.module import Evaluated
from firebox.engine.training.updates.update import Update
from firebox.modules.metrics import average_precision
from firebox.modules.multilabel import Multilabel

SHAPE = (1, 6, 8)
NAMES = ("sun", "snow", "fog")
CPU = torch.device("cpu")
# Never any fog; the order of the probabilities is right for snow, and has one mistake for sun.
GIVEN = torch.tensor([[1.0, 0, 0], [0, 0, 0], [1, 1, 0], [0, 1, 0]])
LOGITS = torch.tensor([[3.0, -3.0, 1.0], [2.0, -2.0, -1.0], [1.0, -1.0, -1.0], [-1.0, 4.0, -1.0]])


class Fixed(nn.Module):
    """Answers with the logits that it holds, whatever it is shown."""

    def __init__(self, logits):
        super().__init__()
        self.logits = nn.Parameter(logits)

    def forward(self, images):
        return self.logits[: len(images)]


def multilabel(logits):
    return Multilabel(Fixed(logits), ImageSpecification(SHAPE, target=Labels(NAMES)))


def batch_of(labels):
    return Batch(torch.rand(len(labels), *SHAPE), labels, torch.arange(len(labels)))


def test_the_loss_is_binary_cross_entropy_of_each_label():
    module, batch = multilabel(LOGITS.clone()), batch_of(GIVEN)
    right = torch.sigmoid(torch.where(GIVEN > 0, LOGITS, -LOGITS))
    evaluated = module.evaluation_step(batch)
    torch.testing.assert_close(evaluated.losses["loss"], -right.log().mean(1))

    update = Update({"main": torch.optim.SGD(module.parameters()["main"], lr=1.0, fused=True)}, device=CPU)
    torch.testing.assert_close(module.training_step(batch, update)["loss"], -right.log().mean())
    torch.testing.assert_close(module.model.logits.detach(), LOGITS - (LOGITS.sigmoid() - GIVEN) / GIVEN.numel())


def test_metrics_are_of_each_label_and_means_of_those_that_occur():
    module = multilabel(LOGITS)
    evaluator = Engine(lambda _, batch: module.evaluation_step(batch))
    for name, metric in module.metrics(CPU).items():
        metric.attach(evaluator, name)
    with torch.inference_mode():
        results = evaluator.run([batch_of(GIVEN)]).metrics
    assert list(results) == ["loss", "mean_ap", "mean_f1", *(f"{m}_{n}" for m in ("ap", "f1") for n in NAMES)]
    # Of sun the first and the third most probable are right: precision 1 at half of the recall, 2/3 at all of it.
    assert (results["ap_sun"], results["ap_snow"]) == (pytest.approx((1 + 2 / 3) / 2), pytest.approx(1))
    assert (results["f1_sun"], results["f1_snow"], results["f1_fog"]) == (pytest.approx(0.8), pytest.approx(2 / 3), 0)
    assert results["mean_ap"] == pytest.approx((5 / 6 + 1) / 2)
    assert results["mean_f1"] == pytest.approx((0.8 + 2 / 3) / 2)


def test_metrics_over_batches_are_those_of_the_whole_split():
    draw = torch.Generator().manual_seed(0)
    given, logits = (torch.rand(40, 3, generator=draw) > 0.5).float(), torch.randn(40, 3, generator=draw)
    losses = functional.binary_cross_entropy_with_logits(logits, given, reduction="none").mean(1)
    found = []
    for size in (40, 16):
        evaluator = Engine(lambda _, evaluated: evaluated)
        for name, metric in multilabel(logits).metrics(CPU).items():
            metric.attach(evaluator, name)
        parts = zip(losses.split(size), logits.split(size), given.split(size), strict=True)
        results = evaluator.run([Evaluated({"loss": loss}, *others) for loss, *others in parts]).metrics
        found.append({name: float(value) for name, value in results.items()})
    assert found[0] == pytest.approx(found[1])
    assert 0 < found[0]["mean_ap"] < 1


def test_equal_probabilities_are_one_step_and_no_sample_has_no_precision():
    holds = torch.tensor([1.0, 0.0, 0.0, 1.0])
    assert average_precision(torch.zeros(4), holds) == 0.5
    assert average_precision(torch.tensor([1.0, 1.0, 0.0, 0.0]), holds) == 0.5
    assert average_precision(torch.tensor([3.0, 2.0, 1.0, 4.0]), holds) == 1
    assert average_precision(torch.randn(4), torch.zeros(4)) == 0


@torch.inference_mode()
def test_labels_are_shown_by_their_names():
    shown = multilabel(LOGITS).images(batch_of(GIVEN))["labelled"]
    assert shown.given == ["sun", "-", "sun, snow", "snow"]
    assert shown.predicted == ["sun, fog", "sun", "sun", "snow"]


def test_other_targets_are_refused():
    with pytest.raises(ValueError, match=r"several labels, got a class of 2; choose .* takes it: classification"):
        Multilabel(Fixed(torch.zeros(1, 2)), ImageSpecification(SHAPE, classes=("a", "b")))
