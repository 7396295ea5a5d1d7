"""A convolutional vector-quantised autoencoder."""

from __future__ import annotations

import math
from typing import Literal

from pydantic import PositiveInt
from torch import Tensor, nn

from firebox.models.codebook import Codebook
from firebox.models.convolution import OUTPUT_ACTIVATIONS, halved_sides
from firebox.models.doubling_convolution import DoublingConvolution


class ResidualBlock(nn.Module):
    """A 3x3 and a 1x1 convolution beside a shortcut, that keep the sides: the block of van den Oord et al., 2017.

    Args:
        channels: number of channels.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.residual = nn.Sequential(
            nn.ReLU(), nn.Conv2d(channels, channels, 3, padding=1), nn.ReLU(), nn.Conv2d(channels, channels, 1)
        )

    def forward(self, images: Tensor) -> Tensor:
        """Returns activations of the shape of its input, (N, channels, H, W)."""
        activations: Tensor = images + self.residual(images)
        return activations


class VQVAEBaseline(nn.Module):
    """A convolutional autoencoder whose latent is a map of codes: numbers of the vectors of a codebook.

    Van den Oord, Vinyals and Kavukcuoglu, "Neural Discrete Representation Learning", NeurIPS 2017.

    Args:
        input_shape: (C, H, W) of one image; any sides that the stages can halve, including odd ones.
        channels: output channels of each encoder stage; each stage halves both sides of the image.
        embedding_dim: length of a code's vector.
        num_embeddings: number of codes.
        output_activation: activation at the end of the decoder. Choose sigmoid for pixels in [0, 1], tanh for [-1, 1],
            linear for standardised pixels.

    Raises:
        ValueError: the images are too small for the number of stages.
    """

    def __init__(
        self,
        input_shape: tuple[int, int, int],
        *,
        channels: tuple[PositiveInt, ...] = (32, 64),
        embedding_dim: PositiveInt = 32,
        num_embeddings: PositiveInt = 256,
        output_activation: Literal["linear", "sigmoid", "tanh"] = "sigmoid",
    ) -> None:
        sides = halved_sides(input_shape, len(channels))
        super().__init__()
        self.output_activation = output_activation
        self.latent_shape = (embedding_dim, *sides[-1])
        outward = (input_shape[0], *channels)
        self.encoder, self.decoder = nn.Sequential(), nn.Sequential()
        for inputs, outputs in zip(outward, channels, strict=False):
            self.encoder.extend([nn.Conv2d(inputs, outputs, 3, stride=2, padding=1), nn.ReLU()])
        self.encoder.extend([ResidualBlock(channels[-1]), nn.Conv2d(channels[-1], embedding_dim, 1)])
        self.codebook = Codebook(num_embeddings, embedding_dim)
        self.decoder.extend([nn.Conv2d(embedding_dim, channels[-1], 3, padding=1), ResidualBlock(channels[-1])])
        for stage in reversed(range(len(channels))):
            self.decoder.extend([nn.ReLU(), DoublingConvolution(outward[stage + 1], outward[stage], sides[stage])])
        self.decoder.append(OUTPUT_ACTIVATIONS[output_activation]())

    @property
    def bits(self) -> float:
        """Bits that an image's map of codes takes."""
        return math.prod(self.latent_shape[1:]) * math.log2(len(self.codebook.counts))

    def encode(self, images: Tensor) -> Tensor:
        """Returns latents (N, embedding_dim, h, w), not quantised yet, of images (N, C, H, W)."""
        latents: Tensor = self.encoder(images)
        return latents

    def quantise(self, latents: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the nearest vectors (N, embedding_dim, h, w) of latents and their codes (N, h, w) int64."""
        vectors, codes = self.codebook(latents)
        return vectors, codes

    def decode(self, vectors: Tensor) -> Tensor:
        """Returns images (N, C, H, W) of vectors (N, embedding_dim, h, w), in the range of the output activation."""
        images: Tensor = self.decoder(vectors)
        return images

    def embed(self, images: Tensor) -> Tensor:
        """Returns the quantised latents (N, embedding_dim * h * w) of images (N, C, H, W)."""
        return self.quantise(self.encode(images))[0].flatten(1)

    def forward(self, images: Tensor) -> Tensor:
        """Returns the reconstructions (N, C, H, W) of images (N, C, H, W)."""
        return self.decode(self.quantise(self.encode(images))[0])
