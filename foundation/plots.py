"""Plots: points in the plane, and confusion matrices.

matplotlib is imported when the first plot is drawn, and used without pyplot, which holds figures in a global state and
chooses a window: a plot can be drawn in any thread. The same values give the same pixels wherever matplotlib has
its own settings, as the font is the one that matplotlib brings along.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

COLOURS = (
    "#1f77b4", "#ff7f0e", "#2ca02c", "#d62728", "#9467bd", "#8c564b", "#e377c2", "#6e6e6e", "#bcbd22", "#17becf",
)  # fmt: skip
"""The ten colours of Tableau, with a slightly darker grey."""
DARKEST = (8, 48, 107)
"""The colour of a cell that holds all of its row's count; an empty cell is white."""
GRID, FRAME = "#ebebeb", "#787878"

FONT_SIZE = 13
LINE = 18
"""The height of a line of text in pixels."""
MARGIN = 8
LONGEST_NAME = 20
"""Number of characters shown of a class name."""
LARGEST_CELL = 46
LARGEST_MATRIX = 1200
"""Side in pixels into which many classes are fitted, down to one pixel per cell."""
SIDE, AXIS = 640, 64
"""The side of a scatter plot, and the room for an axis's numbers and title, in pixels."""
LEGEND_ROWS, LEGEND_COLUMNS = 28, 4
"""Number of classes that a legend has room for, in a column and side by side."""
BINS = 60
DPI = 100


