"""Pixel losses for the modules that train autoencoders."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import torch
from torch.nn import functional

from firebox.engine.training.bases.pixel_loss import PixelLoss


class TorchLoss(PixelLoss):
    """A loss of torch's own. Its built-in mean is faster than the mean over the losses of all pixels."""

    function: ClassVar[Callable[..., torch.Tensor]]
    """torch's function of the output, the images and a ``reduction``."""

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
    """Binary cross entropy with the model's output as logits and the pixels, in [0,1], as probabilities."""

    takes = "pixel_logits"
    targets = ("[0,1]",)
    is_likelihood = True
    function = staticmethod(functional.binary_cross_entropy_with_logits)


class Gaussian(PixelLoss):
    """Negative log-likelihood of pixels under a Gaussian of variance 1 around the output: half the squared error.

    The constant ln(2 * pi * variance) / 2 per pixel is omitted.
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
