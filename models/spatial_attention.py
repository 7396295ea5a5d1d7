"""Self-attention between the pixels of an image."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from firebox.models.conditioned_block import zeroed
from firebox.models.group_norm import group_norm

HEAD = 32
"""Channels of an attention head, or all of them where they can't be divided so."""


class SpatialAttention(nn.Module):
    """Self-attention in which each pixel attends to all pixels of its image, with a shortcut around it.

    Args:
        channels: number of input and output channels.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.head = HEAD if channels % HEAD == 0 else channels
        self.normalisation = group_norm(channels)
        self.projections = nn.Conv2d(channels, 3 * channels, 1)
        self.output = zeroed(nn.Conv2d(channels, channels, 1))

    def forward(self, images: Tensor) -> Tensor:
        """Returns activations of the shape of its input (N, channels, H, W)."""
        projected = self.projections(self.normalisation(images)).flatten(2)
        # (N, heads, pixels, channels of a head) for each of query, key and value.
        query, key, value = projected.unflatten(1, (3, -1, self.head)).transpose(3, 4).unbind(1)
        attended = scaled_dot_product_attention(query, key, value).transpose(2, 3).reshape(images.shape)
        activations: Tensor = images + self.output(attended)
        return activations
