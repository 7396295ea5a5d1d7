"""A small U-Net, whose output has the sides of its input."""

from __future__ import annotations

import torch
from pydantic import PositiveInt
from torch import Tensor, nn

from firebox.models.convolution import halved_sides
from firebox.models.doubling_convolution import DoublingConvolution
from firebox.models.group_norm import group_norm


class ConvolutionBlock(nn.Sequential):
    """Two 3x3 convolutions, each normalised in groups of channels, that keep the sides.

    Args:
        inputs: number of input channels.
        outputs: number of output channels.
    """

    # In groups rather than over the batch: images to be segmented are large and their batches small, and so an image's
    # output depends neither on its batch nor on the mode.
    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        for given in (inputs, outputs):
            self.append(nn.Conv2d(given, outputs, 3, padding=1, bias=False))
            self.append(group_norm(outputs))
            self.append(nn.ReLU(inplace=True))


class UNetBaseline(nn.Module):
    """A U-Net: stages that halve the sides, and stages that double them again beside what was there before halving.

    Ronneberger, Fischer and Brox, "U-Net: Convolutional Networks for Biomedical Image Segmentation", MICCAI 2015, with
    padded convolutions, so that the output has the sides of the input, and group normalisation. Pixels may have any
    range. The output is logits of the classes of each pixel, or the pixels of an image.

    Args:
        input_shape: (C, H, W) of one image; any sides that the stages can halve, including odd ones.
        num_classes: channels of the output: classes of a mask, or channels of a target image.
        channels: channels of each stage; each stage halves both sides. At full size there are as many as in the first.
        residual: whether to add the input to the output, so that the network learns what to change in an image.

    Raises:
        ValueError: the images are too small for the number of stages, the output has no channels, or it can't be
            added to the input.
    """

    output_activation = "linear"

    def __init__(
        self,
        input_shape: tuple[int, int, int],
        num_classes: int,
        *,
        channels: tuple[PositiveInt, ...] = (16, 32, 64),
        residual: bool = False,
    ) -> None:
        sides = halved_sides(input_shape, len(channels))
        if not num_classes:
            raise ValueError(
                "needs data whose samples have a mask or a target image, got none; choose another data set"
            )
        if residual and num_classes != input_shape[0]:
            raise ValueError(
                f"residual: got true, but the data's target takes an output of {num_classes} channels, expected "
                f"{input_shape[0]}, as many as the input has, which is added; set it to false, or choose a data set "
                "with such target images"
            )
        super().__init__()
        self.residual = residual
        widths = (channels[0], *channels)
        self.stem = ConvolutionBlock(input_shape[0], widths[0])
        # Rounds up, so that no pixel of an odd side is lost.
        self.halving = nn.MaxPool2d(2, ceil_mode=True)
        self.down = nn.ModuleList(map(ConvolutionBlock, widths, channels))
        self.doubling, self.up = nn.ModuleList(), nn.ModuleList()
        for stage in reversed(range(len(channels))):
            self.doubling.append(DoublingConvolution(widths[stage + 1], widths[stage], sides[stage]))
            self.up.append(ConvolutionBlock(2 * widths[stage], widths[stage]))
        self.head = nn.Conv2d(widths[0], num_classes, 1)

    def forward(self, images: Tensor) -> Tensor:
        """Returns logits or pixels (N, num_classes, H, W) for images (N, C, H, W)."""
        features = [self.stem(images)]
        for block in self.down:
            features.append(block(self.halving(features[-1])))
        output: Tensor = features.pop()
        for doubling, block in zip(self.doubling, self.up, strict=True):
            output = block(torch.cat([features.pop(), doubling(output)], dim=1))
        output = self.head(output)
        return images + output if self.residual else output
