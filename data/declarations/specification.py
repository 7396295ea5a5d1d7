"""The specification of a data set's samples, known before any of them is read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BeforeValidator

from firebox.data.declarations.targets import Classes, Target

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


def require_order(setting: str, values: tuple[float, float] | None) -> None:
    """Requires the smaller of two values to be the first.

    Raises:
        ValueError: it is not; the message begins with the setting.
    """
    if values is not None and not values[0] < values[1]:
        raise ValueError(f"{setting}: got {list(values)}, expected the smaller value first")


@dataclass(frozen=True, slots=True)
class ImageSpecification:
    """Shape, range and target of a data set's samples.

    Args:
        shape: (C, H, W) of one image.
        pixel_range: range of the float32 images that the model sees.
        classes: names of the classes, label k being ``classes[k]``; the same as ``target=Classes(classes)``, and empty
            if the samples have another target or none.
        mean: mean of each channel, in [0, 1]; used if the range is "standardised".
        std: standard deviation of each channel, in (0, 1]; used if the range is "standardised".
        value_range: values of the images as they are read that become 0 and 1; None for those of their dtype, which are
            0 and 255 for uint8, 0 and 65,535 for uint16, and 0 and 1 for float32.
        target: what a sample is to be predicted as; None if samples have no target.
    """

    shape: tuple[int, int, int]
    pixel_range: PixelRange = "[0,1]"
    classes: tuple[str, ...] = ()
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    value_range: tuple[float, float] | None = None
    target: Target | None = None

    def __post_init__(self) -> None:
        if self.classes and self.target is None:
            object.__setattr__(self, "target", Classes(self.classes))
        elif isinstance(self.target, Classes):
            object.__setattr__(self, "classes", self.target.names)
        require_order("value_range", self.value_range)
        if self.pixel_range == "standardised" and not len(self.mean) == len(self.std) == self.shape[0]:
            raise ValueError(
                f"pixel_range standardised: expected a mean and a std for each of {self.shape[0]} channels"
            )

    def values_of(self, dtype: torch.dtype) -> tuple[float, float]:
        """Returns the values of images of a dtype that become 0 and 1."""
        import torch

        return self.value_range or {torch.uint8: (0.0, 255.0), torch.uint16: (0.0, 65535.0)}.get(dtype, (0.0, 1.0))

    def as_unit(self, images: torch.Tensor) -> torch.Tensor:
        """Maps images (N, C, H, W) as they were read, uint8, uint16 or float32, to float32 in [0, 1]."""
        lowest, highest = self.values_of(images.dtype)
        if (lowest, highest) == (0, 1):
            return images.float()
        return (images.float() - lowest) / (highest - lowest)

    def faults(self, images: torch.Tensor) -> Iterator[str]:
        """Yields what is wrong with images (N, ...) as they were read, N at least 1."""
        import torch

        if tuple(images.shape[1:]) != self.shape:
            yield f"its images have shape {tuple(images.shape[1:])}, expected {self.shape}, as specification says"
        if images.dtype not in (torch.uint8, torch.uint16, torch.float32):
            expected = "expected torch.uint8 in 0..255 or torch.float32 in [0, 1], or torch.uint16 in 0..65535"
            yield f"its images are {images.dtype}, {expected}"
            return
        if images.dtype == torch.uint8 and self.value_range is None:
            return
        lowest, highest = self.values_of(images.dtype)
        room = (highest - lowest) / 2 if images.is_floating_point() else 0
        found = images.float().min().item(), images.float().max().item()
        if not (found[0] >= lowest - room and found[1] <= highest + room):
            given = f"its images are {images.dtype} from {found[0]:g} to {found[1]:g}"
            way_out = "return uint8, or divide by 255; pixel_range is applied after"
            if self.value_range is not None:
                way_out = "declare the value_range that they have"
            yield f"{given}, expected [{lowest:g}, {highest:g}]: {way_out}"

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
