"""A small convolutional network that removes noise."""

from __future__ import annotations

from pydantic import PositiveInt

from firebox.models.unet_baseline import UNetBaseline


class DenoisingBaseline(UNetBaseline):
    """The U-Net of ``UNetBaseline`` whose output is its input less the noise that it finds there.

    Learning what is to be removed is easier than learning the image (Zhang et al., "Beyond a Gaussian Denoiser:
    Residual Learning of Deep CNN for Image Denoising", IEEE TIP 26, 2017). Pixels may have any range.

    Args:
        input_shape: (C, H, W) of one image; any sides that the stages can halve, including odd ones.
        channels: channels of each stage; each stage halves both sides. At full size there are as many as in the first.

    Raises:
        ValueError: the images are too small for the number of stages.
    """

    def __init__(self, input_shape: tuple[int, int, int], *, channels: tuple[PositiveInt, ...] = (16, 32)) -> None:
        super().__init__(input_shape, input_shape[0], channels=channels, residual=True)
