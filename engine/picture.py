"""Images as files: grids of fixed scale, PNG."""

from __future__ import annotations

from pathlib import Path

import torch

GAP = 2
"""Pixels between the images of a grid."""


def grid(rows: tuple[torch.Tensor, ...], columns: int = 8) -> torch.Tensor:
    """Lays images out in a grid, on the CPU.

    Args:
        rows: each (N, C, H, W), float in [0, 1]: image k of the second stands beneath image k of the first, and so on.
        columns: images side by side.

    Returns:
        uint8 of shape (height, width, C). The scale is fixed: 0 is black and 1 is white, whatever the images hold.
    """
    stacked = torch.stack([row.detach().float().cpu() for row in rows])
    kinds, count, channels, height, width = stacked.shape
    columns = min(columns, count)
    missing = -count % columns
    pixels = (stacked.clamp(0, 1) * 255).round().to(torch.uint8)
    pixels = torch.nn.functional.pad(pixels, (0, GAP, 0, GAP, 0, 0, 0, missing))
    blocks = pixels.view(kinds, -1, columns, channels, height + GAP, width + GAP)
    # (kind, block, column, channel, y, x) -> (block, kind, y, column, x, channel)
    laid = blocks.permute(1, 0, 4, 2, 5, 3).reshape(-1, columns * (width + GAP), channels)
    return laid[:-GAP, :-GAP].contiguous()


def write_png(path: Path, pixels: torch.Tensor) -> None:
    """Writes uint8 pixels (height, width, 1 or 3) as a PNG; equal pixels make equal files."""
    from PIL import Image

    array = pixels.squeeze(2).numpy() if pixels.shape[2] == 1 else pixels.numpy()
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.writing")
    Image.fromarray(array).save(temporary, format="PNG", compress_level=6)
    temporary.replace(path)
