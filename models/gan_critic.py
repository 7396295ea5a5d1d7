"""The critic, or discriminator, of a GAN: a score of each image."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor, nn

from firebox.models.convolution import halved_sides


class GANCritic(nn.Module):
    """Strided convolutions with LeakyReLU, then one linear layer; without normalisation.

    Without it, the score of an image depends on that image alone, as a gradient penalty supposes.

    Args:
        input_shape: (C, H, W) of one image; any sides that the stages can halve, including odd ones.
        channels: output channels of each stage; each stage halves both sides of the image.

    Raises:
        ValueError: the images are too small for the number of stages.
    """

    def __init__(self, input_shape: tuple[int, int, int], channels: Sequence[int]) -> None:
        smallest = halved_sides(input_shape, len(channels))[-1]
        super().__init__()
        self.stages = nn.Sequential()
        for inputs, outputs in zip((input_shape[0], *channels), channels, strict=False):
            self.stages.append(nn.Conv2d(inputs, outputs, kernel_size=3, stride=2, padding=1))
            self.stages.append(nn.LeakyReLU(0.2))
        self.linear = nn.Linear(math.prod(smallest) * channels[-1], 1)

    def forward(self, images: Tensor) -> Tensor:
        """Returns unbounded scores (N,) of images (N, C, H, W): the higher, the more real."""
        scores: Tensor = self.linear(self.stages(images).flatten(1)).squeeze(1)
        return scores
