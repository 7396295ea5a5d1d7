"""Draws that are functions of a sample's position alone: the same on every device, in batches of any size."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from firebox.foundation.randomness import scramble

STRIDE = -7046029254386353131
"""2**64 divided by the golden ratio, as an int64: its multiples are far apart."""
BITS = 23
"""Bits of a draw: halves between its values are exact in float32."""


def spread(indices: torch.Tensor) -> torch.Tensor:
    """Returns numbers in [0, 1), float32 (N,), that successive positions fill evenly: multiples of the golden ratio.

    Args:
        indices: positions, (N,) int64.
    """
    # In whole numbers, which wrap around, as float32 has too few digits for a large multiple.
    return (indices * STRIDE >> (64 - BITS) & ((1 << BITS) - 1)).float() / (1 << BITS)


def normal(indices: torch.Tensor, shape: Sequence[int]) -> torch.Tensor:
    """Returns numbers as from N(0, 1), float32 (N, *shape).

    Args:
        indices: positions, (N,) int64.
        shape: shape of what belongs to one position.
    """
    places = torch.arange(1, math.prod(shape) + 1, device=indices.device) * STRIDE
    words = scramble(scramble(indices).unsqueeze(1) + places)
    shares = ((words >> (64 - BITS) & ((1 << BITS) - 1)) + 0.5) / (1 << BITS)
    return (math.sqrt(2) * torch.erfinv(2 * shares - 1)).view(-1, *shape)
