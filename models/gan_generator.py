"""The generator of a GAN: images of noise."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor, nn

from firebox.models.convolution import halved_sides
from firebox.models.doubling_convolution import DoublingConvolution


class GANGenerator(nn.Module):
    """One linear layer, then stages that double the sides, with batch normalisation and ReLU; tanh at the end.

    Radford, Metz and Chintala, "Unsupervised Representation Learning with Deep Convolutional Generative Adversarial
    Networks", ICLR 2016.

    Args:
        input_shape: (C, H, W) of the images to draw; any sides that the stages can halve, including odd ones.
        channels: output channels of each stage of the critic, from the largest image to the smallest: the input
            channels of the generator's stages in reverse.
        latent_dim: dimension of the noise.

    Raises:
        ValueError: the images are too small for the number of stages.
    """

    output_activation = "tanh"

    def __init__(self, input_shape: tuple[int, int, int], channels: Sequence[int], latent_dim: int) -> None:
        sides = halved_sides(input_shape, len(channels))[::-1]
        channels = channels[::-1]
        super().__init__()
        self.smallest = (channels[0], *sides[0])
        # What a bias before batch normalisation adds is subtracted again.
        self.linear = nn.Linear(latent_dim, math.prod(self.smallest), bias=False)
        self.stages = nn.Sequential(nn.BatchNorm2d(channels[0]), nn.ReLU())
        for inputs, outputs, size in zip(channels, (*channels[1:], input_shape[0]), sides[1:], strict=True):
            self.stages.append(DoublingConvolution(inputs, outputs, size))
            if size != sides[-1]:
                self.stages.append(nn.BatchNorm2d(outputs))
                self.stages.append(nn.ReLU())
        self.stages.append(nn.Tanh())

    def forward(self, latents: Tensor) -> Tensor:
        """Returns images (N, C, H, W) in [-1, 1] for latents (N, latent_dim)."""
        images: Tensor = self.stages(self.linear(latents).unflatten(1, self.smallest))
        return images
