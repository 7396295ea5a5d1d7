"""A transposed convolution that doubles the sides of its images."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, conv_transpose2d, fold


class DoublingConvolution(nn.ConvTranspose2d):
    """A transposed convolution, kernel 3, that doubles the sides; its parameters are those of ``ConvTranspose2d``.

    Args:
        inputs: the channels of the images that come in.
        outputs: the channels of the images that go out.
        size: (H, W) of the images that go out: twice the sides of those that come in, or one pixel less.
    """

    # Why not ConvTranspose2d: on a CPU, torch leaves it to oneDNN, which takes long for two things: to sum the gradient
    # of the bias, and to make images of one channel, which cost it as much as images of 16. There, both are computed
    # from other operations of torch; everywhere else this is ConvTranspose2d. In a model of your own, this layer takes
    # the place of ConvTranspose2d(inputs, outputs, 3, stride=2, padding=1, output_padding=...), and nothing changes but
    # the time that it takes.

    def __init__(self, inputs: int, outputs: int, size: tuple[int, int]) -> None:
        # Stride 2 makes 2n - 1 pixels of n; an even side needs one more.
        output_padding = (1 - size[0] % 2, 1 - size[1] % 2)
        super().__init__(inputs, outputs, 3, stride=2, padding=1, output_padding=output_padding)
        self.size = size

    def forward(self, images: Tensor, output_size: list[int] | None = None) -> Tensor:
        """Returns images (N, outputs, *size) of images (N, inputs, H, W)."""
        if images.device.type != "cpu" or output_size is not None:
            return super().forward(images, output_size)
        return self._one_channel(images) if self.out_channels == 1 else self._channels(images)

    def _one_channel(self, images: Tensor) -> Tensor:
        assert self.bias is not None
        # What a pixel adds to each of the 9 around it, then all of it added up. fold takes one image after another,
        # but the channels of one together: it is given the batch as the channels of one.
        added = conv2d(images, self.weight.flatten(1).t()[..., None, None])
        # Under autocast, too: fold is slower in bfloat16.
        added = added.to(self.weight.dtype, memory_format=torch.contiguous_format)
        together = fold(added.flatten(2).flatten(0, 1)[None], self.size, 3, padding=1, stride=2)
        return together.transpose(0, 1) + self.bias

    def _channels(self, images: Tensor) -> Tensor:
        assert self.bias is not None
        doubled = conv_transpose2d(images, self.weight, None, 2, 1, self.output_padding)
        # The bias, a row at a time: the channels of one pixel are too few for the processor's vectors.
        rows = doubled.permute(0, 2, 3, 1).flatten(2) + self.bias.to(doubled.dtype).repeat(self.size[1])
        biased: Tensor = rows.unflatten(2, (self.size[1], self.out_channels)).permute(0, 3, 1, 2)
        return biased
