"""The base class of pixel losses: how far a model's output is from its target images."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar, Literal

import torch

from firebox.data.declarations.specification import PixelRange
from firebox.engine.components.part import built, name_of


class PixelLoss(ABC):
    """Compares a model's output with images, pixel by pixel. Its keyword parameters are its settings.

    Guards compare what the class says of itself with the model and the data before the first batch.
    """

    takes: ClassVar[Literal["pixels", "pixel_logits"]] = "pixels"
    """What the model's output is: pixels in the range of the data, or the logits of pixels in [0, 1]."""

    targets: ClassVar[tuple[PixelRange, ...]] = ("[0,1]", "[-1,1]", "standardised")
    """The pixel ranges that the images may have."""

    is_likelihood: ClassVar[bool] = False
    """Whether the loss of a pixel is its negative log-likelihood in nats, up to a constant."""

    has_variance: ClassVar[bool] = False
    """Whether the likelihood is that of a pixel with a variance, which is 1 here; another one divides the loss."""

    @classmethod
    def of(cls, given: Any) -> PixelLoss:
        """Returns the loss that a module was given, which may be its name where it is constructed in Python.

        Raises:
            ValueError: it is not a pixel loss.
        """
        loss = built("loss", given)
        if not isinstance(loss, PixelLoss):
            expected = "expected a PixelLoss: from firebox import PixelLoss, and derive your class from it"
            raise ValueError(f"loss: got {type(loss).__name__}, {expected}")
        return loss

    @abstractmethod
    def per_pixel(self, output: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
        """Returns the loss of every pixel, (N, C, H, W).

        Args:
            output: the model's output, (N, C, H, W).
            images: the target images, (N, C, H, W), in one of the ranges in ``targets``.
        """

    def per_image(self, output: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
        """Returns the loss of every image, summed over its pixels and channels, (N,)."""
        return self.per_pixel(output, images).sum((1, 2, 3))

    def mean(self, output: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
        """Returns the mean over all pixels and images, a scalar."""
        return self.per_pixel(output, images).mean()

    def pixels(self, output: torch.Tensor) -> torch.Tensor:
        """Returns the model's output as pixels (N, C, H, W), not clamped to their range; logits as probabilities."""
        return output.sigmoid() if self.takes == "pixel_logits" else output

    def weights_beside(self, weight: float, pixels: int) -> dict[str, float]:
        """Converts the weight of another loss term, such as a KL, to the scales on which this loss is usually stated.

        Args:
            weight: the weight of the other term when it is added to ``per_image``.
            pixels: the values of an image: its pixels times its channels.

        Returns:
            The weight for two scales, each under its name: the loss of an image, then the mean per pixel.
        """
        return {f"the {self.name} of an image": weight, f"the mean {self.name} per pixel": weight / pixels}

    @property
    def name(self) -> str:
        """Its short name, or the name of its class if the catalogue does not list it."""
        return name_of("loss", self)
