"""Training of autoencoders to reproduce their input."""

from __future__ import annotations

from typing import Annotated, Any

import torch
from ignite.metrics import Metric

from firebox.data.batch import Batch
from firebox.data.specification import ImageSpecification
from firebox.engine.components.part import Part
from firebox.engine.training.module import Evaluated, Images, Module
from firebox.engine.training.pixel_loss import PixelLoss
from firebox.engine.training.showing import Shown
from firebox.engine.training.update import Update
from firebox.modules.metrics import loss_metric, reconstruction_metrics


class Reconstruction(Module):
    """Trains an autoencoder to reproduce its input.

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

    def training_step(self, batch: Batch, update: Update) -> dict[str, torch.Tensor]:
        loss = self.loss.mean(self.model(batch.images), batch.images)
        update(loss)
        return {"loss": loss.detach()}

    def evaluation_step(self, batch: Batch) -> Evaluated:
        output = self.model(batch.images)
        losses = self.loss.per_pixel(output, batch.images).flatten(1).mean(1)
        return Evaluated({"loss": losses}, self._shown(output), self.specification.to_unit(batch.images))

    def metrics(self, device: torch.device) -> dict[str, Metric]:
        return {"loss": loss_metric("loss", device), **reconstruction_metrics(self.specification, device)}

    def images(self, batch: Batch) -> Images:
        reconstruction = self._shown(self.model(batch.images))
        return {"reconstruction": Shown(self.specification.to_unit(batch.images), reconstruction, given=batch.labels)}

    def pixels(self, output: torch.Tensor) -> torch.Tensor:
        """Returns the model's output as pixels (N, C, H, W) in the data's range, unclamped; logits as probabilities."""
        return self.loss.pixels(output)

    def _shown(self, output: torch.Tensor) -> torch.Tensor:
        return self.specification.to_unit(self.pixels(output))
