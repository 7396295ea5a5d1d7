"""Models for tests of vector quantisation, named in configurations as a user's own are."""

import torch
from torch import nn

from firebox.models.codebook import Codebook


class Whole(nn.Module):
    """Quantises each image whole: neither its encoder nor its decoder changes anything, so its codes are k-means's.

    An optimizer needs a parameter: a scale, which a learning rate of 1e-30 leaves at 1.
    """

    output_activation = "linear"

    def __init__(self, input_shape, *, num_embeddings: int = 10):
        super().__init__()
        pixels = input_shape[0] * input_shape[1] * input_shape[2]
        self.image_shape = tuple(input_shape)
        self.latent_shape = (pixels, 1, 1)
        self.scale = nn.Parameter(torch.ones(()))
        self.codebook = Codebook(num_embeddings, pixels)

    def encode(self, images):
        return self.scale * images.flatten(1)[..., None, None]

    def quantise(self, latents):
        return self.codebook(latents)

    def decode(self, vectors):
        return vectors.unflatten(1, self.image_shape).flatten(4).squeeze(4)

    def forward(self, images):
        return self.decode(self.quantise(self.encode(images))[0])


class Narrow(Whole):
    """Its codebook has vectors of another length than its encoder has channels."""

    def __init__(self, input_shape, *, num_embeddings: int = 10):
        super().__init__(input_shape, num_embeddings=num_embeddings)
        self.codebook = Codebook(num_embeddings, 16)


class TornApart(Whole):
    """Its latents are (N, h, w, D): a codebook that flattened them would take rows of pixels for vectors."""

    def encode(self, images):
        return super().encode(images).permute(0, 2, 3, 1)


class Trained(Whole):
    """Its codebook's vectors are given to the optimizer, too."""

    def __init__(self, input_shape, *, num_embeddings: int = 10):
        super().__init__(input_shape, num_embeddings=num_embeddings)
        self.codebook.embeddings.requires_grad_(True)
