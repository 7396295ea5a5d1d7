"""What a sample is to be predicted as: a class, several labels, a mask, an image or values; declared before reading."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

if TYPE_CHECKING:
    import torch

Kind = Literal["class", "labels", "mask", "image", "values"]


class Target(ABC):
    """What the samples of a data set are to be predicted as.

    A batch as it was read has the targets in the form that ``zeros`` has; ``prepared`` gives modules theirs.
    """

    kind: ClassVar[Kind]
    spatial: ClassVar[bool] = False
    """Whether a target has the image's height and width, and moves with it in augmentations."""

    @property
    @abstractmethod
    def outputs(self) -> int:
        """How many outputs a model needs for it, per sample or per pixel."""

    @property
    @abstractmethod
    def described(self) -> str:
        """What it is, for messages, such as "a class of 10"."""

    @abstractmethod
    def zeros(self, count: int, shape: tuple[int, int, int]) -> torch.Tensor:
        """Returns targets of zeros for ``count`` images of ``shape`` (C, H, W), in the form in which they are read."""

    @abstractmethod
    def faults(self, targets: torch.Tensor) -> Iterator[str]:
        """Yields what is wrong with the content of targets that have the shape and dtype of ``zeros``."""

    def takes(self, dtype: torch.dtype) -> bool:
        """Whether targets may be read in another dtype than that of ``zeros``."""
        return False

    def movable(self, targets: torch.Tensor) -> torch.Tensor:
        """Returns targets, as they were read, as float32 images (N, C, H, W), where they are spatial.

        What an augmentation moves in from outside the image is 0 there.
        """
        raise NotImplementedError

    def moved(self, images: torch.Tensor) -> torch.Tensor:
        """Returns what ``movable`` returned, moved by augmentations, in the form that modules take."""
        raise NotImplementedError

    def prepared(self, targets: torch.Tensor) -> torch.Tensor:
        """Returns targets, as they were read, in the form that modules take, on the same device."""
        return targets


@dataclass(frozen=True, slots=True)
class Classes(Target):
    """One class of several; (N,) int64.

    Args:
        names: names of the classes, label k being ``names[k]``.
    """

    names: tuple[str, ...]

    kind: ClassVar[Kind] = "class"

    @property
    def outputs(self) -> int:
        return len(self.names)

    @property
    def described(self) -> str:
        return f"a class of {len(self.names)}"

    def zeros(self, count: int, shape: tuple[int, int, int]) -> torch.Tensor:
        import torch

        return torch.zeros(count, dtype=torch.int64)

    def faults(self, targets: torch.Tensor) -> Iterator[str]:
        lowest, highest = int(targets.min()), int(targets.max())
        if lowest < 0 or highest >= len(self.names):
            wrong = lowest if lowest < 0 else highest
            expected = f"expected 0 to {len(self.names) - 1}: its specification has {len(self.names)} classes"
            yield f"it has the label {wrong}, {expected}"


@dataclass(frozen=True, slots=True)
class Labels(Target):
    """Any number of labels of several; (N, labels) float32, 1 where a label holds, otherwise 0.

    Args:
        names: names of the labels.
    """

    names: tuple[str, ...]

    kind: ClassVar[Kind] = "labels"

    @property
    def outputs(self) -> int:
        return len(self.names)

    @property
    def described(self) -> str:
        return f"any of {len(self.names)} labels"

    def zeros(self, count: int, shape: tuple[int, int, int]) -> torch.Tensor:
        import torch

        return torch.zeros(count, len(self.names))

    def faults(self, targets: torch.Tensor) -> Iterator[str]:
        if not ((targets == 0) | (targets == 1)).all():
            yield "its labels have values other than 0 and 1"


@dataclass(frozen=True, slots=True)
class Values(Target):
    """Numbers to be regressed; (N, values) float32.

    Args:
        names: names of the values.
        mean: what is subtracted from each value for modules; empty for nothing.
        std: what each value is then divided by, above 0; empty for nothing.
    """

    names: tuple[str, ...]
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()

    kind: ClassVar[Kind] = "values"

    @property
    def outputs(self) -> int:
        return len(self.names)

    @property
    def described(self) -> str:
        return f"the values {', '.join(self.names)}"

    def zeros(self, count: int, shape: tuple[int, int, int]) -> torch.Tensor:
        import torch

        return torch.zeros(count, len(self.names))

    def faults(self, targets: torch.Tensor) -> Iterator[str]:
        if not targets.isfinite().all():
            yield "its values are not all finite numbers"

    def prepared(self, targets: torch.Tensor) -> torch.Tensor:
        if not self.mean:
            return targets
        return (targets - targets.new_tensor(self.mean)) / targets.new_tensor(self.std)

    def in_units(self, values: torch.Tensor) -> torch.Tensor:
        """Returns values (N, values) in the scale of modules in the units of the data: the inverse of ``prepared``."""
        return values * values.new_tensor(self.std) + values.new_tensor(self.mean) if self.mean else values


@dataclass(frozen=True, slots=True)
class Mask(Target):
    """A class for every pixel; read as (N, H, W) uint8, (N, H, W) int64 for modules.

    Args:
        names: names of the classes, pixel value k being ``names[k]``.
        ignored: pixel value that belongs to no class and is left out of losses and metrics, in 0..255; None if none is.
    """

    names: tuple[str, ...]
    ignored: int | None = None

    kind: ClassVar[Kind] = "mask"
    spatial: ClassVar[bool] = True

    @property
    def outputs(self) -> int:
        return len(self.names)

    @property
    def described(self) -> str:
        return f"a mask of {len(self.names)} classes"

    def zeros(self, count: int, shape: tuple[int, int, int]) -> torch.Tensor:
        import torch

        return torch.zeros(count, *shape[1:], dtype=torch.uint8)

    def faults(self, targets: torch.Tensor) -> Iterator[str]:
        wrong = targets >= len(self.names)
        if self.ignored is not None:
            wrong &= targets != self.ignored
        if wrong.any():
            found = sorted(set(targets[wrong].tolist()))
            listed = ", ".join(map(str, found[:5])) + (", ..." if len(found) > 5 else "")
            ignored = "" if self.ignored is None else f", or {self.ignored}, which is ignored"
            yield f"its masks have the values {listed}; expected 0 to {len(self.names) - 1}{ignored}"

    def movable(self, targets: torch.Tensor) -> torch.Tensor:
        return targets.float().unsqueeze(1) + 1

    def moved(self, images: torch.Tensor) -> torch.Tensor:
        # From outside comes what is ignored, or else the first class, which usually is the background.
        classes = images.squeeze(1).round().long() - 1
        return classes.masked_fill(classes < 0, self.ignored or 0)

    def prepared(self, targets: torch.Tensor) -> torch.Tensor:
        return targets.long()
