"""Plots: points in the plane, confusion matrices, and counts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from firebox.foundation.canvas import (
    AXIS,
    COLOURS,
    FRAME,
    LINE,
    MARGIN,
    in_points,
    literal,
    new_canvas,
    pixels_of,
    resize,
    set_up,
    shown_name,
    width_of,
)

DARKEST = (8, 48, 107)
"""The colour of a cell that holds all of its row's count; an empty cell is white."""
LARGEST_CELL = 46
LARGEST_MATRIX = 1200
"""Side in pixels into which many classes are fitted, down to one pixel per cell."""
SIDE = 640
"""The side of a scatter plot in pixels."""
LEGEND_ROWS, LEGEND_COLUMNS = 28, 4
"""Number of classes that a legend has room for, in a column and side by side."""
SCALE, FULL = 14, "100 % of a row"
"""The width in pixels of a scale of colours, and what its end means."""
BAR, LONGEST_BAR = 18, 320
"""The height of a bar and the length of the longest one, in pixels."""
MOST_BARS = 60
"""Number of classes that have bars."""


def draw_scatter(
    points: torch.Tensor, labels: torch.Tensor | None, classes: Sequence[str], axes: tuple[str, str], title: str = ""
) -> torch.Tensor:
    """Draws points with one scale for both axes, a legend and a title.

    Args:
        points: finite coordinates, (N, 2).
        labels: class of each point, (N,) int64; None if the points have no classes.
        classes: class names shown in the legend.
        axes: titles of the horizontal and the vertical axis.
        title: title of the plot.

    Returns:
        The picture, (3, H, W) uint8.
    """
    from matplotlib.colors import to_rgba_array
    from matplotlib.lines import Line2D

    points = points.detach().double().cpu()
    labels = torch.zeros(len(points), dtype=torch.int64) if labels is None else labels.cpu()
    colours = to_rgba_array(_colours(max(len(classes), 1)))
    canvas = new_canvas()
    figure = canvas.figure
    plot = figure.add_axes((0, 0, 1, 1))
    # In random order, so that no class lies on top of the others.
    order = torch.randperm(len(points), generator=torch.Generator().manual_seed(0))
    x, y = points[order].T.numpy()
    plot.scatter(x, y, s=in_points(6) ** 2, c=colours[labels[order].numpy()], alpha=0.67, linewidths=0, zorder=2)
    lowest, highest = points.min(0).values, points.max(0).values
    extent = float((highest - lowest).max()) * 1.06
    # If all points coincide, any scale will do.
    extent = extent if extent > 1e-9 * float(points.abs().max()) else 1.0
    for axis, centre, name in zip((plot.xaxis, plot.yaxis), ((lowest + highest) / 2).tolist(), axes, strict=True):
        axis.set_view_interval(centre - extent / 2, centre + extent / 2, ignore=True)
        axis.set_label_text(name, **literal())
    plot.ticklabel_format(useOffset=False, useMathText=False)
    set_up(plot)

    room = LEGEND_ROWS * LEGEND_COLUMNS
    shown = [shown_name(name) for name in (classes if len(classes) <= room else classes[: room - 1])]
    dots = [Line2D([], [], color=colour, marker="o", linestyle="", markersize=in_points(11)) for colour in colours]
    if len(shown) < len(classes):
        shown.append(f"and {len(classes) - len(shown)} more")
        dots[len(shown) - 1].set_visible(False)
    top = MARGIN + LINE + MARGIN if title else MARGIN
    height = top + SIDE + AXIS
    width = AXIS + SIDE + MARGIN
    if shown:
        columns = -(-len(shown) // LEGEND_ROWS)
        legend = figure.legend(
            dots[: len(shown)], shown, ncols=columns, loc="upper left", frameon=False, borderpad=0, handletextpad=0.2
        )
        for text in legend.get_texts():
            text.set(**literal())
        legend_width = int(legend.get_window_extent().width) + 1
        width += MARGIN + legend_width + MARGIN
    resize(canvas, width, height)
    plot.set_position((AXIS / width, AXIS / height, SIDE / width, SIDE / height))
    if shown:
        legend.set_bbox_to_anchor(((AXIS + SIDE + MARGIN) / width, 1 - top / height), figure.transFigure)
    figure.text(AXIS / width, 1 - MARGIN / height, title, va="top", **literal())
    return pixels_of(canvas)


def draw_confusion_matrix(counts: torch.Tensor, classes: Sequence[str]) -> torch.Tensor:
    """Draws a confusion matrix whose cells are as dark as their share of the row, with class names and a scale.

    Where there is no room for all names, every second one is shown, or every third, and so on; counts are shown in
    cells that have room for them.

    Args:
        counts: whole numbers, (K, K), with a row for each true class and a column for each predicted class.
        classes: K names.

    Returns:
        The picture, (3, H, W) uint8.
    """
    counts = counts.detach().cpu()
    size = len(classes)
    cell = max(1, min(LARGEST_CELL, LARGEST_MATRIX // size))
    named = range(0, size, -(-LINE // cell))
    names = [shown_name(classes[number]) for number in named]
    canvas = new_canvas()
    figure = canvas.figure
    longest = max(width_of(canvas, name) for name in names)
    # The axis's title, then the names, then the matrix; the column names are turned, so both axes need the same room.
    title = f"{int(counts.diagonal().sum()):,} of {int(counts.sum()):,} correct"
    top = MARGIN + LINE + MARGIN
    start = MARGIN + LINE + longest + MARGIN
    wide = start + cell * size + 2 * MARGIN
    width = max(wide + SCALE + width_of(canvas, FULL) + 2 * MARGIN, width_of(canvas, title) + 2 * MARGIN)
    height = top + start + cell * size + MARGIN
    resize(canvas, width, height)

    shares = counts / counts.sum(1, keepdim=True).clamp(min=1)
    colours = 255 + shares.unsqueeze(2) * (torch.tensor(DARKEST) - 255)
    place = (start / width, 1 - (top + start + cell * size) / height, cell * size / width, cell * size / height)
    matrix = figure.add_axes(place)
    matrix.imshow(colours.round().byte().numpy(), interpolation="nearest", aspect="auto")
    matrix.spines[:].set(color=FRAME, linewidth=in_points(1))
    matrix.xaxis.set_label_position("top")
    matrix.xaxis.set_ticks(named, names, rotation=90, **literal())
    matrix.yaxis.set_ticks(named, names, **literal())
    # A small line leads from a name to its cells where its neighbours have none.
    length = 0 if len(named) == size else in_points(3)
    matrix.tick_params(
        top=True, bottom=False, labeltop=True, labelbottom=False, length=length, pad=in_points(6) - length, color=FRAME
    )
    texts = ((MARGIN, MARGIN, title, 0), (start, top + MARGIN, "predicted", 0), (MARGIN, top + start, "true", 90))
    for x, y, text, turned in texts:
        placed: dict[str, Any] = {"ha": "left", "va": "top", "rotation": turned, "rotation_mode": "default"}
        figure.text(x / width, 1 - y / height, text, **placed, **literal())
    scale = figure.add_axes((wide / width, place[1], SCALE / width, place[3]))
    steps = torch.linspace(1, 0, 256).view(-1, 1, 1)
    scale.imshow((255 + steps * (torch.tensor(DARKEST) - 255)).byte().numpy(), aspect="auto", extent=(0, 1, 0, 1))
    scale.spines[:].set(color=FRAME, linewidth=in_points(1))
    scale.xaxis.set_ticks([])
    scale.yaxis.set_ticks([0, 1], ["0 %", FULL], **literal())
    scale.tick_params(left=False, labelleft=False, labelright=True, pad=in_points(4))
    if cell >= LINE:
        for row, column in counts.nonzero().tolist():
            text = str(int(counts[row, column]))
            if width_of(canvas, text) < cell:
                ink = "white" if shares[row, column] > 0.5 else "black"
                matrix.text(column, row, text, color=ink, ha="center", va="center_baseline", **literal())
    return pixels_of(canvas)


def draw_histogram(counts: torch.Tensor, classes: Sequence[str]) -> torch.Tensor:
    """Draws a bar for each class, as long as its count, with its name and its number; the classes' mean is a line.

    Args:
        counts: whole numbers, (K,).
        classes: K names, of which the first sixty are drawn.

    Returns:
        The picture, (3, H, W) uint8.
    """
    values = counts.detach().cpu().tolist()[:MOST_BARS]
    names = [shown_name(name) for name in classes[:MOST_BARS]]
    canvas = new_canvas()
    start = MARGIN + max(width_of(canvas, name) for name in names) + MARGIN
    width = start + LONGEST_BAR + MARGIN + width_of(canvas, f"{max(values):,}") + MARGIN
    height = MARGIN + len(values) * (BAR + MARGIN)
    resize(canvas, width, height)
    plot = canvas.figure.add_axes((start / width, 0, LONGEST_BAR / width, 1))
    plot.set_axis_off()
    plot.set(xlim=(0, max(*values, 1)), ylim=(height, 0))
    middles = [MARGIN + number * (BAR + MARGIN) + BAR / 2 for number in range(len(values))]
    plot.barh(middles, values, BAR, color=COLOURS[0])
    plot.axvline(float(counts.double().mean()), color=FRAME, linewidth=in_points(1), zorder=0)
    for middle, name, value in zip(middles, names, values, strict=True):
        end = start + LONGEST_BAR * value / max(*values, 1)
        texts = ((start - MARGIN, name, "right"), (end, f" {value:,}", "left"))
        for x, text, side in texts:
            canvas.figure.text(x / width, 1 - middle / height, text, ha=side, va="center_baseline", **literal())
    return pixels_of(canvas)


def _colours(count: int) -> Sequence[Any]:
    from matplotlib.colors import hsv_to_rgb

    if count <= len(COLOURS):
        return COLOURS[:count]
    return [hsv_to_rgb((number / count, 0.85, 0.6 + 0.3 * (number % 2))) for number in range(count)]
