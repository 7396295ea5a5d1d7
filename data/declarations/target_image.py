"""Images that are to be predicted from images."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from firebox.data.declarations.specification import ImageSpecification
from firebox.data.declarations.targets import Kind, Target

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True)
class TargetImage(Target):
    """An image; read as uint8, uint16 or float32 (N, C, H, W), float32 in its pixel range for modules.

    Args:
        specification: shape and range of the images.
    """

    specification: ImageSpecification
    kind: ClassVar[Kind] = "image"
    spatial: ClassVar[bool] = True

    @property
    def outputs(self) -> int:
        return self.specification.shape[0]

    @property
    def described(self) -> str:
        return f"an image of shape {self.specification.shape}"

    def zeros(self, count: int, shape: tuple[int, int, int]) -> torch.Tensor:
        import torch

        return torch.zeros(count, *self.specification.shape, dtype=torch.uint8)

    def takes(self, dtype: torch.dtype) -> bool:
        return True  # the specification's faults say which

    def faults(self, targets: torch.Tensor) -> Iterator[str]:
        yield from self.specification.faults(targets)

    def movable(self, targets: torch.Tensor) -> torch.Tensor:
        return self.specification.as_unit(targets)

    def moved(self, images: torch.Tensor) -> torch.Tensor:
        return self.specification.from_unit(images.clamp(0, 1))

    def prepared(self, targets: torch.Tensor) -> torch.Tensor:
        return self.specification.from_unit(self.specification.as_unit(targets))
