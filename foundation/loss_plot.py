"""The plot of a run's losses."""

from __future__ import annotations

from collections.abc import Mapping

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
RIGHT = 32
"""The room right of the plot in pixels, for half of its last number."""
FEW_POINTS = 60
"""Number of evaluations up to which each is marked."""
STRETCHES = 30
"""The stretch of the training over which losses are averaged is so many times shorter than the training."""

Curve = list[tuple[float, float]]
"""Points (iteration, loss) in the order of the iterations."""


def draw_losses(curves: Mapping[str, Curve], title: str, epoch_length: int) -> torch.Tensor:
    """Draws the losses of each split against the iteration; on a logarithmic scale if all are positive.

    Training losses are drawn pale, and their moving average in full colour.

    Args:
        curves: points of each split, finite; one split has points at least.
        title: title of the plot.
        epoch_length: iterations in an epoch.

    Returns:
        The picture, (3, H, W) uint8.
    """
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

    canvas = new_canvas()
    resize(canvas, *SIZE)
    width, height = SIZE
    top = MARGIN + 2 * LINE + MARGIN  # the title, then the legend, where no curve is
    place = (AXIS / width, AXIS / height, 1 - (AXIS + RIGHT) / width, 1 - (AXIS + top) / height)
    plot = canvas.figure.add_axes(place)
    for (split, points), colour in zip(curves.items(), COLOURS, strict=False):
        if not points:
            continue
        if split == "train":
            plot.plot(*_axes(points), color=colour, linewidth=in_points(1), alpha=0.35)
            shown, marker, name = _averaged(points), "" if len(points) > 1 else "o", f"{split}, last"
        else:
            iteration, lowest = min(points, key=lambda point: (point[1], point[0]))
            shown, marker = points, "o" if len(points) <= FEW_POINTS else ""
            name = f"{split}, lowest {lowest:.4g} at {iteration:,}, last" if len(points) > 1 else split
        size = in_points(5 if len(points) > 1 else 8)
        label = f"{name} {shown[-1][1]:.4g}"
        plot.plot(*_axes(shown), color=colour, linewidth=in_points(2), marker=marker, markersize=size, label=label)
    losses = [loss for points in curves.values() for _, loss in points]
    if min(losses) > 0:
        plot.set_yscale("log")
        plot.yaxis.set_minor_locator(NullLocator())
        narrow = max(losses) < 10 * min(losses)
        plot.yaxis.set_major_locator(MaxNLocator(8) if narrow else LogLocator(subs=(1, 2, 5)))
    plot.yaxis.set_major_formatter(FuncFormatter(lambda loss, _: f"{loss:.6g}"))
    plot.xaxis.set_major_formatter(FuncFormatter(lambda iteration, _: f"{iteration:,.0f}"))
    plot.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    plot.set_xlim(0, 1.01 * max(points[-1][0] for points in curves.values() if points))
    plot.set_xlabel(f"iteration ({epoch_length:,} per epoch)", **literal())
    set_up(plot)
    canvas.figure.text(AXIS / width, 1 - MARGIN / height, title, va="top", **literal())
    canvas.figure.text(MARGIN / width, 1 - top / height, "loss", va="top", rotation=90, **literal())
    legend = plot.legend(
        loc="lower left", bbox_to_anchor=(0, 1), ncols=len(curves), borderpad=0.3, borderaxespad=0, frameon=False,
        labelcolor="linecolor",
    )  # fmt: skip
    for text in legend.get_texts():
        text.set(**literal())
    return pixels_of(canvas)


def _averaged(points: Curve) -> Curve:
    """Returns the mean of each point and its neighbours."""
    half = len(points) // STRETCHES // 2
    averaged = []
    for number, (iteration, _) in enumerate(points):
        near = points[max(number - half, 0) : number + half + 1]
        averaged.append((iteration, sum(loss for _, loss in near) / len(near)))
    return averaged


def _axes(points: Curve) -> tuple[list[float], list[float]]:
    return [iteration for iteration, _ in points], [loss for _, loss in points]
