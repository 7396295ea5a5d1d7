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
WIDTH = 900
"""Size in pixels up to which a picture is enlarged, by a whole factor, because small images are hard to see."""


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


def enlarged(picture: torch.Tensor) -> torch.Tensor:
    """Returns a picture (C, H, W) enlarged by a whole factor if it is small."""
    factor = max(1, WIDTH // picture.shape[2])
    return picture.repeat_interleave(factor, 1).repeat_interleave(factor, 2)


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


MASK_COLOURS = (
    (0, 0, 0), (230, 159, 0), (86, 180, 233), (0, 158, 115),
    (240, 228, 66), (0, 114, 178), (213, 94, 0), (204, 121, 167),
)  # fmt: skip
"""Colours of classes in masks, the first usually being the background; people with any kind of colour vision can tell
them apart (Okabe and Ito, "Color Universal Design", 2008)."""


def mask_palette(classes: int, ignored: int | None) -> bytes:
    """Returns 256 RGB colours for the classes of a mask in turn; what is ignored is white.

    Args:
        classes: number of classes.
        ignored: value of pixels that belong to none; None if there is none.
    """
    from colorsys import hsv_to_rgb

    colours = list(MASK_COLOURS[:classes])
    for number in range(len(colours), 256):
        # The golden ratio spreads any number of hues.
        red, green, blue = hsv_to_rgb(number * 0.618034 % 1, 0.75, 0.6 + 0.3 * (number % 2))
        colours.append((round(255 * red), round(255 * green), round(255 * blue)))
    if ignored is not None:
        colours[ignored] = (255, 255, 255)
    return bytes(value for colour in colours for value in colour)


def encode_mask(mask: torch.Tensor, palette: bytes) -> bytes:
    """Returns a mask as PNG whose pixels are the numbers of classes, shown in the colours of a palette.

    Args:
        mask: numbers of classes, uint8 (H, W).
        palette: 256 RGB colours.
    """
    from PIL import Image

    image = Image.fromarray(mask.cpu().numpy(), mode="P")
    image.putpalette(palette)
    buffer = BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()
