"""Autoencoders: reproduce the input."""

from __future__ import annotations

from typing import Literal

import torch
from ignite.metrics import SSIM, Average, Metric
from ignite.metrics.psnr import PSNR
from torch.nn import functional

from firebox.data.batch import Batch
from firebox.data.specification import ImageSpecification
from firebox.engine.training.module import Evaluated, Images, Module, OutputKind
from firebox.engine.training.update import Update

Loss = Literal["mse", "bce", "l1"]

SMALLEST_SSIM_SIDE = 6
"""SSIM's window of 11 pixels is centred on each pixel by reflection, which needs at least so many."""


def pixel_losses(output: torch.Tensor, images: torch.Tensor, loss: Loss) -> torch.Tensor:
    """Returns the loss of every pixel, in the shape of ``images``; for bce, ``output`` holds logits."""
    if loss == "bce":
        return functional.binary_cross_entropy_with_logits(output, images, reduction="none")
    difference = functional.mse_loss if loss == "mse" else functional.l1_loss
    return difference(output, images, reduction="none")


def reconstruction_metrics(specification: ImageSpecification, device: torch.device) -> dict[str, Metric]:
    """Returns PSNR and SSIM of reconstructions in [0, 1], each the mean of the images' values."""

    def images(evaluated: Evaluated) -> tuple[torch.Tensor, torch.Tensor]:
        return evaluated.prediction, evaluated.target

    metrics: dict[str, Metric] = {"psnr": PSNR(data_range=1.0, output_transform=images, device=device)}
    if min(specification.shape[1:]) >= SMALLEST_SSIM_SIDE:
        metrics["ssim"] = SSIM(data_range=1.0, output_transform=images, device=device)
    return metrics


def loss_metric(name: str, device: torch.device) -> Metric:
    """Returns the mean over all samples of a loss term."""
    return Average(output_transform=lambda evaluated: evaluated.losses[name].unsqueeze(1), device=device)


class Reconstruction(Module):
    """Trains an autoencoder to reproduce its input.

    Args:
        loss: mse and l1 compare pixels; bce takes the model's output for logits and the pixels, in [0,1], for
            probabilities. Each is a mean over pixels and images.
    """

    def __init__(self, model: torch.nn.Module, specification: ImageSpecification, *, loss: Loss = "mse") -> None:
        super().__init__(model, specification)
        self.loss: Loss = loss

    @property
    def output_kind(self) -> OutputKind:
        return "pixel_logits" if self.loss == "bce" else "pixels"

    def training_step(self, batch: Batch, update: Update) -> dict[str, torch.Tensor]:
        loss = self._mean_loss(self.model(batch.images), batch.images)
        update(loss)
        return {"loss": loss.detach()}

    def evaluation_step(self, batch: Batch) -> Evaluated:
        output = self.model(batch.images)
        losses = pixel_losses(output, batch.images, self.loss).flatten(1).mean(1)
        return Evaluated({"loss": losses}, self._shown(output), self.specification.to_unit(batch.images))

    def metrics(self, device: torch.device) -> dict[str, Metric]:
        return {"loss": loss_metric("loss", device), **reconstruction_metrics(self.specification, device)}

    def images(self, batch: Batch) -> Images:
        reconstruction = self._shown(self.model(batch.images))
        return {"reconstruction": (self.specification.to_unit(batch.images), reconstruction)}

    def pixels(self, output: torch.Tensor) -> torch.Tensor:
        """Returns the model's output as pixels (N, C, H, W) in the data's range, uncut; logits as probabilities."""
        return output.sigmoid() if self.loss == "bce" else output

    def _mean_loss(self, output: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
        if self.loss == "bce":
            return functional.binary_cross_entropy_with_logits(output, images)
        return functional.mse_loss(output, images) if self.loss == "mse" else functional.l1_loss(output, images)

    def _shown(self, output: torch.Tensor) -> torch.Tensor:
        return self.specification.to_unit(self.pixels(output))
