"""Draws points in the plane, coloured by class."""

from __future__ import annotations

import colorsys
import math
from collections.abc import Sequence

import numpy
import torch
from PIL import Image, ImageDraw, ImageFont

COLOURS = (
    (31, 119, 180), (255, 127, 14), (44, 160, 44), (214, 39, 40), (148, 103, 189),
    (140, 86, 75), (227, 119, 194), (110, 110, 110), (188, 189, 34), (23, 190, 207),
)  # fmt: skip
"""Tableau's ten, the grey a little darker."""

OVERSAMPLING = 2
"""Drawn so many times larger and scaled down: PIL draws without smoothing edges."""

SIDE, MARGIN, LEGEND, LINE, RADIUS, FONT_SIZE = 640, 60, 170, 22, 3.0, 14
OPACITY = 170
TICKS = 8


def draw_scatter(
    points: torch.Tensor, labels: torch.Tensor | None, classes: Sequence[str], axes: tuple[str, str]
) -> torch.Tensor:
    """Draws points with one scale for both axes, a frame with ticks, and a legend.

    Args:
        points: (N, 2), finite.
        labels: (N,) int64, the class of each point; None: they have none.
        classes: the names that the legend shows.
        axes: the titles of the horizontal and the vertical axis.

    Returns:
        The picture, uint8 of shape (3, height, width).
    """
    points = points.detach().double().cpu()
    labels = torch.zeros(len(points), dtype=torch.int64) if labels is None else labels.cpu()
    legend = LEGEND if classes else 0
    width, height = MARGIN + SIDE + MARGIN // 2 + legend, MARGIN // 2 + SIDE + MARGIN
    picture = Image.new("RGB", (width * OVERSAMPLING, height * OVERSAMPLING), "white")
    draw = ImageDraw.Draw(picture, "RGBA")
    lowest, highest = points.min(0).values, points.max(0).values
    extent = max(float((highest - lowest).max()), 1e-12) * 1.06
    centre = (lowest + highest) / 2
    scale = SIDE / extent
    places = (points - centre) * torch.tensor([scale, -scale]) + torch.tensor([MARGIN + SIDE / 2, (MARGIN + SIDE) / 2])
    _draw_frame(draw, centre.tolist(), extent, axes)
    colours = [_colour(number, max(len(classes), 1)) for number in range(max(len(classes), 1))]
    # In a drawn order, so that no class lies on top of the others.
    for index in torch.randperm(len(points), generator=torch.Generator().manual_seed(0)).tolist():
        x, y = places[index].tolist()
        _draw_dot(draw, x, y, colours[int(labels[index])])
    for number, name in enumerate(classes):
        y = MARGIN // 2 + LINE * (number + 0.5)
        _draw_dot(draw, MARGIN + SIDE + 20, y, colours[number], radius=2 * RADIUS, opacity=255)
        _draw_text(draw, MARGIN + SIDE + 34, y, name, "lm")
    smooth = picture.resize((width, height), Image.Resampling.LANCZOS)
    return torch.from_numpy(numpy.array(smooth)).permute(2, 0, 1)


def ticks(lowest: float, highest: float) -> list[float]:
    """Returns round values between two, a step of 1, 2 or 5 times a power of ten apart, at most about eight."""
    rough = (highest - lowest) / TICKS
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough)
    return [number * step for number in range(math.ceil(lowest / step), math.floor(highest / step) + 1)]


def _draw_frame(draw: ImageDraw.ImageDraw, centre: Sequence[float], extent: float, axes: tuple[str, str]) -> None:
    left, top, right, bottom = MARGIN, MARGIN // 2, MARGIN + SIDE, MARGIN // 2 + SIDE
    horizontal = [
        (value, left + (value - centre[0] + extent / 2) / extent * SIDE) for value in _values(centre[0], extent)
    ]
    vertical = [
        (value, bottom - (value - centre[1] + extent / 2) / extent * SIDE) for value in _values(centre[1], extent)
    ]
    for value, x in horizontal:
        _draw_line(draw, (x, top, x, bottom), (235, 235, 235))
        _draw_text(draw, x, bottom + 8, f"{value:g}", "ma")
    for value, y in vertical:
        _draw_line(draw, (left, y, right, y), (235, 235, 235))
        _draw_text(draw, left - 8, y, f"{value:g}", "rm")
    for line in (
        (left, top, right, top),
        (left, bottom, right, bottom),
        (left, top, left, bottom),
        (right, top, right, bottom),
    ):
        _draw_line(draw, line, (120, 120, 120))
    _draw_text(draw, (left + right) / 2, bottom + 32, axes[0], "ma")
    _draw_text(draw, left, top - 6, axes[1], "lb")


def _values(centre: float, extent: float) -> list[float]:
    return ticks(centre - extent / 2, centre + extent / 2)


def _colour(number: int, of: int) -> tuple[int, int, int]:
    if of <= len(COLOURS):
        return COLOURS[number]
    red, green, blue = colorsys.hsv_to_rgb(number / of, 0.85, 0.6 + 0.3 * (number % 2))
    return round(red * 255), round(green * 255), round(blue * 255)


def _draw_dot(
    draw: ImageDraw.ImageDraw,
    x: float,
    y: float,
    colour: tuple[int, int, int],
    *,
    radius: float = RADIUS,
    opacity: int = OPACITY,
) -> None:
    x, y, radius = x * OVERSAMPLING, y * OVERSAMPLING, radius * OVERSAMPLING
    draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=(*colour, opacity))


def _draw_line(
    draw: ImageDraw.ImageDraw, ends: tuple[float, float, float, float], colour: tuple[int, int, int]
) -> None:
    draw.line([end * OVERSAMPLING for end in ends], fill=colour, width=OVERSAMPLING)


def _draw_text(draw: ImageDraw.ImageDraw, x: float, y: float, text: str, anchor: str) -> None:
    font = ImageFont.load_default(FONT_SIZE * OVERSAMPLING)
    draw.text((x * OVERSAMPLING, y * OVERSAMPLING), text, "black", font, anchor=anchor)
