"""The specification of a data set's samples, known before any of them is read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BeforeValidator

if TYPE_CHECKING:
    import torch


def _pixel_range(value: Any) -> Any:
    """Accepts an unquoted ``[0, 1]``, which YAML reads as a list."""
    return f"[{value[0]:g},{value[1]:g}]" if isinstance(value, list) and len(value) == 2 else value


_Written = Literal["[0,1]", "[-1,1]", "standardised"] | tuple[float, float]
PixelRange = Annotated[
    Literal["[0,1]", "[-1,1]", "standardised"], BeforeValidator(_pixel_range, json_schema_input_type=_Written)
]
"""The range of a data set's images throughout a run. Standardised: zero mean and unit variance per channel."""


@dataclass(frozen=True, slots=True)
class ImageSpecification:
    """Shape, range and classes of a data set's samples.

    Args:
        shape: (C, H, W) of one image.
        pixel_range: range of the float32 images that the model sees.
        classes: names of the classes, label k being ``classes[k]``; empty if samples have no labels.
        mean: mean of each channel, in [0, 1]; used if the range is "standardised".
        std: standard deviation of each channel, in (0, 1]; used if the range is "standardised".
    """

    shape: tuple[int, int, int]
    pixel_range: PixelRange = "[0,1]"
    classes: tuple[str, ...] = ()
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if self.pixel_range == "standardised" and not len(self.mean) == len(self.std) == self.shape[0]:
            raise ValueError(
                f"pixel_range standardised: expected a mean and a std for each of {self.shape[0]} channels"
            )

    def from_unit(self, images: torch.Tensor) -> torch.Tensor:
        """Maps float images (N, C, H, W) from [0, 1] to the pixel range."""
        if self.pixel_range == "[-1,1]":
            return images * 2 - 1
        if self.pixel_range == "standardised":
            return (images - self._channels(self.mean, images)) / self._channels(self.std, images)
        return images

    def to_unit(self, images: torch.Tensor) -> torch.Tensor:
        """Maps images back to [0, 1] for display: the inverse of ``from_unit``, clamped."""
        if self.pixel_range == "[-1,1]":
            images = (images + 1) / 2
        elif self.pixel_range == "standardised":
            images = images * self._channels(self.std, images) + self._channels(self.mean, images)
        return images.clamp(0, 1)

    @staticmethod
    def _channels(values: tuple[float, ...], like: torch.Tensor) -> torch.Tensor:
        return like.new_tensor(values).view(1, -1, 1, 1)
