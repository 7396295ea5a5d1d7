"""The plot of a search for the learning rate."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from firebox.foundation.canvas import (
    AXIS,
    COLOURS,
    LINE,
    MARGIN,
    in_points,
    literal,
    new_canvas,
    pixels_of,
    resize,
    set_up,
)

SIZE = (960, 540)
"""Width and height in pixels."""
HIGHEST = 2.0
"""How far above the first loss the plot reaches, as a multiple of it: a loss that diverges leaves the plot."""


def draw_learning_rates(
    rates: Sequence[float], losses: Sequence[float], suggested: float | None, title: str
) -> torch.Tensor:
    """Draws the loss against the learning rate, on a logarithmic scale, and marks the one that is suggested.

    Args:
        rates: positive learning rates, in ascending order.
        losses: loss at each of them.
        suggested: the rate to mark; None to mark none.
        title: title of the plot.

    Returns:
        The picture, (3, H, W) uint8.
    """
    from matplotlib.ticker import FuncFormatter

    canvas = new_canvas()
    width, height = SIZE
    resize(canvas, width, height)
    top, room = MARGIN + 2 * LINE + MARGIN, 2 * MARGIN
    place = (AXIS / width, AXIS / height, 1 - (AXIS + room) / width, 1 - (AXIS + top) / height)
    plot = canvas.figure.add_axes(place)
    plot.plot(rates, losses, color=COLOURS[0], linewidth=in_points(2))
    if suggested is not None:
        plot.axvline(suggested, color=COLOURS[3], linewidth=in_points(2))
    lowest, first = min(losses), losses[0]
    reach = max(HIGHEST * abs(first), abs(first - lowest)) if first == first else 1.0
    plot.set_ylim(lowest - 0.05 * reach, min(max(losses), lowest + reach) + 0.05 * reach)
    plot.set_xscale("log")
    plot.set_xlim(rates[0], rates[-1])
    plot.yaxis.set_major_formatter(FuncFormatter(lambda loss, _: f"{loss:.4g}"))
    plot.set_xlabel("learning rate", **literal())
    set_up(plot)
    canvas.figure.text(AXIS / width, 1 - MARGIN / height, title, va="top", **literal())
    canvas.figure.text(MARGIN / width, 1 - top / height, "loss", va="top", rotation=90, **literal())
    return pixels_of(canvas)
