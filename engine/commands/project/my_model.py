"""A model of my own."""

import math

from torch import nn


class Autoencoder(nn.Module):
    """An autoencoder of two layers each way.

    Args:
        input_shape: (C, H, W) of one image; the data's, which Firebox passes.
        latent_dim: dimension of the latent.
        width: number of features between image and latent.
    """

    output_activation = "sigmoid"

    def __init__(self, input_shape, *, latent_dim: int = 8, width: int = 64):
        super().__init__()
        pixels = math.prod(input_shape)
        self.latent_dim = latent_dim
        self.encoder = nn.Sequential(nn.Flatten(), nn.Linear(pixels, width), nn.ReLU(), nn.Linear(width, latent_dim))
        self.decoder = nn.Sequential(
            nn.Linear(latent_dim, width),
            nn.ReLU(),
            nn.Linear(width, pixels),
            nn.Sigmoid(),
            nn.Unflatten(1, input_shape),
        )

    def forward(self, images):
        """Returns the reconstructions (N, C, H, W) of images (N, C, H, W)."""
        return self.decoder(self.encoder(images))
