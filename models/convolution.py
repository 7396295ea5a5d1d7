"""The convolutional encoder and decoder that the image autoencoders share."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

from torch import Tensor, nn

from firebox.models.doubling_convolution import DoublingConvolution

OUTPUT_ACTIVATIONS = {"linear": nn.Identity, "sigmoid": nn.Sigmoid, "tanh": nn.Tanh}


def halved_sides(input_shape: tuple[int, int, int], stages: int) -> list[tuple[int, int]]:
    """Returns (H, W) before the first and after each stage of stride 2, odd sides rounded up: ``stages + 1`` pairs.

    Args:
        input_shape: (C, H, W) of one image.
        stages: number of stages.

    Raises:
        ValueError: there is no stage, or a stage would act on a side of one pixel.
    """
    _, height, width = input_shape
    most = (min(height, width) - 1).bit_length()
    if not 1 <= stages <= most:
        expected = f"1 to {most}" if most else "larger images"
        given = "1 stage" if stages == 1 else f"{stages} stages"
        raise ValueError(
            f"channels: got {given} for {height}x{width} images, expected {expected} "
            "(each stage halves both sides, and a side of one pixel has no half); "
            "name one channel count for each stage, or choose a data set with larger images"
        )
    return [(-(-height // 2**stage), -(-width // 2**stage)) for stage in range(stages + 1)]


class ConvolutionalEncoder(nn.Module):
    """Stages of convolution and ReLU that halve the sides, then one linear layer.

    Args:
        input_shape: (C, H, W) of one image.
        channels: output channels of each stage.
        features: length of the output vector.

    Raises:
        ValueError: the images are too small for the number of stages.
    """

    def __init__(self, input_shape: tuple[int, int, int], channels: Sequence[int], features: int) -> None:
        smallest = halved_sides(input_shape, len(channels))[-1]
        super().__init__()
        self.stages = nn.Sequential()
        for inputs, outputs in zip((input_shape[0], *channels), channels, strict=False):
            self.stages.append(nn.Conv2d(inputs, outputs, kernel_size=3, stride=2, padding=1))
            self.stages.append(nn.ReLU(inplace=True))
        self.linear = nn.Linear(math.prod(smallest) * channels[-1], features)

    def forward(self, images: Tensor) -> Tensor:
        """Returns vectors (N, features) for images (N, C, H, W)."""
        # In the order (H, W, C), which is the memory layout of channels_last, so nothing is copied.
        pixels = self.stages(images).permute(0, 2, 3, 1).flatten(1)
        vectors: Tensor = self.linear(pixels)
        return vectors


class ConvolutionalDecoder(nn.Module):
    """The mirror image of a ConvolutionalEncoder, which restores the sides of its input exactly, odd ones included.

    Args:
        input_shape: (C, H, W) of one image, as for the encoder.
        channels: output channels of each stage of the encoder, in the encoder's order.
        latent_dim: dimension of the latent.
        output_activation: activation that maps the last layer to pixel values.

    Raises:
        ValueError: the images are too small for the number of stages.
    """

    def __init__(
        self,
        input_shape: tuple[int, int, int],
        channels: Sequence[int],
        latent_dim: int,
        output_activation: Literal["linear", "sigmoid", "tanh"],
    ) -> None:
        sides = halved_sides(input_shape, len(channels))
        super().__init__()
        self.smallest = (*sides[-1], channels[-1])
        self.linear = nn.Linear(latent_dim, math.prod(self.smallest))
        self.activation = nn.ReLU(inplace=True)
        self.stages = nn.Sequential()
        outward = (input_shape[0], *channels)
        for stage in reversed(range(len(channels))):
            self.stages.append(DoublingConvolution(outward[stage + 1], outward[stage], sides[stage]))
            # Not in place: the input is a view, which autograd would copy.
            self.stages.append(nn.ReLU() if stage else OUTPUT_ACTIVATIONS[output_activation]())

    def forward(self, latents: Tensor) -> Tensor:
        """Returns images (N, C, H, W) for latents (N, latent_dim)."""
        pixels = self.activation(self.linear(latents)).unflatten(1, self.smallest)
        images: Tensor = self.stages(pixels.permute(0, 3, 1, 2))
        return images
