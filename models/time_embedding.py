"""An embedding of times in [0, 1]."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

FASTEST = 1000
"""The angular frequency of the fastest wave; that of the slowest is 1."""


class TimeEmbedding(nn.Module):
    """Sines and cosines of a time, and two linear layers.

    Vaswani et al., "Attention Is All You Need", NeurIPS 2017, with times in [0, 1] in the place of positions.

    Args:
        features: length of the embedding, an even number.
    """

    frequencies: Tensor

    def __init__(self, features: int) -> None:
        super().__init__()
        half = features // 2
        self.register_buffer("frequencies", torch.logspace(0, math.log10(FASTEST), half), persistent=False)
        self.layers = nn.Sequential(nn.Linear(2 * half, features), nn.SiLU(), nn.Linear(features, features))

    def forward(self, times: Tensor) -> Tensor:
        """Returns embeddings (N, features) of times (N,) in [0, 1]."""
        angles = times.unsqueeze(1) * self.frequencies
        embedded: Tensor = self.layers(torch.cat([angles.sin(), angles.cos()], dim=1))
        return embedded
