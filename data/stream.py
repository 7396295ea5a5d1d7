"""One endless stream of batches that can begin at any iteration."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from data.batch import Batch
from data.source import DatasetImages, ImageSource, RememberedImages, ResidentImages
from engine.randomness import EpochOrder

Placement = Literal["auto", "device", "memory", "stream"]

MEMORY_BUDGET = 2 << 30
"""Bytes of a split's images that are held, in memory or on a device, without being asked for."""


class BatchStream:
    """The batches of a split, iteration by iteration, without end.

    Iteration i, counted from 0, is batch ``i % len(self)`` of epoch ``i // len(self)``: a function of the seed and of i
    alone, whatever was read before, wherever the images are held and however many workers read them.

    Args:
        source: the samples.
        batch_size: images in a batch.
        seed: of the run.
        shuffle: draw a new order each epoch; off for evaluation, where each pass is epoch 0.
        drop_last: leave out an epoch's last batch where it is smaller.
        placement: ``stream`` reads samples as they are needed, in ``workers`` processes where there are any; the others
            gather them from what ``place`` put in memory or on the device.
        workers: processes that read ahead.
        device: that batches will be moved to; a CUDA device makes workers' batches pinned.
    """

    def __init__(
        self,
        source: ImageSource,
        *,
        batch_size: int,
        seed: int,
        shuffle: bool,
        drop_last: bool = False,
        placement: Placement = "auto",
        workers: int = 0,
        device: torch.device | None = None,
    ) -> None:
        device = device or torch.device("cpu")
        asked = placement, "as configured"
        self.placement, self.why = choose(source, workers, device) if placement == "auto" else asked
        self._source = place(source, self.placement, device)
        self._batch_size = batch_size
        self._shuffle = shuffle
        self._seed = seed
        self._order = EpochOrder(len(source), seed, shuffle=shuffle)
        self._length = len(source) // batch_size if drop_last else -(-len(source) // batch_size)
        self._workers = workers if self.placement == "stream" else 0
        self._pin = device.type == "cuda"
        self._position = 0
        self._read_ahead: Iterator[tuple[torch.Tensor, torch.Tensor | None]] | None = None

    def __len__(self) -> int:
        """Batches in an epoch."""
        return self._length

    @property
    def samples(self) -> int:
        """Samples in the split."""
        return len(self._source)

    def seek(self, position: int) -> None:
        """Makes ``position`` the next iteration (counted from 0), at the same cost for every position."""
        if position != self._position:
            self._read_ahead = None
        self._position = position

    def indices(self, position: int) -> torch.Tensor:
        """Returns the samples of an iteration, int64 of shape (n,)."""
        epoch, batch = divmod(position, self._length)
        start = batch * self._batch_size
        return self._order.indices(epoch, start, min(start + self._batch_size, len(self._source)))

    def read(self, position: int) -> Batch:
        """Reads the batch of an iteration in this process; the stream stays where it is."""
        indices = self.indices(position)
        images, labels = self._source.gather(indices, seed=self._seed, epoch=self.epoch(position))
        return Batch(images, labels, indices)

    def first(self, count: int) -> Batch:
        """Reads the first samples of the split in their own order, as epoch 0 has them; the stream stays in place."""
        indices = torch.arange(min(count, len(self._source)))
        images, labels = self._source.gather(indices, seed=self._seed, epoch=0)
        return Batch(images, labels, indices)

    def epoch(self, position: int) -> int:
        """Returns the epoch whose draws an iteration uses, counted from 0."""
        return position // self._length if self._shuffle else 0

    def __iter__(self) -> BatchStream:
        return self

    def __next__(self) -> Batch:
        position = self._position
        if self._workers:
            if self._read_ahead is None:
                self._read_ahead = iter(self._loader(position))
            images, labels = next(self._read_ahead)
            batch = Batch(images, labels, self.indices(position))
        else:
            batch = self.read(position)
        self._position += 1
        return batch

    def _loader(self, start: int) -> DataLoader[tuple[torch.Tensor, torch.Tensor | None]]:
        return DataLoader(
            _Gathered(self._source, self._seed),
            batch_size=None,
            sampler=_Positions(self, start),
            num_workers=self._workers,
            pin_memory=self._pin,
            collate_fn=_as_gathered,
            generator=torch.Generator(),
        )


def choose(source: ImageSource, workers: int, device: torch.device) -> tuple[Placement, str]:
    """Chooses where the images of a split are gathered from.

    Args:
        source: the samples.
        workers: processes that are asked for to read ahead.
        device: that batches will be moved to.

    Returns:
        The placement, and why that one.
    """
    if isinstance(source, ResidentImages):
        size = source.images.numel()
        if device.type == "cpu":
            return "memory", "where they are"
        return ("device", _fits(size)) if size <= MEMORY_BUDGET else ("memory", _exceeds(size))
    if not isinstance(source, DatasetImages) or not source.fixed:
        return "stream", "they may be drawn anew each epoch"
    if workers:
        return "stream", f"for {workers} workers"
    size = len(source) * source.gather(torch.tensor([0]))[0].numel()
    return ("memory", _fits(size)) if size <= MEMORY_BUDGET else ("stream", _exceeds(size))


def place(source: ImageSource, placement: Placement, device: torch.device) -> ImageSource:
    """Returns the source that the samples of a split are gathered from, given where they are to be held."""
    if placement == "stream" or (placement == "memory" and isinstance(source, ResidentImages)):
        return source
    if placement == "memory":
        return RememberedImages(source)
    if not isinstance(source, ResidentImages):
        source = ResidentImages(*source.gather(torch.arange(len(source))))
    return source.to(device)


def _fits(size: int) -> str:
    return f"{size / (1 << 20):,.0f} MiB, of at most {MEMORY_BUDGET >> 20:,}"


def _exceeds(size: int) -> str:
    return f"{size / (1 << 20):,.0f} MiB exceed {MEMORY_BUDGET >> 20:,}"


def _as_gathered(gathered: Any) -> Any:
    """Without a batch size, the loader still converts what it is given; a gathered batch is as it should be."""
    return gathered


class _Positions(Sampler[tuple[int, torch.Tensor]]):
    """The epoch and the samples of each iteration from ``start`` on, without end."""

    def __init__(self, stream: BatchStream, start: int) -> None:
        self._stream = stream
        self._start = start

    def __iter__(self) -> Iterator[tuple[int, torch.Tensor]]:
        position = self._start
        while True:
            yield self._stream.epoch(position), self._stream.indices(position)
            position += 1


class _Gathered(Dataset[tuple[torch.Tensor, torch.Tensor | None]]):
    """A source as a data set whose items are whole batches."""

    def __init__(self, source: ImageSource, seed: int) -> None:
        self._source = source
        self._seed = seed

    def __getitem__(self, address: tuple[int, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor | None]:
        epoch, indices = address
        return self._source.gather(indices, seed=self._seed, epoch=epoch)
