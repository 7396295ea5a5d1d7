"""Images as PNG files, and grids of images on a fixed scale."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO

import torch
from torch.nn import functional

from firebox.foundation.channels import visible

BORDER = 2
"""Width in pixels of the border around the images of a grid."""

BACKGROUND = 255


def grid(pictures: Sequence[torch.Tensor], columns: int = 8) -> torch.Tensor:
    """Tiles images into a grid, with the images of one sample below each other.

    Args:
        pictures: images to show below each other, each float (N, C, H, W) in [0, 1], of any number of channels.
        columns: number of samples per row.

    Returns:
        One image (1 or 3, height, width) uint8.
    """
    stacked = torch.stack([as_bytes(picture) for picture in visible(pictures)], dim=1)
    samples, rows, channels, height, width = stacked.shape
    columns = min(samples, columns)
    blocks = -(-samples // columns)
    missing = stacked.new_full((blocks * columns - samples, *stacked.shape[1:]), BACKGROUND)
    bordered = functional.pad(torch.cat([stacked, missing]), (0, BORDER, 0, BORDER), value=BACKGROUND)
    tiles = bordered.view(blocks, columns, rows, channels, height + BORDER, width + BORDER)
    tiled = tiles.permute(3, 0, 2, 4, 1, 5).reshape(
        channels, blocks * rows * (height + BORDER), columns * (width + BORDER)
    )
    return functional.pad(tiled, (BORDER, 0, BORDER, 0), value=BACKGROUND)


def as_bytes(images: torch.Tensor) -> torch.Tensor:
    """Converts images of any shape from [0, 1] to uint8 on the CPU; 0 is always black and 1 always white."""
    if images.dtype == torch.uint8:
        return images.cpu()
    return images.detach().cpu().float().nan_to_num(0).clamp(0, 1).mul(255).round().to(torch.uint8)


def encode(picture: torch.Tensor) -> bytes:
    """Returns an image as PNG, the same bytes for the same pixels.

    Args:
        picture: image of shape (C, H, W), C 1 or 3, uint8 or float in [0, 1].
    """
    from PIL import Image

    pixels = as_bytes(picture).permute(1, 2, 0).numpy()
    buffer = BytesIO()
    Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels).save(buffer, "PNG")
    return buffer.getvalue()
