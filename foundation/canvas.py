"""What all plots are drawn on: a canvas measured in pixels, with literal text.

matplotlib is imported when the first plot is drawn, and used without pyplot, which holds figures in a global state and
chooses a window: a plot can be drawn in any thread. The same values give the same pixels wherever matplotlib has
its own settings, as the font is the one that matplotlib brings along.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.backends.backend_agg import FigureCanvasAgg

COLOURS = (
    "#1f77b4", "#ff7f0e", "#2ca02c", "#d62728", "#9467bd", "#8c564b", "#e377c2", "#6e6e6e", "#bcbd22", "#17becf",
)  # fmt: skip
"""The ten colours of Tableau, with a slightly darker grey."""
GRID, FRAME = "#ebebeb", "#787878"
FONT_SIZE = 13
LINE = 18
"""The height of a line of text in pixels."""
MARGIN = 8
AXIS = 64
"""The room for an axis's numbers and title in pixels."""
LONGEST_NAME = 20
"""Number of characters shown of a class name."""
DPI = 100


def new_canvas() -> FigureCanvasAgg:
    """Returns an empty canvas."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    return FigureCanvasAgg(Figure(dpi=DPI, facecolor="white"))


def resize(canvas: FigureCanvasAgg, width: int, height: int) -> None:
    """Gives a canvas its size in pixels."""
    # Without the half pixel, a size in inches may come back as one pixel less.
    canvas.figure.set_size_inches((width + 0.5) / DPI, (height + 0.5) / DPI)


def in_points(pixels: float) -> float:
    """Converts pixels to points, 72 per inch, in which matplotlib measures text and lines."""
    return pixels * 72 / DPI


def set_up(plot: Axes) -> None:
    """Gives a plot with numbers on its axes its grid, its frame and its font."""
    plot.tick_params(length=0, pad=6, labelsize=in_points(FONT_SIZE), labelfontfamily="DejaVu Sans")
    plot.grid(visible=True, color=GRID, linewidth=in_points(1))
    plot.set_axisbelow(True)
    plot.spines[:].set(color=FRAME, linewidth=in_points(1))


def literal() -> dict[str, Any]:
    """Returns the settings for literal text, whatever dollar signs it has and whatever matplotlibrc says."""
    return {"fontfamily": "DejaVu Sans", "fontsize": in_points(FONT_SIZE), "parse_math": False, "usetex": False}


def width_of(canvas: FigureCanvasAgg, text: str) -> int:
    """Returns the width of a line of text in pixels."""
    from matplotlib.font_manager import FontProperties

    font = FontProperties(family="DejaVu Sans", size=in_points(FONT_SIZE))
    width, _, _ = canvas.get_renderer().get_text_width_height_descent(text, font, ismath=False)
    return int(width) + 1


def shown_name(name: str) -> str:
    """Returns the part of a name that fits, with a box for each character that the font lacks."""
    from matplotlib.font_manager import findfont, get_font

    font = get_font(findfont("DejaVu Sans"))
    short = name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}…"
    return "".join(letter if letter.isprintable() and font.get_char_index(ord(letter)) else "□" for letter in short)


def pixels_of(canvas: FigureCanvasAgg) -> torch.Tensor:
    """Draws a canvas; returns its pixels, (3, H, W) uint8."""
    import numpy

    canvas.draw()
    pixels = numpy.asarray(canvas.buffer_rgba())[..., :3]
    return torch.from_numpy(pixels.copy()).permute(2, 0, 1)