def draw_scatter(
    points: torch.Tensor, labels: torch.Tensor | None, classes: Sequence[str], axes: tuple[str, str]
) -> torch.Tensor:
    """Draws points with one scale for both axes, and a legend.

    Args:
        points: finite coordinates, (N, 2).
        labels: class of each point, (N,) int64; None if the points have no classes.
        classes: class names shown in the legend.
        axes: titles of the horizontal and the vertical axis.

    Returns:
        The picture, (3, H, W) uint8.
    """
    from matplotlib.colors import to_rgba_array
    from matplotlib.lines import Line2D

    points = points.detach().double().cpu()
    labels = torch.zeros(len(points), dtype=torch.int64) if labels is None else labels.cpu()
    colours = to_rgba_array(_colours(max(len(classes), 1)))
    canvas = _canvas()
    figure = canvas.figure
    plot = figure.add_axes((0, 0, 1, 1))
    # In random order, so that no class lies on top of the others.
    order = torch.randperm(len(points), generator=torch.Generator().manual_seed(0))
    x, y = points[order].T.numpy()
    plot.scatter(x, y, s=_points(6) ** 2, c=colours[labels[order].numpy()], alpha=0.67, linewidths=0, zorder=2)
    lowest, highest = points.min(0).values, points.max(0).values
    extent = float((highest - lowest).max()) * 1.06
    # If all points coincide, any scale will do.
    extent = extent if extent > 1e-9 * float(points.abs().max()) else 1.0
    for axis, centre, title in zip((plot.xaxis, plot.yaxis), ((lowest + highest) / 2).tolist(), axes, strict=True):
        axis.set_view_interval(centre - extent / 2, centre + extent / 2, ignore=True)
        axis.set_label_text(title, **_text())
        axis.set_tick_params(length=0, pad=6, labelsize=_points(FONT_SIZE), labelfontfamily="DejaVu Sans")
    plot.ticklabel_format(useOffset=False, useMathText=False)
    plot.grid(visible=True, color=GRID, linewidth=_points(1))
    plot.set_axisbelow(True)
    plot.spines[:].set(color=FRAME, linewidth=_points(1))

    room = LEGEND_ROWS * LEGEND_COLUMNS
    shown = [_shown(name) for name in (classes if len(classes) <= room else classes[: room - 1])]
    dots = [Line2D([], [], color=colour, marker="o", linestyle="", markersize=_points(11)) for colour in colours]
    if len(shown) < len(classes):
        shown.append(f"and {len(classes) - len(shown)} more")
        dots[len(shown) - 1].set_visible(False)
    height = MARGIN + SIDE + AXIS
    width = AXIS + SIDE + MARGIN
    if shown:
        columns = -(-len(shown) // LEGEND_ROWS)
        legend = figure.legend(
            dots[: len(shown)], shown, ncols=columns, loc="upper left", frameon=False, borderpad=0, handletextpad=0.2
        )
        for text in legend.get_texts():
            text.set(**_text())
        legend_width = int(legend.get_window_extent().width) + 1
        width += MARGIN + legend_width + MARGIN
    _resize(canvas, width, height)
    plot.set_position((AXIS / width, AXIS / height, SIDE / width, SIDE / height))
    if shown:
        legend.set_bbox_to_anchor(((AXIS + SIDE + MARGIN) / width, 1 - MARGIN / height), figure.transFigure)
    return _pixels(canvas)


def draw_confusion_matrix(counts: torch.Tensor, classes: Sequence[str]) -> torch.Tensor:
    """Draws a confusion matrix whose cells are as dark as their fraction of the row, with the class names.

    Where there is no room for all names, every second one is shown, or every third, and so on; counts are shown in
    cells that have room for them.

    Args:
        counts: whole numbers, (K, K), with a row for each true class and a column for each predicted class.
        classes: K names.

    Returns:
        The picture, (3, S, S) uint8.
    """
    counts = counts.detach().cpu()
    size = len(classes)
    cell = max(1, min(LARGEST_CELL, LARGEST_MATRIX // size))
    named = range(0, size, -(-LINE // cell))
    names = [_shown(classes[number]) for number in named]
    canvas = _canvas()
    figure = canvas.figure
    longest = max(_width(canvas, name) for name in names)
    # The axis's title, then the names, then the matrix; the column names are turned, so both axes need the same room.
    start = MARGIN + LINE + longest + MARGIN
    side = start + cell * size + MARGIN
    _resize(canvas, side, side)

    shares = counts / counts.sum(1, keepdim=True).clamp(min=1)
    colours = 255 + shares.unsqueeze(2) * (torch.tensor(DARKEST) - 255)
    matrix = figure.add_axes((start / side, MARGIN / side, cell * size / side, cell * size / side))
    matrix.imshow(colours.round().byte().numpy(), interpolation="nearest", aspect="auto")
    matrix.spines[:].set(color=FRAME, linewidth=_points(1))
    matrix.xaxis.set_label_position("top")
    matrix.xaxis.set_ticks(named, names, rotation=90, **_text())
    matrix.yaxis.set_ticks(named, names, **_text())
    # A small line leads from a name to its cells where its neighbours have none.
    length = 0 if len(named) == size else _points(3)
    matrix.tick_params(
        top=True, bottom=False, labeltop=True, labelbottom=False, length=length, pad=_points(6) - length, color=FRAME
    )
    for x, y, title, turned in ((start, MARGIN, "predicted", 0), (MARGIN, start, "true", 90)):
        place: dict[str, Any] = {"ha": "left", "va": "top", "rotation": turned, "rotation_mode": "default"}
        figure.text(x / side, 1 - y / side, title, **place, **_text())
    if cell >= LINE:
        for row, column in counts.nonzero().tolist():
            text = str(int(counts[row, column]))
            if _width(canvas, text) < cell:
                ink = "white" if shares[row, column] > 0.5 else "black"
                matrix.text(column, row, text, color=ink, ha="center", va="center_baseline", **_text())
    return _pixels(canvas)


def draw_histograms(groups: Sequence[tuple[str, torch.Tensor]], title: str) -> torch.Tensor:
    """Draws the distributions of a value over groups, on one scale, as outlines of 60 bins with a legend.

    Args:
        groups: name of each group and its finite values, (N,), N at least 1.
        title: what the value is, below the horizontal axis.

    Returns:
        The picture, (3, H, W) uint8.
    """
    import numpy

    canvas = _canvas()
    figure = canvas.figure
    width, height = SIDE + AXIS + MARGIN, SIDE // 2 + AXIS + MARGIN
    _resize(canvas, width, height)
    plot = figure.add_axes((AXIS / width, AXIS / height, SIDE / width, SIDE / 2 / height))
    lowest = min(float(values.min()) for _, values in groups)
    highest = max(float(values.max()) for _, values in groups)
    # If all values are the same, any scale will do.
    edges = numpy.linspace(lowest, highest if highest > lowest else lowest + 1, BINS + 1)
    for (name, values), colour in zip(groups, _colours(len(groups)), strict=True):
        counts, _ = numpy.histogram(values.double().cpu().numpy(), edges)
        label = f"{_shown(name)} ({len(values):,})"
        plot.stairs(counts / len(values), edges, color=colour, linewidth=_points(2), label=label, zorder=2)
    plot.set_xlabel(title, **_text())
    plot.set_ylabel("share of the images", **_text())
    plot.tick_params(length=0, pad=6, labelsize=_points(FONT_SIZE), labelfontfamily="DejaVu Sans")
    plot.grid(visible=True, color=GRID, linewidth=_points(1))
    plot.set_axisbelow(True)
    plot.spines[:].set(color=FRAME, linewidth=_points(1))
    legend = plot.legend(loc="upper right", frameon=False)
    for text in legend.get_texts():
        text.set(**_text())
    return _pixels(canvas)


def _canvas() -> FigureCanvasAgg:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    return FigureCanvasAgg(Figure(dpi=DPI, facecolor="white"))


def _resize(canvas: FigureCanvasAgg, width: int, height: int) -> None:
    # Without the half pixel, a size in inches may come back as one pixel less.
    canvas.figure.set_size_inches((width + 0.5) / DPI, (height + 0.5) / DPI)


def _points(pixels: float) -> float:
    """Converts pixels to points, 72 per inch, in which matplotlib measures text and lines."""
    return pixels * 72 / DPI


def _text() -> dict[str, Any]:
    """Returns the settings for literal text, whatever dollar signs it has and whatever matplotlibrc says."""
    return {"fontfamily": "DejaVu Sans", "fontsize": _points(FONT_SIZE), "parse_math": False, "usetex": False}


def _width(canvas: FigureCanvasAgg, text: str) -> int:
    from matplotlib.font_manager import FontProperties

    font = FontProperties(family="DejaVu Sans", size=_points(FONT_SIZE))
    width, _, _ = canvas.get_renderer().get_text_width_height_descent(text, font, ismath=False)
    return int(width) + 1


def _shown(name: str) -> str:
    """Returns the part of a name that fits, with a box for each character that the font lacks."""
    from matplotlib.font_manager import findfont, get_font

    font = get_font(findfont("DejaVu Sans"))
    short = name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}…"
    return "".join(letter if letter.isprintable() and font.get_char_index(ord(letter)) else "□" for letter in short)


def _colours(count: int) -> Sequence[Any]:
    from matplotlib.colors import hsv_to_rgb

    if count <= len(COLOURS):
        return COLOURS[:count]
    return [hsv_to_rgb((number / count, 0.85, 0.6 + 0.3 * (number % 2))) for number in range(count)]


def _pixels(canvas: FigureCanvasAgg) -> torch.Tensor:
    import numpy

    canvas.draw()
    pixels = numpy.asarray(canvas.buffer_rgba())[..., :3]
    return torch.from_numpy(pixels.copy()).permute(2, 0, 1)
