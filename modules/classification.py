"""Training of image classifiers."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Annotated, Any

import torch
from ignite.metrics import Accuracy, ConfusionMatrix, Metric
from pydantic import Field
from torch.nn import functional

from firebox.data.declarations.specification import ImageSpecification
from firebox.data.sources.batch import Batch
from firebox.engine.training.bases.module import Evaluated, Images, Module, OutputKind, Picture
from firebox.engine.training.bases.showing import Shown
from firebox.engine.training.updates.update import Update
from firebox.foundation.plots import draw_confusion_matrix
from firebox.modules.metrics import loss_metric


class Classification(Module):
    """Trains a classifier by cross entropy.

    Args:
        label_smoothing: fraction of the target spread evenly over all classes during training, in [0, 1) (Szegedy et
            al., "Rethinking the Inception Architecture for Computer Vision", CVPR 2016); not applied in evaluations.

    Raises:
        ValueError: the samples have no class, or there is only one.
    """

    takes = ("class",)

    def __init__(
        self,
        model: torch.nn.Module,
        specification: ImageSpecification,
        *,
        label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0,
    ) -> None:
        super().__init__(model, specification)
        if len(specification.classes) < 2:
            raise ValueError("needs data with two classes or more, got one; choose another data set")
        self.label_smoothing = label_smoothing

    @property
    def output_kind(self) -> OutputKind:
        return "class_logits"

    def training_step(self, batch: Batch, update: Update) -> dict[str, torch.Tensor]:
        assert batch.targets is not None, "the data has classes"
        logits = self.model(batch.images)
        loss = functional.cross_entropy(logits.float(), batch.targets, label_smoothing=self.label_smoothing)
        accuracy = (logits.detach().argmax(1) == batch.targets).float().mean()
        update(loss)
        return {"loss": loss.detach(), "accuracy": accuracy}

    def evaluation_step(self, batch: Batch) -> Evaluated:
        assert batch.targets is not None, "the data has classes"
        logits = self.model(batch.images)
        losses = functional.cross_entropy(logits.float(), batch.targets, reduction="none")
        return Evaluated({"loss": losses}, logits, batch.targets)

    def metrics(self, device: torch.device) -> dict[str, Metric]:
        """Returns loss, accuracy and confusion matrix, (classes, classes) int64 with a row for each true class."""

        def labelled(evaluated: Evaluated) -> tuple[torch.Tensor, torch.Tensor]:
            return evaluated.prediction, evaluated.target

        return {
            "loss": loss_metric("loss", device),
            "accuracy": Accuracy(output_transform=labelled, device=device),
            "confusion_matrix": ConfusionMatrix(
                len(self.specification.classes), output_transform=labelled, device=device
            ),
        }

    def images(self, batch: Batch) -> Images:
        """Returns the images with their given and their predicted classes."""
        predicted = self.model(batch.images).argmax(1)
        return {"classified": Shown(self.specification.to_unit(batch.images), given=batch.targets, predicted=predicted)}

    def evaluation_images(self, metrics: Mapping[str, Any]) -> dict[str, Picture]:
        counts = metrics.get("confusion_matrix")
        if counts is None:
            return {}
        return {"confusion_matrix": partial(draw_confusion_matrix, counts, self.specification.classes)}
