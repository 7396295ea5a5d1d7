"""Sources of a split's samples, read by index."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import numpy
import torch

from firebox.data.declarations.data_error import DataError
from firebox.data.declarations.targets import Target
from firebox.data.sources.batch import labels_of
from firebox.data.sources.examples import integers
from firebox.data.sources.progress import Doing, note
from firebox.data.sources.samples import faults_of_targets
from firebox.foundation.places import from_keyboard, own_place
from firebox.foundation.problems import Interrupted, TrainingFailure, in_one_line, shown
from firebox.foundation.randomness import mix, seed_sample

HELD = (torch.uint8, torch.uint16, torch.float32)
"""The dtypes in which images are read and held."""
TOGETHER = 256
"""Number of samples read at a time when all of them are read."""


class Selection(Protocol):
    """Some samples of many, such as a tensor, int64 (n,), or what computes them."""

    def __len__(self) -> int: ...

    def __getitem__(self, indices: torch.Tensor, /) -> torch.Tensor:
        """Returns the samples at indices, int64 (k,), of the selection, int64 (k,)."""
        ...


@runtime_checkable
class ImageSource(Protocol):
    """The samples of a split. A source must be picklable, so that worker processes can read from it."""

    def __len__(self) -> int: ...

    def gather(
        self, indices: torch.Tensor, *, seed: int = 0, epoch: int = 0
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Reads samples by index.

        Args:
            indices: int64 of shape (n,), values in [0, len(self)).
            seed: seed of the run; the random numbers of a sample are addressed by (seed, epoch, index).
            epoch: the epoch, counted from 0.

        Returns:
            Images (n, C, H, W), uint8, uint16 or float32 in the values that the specification says, and their targets
            (n, ...) as it says, such as classes (n,) int64; None if there are none.

        Raises:
            DataError: samples can't be read; the message says which, and why.
        """
        ...


def labels_at_hand(source: ImageSource) -> torch.Tensor | None:
    """Returns the labels of all samples, int64 (N,); None if they are not known without reading the images."""
    labels = getattr(source, "labels", None)
    return labels if isinstance(labels, torch.Tensor) else None


