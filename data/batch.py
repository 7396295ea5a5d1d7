"""Batches, the input of a module's steps, and their preparation."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from firebox.data.augmentation import Augmentation
from firebox.data.specification import ImageSpecification


@dataclass(frozen=True, slots=True)
class Batch:
    """Images and labels of some samples.

    Args:
        images: (N, C, H, W), uint8 as read, or float32 in the data set's pixel range once prepared.
        labels: (N,) int64; None if the data has no labels.
        indices: (N,) int64 on the CPU, the samples' positions in the split.
    """

    images: torch.Tensor
    labels: torch.Tensor | None
    indices: torch.Tensor

    def __len__(self) -> int:
        return len(self.images)

    def chunk(self, microbatches: int) -> list[Batch]:
        """Divides the batch into at most so many microbatches of equal size; the last one may be smaller."""
        images, indices = self.images.chunk(microbatches), self.indices.chunk(microbatches)
        labels = [None] * len(images) if self.labels is None else self.labels.chunk(microbatches)
        return [Batch(*microbatch) for microbatch in zip(images, labels, indices, strict=True)]


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
        self._white = torch.tensor(255.0, device=device)

    def __call__(self, batch: Batch) -> Batch:
        images = batch.images.to(self._device, non_blocking=True)
        if images.dtype == torch.uint8:
            images = images.contiguous(memory_format=self._format) / self._white
        if self._augmentation is not None:
            images = self._augmentation(images)
        images = self._specification.from_unit(images).contiguous(memory_format=self._format)
        labels = None if batch.labels is None else batch.labels.to(self._device, non_blocking=True)
        return Batch(images, labels, batch.indices)
