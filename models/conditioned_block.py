"""A residual block of convolutions that depends on an embedding."""

from __future__ import annotations

from torch import Tensor, nn

from firebox.models.group_norm import group_norm


class ConditionedBlock(nn.Module):
    """Two 3x3 convolutions with a shortcut that keep the sides, the second scaled and shifted by an embedding.

    The block of Dhariwal and Nichol, "Diffusion Models Beat GANs on Image Synthesis", NeurIPS 2021. Its second
    convolution begins at zero, so that an untrained block is its shortcut.

    Args:
        inputs: number of input channels.
        outputs: number of output channels.
        features: length of the embedding.
    """

    def __init__(self, inputs: int, outputs: int, features: int) -> None:
        super().__init__()
        self.first = nn.Sequential(group_norm(inputs), nn.SiLU(), nn.Conv2d(inputs, outputs, 3, padding=1))
        self.condition = nn.Linear(features, 2 * outputs)
        self.normalisation = group_norm(outputs)
        self.second = nn.Sequential(nn.SiLU(), zeroed(nn.Conv2d(outputs, outputs, 3, padding=1)))
        self.shortcut = nn.Identity() if inputs == outputs else nn.Conv2d(inputs, outputs, 1)

    def forward(self, images: Tensor, embedding: Tensor) -> Tensor:
        """Returns activations (N, outputs, H, W) for activations (N, inputs, H, W) and embeddings (N, features)."""
        scale, shift = self.condition(embedding)[..., None, None].chunk(2, dim=1)
        hidden = self.normalisation(self.first(images)) * (1 + scale) + shift
        activations: Tensor = self.shortcut(images) + self.second(hidden)
        return activations


def zeroed(layer: nn.Conv2d) -> nn.Conv2d:
    """Sets the parameters of a layer to zero and returns it."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer
