"""How evenly the codes of a codebook are used: figures and their plot."""

from __future__ import annotations

import torch

from firebox.foundation.canvas import AXIS, COLOURS, LINE, MARGIN, literal, new_canvas, pixels_of, resize, set_up

SIZE = (640, 240)
"""Width and height of the plot without the room for its axes, in pixels."""


def perplexity(counts: torch.Tensor) -> torch.Tensor:
    """Returns the number of equally likely codes that would have the entropy of these counts (K,), from 1 to K."""
    entropy: torch.Tensor = torch.special.entr(counts.cpu().double() / int(counts.sum())).sum()
    return entropy.exp()


def unused(counts: torch.Tensor) -> torch.Tensor:
    """Returns the number of codes that are never used."""
    return (counts == 0).sum()


def draw_usage(counts: torch.Tensor) -> torch.Tensor:
    """Draws how often each code is used, the most frequent first, with a line where all would be equally frequent.

    Args:
        counts: how often each code is used, (K,), at least one above 0.

    Returns:
        The picture, (3, H, W) uint8.
    """
    counts = counts.detach().double().cpu()
    codes, dead = len(counts), int(unused(counts))
    shares = (counts / counts.sum()).sort(descending=True).values.numpy()
    canvas = new_canvas()
    top = MARGIN + LINE + MARGIN
    width, height = AXIS + SIZE[0] + MARGIN, top + SIZE[1] + AXIS
    resize(canvas, width, height)
    plot = canvas.figure.add_axes((AXIS / width, AXIS / height, SIZE[0] / width, SIZE[1] / height))
    plot.stairs(100 * shares, range(codes + 1), fill=True, color=COLOURS[0], zorder=2)
    plot.axhline(100 / codes, color=COLOURS[3], linewidth=1, zorder=3)
    plot.set_xlim(0, codes)
    plot.set_ylim(0)
    set_up(plot)
    plot.set_xlabel("codes, the most frequent first", **literal())
    plot.set_ylabel("% of the latents", **literal())
    title = f"perplexity {float(perplexity(counts)):.1f} of {codes} codes, {dead} never used"
    canvas.figure.text(AXIS / width, 1 - MARGIN / height, title, va="top", **literal())
    return pixels_of(canvas)
