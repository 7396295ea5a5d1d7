"""Training of models that remove noise."""

from __future__ import annotations

from typing import Annotated, Any

import torch
from ignite.metrics import Metric
from pydantic import PositiveFloat

from firebox.data.declarations.specification import ImageSpecification
from firebox.data.sources.batch import Batch
from firebox.engine.components.part import Part
from firebox.engine.training.bases.module import Evaluated, Images, Module
from firebox.engine.training.bases.pixel_loss import PixelLoss
from firebox.engine.training.bases.showing import Shown
from firebox.engine.training.updates.update import Update
from firebox.models.linear_autoencoder import LinearAutoencoder
from firebox.modules.metrics import loss_metric, psnr, reconstruction_metrics
from firebox.modules.reconstruction import INPUT


class Denoising(Module):
    """Trains a model to restore images that Gaussian noise was added to.

    Vincent, Larochelle, Bengio and Manzagol, "Extracting and Composing Robust Features with Denoising Autoencoders",
    ICML 2008. The noise is drawn in the step, anew each time; the output is compared with the clean image. Evaluations
    add the same noise to the same images every time.

    Args:
        sigma: standard deviation of the noise, in the data's pixel range.
        clip: whether noisy pixels are cut to the range that images have.
        loss: pixel loss between the output and the clean images, averaged over pixels and images. mse and l1 compare
            pixels; bce takes the model's output as logits and the pixels, in [0,1], as probabilities.

    Raises:
        ValueError: the noise is larger than the whole pixel range, as sigma is where it is stated for pixels up to
            255; or pixels are cut before a linear model, whose optimum is known for noise that is not.
    """

    adds_noise = True

    def __init__(
        self,
        model: torch.nn.Module,
        specification: ImageSpecification,
        *,
        sigma: PositiveFloat = 0.3,
        clip: bool = False,
        loss: Annotated[Any, Part("loss", "mse", "bce", "l1")] = "mse",
    ) -> None:
        super().__init__(model, specification)
        lowest, highest = _ends(specification)
        if sigma > highest - lowest:
            meant = float(f"{sigma / 255 * (highest - lowest):.3g}")
            why = f"but the pixels reach from {lowest:g} to {highest:g}, in which sigma is stated"
            way_out = f"; for {sigma:g} of 255, --set module.sigma={meant:g}" if sigma <= 255 else ""
            raise ValueError(f"sigma: got {sigma:g}, {why}; expected at most {highest - lowest:g}{way_out}")
        if clip and isinstance(model, LinearAutoencoder):
            why = (
                "but the optimum of a linear model is known for noise that is Gaussian, which it is not once it is cut"
            )
            raise ValueError(f"clip: got true, {why}; expected --set module.clip=false, or another model")
        self.sigma = sigma
        self.clip = clip
        self.loss: PixelLoss = PixelLoss.of(loss)

    def corrupt(self, images: torch.Tensor, sigma: float | None = None) -> torch.Tensor:
        """Returns images (N, C, H, W) with noise, drawn with torch's default generator.

        Args:
            images: images in the data's pixel range.
            sigma: standard deviation of the noise; None for that of the training.
        """
        noisy = images + (self.sigma if sigma is None else sigma) * torch.randn_like(images)
        return self.specification.from_unit(self.specification.to_unit(noisy)) if self.clip else noisy

    def training_step(self, batch: Batch, update: Update) -> dict[str, torch.Tensor]:
        loss = self.loss.mean(self.model(self.corrupt(batch.images)), batch.images)
        update(loss)
        return {"loss": loss.detach()}

    def evaluation_step(self, batch: Batch) -> Evaluated:
        noisy, clean = self.corrupt(batch.images), self.specification.to_unit(batch.images)
        output = self.model(noisy)
        losses = {
            "loss": self.loss.per_pixel(output, batch.images).flatten(1).mean(1),
            INPUT: psnr(self.specification.to_unit(noisy), clean),
        }
        return Evaluated(losses, self._shown(output), clean)

    def metrics(self, device: torch.device) -> dict[str, Metric]:
        """Returns loss, PSNR and SSIM of the restored images, and the PSNR of the noisy ones, cut to the range."""
        reference = {INPUT: loss_metric(INPUT, device)}
        return {
            "loss": loss_metric("loss", device),
            **reconstruction_metrics(self.specification, device),
            **reference,
        }

    def images(self, batch: Batch) -> Images:
        """Returns the clean images, beneath them the noisy ones, and beneath both the restored ones."""
        noisy = self.corrupt(batch.images)
        shown = [self.specification.to_unit(images) for images in (batch.images, noisy)]
        return {"denoising": Shown(*shown, self._shown(self.model(noisy)), given=batch.labels)}

    def pixels(self, output: torch.Tensor) -> torch.Tensor:
        """Returns the model's output as pixels (N, C, H, W) in the data's range, unclamped; logits as probabilities."""
        return self.loss.pixels(output)

    def summary(self) -> dict[str, str]:
        """Returns the noise in the data's range and in that of bytes."""
        lowest, highest = _ends(self.specification)
        return {"sigma": f"{self.sigma:g}, which is {self.sigma / (highest - lowest) * 255:.3g} of 255"}

    def _shown(self, output: torch.Tensor) -> torch.Tensor:
        return self.specification.to_unit(self.pixels(output))


def _ends(specification: ImageSpecification) -> tuple[float, float]:
    """Returns the smallest and the largest value that a pixel can have in the data's range."""
    if specification.pixel_range == "standardised":
        channels = list(zip(specification.mean, specification.std, strict=True))
        return min(-mean / std for mean, std in channels), max((1 - mean) / std for mean, std in channels)
    return (-1.0 if specification.pixel_range == "[-1,1]" else 0.0), 1.0
