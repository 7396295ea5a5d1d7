"""Pixel losses, as the modules for autoencoders take them."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import torch
from torch.nn import functional

from firebox.engine.training.pixel_loss import PixelLoss


class TorchLoss(PixelLoss):
    """A loss that torch has; its own mean is faster than one taken of the loss of every pixel."""

    function: ClassVar[Callable[..., torch.Tensor]]
    """Takes the output, the images and a ``reduction``."""

    def per_pixel(self, output: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
        return self.function(output, images, reduction="none")

    def mean(self, output: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
        return self.function(output, images, reduction="mean")


class MSE(TorchLoss):
    """Squared error."""

    function = staticmethod(functional.mse_loss)


class L1(TorchLoss):
    """Absolute error."""

    function = staticmethod(functional.l1_loss)


class BCE(TorchLoss):
    """Binary cross entropy of the model's output as logits, the images' pixels in [0,1] being the probabilities."""

    takes = "pixel_logits"
    targets = ("[0,1]",)
    is_likelihood = True
    function = staticmethod(functional.binary_cross_entropy_with_logits)


class Gaussian(PixelLoss):
    """Negative log-likelihood of pixels around the model's output with variance 1: half the squared error.

    The constant ln(2 * pi * variance) / 2 of each pixel is left out.
    """

    is_likelihood = True
    has_variance = True

    def per_pixel(self, output: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
        return functional.mse_loss(output, images, reduction="none") / 2

    def per_image(self, output: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
        # Halving an image's sum costs less than halving its pixels and gives the same bits.
        return functional.mse_loss(output, images, reduction="none").sum((1, 2, 3)) / 2

    def weights_beside(self, weight: float, pixels: int) -> dict[str, float]:
        return {
            "half the squared error of an image": weight,
            "the mean squared error per pixel": 2 * weight / pixels,
        }
