"""A small residual image classifier."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, PositiveInt
from torch import Tensor, nn

from firebox.models.convolution import halved_sides


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions with a shortcut that halve the sides: the basic block of He et al., CVPR 2016.

    Args:
        inputs: number of input channels.
        outputs: number of output channels.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.residual = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(),
            nn.Conv2d(outputs, outputs, 3, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride=2, bias=False), nn.BatchNorm2d(outputs))
        self.activation = nn.ReLU()

    def forward(self, images: Tensor) -> Tensor:
        """Returns activations (N, outputs, ceil(H / 2), ceil(W / 2)) for inputs (N, inputs, H, W)."""
        activations: Tensor = self.activation(self.residual(images) + self.shortcut(images))
        return activations


class ClassifierBaseline(nn.Module):
    """A residual network with batch normalisation and global average pooling.

    He, Zhang, Ren and Sun, "Deep Residual Learning for Image Recognition", CVPR 2016. Pixels may have any range.

    Args:
        input_shape: (C, H, W) of one image; any sides that the stages can halve, including odd ones.
        num_classes: number of classes.
        channels: output channels of each residual stage; each stage halves both sides of the image.
        dropout: fraction of the pooled features set to zero during training, in [0, 1).

    Raises:
        ValueError: the images are too small for the number of stages.
    """

    output_activation = "linear"

    def __init__(
        self,
        input_shape: tuple[int, int, int],
        num_classes: int,
        *,
        channels: tuple[PositiveInt, ...] = (16, 32, 64),
        dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0,
    ) -> None:
        halved_sides(input_shape, len(channels))
        super().__init__()
        self.num_classes = num_classes
        self.stem = nn.Sequential(
            nn.Conv2d(input_shape[0], channels[0], 3, padding=1, bias=False), nn.BatchNorm2d(channels[0]), nn.ReLU()
        )
        self.stages = nn.Sequential(*map(ResidualBlock, (channels[0], *channels), channels))
        self.head = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(dropout), nn.Linear(channels[-1], num_classes)
        )

    def forward(self, images: Tensor) -> Tensor:
        """Returns logits (N, num_classes) for images (N, C, H, W)."""
        return self.classify(self.features(images))

    def features(self, images: Tensor) -> Tensor:
        """Returns the pooled activations of the last stage, (N, channels[-1]), of images (N, C, H, W)."""
        features: Tensor = self.head[:2](self.stages(self.stem(images)))
        return features

    def classify(self, features: Tensor) -> Tensor:
        """Returns logits (N, num_classes) of features (N, channels[-1])."""
        logits: Tensor = self.head[2:](features)
        return logits
