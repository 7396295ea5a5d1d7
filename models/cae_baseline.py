"""A plain convolutional autoencoder."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, PositiveInt
from torch import Tensor, nn

from firebox.models.convolution import ConvolutionalDecoder, ConvolutionalEncoder


class CAEBaseline(nn.Module):
    """A convolutional autoencoder: stages of stride 2 down to a latent vector, and their mirror image back.

    Args:
        input_shape: (C, H, W) of one image; any sides that the stages can halve, including odd ones.
        channels: output channels of each encoder stage; each stage halves both sides of the image.
        latent_dim: dimension of the latent.
        output_activation: activation at the end of the decoder. Choose sigmoid for pixels in [0, 1], tanh for [-1, 1],
            linear for standardised pixels.
        dropout: fraction of the latent's entries set to zero during training, in [0, 1).

    Raises:
        ValueError: the images are too small for the number of stages.
    """

    def __init__(
        self,
        input_shape: tuple[int, int, int],
        *,
        channels: tuple[PositiveInt, ...] = (32, 64),
        latent_dim: PositiveInt = 64,
        output_activation: Literal["linear", "sigmoid", "tanh"] = "sigmoid",
        dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0,
    ) -> None:
        super().__init__()
        self.latent_dim = latent_dim
        self.output_activation = output_activation
        self.encoder = ConvolutionalEncoder(input_shape, channels, latent_dim)
        self.dropout = nn.Dropout(dropout)
        self.decoder = ConvolutionalDecoder(input_shape, channels, latent_dim, output_activation)

    def encode(self, images: Tensor) -> Tensor:
        """Returns latents (N, latent_dim) of images (N, C, H, W)."""
        latents: Tensor = self.encoder(images)
        return latents

    def decode(self, latents: Tensor) -> Tensor:
        """Returns images (N, C, H, W) for latents (N, latent_dim), in the range of the output activation."""
        images: Tensor = self.decoder(self.dropout(latents))
        return images

    def embed(self, images: Tensor) -> Tensor:
        """Returns the deterministic latents (N, latent_dim) of images (N, C, H, W)."""
        return self.encode(images)

    def forward(self, images: Tensor) -> Tensor:
        """Returns the reconstructions (N, C, H, W) of images (N, C, H, W)."""
        return self.decode(self.encode(images))
