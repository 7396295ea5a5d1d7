"""Training of models that name the class of each pixel."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, Literal

import torch
from ignite.metrics import ConfusionMatrix, DiceCoefficient, IoU, Metric, MetricsLambda
from pydantic import NonNegativeFloat
from torch.nn import functional

from firebox.data.declarations.specification import ImageSpecification
from firebox.data.declarations.targets import Mask
from firebox.data.sources.batch import Batch
from firebox.engine.training.bases.module import Evaluated, Images, Module, OutputKind, Picture
from firebox.engine.training.updates.update import Update
from firebox.foundation.channels import visible
from firebox.foundation.pictures import WHITE, mask_colours
from firebox.foundation.plots import draw_confusion_matrix
from firebox.modules.metrics import loss_metric, names_in_metrics

NOWHERE = -1
"""The class of a pixel that is left out of losses and metrics."""
SMOOTHING = 1.0
"""Added to both parts of the Dice ratio, in pixels: a class that neither occurs nor is predicted has the ratio 1."""
OPACITY = 0.6
"""Of the colours over an image."""


class Segmentation(Module):
    """Trains a model to name the class of each pixel, by cross entropy, by the Dice coefficient, or by their sum.

    Both losses are those of an image, averaged over the images. Pixels of the mask's ignored value are left out of
    losses and metrics; an image of such pixels alone has the loss 0.

    Args:
        loss: cross_entropy, the mean over the pixels; dice, 1 minus the Dice coefficient of the predicted
            probabilities, averaged over the classes (Milletari, Navab and Ahmadi, "V-Net", 3DV 2016); or both, their
            sum.
        class_weights: weight of each class in the means, in the order of the classes; null for equal weights.

    Raises:
        ValueError: the samples have no mask, there is only one class, or there is not one weight for each class.
    """

    takes = ("mask",)

    def __init__(
        self,
        model: torch.nn.Module,
        specification: ImageSpecification,
        *,
        loss: Literal["cross_entropy", "dice", "both"] = "cross_entropy",
        class_weights: tuple[NonNegativeFloat, ...] | None = None,
    ) -> None:
        super().__init__(model, specification)
        target = specification.target
        assert isinstance(target, Mask), "the module takes masks alone"
        self.classes, self.ignored = target.names, target.ignored
        if len(self.classes) < 2:
            raise ValueError("needs data whose masks have two classes or more, got one; choose another data set")
        if class_weights is not None and (len(class_weights) != len(self.classes) or not any(class_weights)):
            given = f"{len(class_weights)} weights" if any(class_weights) else "no weight above 0"
            named = ", ".join(self.classes)
            raise ValueError(
                f"class_weights: got {given}, expected one for each of {len(self.classes)} classes: {named}"
            )
        self.terms = ("cross_entropy", "dice") if loss == "both" else (loss,)
        self.class_weights = class_weights

    @property
    def output_kind(self) -> OutputKind:
        return "mask_logits"

    def training_step(self, batch: Batch, update: Update) -> dict[str, torch.Tensor]:
        losses = {
            name: loss.mean() for name, loss in self._losses(self.model(batch.images), self._wanted(batch)).items()
        }
        update(losses["loss"])
        return {name: loss.detach() for name, loss in losses.items()}

    def evaluation_step(self, batch: Batch) -> Evaluated:
        logits, wanted = self.model(batch.images), self._wanted(batch)
        return Evaluated(self._losses(logits, wanted), logits, wanted)

    def metrics(self, device: torch.device) -> dict[str, Metric]:
        """Returns losses, IoU and Dice coefficient of each class and their means, and the pixels' confusion matrix.

        All are of the pixels of a whole split. The means are over the classes that occur or are predicted; a class that
        neither occurs nor is predicted has 0 itself.
        """

        def masks(evaluated: Evaluated) -> tuple[torch.Tensor, torch.Tensor]:
            return evaluated.prediction, evaluated.target

        counts = ConfusionMatrix(len(self.classes), output_transform=masks, device=device)
        found: dict[str, Metric] = {name: loss_metric(name, device) for name in self._names_of_losses()}
        by_class = {"iou": IoU(counts), "dice": DiceCoefficient(counts)}
        found |= {f"mean_{name}": MetricsLambda(_mean, each, counts) for name, each in by_class.items()}
        for name, each in by_class.items():
            found |= {f"{name}_{label}": each[k] for k, label in enumerate(names_in_metrics(self.classes))}
        return {**found, "confusion_matrix": counts}

    def images(self, batch: Batch) -> Images:
        """Returns the images, beneath them their masks over them, and beneath both the predicted masks over them."""
        predicted = self.model(batch.images).argmax(1)
        shown = visible([self.specification.to_unit(batch.images)])[0].expand(-1, 3, -1, -1)
        return {"segmentation": (shown, self._over(shown, self._wanted(batch)), self._over(shown, predicted))}

    def evaluation_images(self, metrics: Mapping[str, Any]) -> dict[str, Picture]:
        counts = metrics.get("confusion_matrix")
        return {} if counts is None else {"confusion_matrix": partial(draw_confusion_matrix, counts, self.classes)}

    def _wanted(self, batch: Batch) -> torch.Tensor:
        """Returns the class of each pixel, (N, H, W) int64, NOWHERE where it is left out."""
        assert batch.targets is not None, "the data has masks"
        return (
            batch.targets if self.ignored is None else batch.targets.masked_fill(batch.targets == self.ignored, NOWHERE)
        )

    def _names_of_losses(self) -> tuple[str, ...]:
        return ("loss", *(f"loss_{term}" for term in self.terms)) if len(self.terms) > 1 else ("loss",)

    def _losses(self, logits: torch.Tensor, wanted: torch.Tensor) -> dict[str, torch.Tensor]:
        """Returns the losses of each image by name, (N,), for logits (N, classes, H, W) and classes (N, H, W)."""
        logits = logits.float()
        weights = (
            logits.new_ones(len(self.classes)) if self.class_weights is None else logits.new_tensor(self.class_weights)
        )
        each = [{"cross_entropy": _cross_entropy, "dice": _dice}[term](logits, wanted, weights) for term in self.terms]
        total = each[0] if len(each) == 1 else each[0] + each[1]
        return dict(zip(self._names_of_losses(), [total, *each], strict=False))

    def _over(self, images: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
        """Lays the colours of classes (N, H, W) over images (N, 3, H, W) in [0, 1]."""
        palette = images.new_tensor([*mask_colours(len(self.classes)), WHITE]) / 255
        return images * (1 - OPACITY) + palette[classes].permute(0, 3, 1, 2) * OPACITY


def _cross_entropy(logits: torch.Tensor, wanted: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    losses = functional.cross_entropy(logits, wanted, weights, ignore_index=NOWHERE, reduction="none").sum((1, 2))
    counted = functional.pad(weights, (0, 1))[wanted].sum((1, 2))  # the last weight, 0, is that of NOWHERE
    return losses / torch.where(counted > 0, counted, 1)


def _dice(logits: torch.Tensor, wanted: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    counted = (wanted != NOWHERE).unsqueeze(1)
    probabilities = logits.softmax(1) * counted
    true = wanted.unsqueeze(1) == torch.arange(len(weights), device=wanted.device)[:, None, None]
    common, sizes = (probabilities * true).sum((2, 3)), probabilities.sum((2, 3)) + true.sum((2, 3))
    coefficients = (2 * common + SMOOTHING) / (sizes + SMOOTHING)
    return ((1 - coefficients) * weights).sum(1) / weights.sum()


def _mean(by_class: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
    """Returns the mean over the classes that occur or are predicted."""
    there = (counts.sum(0) + counts.sum(1) > 0).to(by_class)
    return (by_class * there).sum() / there.sum().clamp(min=1)
