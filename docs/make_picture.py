"""Draws README's picture of what a run leaves, from a run: python docs/make_picture.py RUN_DIRECTORY [FILE]."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

WIDTH, HEIGHT, MARGIN = 1240, 620, 24
INK, PALE, GRID = "#1f2328", "#6e7781", "#e4e8ec"
COLOURS = {"train": "#c2410c", "validation": "#1d4ed8"}


def main(run: Path, file: Path) -> None:
    """Draws the folder, the losses and the last validation images of a run."""
    picture = Image.new("RGB", (WIDTH, HEIGHT), "white")
    draw = ImageDraw.Draw(picture)
    write_tree(draw, run, (MARGIN, MARGIN))
    plot_losses(draw, run, (500, MARGIN + 8, WIDTH - MARGIN, 300))
    images = sorted((run / "images" / "validation").glob("*_reconstruction.png"))
    if images:
        draw.text((500, 336), images[-1].relative_to(run).as_posix(), font=font(14), fill=PALE)
        shown = Image.open(images[-1]).convert("RGB")
        scale = min((WIDTH - MARGIN - 500) / shown.width, (HEIGHT - MARGIN - 360) / shown.height)
        size = (int(shown.width * scale), int(shown.height * scale))
        picture.paste(shown.resize(size, Image.Resampling.NEAREST), (500, 360))
    picture.save(file, optimize=True)


def write_tree(draw: ImageDraw.ImageDraw, run: Path, corner: tuple[int, int]) -> None:
    """Writes the run's folder as a tree; of a folder's many files the last two."""
    x, y = corner
    draw.text((x, y), "/".join(run.parts[-4:]) + "/", font=font(15), fill=INK)
    for depth, name in tree(run, 1):
        y += 21
        draw.text((x + 22 * depth, y), name, font=font(14), fill=INK if depth == 1 else PALE)


def tree(folder: Path, depth: int) -> list[tuple[int, str]]:
    """Returns a folder's entries with their depths."""
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


def plot_losses(draw: ImageDraw.ImageDraw, run: Path, box: tuple[int, int, int, int]) -> None:
    """Plots the losses of losses.jsonl against the iteration, on a logarithmic scale."""
    from math import log10

    left, top, right, bottom = box
    rows = [json.loads(line) for line in (run / "losses.jsonl").read_text().splitlines()]
    series = {split: [(row["iteration"], row["loss"]) for row in rows if row["split"] == split] for split in COLOURS}
    values = [loss for points in series.values() for _, loss in points]
    low, high = log10(min(values)), log10(max(values))
    last = max(row["iteration"] for row in rows)

    def place(iteration: int, loss: float) -> tuple[float, float]:
        return (
            left + 60 + (right - left - 60) * iteration / last,
            bottom - 30 - (bottom - 30 - top) * (log10(loss) - low) / (high - low),
        )

    for exponent in (low, (low + high) / 2, high):
        y = place(0, 10**exponent)[1]
        draw.line([(left + 60, y), (right, y)], fill=GRID)
        draw.text((left, y - 8), f"{10**exponent:.4f}", font=font(13), fill=PALE)
    for number, (split, points) in enumerate(series.items()):
        placed = [place(*point) for point in points]
        draw.line(placed, fill=COLOURS[split], width=2)
        for x, y in placed if split == "validation" else ():
            draw.ellipse([x - 3, y - 3, x + 3, y + 3], fill=COLOURS[split])
        draw.text((right - 110, top + 18 * number), f"{split} loss", font=font(14), fill=COLOURS[split])
    draw.text((left + 60, bottom - 20), f"losses.jsonl, {last} iterations", font=font(14), fill=PALE)


def font(size: int) -> ImageFont.ImageFont | ImageFont.FreeTypeFont:
    """Pillow's own font, the same on every machine."""
    return ImageFont.load_default(size)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2] if len(sys.argv) > 2 else "docs/run.png"))
