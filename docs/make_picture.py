"""Draws README's picture of what a run leaves, from a run: python docs/make_picture.py RUN_DIRECTORY [FILE]."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from matplotlib import font_manager
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.image import imread
from matplotlib.ticker import LogLocator, NullLocator

WIDTH, HEIGHT, MARGIN, LEFT = 1240, 780, 24, 520
"""In pixels; the folder is left of LEFT, losses and images are right of it."""
INK, PALE, GRID = "#1f2328", "#6e7781", "#e4e8ec"
COLOURS = {"train": "#c2410c", "validation": "#1d4ed8"}
LINE = 21


def main(run: Path, file: Path) -> None:
    """Draws the folder, the losses and the last validation images of a run."""
    figure = Figure((WIDTH / 100, HEIGHT / 100), dpi=100, facecolor="white")
    FigureCanvasAgg(figure)
    write(figure, MARGIN, MARGIN, "/".join(run.parts[-4:]) + "/", INK)
    for number, (depth, name) in enumerate(tree(run, 1), start=1):
        write(figure, MARGIN + 22 * depth, MARGIN + LINE * number, name, INK if depth == 1 else PALE)
    plot_losses(figure, run)
    images = sorted((run / "images" / "validation").glob("*_reconstruction.png"))
    if images:
        write(figure, LEFT, 340, images[-1].relative_to(run).as_posix(), PALE)
        shown = figure.add_axes(place(LEFT, 366, WIDTH - MARGIN, HEIGHT - MARGIN), anchor="NW")
        shown.imshow(imread(images[-1]), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        shown.set_axis_off()
    figure.savefig(file, metadata={"Software": None})


def place(left: float, top: float, right: float, bottom: float) -> tuple[float, float, float, float]:
    """Takes pixels from the upper left corner to what matplotlib calls a rectangle."""
    return left / WIDTH, 1 - bottom / HEIGHT, (right - left) / WIDTH, (bottom - top) / HEIGHT


def write(figure: Figure, left: float, top: float, text: str, colour: str) -> None:
    """Writes a line, its upper left corner in pixels."""
    font = font_manager.FontProperties(family="DejaVu Sans", size=9.5)
    figure.text(left / WIDTH, 1 - top / HEIGHT, text, color=colour, va="top", fontproperties=font, parse_math=False)


def tree(folder: Path, depth: int) -> list[tuple[int, str]]:
    """Returns a folder's entries with their depths; of a folder's many files the last two."""
    entries = sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
    lines: list[tuple[int, str]] = []
    if len(entries) > 4 and depth > 1:
        lines.append((depth, "..."))
        entries = entries[-2:]
    for entry in entries:
        name = entry.name if len(entry.name) <= 36 else f"{entry.name[:32]}..."
        lines.append((depth, name + ("/" if entry.is_dir() else "")))
        if entry.is_dir():
            lines += tree(entry, depth + 1)
    return lines


def plot_losses(figure: Figure, run: Path) -> None:
    """Plots the losses of losses.jsonl against the iteration, on a logarithmic scale."""
    rows = [json.loads(line) for line in (run / "losses.jsonl").read_text().splitlines()]
    plot = figure.add_axes(place(LEFT + 50, MARGIN, WIDTH - MARGIN, 290))
    for split, colour in COLOURS.items():
        points = [(row["iteration"], row["loss"]) for row in rows if row["split"] == split]
        marker = "o" if split == "validation" else None
        plot.semilogy(*zip(*points, strict=True), color=colour, marker=marker, markersize=4, label=f"{split} loss")
    plot.set_xlabel("iteration, from losses.jsonl", color=PALE)
    plot.tick_params(length=0, labelsize=9, labelcolor=PALE)
    plot.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    plot.yaxis.set_minor_locator(NullLocator())
    plot.yaxis.set_major_formatter("{x:g}")
    plot.grid(color=GRID)
    plot.spines[:].set_visible(False)
    plot.legend(frameon=False, labelcolor="linecolor")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2] if len(sys.argv) > 2 else "docs/run.png"))
