"""Batches, the input of a module's steps, and their preparation."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from firebox.data.declarations.specification import ImageSpecification
from firebox.data.sources.augmentation import Augmentation

AT_ONCE = 1 << 18
"""Values that each thread of the CPU converts at once, so that they stay in the processor's own cache until the end."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Images and targets of some samples.

    Args:
        images: (N, C, H, W), as read, or float32 in the data set's pixel range once prepared.
        targets: (N, ...), as the data's ``Target`` says, such as classes (N,) int64; None if the data has none.
        indices: (N,) int64 on the CPU, the samples' positions in the split.
    """

    images: torch.Tensor
    targets: torch.Tensor | None
    indices: torch.Tensor

    def __len__(self) -> int:
        return len(self.images)

    @property
    def labels(self) -> torch.Tensor | None:
        """The targets where each is one integer, such as a class, (N,) int64; None otherwise."""
        return labels_of(self.targets)

    def chunk(self, microbatches: int) -> list[Batch]:
        """Divides the batch into at most so many microbatches of equal size; the last one may be smaller."""
        images, indices = self.images.chunk(microbatches), self.indices.chunk(microbatches)
        targets = [None] * len(images) if self.targets is None else self.targets.chunk(microbatches)
        return [Batch(*microbatch) for microbatch in zip(images, targets, indices, strict=True)]

    def split(self, sizes: list[int]) -> list[Batch]:
        """Divides the batch into parts of the given sizes, each in memory of its own.

        What a library computes may depend on where in memory its input begins.
        """
        if len(sizes) == 1:
            return [self]
        images, indices = self.images.split(sizes), self.indices.split(sizes)
        targets = [None] * len(sizes) if self.targets is None else [t.clone() for t in self.targets.split(sizes)]
        return [Batch(i.clone(), t, n) for i, t, n in zip(images, targets, indices, strict=True)]


def labels_of(targets: torch.Tensor | None) -> torch.Tensor | None:
    """Returns targets that are one integer per sample, (N,); None if they are anything else."""
    return targets if targets is not None and targets.ndim == 1 and not targets.is_floating_point() else None


class Preparation:
    """Turns a batch as it was read into the model's input, on the device and a whole batch at a time.

    Args:
        specification: specification of the data, which gives the pixel range.
        device: device that the model is on.
        augmentation: augmentation of images in [0, 1], before they are brought to the pixel range; None for evaluation.
        channels_last: whether to use the memory format in which convolutions are fastest.
    """

    def __init__(
        self,
        specification: ImageSpecification,
        device: torch.device,
        *,
        augmentation: Augmentation | None = None,
        channels_last: bool = False,
    ) -> None:
        self._specification = specification
        self._device = device
        self._augmentation = augmentation
        self._format = torch.channels_last if channels_last else torch.contiguous_format
        self._bytes = specification.value_range in (None, (0, 255))
        self._white = torch.tensor(255.0, device=device)

    def __call__(self, batch: Batch) -> Batch:
        images = batch.images.to(self._device, non_blocking=True)
        targets = None if batch.targets is None else batch.targets.to(self._device, non_blocking=True)
        images = images.contiguous(memory_format=self._format)
        if images.dtype == torch.uint8 and self._bytes:
            images = self._from_bytes(images)
        else:
            images = self._specification.as_unit(images)
        target = self._specification.target
        if self._augmentation is not None and targets is not None and target is not None and target.spatial:
            images, targets = self._augmentation.together(images, targets, target)
        else:
            if self._augmentation is not None:
                images = self._augmentation(images)
            if targets is not None and target is not None:
                targets = target.prepared(targets)
        images = self._specification.from_unit(images).contiguous(memory_format=self._format)
        return Batch(images, targets, batch.indices)

    def _from_bytes(self, images: torch.Tensor) -> torch.Tensor:
        """Returns bytes divided by 255, in the same memory format."""
        # Dividing the bytes themselves gives the same bits and, in channels_last, takes twenty times as long. Small
        # batches are converted whole, and a rehearsal's, which have no values: their pieces would take seconds.
        if images.numel() <= AT_ONCE or images.device.type != "cpu" or type(images) is not torch.Tensor:
            return images.float().div_(self._white)
        together = max(1, AT_ONCE * torch.get_num_threads() * len(images) // images.numel())
        converted = torch.empty_like(images, dtype=torch.float32)
        for some, own in zip(images.split(together), converted.split(together), strict=True):
            own.copy_(some).div_(self._white)
        return converted
