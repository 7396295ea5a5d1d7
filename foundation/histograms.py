"""The plot of distributions."""

from __future__ import annotations

from collections.abc import Sequence

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
    shown_name,
)

SIZE = (640, 320)
"""Width and height of the plot without the room for its axes, in pixels."""
BINS = 60
MOST_GROUPS = len(COLOURS)


def draw_histograms(groups: Sequence[tuple[str, torch.Tensor]], title: str) -> torch.Tensor:
    """Draws the distributions of a value over groups, on one scale, as outlines of bins with a legend.

    Args:
        groups: name of each group, at most ``MOST_GROUPS``, and its finite values, (N,), N at least 1.
        title: what the value is, below the horizontal axis.

    Returns:
        The picture, (3, H, W) uint8.
    """
    import numpy

    canvas = new_canvas()
    width, height = SIZE[0] + AXIS + MARGIN, SIZE[1] + AXIS + MARGIN
    resize(canvas, width, height)
    plot = canvas.figure.add_axes((AXIS / width, AXIS / height, SIZE[0] / width, SIZE[1] / height))
    lowest = min(float(values.min()) for _, values in groups)
    highest = max(float(values.max()) for _, values in groups)
    # If all values are the same, any scale will do.
    edges = numpy.linspace(lowest, highest if highest > lowest else lowest + 1, BINS + 1)
    for (name, values), colour in zip(groups, COLOURS, strict=False):
        counts, _ = numpy.histogram(values.double().cpu().numpy(), edges)
        label = f"{shown_name(name)} ({len(values):,})"
        plot.stairs(counts / len(values), edges, color=colour, linewidth=in_points(2), label=label, zorder=2)
    plot.set_xlabel(title, **literal())
    plot.set_ylabel("share of the images", **literal())
    set_up(plot)
    for text in plot.legend(loc="upper right", frameon=False).get_texts():
        text.set(**literal())
    return pixels_of(canvas)
