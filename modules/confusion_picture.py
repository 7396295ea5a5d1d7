"""Draws a confusion matrix."""

from __future__ import annotations

from collections.abc import Sequence

import numpy
import torch
from PIL import Image, ImageDraw, ImageFont

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

FONT_SIZE = 13
LINE = 18
"""Height in pixels of a line of text."""
MARGIN = 8
LARGEST_CELL = 46
LARGEST_MATRIX = 1200
"""Side in pixels that many classes are made to fit in, down to one pixel a cell."""
LONGEST_NAME = 20
DARKEST = (8, 48, 107)
"""Of a cell that holds its whole row; an empty cell is white."""


def draw_confusion_matrix(counts: torch.Tensor, classes: Sequence[str]) -> torch.Tensor:
    """Draws counts in cells that are as dark as their share of the row, with the classes' names where they fit.

    Args:
        counts: (K, K), whole numbers; a row for each true class, a column for each predicted one.
        classes: K names.

    Returns:
        The picture, (3, H, W) float32 in [0, 1].
    """
    counts = counts.detach().cpu()
    size = len(classes)
    cell = max(1, min(LARGEST_CELL, LARGEST_MATRIX // size))
    font = ImageFont.load_default(FONT_SIZE)
    named = cell >= LINE
    names = [name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}…" for name in classes] if named else []
    longest = max((round(font.getlength(name)) for name in names), default=0)
    # Axis title, then the names, then the matrix; the column names are turned, so both axes need the same room.
    start = MARGIN + LINE + longest + MARGIN
    side = start + cell * size + MARGIN
    picture = Image.new("RGB", (side, side), "white")
    draw = ImageDraw.Draw(picture)
    draw.text((start, MARGIN), "predicted", "black", font)
    _draw_turned(picture, (MARGIN, start), "true", font)
    shares = counts / counts.sum(1, keepdim=True).clamp(min=1)
    colours = 255 + shares.unsqueeze(2) * (torch.tensor(DARKEST) - 255)
    cells = colours.round().byte().repeat_interleave(cell, 0).repeat_interleave(cell, 1)
    picture.paste(Image.fromarray(cells.numpy()), (start, start))
    draw.rectangle((start - 1, start - 1, start + cell * size, start + cell * size), outline="grey")
    for row, name in enumerate(names):
        middle = start + (row + 0.5) * cell
        draw.text((start - MARGIN, middle), name, "black", font, anchor="rm")
        _draw_turned(picture, (round(middle - LINE / 2), start - MARGIN), name, font, up=True)
        for column in range(size):
            text = str(int(counts[row, column]))
            if text != "0" and font.getlength(text) < cell:
                ink = "white" if shares[row, column] > 0.5 else "black"
                draw.text((start + (column + 0.5) * cell, middle), text, ink, font, anchor="mm")
    return torch.from_numpy(numpy.array(picture)).permute(2, 0, 1).float() / 255


def _draw_turned(picture: Image.Image, place: tuple[int, int], text: str, font: Font, *, up: bool = False) -> None:
    """Draws text that reads upwards; ``place`` is its upper left corner or, with ``up``, its lower left one."""
    length = round(font.getlength(text))
    line = Image.new("RGB", (length, LINE), "white")
    ImageDraw.Draw(line).text((0, LINE / 2), text, "black", font, anchor="lm")
    x, y = place
    picture.paste(line.rotate(90, expand=True), (x, y - length if up else y))
