"""Group normalisation of any number of channels."""

from __future__ import annotations

from torch import nn

GROUPS = 8
"""Most groups of channels that are normalised together, as few as one where their number has no such divisor."""


def group_norm(channels: int) -> nn.GroupNorm:
    """Returns the normalisation of so many channels in groups (Wu and He, "Group Normalization", ECCV 2018)."""
    return nn.GroupNorm(max(count for count in range(1, GROUPS + 1) if channels % count == 0), channels)
