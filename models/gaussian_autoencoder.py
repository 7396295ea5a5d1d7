"""The base class of variational autoencoders with a diagonal Gaussian posterior."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn


class GaussianAutoencoder(nn.Module, ABC):
    """An autoencoder whose encoder returns the mean and log-variance of each latent entry.

    Kingma and Welling, "Auto-Encoding Variational Bayes", ICLR 2014.
    """

    latent_dim: int
    output_activation: str

    @abstractmethod
    def encode(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the posterior's mean and log-variance, each (N, latent_dim), of images (N, C, H, W)."""

    @abstractmethod
    def decode(self, latents: Tensor) -> Tensor:
        """Returns images, or their logits, (N, C, H, W) of latents (N, latent_dim)."""

    def reparameterise(self, mean: Tensor, log_variance: Tensor) -> Tensor:
        """Returns latents (N, latent_dim) drawn with torch's default generator.

        Args:
            mean: mean of the posterior, (N, latent_dim).
            log_variance: log-variance of the posterior, (N, latent_dim).
        """
        return mean + torch.exp(0.5 * log_variance) * torch.randn_like(mean)

    def embed(self, images: Tensor) -> Tensor:
        """Returns the deterministic latents (N, latent_dim), the posterior means, of images (N, C, H, W)."""
        mean, _ = self.encode(images)
        return mean

    def forward(self, images: Tensor) -> Tensor:
        """Returns the reconstructions (N, C, H, W), or their logits, from the posterior means; nothing is drawn."""
        return self.decode(self.embed(images))


def bounded_log_variance(log_variance: Tensor) -> Tensor:
    """Returns log-variances clamped to [-20, 10].

    Otherwise an outlier of an untrained encoder would overflow exp(), in float32 from 88, and turn the run into NaN.
    The bounds are standard deviations of 5e-5 and 150, far outside what a latent under a standard normal prior needs.
    """
    return log_variance.clamp(-20.0, 10.0)
