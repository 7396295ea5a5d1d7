"""The plot of a value over intervals of another."""

from __future__ import annotations

import torch

from firebox.foundation.canvas import (
    AXIS,
    COLOURS,
    MARGIN,
    in_points,
    literal,
    new_canvas,
    pixels_of,
    resize,
    set_up,
)

SIZE = (480, 240)
"""Width and height of the plot without the room for its axes, in pixels."""


def draw_stairs(values: torch.Tensor, ends: tuple[float, float], axes: tuple[str, str]) -> torch.Tensor:
    """Draws a value as a line that is level over each of several intervals of equal length.

    Args:
        values: value of each interval, (K,); one that is not finite is left out.
        ends: where the first interval begins and the last one ends.
        axes: titles of the horizontal and the vertical axis.

    Returns:
        The picture, (3, H, W) uint8.
    """
    canvas = new_canvas()
    width, height = SIZE[0] + AXIS + 3 * MARGIN, SIZE[1] + AXIS + MARGIN
    resize(canvas, width, height)
    plot = canvas.figure.add_axes((AXIS / width, AXIS / height, SIZE[0] / width, SIZE[1] / height))
    edges = torch.linspace(*ends, len(values) + 1).tolist()
    plot.stairs(values.tolist(), edges, baseline=None, color=COLOURS[0], linewidth=in_points(2), zorder=2)
    plot.set_xlim(*ends)
    plot.set_ylim(bottom=0)
    plot.set_xlabel(axes[0], **literal())
    plot.set_ylabel(axes[1], **literal())
    set_up(plot)
    return pixels_of(canvas)
