"""Images as PNG files, and grids of images on a fixed scale with words beneath them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from typing import TYPE_CHECKING

import numpy
import torch

from firebox.foundation.fonts import dejavu_sans

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL.ImageFont import FreeTypeFont

from firebox.foundation.channels import visible

BORDER = 2
"""Width in pixels of the border around the images of a grid."""
BACKGROUND = 255
COMPRESSION = 4
"""Of PNG files: takes half the time of the usual 6, for files that are a fiftieth larger."""
SMALLEST = 64
"""Side in pixels that the images of a grid have at least."""
LARGEST = 256
"""Side in pixels up to which an image is enlarged, where it is much longer one way than the other."""
FONT_SIZE, LINE, PADDING, GAP = 12, 16, 3, 6
"""The size of the letters, the height of a line, the space beside its words, and that below the last, in pixels."""
WIDEST = 128
"""Width in pixels up to which words make their place in a grid wider than the image; longer ones are cut short."""

Colour = tuple[int, int, int]
BLACK, WHITE = (0, 0, 0), (255, 255, 255)


@dataclass(frozen=True, slots=True)
class Words:
    """A line of text in a picture.

    Args:
        text: what it says.
        ink: colour of the letters, RGB from 0 to 255.
        paper: colour of the line behind them.
    """

    text: str
    ink: Colour = BLACK
    paper: Colour = WHITE


def grid(
    pictures: Sequence[torch.Tensor], columns: int = 8, captions: Sequence[Sequence[Words]] | None = None
) -> torch.Tensor:
    """Tiles images into a grid, with the images of one sample below each other, each enlarged by the same whole factor.

    Args:
        pictures: images to show below each other, each float (N, C, H, W) in [0, 1], of any number of channels.
        columns: number of samples per row.
        captions: lines to show below the images of each sample, equally many for each; None for none.

    Returns:
        One image (1 or 3, height, width) uint8; in colour where a picture or a caption has colours.
    """
    # In NumPy from here on, whose threads do not compete with the training for the cores as torch's would.
    stacked = numpy.stack([as_bytes(picture).numpy() for picture in visible(pictures)], axis=2)
    factor = enlargement(*stacked.shape[-2:])
    enlarged = stacked.repeat(factor, -2).repeat(factor, -1)
    samples, channels, rows, height, width = enlarged.shape
    tiles = numpy.full((samples, channels, rows, height + BORDER, width + BORDER), BACKGROUND, numpy.uint8)
    tiles[..., :height, :width] = enlarged
    tiles = tiles.reshape(samples, channels, -1, width + BORDER)
    if captions is not None:
        tiles = _captioned(tiles, captions)
    samples, channels, height, width = tiles.shape
    columns = min(samples, columns)
    blocks = -(-samples // columns)
    tiled = numpy.full((blocks * columns, channels, height, width), BACKGROUND, numpy.uint8)
    tiled[:samples] = tiles
    tiled = tiled.reshape(blocks, columns, channels, height, width).transpose(2, 0, 3, 1, 4)
    whole = numpy.full((channels, BORDER + blocks * height, BORDER + columns * width), BACKGROUND, numpy.uint8)
    whole[:, BORDER:, BORDER:] = tiled.reshape(channels, blocks * height, columns * width)
    return torch.from_numpy(whole)


def enlargement(height: int, width: int) -> int:
    """Returns the whole factor by which images of a size are enlarged in a grid."""
    return max(1, min(-(-SMALLEST // min(height, width)), LARGEST // max(height, width)))


def _captioned(tiles: NDArray[numpy.uint8], captions: Sequence[Sequence[Words]]) -> NDArray[numpy.uint8]:
    """Adds lines below the tiles (N, C, H, W); wider lines make all tiles wider, with the images in the middle."""
    from PIL import Image, ImageDraw

    lines = [line for caption in captions for line in caption]
    samples, channels, height, width = tiles.shape
    if any(len(set(colour)) > 1 for line in lines for colour in (line.ink, line.paper)):
        channels = 3
    widest = max((_length(_printable(line.text)) for line in lines), default=0) + 2 * PADDING + BORDER
    extra = max(0, min(widest, WIDEST) - width)
    below = max(map(len, captions), default=0) * LINE + GAP
    wider = numpy.full((samples, channels, height + below, width + extra), BACKGROUND, numpy.uint8)
    wider[:, :, :height, extra // 2 : extra // 2 + width] = tiles
    room = width + extra - BORDER
    for tile, caption in zip(wider, captions, strict=True):
        drawn = Image.new("RGB", (room, below), WHITE)
        draw = ImageDraw.Draw(drawn)
        for number, line in enumerate(caption):
            draw.rectangle((0, number * LINE, room - 1, number * LINE + LINE - 1), line.paper)
            text = _shortened(line.text, room - 2 * PADDING)
            draw.text(((room - _length(text)) // 2, number * LINE + LINE // 2), text, line.ink, _font(), anchor="lm")
        tile[:, height:, :room] = numpy.asarray(drawn).transpose(2, 0, 1)[:channels]
    return wider


def _shortened(text: str, width: int) -> str:
    """Returns as much of a text as fits into a width in pixels, with an ellipsis where that is not all of it."""
    shown = _printable(text)
    if _length(shown) <= width:
        return shown
    while shown and _length(f"{shown}…") > width:
        shown = shown[:-1]
    return f"{shown}…"


def _printable(text: str) -> str:
    """Returns a text on one line, with a box for each character that can't be shown."""
    return "".join(letter if letter.isprintable() else "□" for letter in text)


def _length(text: str) -> int:
    return int(_font().getlength(text)) + 1


@cache
def _font() -> FreeTypeFont:
    from PIL import ImageFont

    # Without raqm, which some builds of Pillow have: the same text is the same pixels everywhere.
    return ImageFont.truetype(str(dejavu_sans()), FONT_SIZE, layout_engine=ImageFont.Layout.BASIC)


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
    image = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
    image.save(buffer, "PNG", compress_level=COMPRESSION)
    return buffer.getvalue()


MASK_COLOURS: tuple[Colour, ...] = (
    (0, 0, 0), (230, 159, 0), (86, 180, 233), (0, 158, 115),
    (240, 228, 66), (0, 114, 178), (213, 94, 0), (204, 121, 167),
)  # fmt: skip
"""Colours of classes in masks, the first usually being the background; people with any kind of colour vision can tell
them apart (Okabe and Ito, "Color Universal Design", 2008)."""


def mask_colours(classes: int) -> list[Colour]:
    """Returns the colours of the classes of a mask in turn, each another one."""
    from colorsys import hsv_to_rgb

    colours = list(MASK_COLOURS[:classes])
    for number in range(len(colours), classes):
        # The golden ratio spreads any number of hues.
        red, green, blue = hsv_to_rgb(number * 0.618034 % 1, 0.75, 0.6 + 0.3 * (number % 2))
        colours.append((round(255 * red), round(255 * green), round(255 * blue)))
    return colours


def mask_palette(classes: int, ignored: int | None) -> bytes:
    """Returns 256 RGB colours for the values of a mask; what is ignored is white.

    Args:
        classes: number of classes.
        ignored: value of pixels that belong to none; None if there is none.
    """
    colours = [*mask_colours(classes), *[BLACK] * (256 - classes)]
    if ignored is not None:
        colours[ignored] = WHITE
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
