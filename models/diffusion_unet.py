"""A small U-Net that denoises images at a time, and for a class."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn
from torch.nn.functional import pixel_shuffle, pixel_unshuffle

from firebox.models.conditioned_block import ConditionedBlock, zeroed
from firebox.models.group_norm import group_norm
from firebox.models.spatial_attention import SpatialAttention
from firebox.models.time_embedding import TimeEmbedding

PATCH = 2
"""Side of the squares of pixels that become the channels of one: convolutions on full sides are what takes longest."""


class DiffusionUNet(nn.Module):
    """A U-Net over squares of 2x2 pixels, with group normalisation and attention at its smallest sides.

    Ho, Jain and Abbeel, "Denoising Diffusion Probabilistic Models", NeurIPS 2020, at a size for small images. The
    output has the shape of the images and no activation, and is zero before the training.

    Args:
        input_shape: (C, H, W) of one image. The first stage has half its sides, each further one half of the one
            before: sides have to be divisible by 2 to the power of the number of stages.
        num_classes: number of classes that images are made for; 0 for none.
        channels: channels of each stage.
        blocks: residual blocks of each stage on the way down, and as many on the way up.
        embedding_dim: length of the embedding of time and class.

    Raises:
        ValueError: the sides can't be halved as often.
    """

    output_activation = "linear"

    def __init__(
        self,
        input_shape: tuple[int, int, int],
        num_classes: int,
        *,
        channels: Annotated[tuple[PositiveInt, ...], Field(min_length=1)] = (32, 64),
        blocks: PositiveInt = 2,
        embedding_dim: Annotated[int, Field(ge=2, multiple_of=2)] = 128,
    ) -> None:
        refuse_sides(input_shape, len(channels))
        super().__init__()
        self.num_classes = num_classes
        pixels = input_shape[0] * PATCH**2
        self.time = TimeEmbedding(embedding_dim)
        # The last row stands for no class.
        self.label = nn.Embedding(num_classes + 1, embedding_dim) if num_classes else None
        self.activation = nn.SiLU()
        self.stem = nn.Conv2d(pixels, channels[0], 3, padding=1)
        self.down, self.halving = nn.ModuleList(), nn.ModuleList()
        self.up, self.doubling = nn.ModuleList(), nn.ModuleList()
        width = channels[0]
        skips = []
        for stage, outputs in enumerate(channels):
            if stage:
                self.halving.append(nn.Conv2d(width, width, 3, stride=2, padding=1))
            for _ in range(blocks):
                self.down.append(ConditionedBlock(width, outputs, embedding_dim))
                width = outputs
                skips.append(width)
        self.attention = nn.ModuleList(SpatialAttention(width) for _ in range(3))
        self.middle = nn.ModuleList(ConditionedBlock(width, width, embedding_dim) for _ in range(2))
        for stage, outputs in reversed(list(enumerate(channels))):
            for _ in range(blocks):
                self.up.append(ConditionedBlock(width + skips.pop(), outputs, embedding_dim))
                width = outputs
            if stage:
                self.doubling.append(nn.Conv2d(width, width, 3, padding=1))
        self.stages, self.blocks = len(channels), blocks
        self.head = nn.Sequential(group_norm(width), nn.SiLU(), zeroed(nn.Conv2d(width, pixels, 3, padding=1)))

    def forward(self, images: Tensor, times: Tensor | None = None, labels: Tensor | None = None) -> Tensor:
        """Returns the output for images with noise, of the images' shape.

        Args:
            images: images with noise, (N, C, H, W).
            times: the time of each, which says how much noise there is, (N,) in [0, 1]; None for 0.
            labels: the class of each, (N,) int64, ``num_classes`` standing for none; None for none at all.
        """
        count = len(images)
        embedding = self.time(images.new_zeros(count) if times is None else times)
        if self.label is not None:
            given = torch.full((count,), self.num_classes, device=images.device) if labels is None else labels
            embedding = embedding + self.label(given)
        embedding = self.activation(embedding)
        hidden = self.stem(pixel_unshuffle(images, PATCH))
        skips = []
        last = self.stages - 1
        for number, block in enumerate(self.down):
            stage, first = number // self.blocks, number % self.blocks == 0
            if stage and first:
                hidden = self.halving[stage - 1](hidden)
            hidden = block(hidden, embedding)
            skips.append(hidden)
        hidden = self.middle[0](self.attention[0](hidden), embedding)
        hidden = self.middle[1](self.attention[1](hidden), embedding)
        for number, block in enumerate(self.up):
            hidden = block(torch.cat([hidden, skips.pop()], dim=1), embedding)
            stage, at_end = last - number // self.blocks, (number + 1) % self.blocks == 0
            if stage == last and at_end:
                hidden = self.attention[2](hidden)
            if stage and at_end:
                hidden = self.doubling[last - stage](nn.functional.interpolate(hidden, scale_factor=2.0))
        output: Tensor = pixel_shuffle(self.head(hidden), PATCH)
        return output


def refuse_sides(input_shape: tuple[int, int, int], stages: int) -> None:
    """Raises a ValueError where images of a shape can't be halved by so many stages without a rest."""
    _, height, width = input_shape
    fitting = [n for n in range(1, min(height, width).bit_length()) if height % 2**n == width % 2**n == 0]
    if stages in fitting:
        return
    given = "1 stage" if stages == 1 else f"{stages} stages"
    needed = f"channels: got {given} for {height}x{width} images, whose sides they halve {stages} times without a rest"
    if not fitting:
        raise ValueError(f"{needed}; expected even sides: choose a data set that has them")
    raise ValueError(f"{needed}; expected 1 to {max(fitting)}: name one channel count for each")
