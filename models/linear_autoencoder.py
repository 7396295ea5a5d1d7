"""The linear autoencoder, whose optimum is known in closed form."""

from __future__ import annotations

import math

from pydantic import PositiveInt
from torch import Tensor, nn


class LinearAutoencoder(nn.Module):
    """An autoencoder of one linear layer each way, whose optimum spans the leading principal components.

    Baldi and Hornik, "Neural Networks and Principal Component Analysis: Learning from Examples Without Local Minima",
    Neural Networks 2 (1989): under squared error every local minimum is global, and its reconstructions are those of
    PCA. The biases learn the mean image. Pixels may have any range.

    Args:
        input_shape: (C, H, W) of one image.
        latent_dim: dimension of the latent, the number of principal components.
    """

    output_activation = "linear"

    def __init__(self, input_shape: tuple[int, int, int], *, latent_dim: PositiveInt = 16) -> None:
        super().__init__()
        pixels = math.prod(input_shape)
        self.latent_dim = latent_dim
        self.encoder = nn.Sequential(nn.Flatten(), nn.Linear(pixels, latent_dim))
        self.decoder = nn.Sequential(nn.Linear(latent_dim, pixels), nn.Unflatten(1, tuple(input_shape)))

    def encode(self, images: Tensor) -> Tensor:
        """Returns latents (N, latent_dim) of images (N, C, H, W)."""
        latents: Tensor = self.encoder(images)
        return latents

    def decode(self, latents: Tensor) -> Tensor:
        """Returns images (N, C, H, W) of latents (N, latent_dim)."""
        images: Tensor = self.decoder(latents)
        return images

    def embed(self, images: Tensor) -> Tensor:
        """Returns the deterministic latents (N, latent_dim) of images (N, C, H, W)."""
        return self.encode(images)

    def forward(self, images: Tensor) -> Tensor:
        """Returns the reconstructions (N, C, H, W) of images (N, C, H, W)."""
        return self.decode(self.encode(images))
