"""Training of models whose output is an image: the input, or the target image."""

from __future__ import annotations

from typing import Annotated, Any

import torch
from ignite.metrics import Metric

from firebox.data.declarations.specification import ImageSpecification
from firebox.data.declarations.target_image import TargetImage
from firebox.data.sources.batch import Batch
from firebox.engine.components.part import Part
from firebox.engine.training.bases.module import Evaluated, Images, Module
from firebox.engine.training.bases.pixel_loss import PixelLoss
from firebox.engine.training.bases.showing import Shown
from firebox.engine.training.updates.update import Update
from firebox.modules.metrics import loss_metric, psnr, reconstruction_metrics

INPUT = "psnr_of_input"
"""The metric that a model has to better where images are to be restored."""


class Reconstruction(Module):
    """Trains a model to output an image: the target image if the data has one, or else the input, as autoencoders do.

    Args:
        loss: pixel loss, averaged over pixels and images. mse and l1 compare pixels; bce takes the model's output as
            logits and the pixels, in [0,1], as probabilities.
    """

    def __init__(
        self,
        model: torch.nn.Module,
        specification: ImageSpecification,
        *,
        loss: Annotated[Any, Part("loss", "mse", "bce", "l1")] = "mse",
    ) -> None:
        super().__init__(model, specification)
        self.loss: PixelLoss = PixelLoss.of(loss)

    @property
    def goal(self) -> ImageSpecification:
        target = self.specification.target
        return target.specification if isinstance(target, TargetImage) else self.specification

    def training_step(self, batch: Batch, update: Update) -> dict[str, torch.Tensor]:
        loss = self.loss.mean(self.model(batch.images), self._wanted(batch))
        update(loss)
        return {"loss": loss.detach()}

    def evaluation_step(self, batch: Batch) -> Evaluated:
        output = self.model(batch.images)
        wanted = self._wanted(batch)
        target = self.goal.to_unit(wanted)
        losses = {"loss": self.loss.per_pixel(output, wanted).flatten(1).mean(1)}
        if self._comparable:
            losses[INPUT] = psnr(self.specification.to_unit(batch.images), target)
        return Evaluated(losses, self._shown(output), target)

    def metrics(self, device: torch.device) -> dict[str, Metric]:
        """Returns loss, PSNR and SSIM and, where the data has target images of the input's shape, the input's PSNR."""
        reference = {INPUT: loss_metric(INPUT, device)} if self._comparable else {}
        return {"loss": loss_metric("loss", device), **reconstruction_metrics(self.goal, device), **reference}

    @property
    def _comparable(self) -> bool:
        """Whether the input can be compared with a target image: what an output that changes nothing would reach."""
        return self.goal is not self.specification and self.goal.shape == self.specification.shape

    def images(self, batch: Batch) -> Images:
        """Returns the input and the output beneath it, and the target image beneath both if there is one."""
        shown = [self.specification.to_unit(batch.images), self._shown(self.model(batch.images))]
        wanted = self._wanted(batch)
        if wanted is not batch.images:
            shown.append(self.goal.to_unit(wanted))
        return {"reconstruction": Shown(*shown, given=batch.labels)}

    def _wanted(self, batch: Batch) -> torch.Tensor:
        """Returns the images that the output is compared with."""
        if self.goal is self.specification:
            return batch.images
        assert batch.targets is not None, "the data has target images"
        return batch.targets

    def pixels(self, output: torch.Tensor) -> torch.Tensor:
        """Returns the model's output as pixels (N, C, H, W) in the data's range, unclamped; logits as probabilities."""
        return self.loss.pixels(output)

    def _shown(self, output: torch.Tensor) -> torch.Tensor:
        return self.goal.to_unit(self.pixels(output))
