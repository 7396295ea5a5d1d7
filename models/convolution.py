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


class FlattenPixels(nn.Module):
    """Makes (N, C, H, W) to (N, H·W·C): in channels_last, that is how they lie in memory, and nothing is copied."""

    def forward(self, images: Tensor) -> Tensor:
        """Returns vectors (N, H·W·C) of images (N, C, H, W)."""
        vectors: Tensor = images.permute(0, 2, 3, 1).flatten(1)
        return vectors


class UnflattenPixels(nn.Module):
    """The inverse of FlattenPixels.

    Args:
        shape: (C, H, W) of one image.
    """

    def __init__(self, shape: tuple[int, int, int]) -> None:
        super().__init__()
        self.shape = shape

    def forward(self, vectors: Tensor) -> Tensor:
        """Returns images (N, C, H, W), in channels_last, of vectors (N, H·W·C)."""
        channels, height, width = self.shape
        images: Tensor = vectors.unflatten(1, (height, width, channels)).permute(0, 3, 1, 2)
        return images

    def extra_repr(self) -> str:
        """Returns what the layer's line shows."""
        return f"shape={self.shape}"


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
        if self.out_channels == 1:
            # What a pixel adds to each of the 9 around it, then all of it added up. fold takes one image after another,
            # but the channels of one together: it is given the batch as the channels of one.
            added = conv2d(images, self.weight.flatten(1).t()[..., None, None])
            # Under autocast, too: fold is slower in bfloat16.
            added = added.to(self.weight.dtype, memory_format=torch.contiguous_format)
            together = fold(added.flatten(2).flatten(0, 1)[None], self.size, 3, padding=1, stride=2)
            doubled = together.transpose(0, 1)
        else:
            doubled = conv_transpose2d(images, self.weight, None, 2, 1, self.output_padding)
        assert self.bias is not None
        return doubled + self.bias.to(doubled.dtype)[:, None, None]


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
        super().__init__(*layers, FlattenPixels(), nn.Linear(channels[-1] * math.prod(smallest), features))


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
        layers.append(UnflattenPixels(smallest))
        outward = (input_shape[0], *channels)
        for stage in reversed(range(len(channels))):
            layers += [
                DoublingConvolution(outward[stage + 1], outward[stage], sides[stage]),
                nn.ReLU(inplace=True) if stage else OUTPUT_ACTIVATIONS[output_activation](),
            ]
        super().__init__(*layers)
