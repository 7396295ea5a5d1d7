"""A convolutional variational autoencoder."""

from __future__ import annotations

from typing import Literal

from pydantic import PositiveInt
from torch import Tensor

from firebox.models.convolution import ConvolutionalDecoder, ConvolutionalEncoder
from firebox.models.gaussian_autoencoder import GaussianAutoencoder, bounded_log_variance


class VAEBaseline(GaussianAutoencoder):
    """A convolutional variational autoencoder: the stages of CAEBaseline around a diagonal Gaussian latent.

    Args:
        input_shape: (C, H, W) of one image; any sides that the stages can halve, including odd ones.
        channels: output channels of each encoder stage; each stage halves both sides of the image.
        latent_dim: dimension of the latent.
        output_activation: activation at the end of the decoder. Choose linear for logits or standardised pixels,
            sigmoid for pixels in [0, 1], tanh for [-1, 1].

    Raises:
        ValueError: the images are too small for the number of stages.
    """

    def __init__(
        self,
        input_shape: tuple[int, int, int],
        *,
        channels: tuple[PositiveInt, ...] = (32, 64),
        latent_dim: PositiveInt = 16,
        output_activation: Literal["linear", "sigmoid", "tanh"] = "linear",
    ) -> None:
        super().__init__()
        self.latent_dim = latent_dim
        self.output_activation = output_activation
        self.encoder = ConvolutionalEncoder(input_shape, channels, 2 * latent_dim)
        self.decoder = ConvolutionalDecoder(input_shape, channels, latent_dim, output_activation)

    def encode(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the posterior's mean and log-variance, each (N, latent_dim), of images (N, C, H, W)."""
        mean, log_variance = self.encoder(images).chunk(2, dim=1)
        return mean, bounded_log_variance(log_variance)

    def decode(self, latents: Tensor) -> Tensor:
        """Returns images, or their logits, (N, C, H, W) of latents (N, latent_dim)."""
        images: Tensor = self.decoder(latents)
        return images
