"""Images of any number of channels as pictures in grey or in colour."""

from __future__ import annotations

from collections.abc import Sequence

import torch


def visible(images: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """Returns images of any number of channels in grey or in colour, all alike.

    One channel is grey, three are red, green and blue. Two are red and green, and of more than three the first three
    are shown.

    Args:
        images: each of shape (N, C, H, W), C at least 1.

    Returns:
        The images, (N, 1, H, W) if all are grey, or else (N, 3, H, W).
    """
    colours = any(each.shape[1] > 1 for each in images)
    return [_in_colour(each) if colours else each for each in images]


def _in_colour(images: torch.Tensor) -> torch.Tensor:
    channels = images.shape[1]
    if channels == 1:
        return images.expand(-1, 3, -1, -1)
    return torch.cat([images, torch.zeros_like(images[:, :1])], dim=1) if channels == 2 else images[:, :3]
