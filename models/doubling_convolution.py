"""A transposed convolution that doubles the sides of its images."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, conv_transpose2d, fold


class DoublingConvolution(nn.ConvTranspose2d):
    """A transposed convolution of kernel size 3 that doubles the sides, with the parameters of ``ConvTranspose2d``.

    Args:
        inputs: number of input channels.
        outputs: number of output channels.
        size: (H, W) of the output, in pixels: twice the sides of the input, or one pixel less.
    """

    # ConvTranspose2d alone is slow on a CPU, where torch leaves it to oneDNN: summing the gradient of the bias takes
    # long, and output of one channel costs as much as output of 16. On a CPU, both are therefore computed from other
    # operations of torch; on other devices, this layer is ConvTranspose2d. In a model of your own, it can replace
    # ConvTranspose2d(inputs, outputs, 3, stride=2, padding=1, output_padding=...); only the time that it takes changes.

    def __init__(self, inputs: int, outputs: int, size: tuple[int, int]) -> None:
        # Stride 2 turns n pixels into 2n - 1; an even side needs one more.
        output_padding = (1 - size[0] % 2, 1 - size[1] % 2)
        super().__init__(inputs, outputs, 3, stride=2, padding=1, output_padding=output_padding)
        self.size = size

    def forward(self, images: Tensor, output_size: list[int] | None = None) -> Tensor:
        """Returns images (N, outputs, *size) for images (N, inputs, H, W)."""
        # An exported program is to run on any device and in other libraries, which have a ConvTranspose of their own.
        if images.device.type != "cpu" or output_size is not None or torch.compiler.is_exporting():
            return super().forward(images, output_size)
        return self._one_channel(images) if self.out_channels == 1 else self._channels(images)

    def _one_channel(self, images: Tensor) -> Tensor:
        assert self.bias is not None
        # The contribution of each pixel to the 9 around it, then their sum. fold processes images one after another but
        # the channels of an image together, so it is given the batch as the channels of one image.
        added = conv2d(images, self.weight.flatten(1).t()[..., None, None])
        # Also under autocast, because fold is slower in bfloat16.
        added = added.to(self.weight.dtype, memory_format=torch.contiguous_format)
        together = fold(added.flatten(2).flatten(0, 1)[None], self.size, 3, padding=1, stride=2)
        return together.transpose(0, 1) + self.bias

    def _channels(self, images: Tensor) -> Tensor:
        assert self.bias is not None
        doubled = conv_transpose2d(images, self.weight, None, 2, 1, self.output_padding)
        # The bias is added a row at a time: one pixel has too few channels for the processor's vectors.
        rows = doubled.permute(0, 2, 3, 1).flatten(2) + self.bias.to(doubled.dtype).repeat(self.size[1])
        biased: Tensor = rows.unflatten(2, (self.size[1], self.out_channels)).permute(0, 3, 1, 2)
        return biased
