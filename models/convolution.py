"""The convolutional encoder and decoder that the image autoencoders share."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, conv_transpose2d, fold

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


class DoublingConvolution(nn.ConvTranspose2d):
    """A transposed convolution, kernel 3, that doubles the sides; function and parameters are ConvTranspose2d's.

    On a CPU it is computed otherwise, as oneDNN takes long for two things: to sum the bias's gradient, and to make an
    image of one channel, which costs it as much as one of 16.

    Args:
        inputs: channels.
        outputs: channels.
        size: (H, W) of what comes out: twice what goes in, or one less.
    """

    def __init__(self, inputs: int, outputs: int, size: tuple[int, int]) -> None:
        # Stride 2 makes 2n - 1 pixels of n; an even side needs one more.
        output_padding = (1 - size[0] % 2, 1 - size[1] % 2)
        super().__init__(inputs, outputs, 3, stride=2, padding=1, output_padding=output_padding)
        self.size = size

    def forward(self, images: Tensor, output_size: list[int] | None = None) -> Tensor:
        """Returns images (N, outputs, *size) of images (N, inputs, H, W)."""
        if images.device.type != "cpu" or output_size is not None:
            return super().forward(images, output_size)
        assert self.bias is not None
        if self.out_channels == 1:
            # What a pixel adds to each of the 9 around it, then all of it added up. fold takes one image after another,
            # but the channels of one together: it is given the batch as the channels of one.
            added = conv2d(images, self.weight.flatten(1).t()[..., None, None])
            # Under autocast, too: fold is slower in bfloat16.
            added = added.to(self.weight.dtype, memory_format=torch.contiguous_format)
            together = fold(added.flatten(2).flatten(0, 1)[None], self.size, 3, padding=1, stride=2)
            return together.transpose(0, 1) + self.bias
        doubled = conv_transpose2d(images, self.weight, None, 2, 1, self.output_padding)
        # The bias, a row at a time: the channels of one pixel are too few for the processor's vectors.
        rows = doubled.permute(0, 2, 3, 1).flatten(2) + self.bias.to(doubled.dtype).repeat(self.size[1])
        biased: Tensor = rows.unflatten(2, (self.size[1], self.out_channels)).permute(0, 3, 1, 2)
        return biased


class ConvolutionalEncoder(nn.Module):
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
        super().__init__()
        self.stages = nn.Sequential()
        for inputs, outputs in zip((input_shape[0], *channels), channels, strict=False):
            self.stages.append(nn.Conv2d(inputs, outputs, kernel_size=3, stride=2, padding=1))
            self.stages.append(nn.ReLU(inplace=True))
        self.linear = nn.Linear(math.prod(smallest) * channels[-1], features)

    def forward(self, images: Tensor) -> Tensor:
        """Returns vectors (N, features) of images (N, C, H, W)."""
        # (H, W, C): so they lie in memory in channels_last, and nothing is copied.
        pixels = self.stages(images).permute(0, 2, 3, 1).flatten(1)
        vectors: Tensor = self.linear(pixels)
        return vectors


class ConvolutionalDecoder(nn.Module):
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
        super().__init__()
        self.smallest = (*sides[-1], channels[-1])
        self.linear = nn.Linear(latent_dim, math.prod(self.smallest))
        self.activation = nn.ReLU(inplace=True)
        self.stages = nn.Sequential()
        outward = (input_shape[0], *channels)
        for stage in reversed(range(len(channels))):
            self.stages.append(DoublingConvolution(outward[stage + 1], outward[stage], sides[stage]))
            # Not in place: what comes is a view, which autograd would copy.
            self.stages.append(nn.ReLU() if stage else OUTPUT_ACTIVATIONS[output_activation]())

    def forward(self, latents: Tensor) -> Tensor:
        """Returns images (N, C, H, W) of latents (N, latent_dim)."""
        pixels = self.activation(self.linear(latents)).unflatten(1, self.smallest)
        images: Tensor = self.stages(pixels.permute(0, 3, 1, 2))
        return images
