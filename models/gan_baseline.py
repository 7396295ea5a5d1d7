"""A small convolutional GAN."""

from __future__ import annotations

from pydantic import PositiveInt
from torch import Tensor, nn

from firebox.models.gan_critic import GANCritic
from firebox.models.gan_generator import GANGenerator


class GANBaseline(nn.Module):
    """A generator that draws images in [-1, 1] from noise, and a critic that tells them from real ones.

    Args:
        input_shape: (C, H, W) of one image; any sides that the stages can halve, including odd ones.
        channels: output channels of each stage of the critic, which halves both sides of the image; the generator's
            stages double them, with the same channels in reverse.
        latent_dim: dimension of the noise.

    Raises:
        ValueError: the images are too small for the number of stages.
    """

    output_activation = "linear"

    def __init__(
        self,
        input_shape: tuple[int, int, int],
        *,
        channels: tuple[PositiveInt, ...] = (32, 64),
        latent_dim: PositiveInt = 64,
    ) -> None:
        super().__init__()
        self.latent_dim = latent_dim
        self.generator = GANGenerator(input_shape, channels, latent_dim)
        self.critic = GANCritic(input_shape, channels)

    def decode(self, latents: Tensor) -> Tensor:
        """Returns images (N, C, H, W) in [-1, 1] for latents (N, latent_dim)."""
        images: Tensor = self.generator(latents)
        return images

    def forward(self, images: Tensor) -> Tensor:
        """Returns the critic's scores (N,) of images (N, C, H, W)."""
        scores: Tensor = self.critic(images)
        return scores