class ResidentImages:
    """Images held in memory or on a device, in channels_last, as convolutions take them.

    Args:
        images: uint8, uint16 or float32 of shape (N, C, H, W).
        targets: targets of shape (N, ...), such as classes (N,) int64; None if there are none.
    """

    def __init__(self, images: torch.Tensor, targets: torch.Tensor | None = None) -> None:
        if images.dtype not in HELD or images.ndim != 4:
            expected = "expected uint8, uint16 or float32 (N, C, H, W)"
            raise ValueError(f"images: got {images.dtype} {tuple(images.shape)}, {expected}")
        self._pixels = images.permute(0, 2, 3, 1).contiguous()
        self.targets = targets

    @property
    def labels(self) -> torch.Tensor | None:
        """All targets if each is one integer, such as a class, int64 (N,); None otherwise."""
        return labels_of(self.targets)

    @property
    def images(self) -> torch.Tensor:
        """All images, (N, C, H, W) in channels_last."""
        return as_images(self._pixels)

    def __len__(self) -> int:
        return len(self._pixels)

    def gather(
        self, indices: torch.Tensor, *, seed: int = 0, epoch: int = 0
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        indices = indices.to(self._pixels.device, non_blocking=True)
        targets = None if self.targets is None else self.targets.index_select(0, indices)
        return as_images(self._pixels.index_select(0, indices)), targets

    def between(self, start: int, stop: int) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Returns samples that follow one another, as ``gather`` would, without a copy."""
        return as_images(self._pixels[start:stop]), None if self.targets is None else self.targets[start:stop]

    def put(self, indices: torch.Tensor, images: torch.Tensor, targets: torch.Tensor | None) -> None:
        """Writes samples over those at ``indices`` (int64, (n,)), as ``gather`` would read them."""
        _as_numbers(self.images)[indices] = _as_numbers(images)
        if self.targets is not None and targets is not None:
            _as_numbers(self.targets)[indices] = _as_numbers(targets)

    def subset(self, indices: torch.Tensor) -> ResidentImages:
        """Returns the images at ``indices`` (int64, (n,)) as a source of their own."""
        return ResidentImages(*self.gather(indices))

    def to(self, device: torch.device) -> ResidentImages:
        """Returns the same images on another device."""
        return ResidentImages(self.images.to(device), None if self.targets is None else self.targets.to(device))


def _as_numbers(tensor: torch.Tensor) -> torch.Tensor:
    """Returns the same memory in a dtype that can be written to by index, which torch's uint16 can't."""
    return tensor.view(torch.int16) if tensor.dtype == torch.uint16 else tensor


def as_images(pixels: torch.Tensor) -> torch.Tensor:
    """Returns pixels (N, H, W, C) as images (N, C, H, W), without a copy."""
    # With one channel all memory formats are alike; strides that only channels_last has would select that format.
    return pixels.permute(0, 3, 1, 2) if pixels.shape[3] > 1 else pixels.view(-1, 1, *pixels.shape[1:3])


def stacked(images: Sequence[torch.Tensor]) -> torch.Tensor:
    """Returns images (C, H, W) as a batch (N, C, H, W); in channels_last if that is the order of their own pixels."""
    if len({image.shape for image in images}) == 1 and images[0].ndim == 3:
        pixels = [image.permute(1, 2, 0) for image in images]
        if all(image.is_contiguous() for image in pixels):
            return as_images(torch.stack(pixels))  # otherwise torch would bring each of them into another order
    return torch.stack(list(images))


class DatasetImages:
    """Any map-style ``torch.utils.data.Dataset`` of (image, target) pairs or of images.

    Random numbers drawn in ``__getitem__`` (torch's on the CPU, Python's or numpy's) are the same wherever the sample
    is read: the generators are seeded from (seed, epoch, index).

    Args:
        dataset: image k is uint8, uint16 or float32 (C, H, W) in the values that the specification says; target k is an
            integer, or whatever else makes a tensor. If it has all labels in an attribute ``targets``, as torchvision's
            data sets do, pictures show all classes. If it has a method ``file_of``, which gives the file of sample k,
            messages about the sample name the file.
        indices: samples of the data set to use, such as int64 of shape (n,); None for all of them.
        fixed: whether sample k is the same image whenever it is read, and so need not be read twice.
    """

    def __init__(self, dataset: Any, indices: Selection | None = None, *, fixed: bool = False) -> None:
        self._dataset = dataset
        self._indices = indices
        self.fixed = fixed
        self.target: Target | None = None
        """What the targets are declared to be, against which each is checked as it is read; None if undeclared."""

    @property
    def labels(self) -> torch.Tensor | None:
        """All samples' labels, int64 of shape (N,), read without the images; None if they are not at hand."""
        labels = integers(getattr(self._dataset, "targets", None), len(self._dataset))
        return labels if labels is None or self._indices is None else labels[self._indices[torch.arange(len(self))]]

    def __len__(self) -> int:
        return len(self._dataset) if self._indices is None else len(self._indices)

    def gather(
        self, indices: torch.Tensor, *, seed: int = 0, epoch: int = 0
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        if self._indices is not None:
            indices = self._indices[indices]
        samples = []
        for index in indices.tolist():
            note(Doing.SAMPLE, index)
            seed_sample(mix(seed, "sample", epoch, index))
            try:
                samples.append(self._dataset[index])
            except (DataError, TrainingFailure, Interrupted):
                raise
            except BaseException as error:
                if from_keyboard(error):
                    raise
                raise DataError(self._told(self.name_of(index), error)) from error
        try:
            if isinstance(samples[0], torch.Tensor):
                return stacked(samples), None
            pixels, read = zip(*samples, strict=True)
            images, targets = stacked(pixels), _stacked(read)
        except Exception as error:
            raise DataError(self._told(f"samples {shown(indices.tolist())} make no batch", error)) from error
        if self.target is not None:
            _, channels, height, width = images.shape
            for fault in faults_of_targets(targets, self.target, (channels, height, width)):
                raise DataError(f"{fault}; the samples are among {shown(indices.tolist())}")
        return images, targets

    def subset(self, indices: torch.Tensor) -> DatasetImages:
        """Returns the samples at ``indices`` (int64, (n,)) as a source of their own, which draws the same numbers."""
        own = indices if self._indices is None else self._indices[indices]
        return DatasetImages(self._dataset, own, fixed=self.fixed)

    def name_of(self, sample: int) -> str:
        """Returns what messages call a sample of the data set: its index, and its file if the data set knows it."""
        try:
            return f"sample {sample} ({self._dataset.file_of(sample)})"
        except Exception:  # most data sets know of no files
            return f"sample {sample}"

    def _told(self, what: str, error: BaseException) -> str:
        place = own_place(error)
        at = "" if place is None else f" ({place})"
        return f"the data set {type(self._dataset).__name__}: {what}: {in_one_line(error)}{at}"


def _stacked(targets: Sequence[Any]) -> torch.Tensor:
    """Returns the targets of samples as one tensor; whole numbers as int64."""
    if all(isinstance(target, torch.Tensor) for target in targets):
        return torch.stack(list(targets))
    if isinstance(targets[0], numpy.ndarray):
        return torch.from_numpy(numpy.stack(targets))
    return torch.tensor(targets, dtype=torch.float32 if isinstance(targets[0], float | list | tuple) else torch.int64)


class RememberedImages:
    """The samples of another source, each held in memory once it has been read.

    Args:
        source: source whose samples never change.
    """

    def __init__(self, source: DatasetImages) -> None:
        self._source = source
        self._known = torch.zeros(len(source), dtype=torch.bool)
        self._held: ResidentImages | None = None

    @property
    def labels(self) -> torch.Tensor | None:
        """All samples' labels, as the source knows them."""
        return self._source.labels

    def __len__(self) -> int:
        return len(self._source)

    def gather(
        self, indices: torch.Tensor, *, seed: int = 0, epoch: int = 0
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        known = self._known[indices]
        if not known.all():
            self._remember(indices[~known])
        assert self._held is not None
        return self._held.gather(indices)

    def all(self) -> ResidentImages:
        """Reads the samples that have not been read yet, and returns all of them."""
        for unknown in (~self._known).nonzero().flatten().split(TOGETHER):
            if len(unknown):
                self._remember(unknown)
        assert self._held is not None
        return self._held

    @torch.inference_mode(mode=False)  # an evaluation may be the first to read, but not the last to write
    def _remember(self, indices: torch.Tensor) -> None:
        images, targets = self._source.gather(indices)
        if self._held is None:
            _, channels, height, width = images.shape
            space = images.new_empty(len(self), height, width, channels).permute(0, 3, 1, 2)
            self._held = ResidentImages(
                space, None if targets is None else targets.new_empty(len(self), *targets.shape[1:])
            )
        self._held.put(indices, images, targets)
        self._known[indices] = True
