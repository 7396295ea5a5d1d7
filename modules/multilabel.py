"""Training of models that name any number of labels of an image."""

from __future__ import annotations

from functools import partial

import torch
from ignite.metrics import EpochMetric, Metric, MetricsLambda, MultiLabelConfusionMatrix
from torch.nn import functional

from firebox.data.declarations.specification import ImageSpecification
from firebox.data.declarations.targets import Labels
from firebox.data.sources.batch import Batch
from firebox.engine.training.bases.module import Evaluated, Images, Module, OutputKind
from firebox.engine.training.bases.showing import Shown
from firebox.engine.training.updates.update import Update
from firebox.modules.metrics import average_precision, column, loss_metric, mean_of, names_in_metrics


class Multilabel(Module):
    """Trains a model to say of each label whether it holds, by binary cross entropy, the mean over the labels.

    A label counts as predicted where its probability is 0.5 or more.

    Raises:
        ValueError: the samples have no labels.
    """

    takes = ("labels",)

    def __init__(self, model: torch.nn.Module, specification: ImageSpecification) -> None:
        super().__init__(model, specification)
        target = specification.target
        assert isinstance(target, Labels), "the module takes labels alone"
        self.labels = target.names

    @property
    def output_kind(self) -> OutputKind:
        return "label_logits"

    def training_step(self, batch: Batch, update: Update) -> dict[str, torch.Tensor]:
        assert batch.targets is not None, "the data has labels"
        loss = functional.binary_cross_entropy_with_logits(self.model(batch.images).float(), batch.targets)
        update(loss)
        return {"loss": loss.detach()}

    def evaluation_step(self, batch: Batch) -> Evaluated:
        assert batch.targets is not None, "the data has labels"
        logits = self.model(batch.images).float()
        losses = functional.binary_cross_entropy_with_logits(logits, batch.targets, reduction="none").mean(1)
        return Evaluated({"loss": losses}, logits, batch.targets)

    def metrics(self, device: torch.device) -> dict[str, Metric]:
        """Returns the loss, each label's average precision and F1 over a whole split, and the means over the labels.

        Means leave out labels of which a split has no sample. Average precision, the area under the curve of precision
        over recall, depends on the order of the probabilities alone; F1 on which are 0.5 or more.
        """

        def predicted(evaluated: Evaluated) -> tuple[torch.Tensor, torch.Tensor]:
            return (evaluated.prediction >= 0).long(), evaluated.target.long()

        names = names_in_metrics(self.labels)
        counts = MultiLabelConfusionMatrix(len(names), output_transform=predicted, device=device)
        precisions = {
            f"ap_{name}": EpochMetric(average_precision, partial(column, number), check_compute_fn=False, device=device)
            for number, name in enumerate(names)
        }
        f1 = MetricsLambda(_f1, counts)
        return {
            "loss": loss_metric("loss", device),
            "mean_ap": MetricsLambda(_mean_of_present, counts, *precisions.values()),
            "mean_f1": MetricsLambda(lambda counts, own: _mean_of_present(counts, *own.tolist()), counts, f1),
            **precisions,
            **{f"f1_{name}": f1[number] for number, name in enumerate(names)},
        }

    def images(self, batch: Batch) -> Images:
        """Returns the images with their given and, beneath, their predicted labels."""
        assert batch.targets is not None, "the data has labels"
        given, predicted = (
            [", ".join(name for name, holds in zip(self.labels, own, strict=True) if holds) or "-" for own in each]
            for each in ((batch.targets > 0).tolist(), (self.model(batch.images) >= 0).tolist())
        )
        return {"labelled": Shown(self.specification.to_unit(batch.images), given=given, predicted=predicted)}


def _f1(counts: torch.Tensor) -> torch.Tensor:
    """Returns the F1 of each label, 0 where it neither holds nor is predicted, of counts (labels, 2, 2)."""
    counts = counts.double()
    right, wrong = counts[:, 1, 1], counts[:, 0, 1] + counts[:, 1, 0]
    return 2 * right / (2 * right + wrong).clamp(min=1)


def _mean_of_present(counts: torch.Tensor, *values: float) -> float:
    """Returns the mean over the labels that a sample has; 0 if there are none."""
    present = (counts[:, 1].sum(1) > 0).tolist()
    own = [value for value, there in zip(values, present, strict=True) if there]
    return mean_of(*own) if own else 0.0
