"""Random ellipses, rectangles and triangles in unlimited number."""

from __future__ import annotations

import math
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, NonNegativeInt, PositiveInt

from firebox.data.bases.datagenerator import DataGenerator
from firebox.data.bases.datamodule import Split
from firebox.data.declarations.specification import ImageSpecification, PixelRange
from firebox.data.declarations.targets import Classes, Mask

if TYPE_CHECKING:
    import torch

CLASSES = ("ellipse", "rectangle", "triangle")
BACKGROUND = "background"
DEGREES = 360
STANDARDISING_SAMPLES = 1024
_GOLDEN = 0x9E3779B97F4A7C15 - (1 << 64)
"""splitmix64's increment (Steele, Lea and Flood, "Fast Splittable Pseudorandom Number Generators", 2014) as int64."""


class Shapes(DataGenerator):
    """Images of one ellipse, rectangle or triangle each, at a random position and angle, entirely inside the image.

    Args:
        image_size: height and width of the images, in pixels.
        target: what a sample is to be predicted as: class (its shape), or mask (for each pixel, the shape that covers
            its center, or background). The images are the same.
        color: colour mode of the images: rgb (three channels, each with its own brightness) or grayscale (one channel).
        size: smallest and largest diameter of the circle around a shape, as a fraction of the image's shorter side.
        background: smallest and largest brightness of the background, in [0, 1].
        foreground: smallest and largest brightness of the shape, in [0, 1].
        train_length: number of training images per epoch; each epoch draws new ones.
        validation_length: number of validation images, the same ones each time.
        test_length: number of test images.
        seed: seed of the data; a property of the data, not of the run.
        pixel_range: range of the pixels that the model sees; "standardised" by the first 1,024 training images.
    """

    def __init__(
        self,
        *,
        image_size: tuple[PositiveInt, PositiveInt] = (32, 32),
        target: Literal["class", "mask"] = "class",
        color: Literal["rgb", "grayscale"] = "grayscale",
        size: tuple[Annotated[float, Field(gt=0, le=1)], Annotated[float, Field(gt=0, le=1)]] = (0.4, 0.9),
        background: tuple[Annotated[float, Field(ge=0, le=1)], Annotated[float, Field(ge=0, le=1)]] = (0.0, 0.3),
        foreground: tuple[Annotated[float, Field(ge=0, le=1)], Annotated[float, Field(ge=0, le=1)]] = (0.6, 1.0),
        train_length: PositiveInt = 6000,
        validation_length: NonNegativeInt = 600,
        test_length: NonNegativeInt = 1000,
        seed: int = 0,
        pixel_range: PixelRange = "[0,1]",
    ) -> None:
        super().__init__(
            train_length=train_length, validation_length=validation_length, test_length=test_length, seed=seed
        )
        for name, (lowest, highest) in {"size": size, "background": background, "foreground": foreground}.items():
            if lowest > highest:
                raise ValueError(f"shapes.{name}: got [{lowest:g}, {highest:g}], expected the smaller value first")
        self._image_size = image_size
        self._target = Mask((BACKGROUND, *CLASSES)) if target == "mask" else Classes(CLASSES)
        self._channels = 3 if color == "rgb" else 1
        self._size = size
        self._background = background
        self._foreground = foreground
        self._pixel_range: PixelRange = pixel_range

    @property
    def specification(self) -> ImageSpecification:
        mean, std = self._moments if self._pixel_range == "standardised" else ((), ())
        shape = (self._channels, *self._image_size)
        return ImageSpecification(shape, self._pixel_range, mean=mean, std=std, target=self._target)

    def sample(self, split: Split, indices: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        import torch

        # Only operations that IEEE 754 rounds correctly, so that an image does not depend on the batch it is drawn in.
        kind, turn, place_x, place_y, size, aspect, *brightness = self._draws(split, indices).unbind(1)
        labels = (kind * len(CLASSES)).long()
        height, width = self._image_size
        radius = _between(size, self._size) * (min(height, width) / 2)
        x = torch.arange(width, device=indices.device) + 0.5 - _column(radius + place_x * (width - 2 * radius))
        y = torch.arange(height, device=indices.device)[:, None] + 0.5
        y = y - _column(radius + place_y * (height - 2 * radius))
        cosine, sine = (_column(table.to(indices.device)[(turn * DEGREES).long()]) for table in _circle())
        distance = _distance(x * cosine + y * sine, y * cosine - x * sine, radius, 0.5 + 0.5 * aspect, labels)
        coverage = (0.5 - distance).clamp(0, 1)
        background = _between(torch.stack(brightness[: self._channels], 1), self._background)[:, :, None, None]
        foreground = _between(torch.stack(brightness[self._channels :], 1), self._foreground)[:, :, None, None]
        images = background + (foreground - background) * coverage[:, None]
        pixels = (images * 255).round().to(torch.uint8)
        if isinstance(self._target, Classes):
            return pixels, labels
        return pixels, ((distance <= 0) * _column(labels + 1)).to(torch.uint8)

    def _draws(self, split: Split, indices: torch.Tensor) -> torch.Tensor:
        """Returns uniform float32 numbers in [0, 1), (n, draws): number d of sample i hashes (seed, split, i, d)."""
        import torch

        from firebox.foundation.randomness import mix, scramble

        key = mix(self.seed, "shapes", split) - (1 << 63)
        samples = scramble(indices * _GOLDEN + key)
        draws = torch.arange(1, 7 + 2 * self._channels, device=indices.device)
        words = scramble(samples[:, None] + draws * _GOLDEN)
        return ((words >> 40) & 0xFFFFFF).float() * 2.0**-24

    @cached_property
    def _moments(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        import torch

        images = self.sample("train", torch.arange(STANDARDISING_SAMPLES))[0].double() / 255
        mean, std = images.mean((0, 2, 3)), images.std((0, 2, 3), correction=0)
        return tuple(mean.tolist()), tuple(std.tolist())


def _distance(
    x: torch.Tensor, y: torch.Tensor, radius: torch.Tensor, aspect: torch.Tensor, labels: torch.Tensor
) -> torch.Tensor:
    """Returns the signed distance of each pixel's center to the outline, in pixels and negative inside, (n, H, W).

    Args:
        x: coordinate along the shape's longer axis, in pixels from its center, (n, H, W).
        y: coordinate along the shorter axis, in pixels from the center, (n, H, W).
        radius: radius of the circle around the shape, in pixels, (n,).
        aspect: ratio of the shorter axis to the longer, in (0, 1], (n,).
        labels: index into ``CLASSES``, (n,).
    """
    import torch

    corner = radius / (1 + aspect * aspect).sqrt()  # half the width of a box whose corners are on the circle
    half_width, half_height = _column(corner), _column(corner * aspect)
    box = torch.maximum(x.abs() - half_width, y.abs() - half_height)
    slope = (4 * half_height * half_height + half_width * half_width).sqrt()
    sides = (2 * half_height * x.abs() - half_width * (y + half_height)) / slope
    triangle = torch.maximum(sides, y - half_height)
    # An ellipse has no simple distance: its implicit function over its gradient is exact on the outline.
    long, short = _column(radius), _column(radius * aspect)
    scaled = ((x / long) * (x / long) + (y / short) * (y / short)).sqrt()
    u, v = x / (long * long), y / (short * short)
    steepness = scaled / (u * u + v * v).sqrt().clamp_min(1e-12)
    ellipse = (scaled - 1) * torch.maximum(steepness, short)  # at the very center the quotient is 0 / 0
    kind = _column(labels)
    return torch.where(kind == 0, ellipse, torch.where(kind == 1, box, triangle))


def _between(draws: torch.Tensor, bounds: tuple[float, float]) -> torch.Tensor:
    return bounds[0] + draws * (bounds[1] - bounds[0])


def _column(values: torch.Tensor) -> torch.Tensor:
    """Reshapes (n,) to (n, 1, 1)."""
    return values[:, None, None]


def _circle() -> tuple[torch.Tensor, torch.Tensor]:
    """Returns tables of cosine and sine by whole degrees: torch's own differ between vector and scalar code."""
    import torch

    angles = [math.tau * degree / DEGREES for degree in range(DEGREES)]
    return torch.tensor([math.cos(a) for a in angles]), torch.tensor([math.sin(a) for a in angles])
