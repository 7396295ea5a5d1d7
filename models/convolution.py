"""The convolutional encoder and decoder that the image autoencoders share."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

from torch import nn

OUTPUT_ACTIVATIONS = {"linear": nn.Identity, "sigmoid": nn.Sigmoid, "tanh": nn.Tanh}


def halved_sides(input_shape: tuple[int, int, int], stages: int) -> list[tuple[int, int]]:
    """Returns (H, W) of the images and after each stage of stride 2, an odd side rounded up: ``stages + 1`` pairs.

    Args:
        input_shape: (C, H, W) of one image.
        stages: the number of stages.

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


class ConvolutionalEncoder(nn.Sequential):
    """Stages of convolution and ReLU that halve the sides, then one linear layer.

    Args:
        input_shape: (C, H, W) of one image.
        channels: the output channels of each stage.
        features: the length of the vector that comes out.

    Raises:
        ValueError: the images are too small for the number of stages.
    """

    def __init__(self, input_shape: tuple[int, int, int], channels: Sequence[int], features: int) -> None:
        smallest = halved_sides(input_shape, len(channels))[-1]
        layers: list[nn.Module] = []
        for inputs, outputs in zip((input_shape[0], *channels), channels, strict=False):
            layers += [nn.Conv2d(inputs, outputs, kernel_size=3, stride=2, padding=1), nn.ReLU(inplace=True)]
        # The last ReLU comes after the flattening: in channels_last, its backward pass would mix two memory formats.
        layers.insert(-1, nn.Flatten())
        super().__init__(*layers, nn.Linear(channels[-1] * math.prod(smallest), features))


class ConvolutionalDecoder(nn.Sequential):
    """The mirror of a ConvolutionalEncoder: gives back exactly the sides that the encoder was given, odd ones too.

    Args:
        input_shape: (C, H, W) of one image, as the encoder's.
        channels: the output channels of each stage of the encoder, in the encoder's order.
        latent_dim: the length of a latent.
        output_activation: what maps the last layer to pixel values.

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
        smallest = (channels[-1], *sides[-1])
        layers: list[nn.Module] = [nn.Linear(latent_dim, math.prod(smallest)), nn.ReLU(inplace=True)]
        layers.append(nn.Unflatten(1, smallest))
        outward = (input_shape[0], *channels)
        for stage in reversed(range(len(channels))):
            # A transposed convolution of stride 2 makes 2n - 1 pixels of n; an even side needs one more.
            height, width = sides[stage]
            output_padding = (1 - height % 2, 1 - width % 2)
            layers += [
                nn.ConvTranspose2d(
                    outward[stage + 1], outward[stage], 3, stride=2, padding=1, output_padding=output_padding
                ),
                nn.ReLU(inplace=True) if stage else OUTPUT_ACTIVATIONS[output_activation](),
            ]
        super().__init__(*layers)
