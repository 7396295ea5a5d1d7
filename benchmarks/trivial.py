"""A model that costs almost nothing to train, so that the engine's time remains; and a large model."""

from __future__ import annotations

from torch import Tensor, nn

HEIGHT, WIDTH = 2, 4
"""Shape of the images that both models take."""


class OneLayer(nn.Module):
    """A model of one linear layer over all pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(8, 8)

    def forward(self, images: Tensor) -> Tensor:
        """Returns images of the same shape (N, 1, 2, 4)."""
        reconstruction: Tensor = self.layer(images.flatten(1)).view_as(images)
        return reconstruction


class Large(nn.Module):
    """Three linear layers; with their Adam moments they take a state of 12 * (width**2 + 18 * width) bytes, roughly.

    Args:
        width: width of the middle layer.
    """

    def __init__(self, *, width: int = 2880) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(8, width), nn.Linear(width, width), nn.Linear(width, 8))

    def forward(self, images: Tensor) -> Tensor:
        """Returns images of the same shape (N, 1, 2, 4)."""
        reconstruction: Tensor = self.layers(images.flatten(1)).view_as(images)
        return reconstruction
