"""The probe of an archived model: its output for images that are drawn anew anywhere, to check it without its data."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch

from firebox.engine.training.run import Run
from firebox.foundation.randomness import generator, mix, seed_everything

IMAGES = 4
VALUES = 64
"""Number of values of the output that the card holds, evenly spaced over it."""
TOLERANCE = 0.02
"""Largest difference from the card's values, relative to their root mean square. Devices and libraries differ by
less; other weights or code by more."""


def probe(run: Run) -> dict[str, Any] | None:
    """Returns a model's output for drawn images, in the form of the card.

    Returns:
        None if the output is not one tensor of finite values.
    """
    shape = run.data.specification.shape
    unit = torch.rand(IMAGES, *shape, generator=generator(0, "probe"))
    images = run.data.specification.from_unit(unit).to(run.device)
    seed_everything(mix(run.configuration.seed, "probe"))
    with torch.inference_mode():
        output = run.model.eval()(images)
    if not isinstance(output, torch.Tensor) or not output.isfinite().all() or not output.numel():
        return None
    flat = output.detach().double().flatten().cpu()
    at = torch.linspace(0, len(flat) - 1, min(VALUES, len(flat)), dtype=torch.float64).round().long()
    return {
        "images": IMAGES,
        "values": flat[at].tolist(),
        "rms": float(flat.square().mean().sqrt()),
        "tolerance_of_rms": TOLERANCE,
    }


def fault_of_probe(recorded: Mapping[str, Any], now: Mapping[str, Any] | None) -> str | None:
    """Says how a model's probe differs from the card's by more than devices do; None if it doesn't.

    Raises:
        ValueError, LookupError, TypeError: the card's is none.
    """
    values, rms = [float(value) for value in recorded["values"]], float(recorded["rms"])
    if now is None or len(now["values"]) != len(values):
        return f"its output for drawn images is not that of the card: {len(values)} finite values"
    largest = max(abs(here - there) for here, there in zip(now["values"], values, strict=True))
    if math.isfinite(largest) and largest <= TOLERANCE * rms:
        return None
    return f"its output for drawn images differs from the card's by up to {largest:.3g}, the output being {rms:.3g}"
