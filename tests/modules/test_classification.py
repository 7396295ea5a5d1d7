"""The classification module: loss, accuracy, the confusion matrix and its picture."""

import pytest
import torch
from ignite.engine import Engine
from torch import nn

from firebox.data.declarations.specification import ImageSpecification
from firebox.data.sources.batch import Batch
from firebox.engine.training.updates.update import Update
from firebox.foundation.plots import draw_confusion_matrix
from firebox.modules.classification import Classification

SHAPE = (1, 6, 8)
CLASSES = ("circle", "square", "triangle")
SPECIFICATION = ImageSpecification(SHAPE, "[-1,1]", CLASSES)
CPU = torch.device("cpu")


class Fixed(nn.Module):
    """Answers with the logits that it holds, whatever it is shown."""

    def __init__(self, logits: torch.Tensor) -> None:
        super().__init__()
        self.logits = nn.Parameter(logits)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.logits[: len(images)]


def classification(logits: torch.Tensor, **settings) -> Classification:
    return Classification(Fixed(logits), SPECIFICATION, **settings)


def batch_of(labels: list[int]) -> Batch:
    return Batch(torch.rand(len(labels), *SHAPE) * 2 - 1, torch.tensor(labels), torch.arange(len(labels)))


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_training_loss_is_cross_entropy_with_the_target_smoothed(smoothing):
    logits, batch = torch.randn(4, 3), batch_of([0, 2, 1, 1])
    module = classification(logits.clone(), label_smoothing=smoothing)
    target = torch.eye(3)[batch.labels] * (1 - smoothing) + smoothing / 3
    by_hand = -(target * torch.log_softmax(logits, 1)).sum(1).mean()

    update = Update({"main": torch.optim.SGD(module.parameters()["main"], lr=1.0, fused=True)}, device=CPU)
    losses = module.training_step(batch, update)
    assert list(losses) == ["loss", "accuracy"]
    torch.testing.assert_close(losses["loss"], by_hand)
    assert losses["accuracy"] == (logits.argmax(1) == batch.labels).float().mean()
    torch.testing.assert_close(module.model.logits.detach(), logits - (logits.softmax(1) - target) / 4)


@torch.inference_mode()
def test_evaluation_loss_is_plain_cross_entropy_for_each_sample():
    logits, batch = torch.randn(4, 3), batch_of([0, 2, 1, 1])
    evaluated = classification(logits, label_smoothing=0.3).evaluation_step(batch)

    by_hand = -torch.log_softmax(logits, 1)[torch.arange(4), batch.labels]
    torch.testing.assert_close(evaluated.losses["loss"], by_hand)
    assert torch.equal(evaluated.prediction, logits)
    assert torch.equal(evaluated.target, batch.labels)


def test_metrics_over_batches_are_loss_accuracy_and_the_confusion_matrix():
    # What the model answers: 0, 1, 1, 2; the second batch is the first image alone.
    logits = torch.eye(3)[[0, 1, 1, 2]] * 4
    module = classification(logits)
    evaluator = Engine(lambda _, batch: module.evaluation_step(batch))
    metrics = module.metrics(CPU)
    for name, metric in metrics.items():
        metric.attach(evaluator, name)
    with torch.inference_mode():
        results = evaluator.run([batch_of([0, 1, 2, 2]), batch_of([1])]).metrics

    assert list(metrics) == ["loss", "accuracy", "confusion_matrix"]
    assert results["accuracy"] == pytest.approx(3 / 5)
    right, wrong = (float(-torch.log_softmax(torch.tensor([4.0, 0, 0]), 0)[k]) for k in (0, 1))
    assert results["loss"] == pytest.approx((3 * right + 2 * wrong) / 5)
    assert results["confusion_matrix"].tolist() == [[1, 0, 0], [1, 1, 0], [0, 1, 1]]


@torch.inference_mode()
def test_images_are_shown_with_their_given_and_predicted_classes():
    batch = batch_of([0, 1])
    shown = classification(torch.eye(3)[[0, 0]]).images(batch)["classified"]

    torch.testing.assert_close(shown[0], SPECIFICATION.to_unit(batch.images))
    assert len(shown) == 1
    assert (shown.given.tolist(), shown.predicted.tolist()) == ([0, 1], [0, 0])


def test_the_picture_is_drawn_from_the_evaluations_confusion_matrix():
    module = classification(torch.eye(3))
    counts = torch.tensor([[5, 1, 0], [0, 6, 0], [2, 2, 2]])

    pictures = module.evaluation_images({"loss": 0.1, "confusion_matrix": counts})
    assert torch.equal(pictures["confusion_matrix"](), draw_confusion_matrix(counts, CLASSES))
    assert module.evaluation_images({"loss": 0.1}) == {}


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        ((), "needs data whose samples have a class, got none"),
        (("only",), "needs data with two classes or more, got one"),
    ],
)
def test_data_without_two_classes_is_refused(classes, message):
    with pytest.raises(ValueError, match=message):
        Classification(Fixed(torch.eye(3)), ImageSpecification(SHAPE, "[0,1]", classes))
