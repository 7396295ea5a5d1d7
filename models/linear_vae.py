"""The linear variational autoencoder, whose optimum is known in closed form."""

from __future__ import annotations

import math

import torch
from pydantic import PositiveInt
from torch import Tensor, nn

from firebox.models.gaussian_autoencoder import GaussianAutoencoder, bounded_log_variance


class LinearVAE(GaussianAutoencoder):
    """A linear variational autoencoder with one log-variance per latent entry; its optimum is probabilistic PCA.

    Lucas, Tucker, Grosse and Norouzi, "Don't Blame the ELBO! A Linear VAE Perspective on Posterior Collapse",
    NeurIPS 2019. The exact posterior of probabilistic PCA has the same covariance for every image, diagonal once the
    decoder's columns are orthogonal, so a vector of free log-variances is as good as an encoder's output.
    Pixels may have any range.

    Args:
        input_shape: (C, H, W) of one image.
        latent_dim: dimension of the latent.
    """

    output_activation = "linear"

    def __init__(self, input_shape: tuple[int, int, int], *, latent_dim: PositiveInt = 16) -> None:
        super().__init__()
        pixels = math.prod(input_shape)
        self.latent_dim = latent_dim
        self.encoder = nn.Sequential(nn.Flatten(), nn.Linear(pixels, latent_dim))
        self.log_variance = nn.Parameter(torch.zeros(latent_dim))
        self.decoder = nn.Sequential(nn.Linear(latent_dim, pixels), nn.Unflatten(1, tuple(input_shape)))

    def encode(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the posterior's mean and log-variance, each (N, latent_dim), of images (N, C, H, W)."""
        mean: Tensor = self.encoder(images)
        return mean, bounded_log_variance(self.log_variance).expand_as(mean)

    def decode(self, latents: Tensor) -> Tensor:
        """Returns images (N, C, H, W) of latents (N, latent_dim)."""
        images: Tensor = self.decoder(latents)
        return images
