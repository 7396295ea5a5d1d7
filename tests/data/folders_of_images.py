"""Folders of images that look a little like photographs, for tests."""

from __future__ import annotations

from pathlib import Path

import numpy
from PIL import Image


def write_images(root: Path, count: int, *, classes: tuple[str, ...] = ("ant", "bee"), side: int = 40) -> list[Path]:
    """Writes images with structures of all sizes, half of them as JPEG files, and returns their paths."""
    paths = []
    for number in range(count):
        suffix = "jpg" if number % 2 else "png"
        path = root / classes[number % len(classes)] / f"{number:03d}.{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        picture(number, (side + number % 7, side)).save(path)
        paths.append(path)
    return paths


def picture(seed: int, size: tuple[int, int]) -> Image.Image:
    """Returns an image (width, height) of noise at several scales."""
    draw = numpy.random.default_rng(seed)
    whole = numpy.zeros((size[1], size[0], 3))
    for cells in (3, 8, 24):
        noise = Image.fromarray(draw.integers(0, 256, (cells, cells, 3)).astype(numpy.uint8))
        whole += numpy.asarray(noise.resize(size, Image.Resampling.BICUBIC)) / cells
    return Image.fromarray((whole / whole.max() * 255).astype(numpy.uint8))
