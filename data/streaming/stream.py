"""One endless stream of batches that can begin at any iteration."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch.utils.data import Sampler

from firebox.data.division.balanced_order import BalancedOrder
from firebox.data.sources.batch import Batch
from firebox.data.sources.examples import balanced as balanced_examples
from firebox.data.sources.filed import FiledImages
from firebox.data.sources.source import ImageSource, ResidentImages, labels_at_hand
from firebox.data.streaming.epoch import batches_in_epoch
from firebox.data.streaming.placement import Placement, choose_placement, hold, samples_of
from firebox.data.workers.handover import require_handover
from firebox.data.workers.read_ahead import ReadAhead
from firebox.data.workers.threaded_read import ThreadedRead
from firebox.foundation.randomness import EpochOrder
from firebox.foundation.shards import WHOLE, Portion


class BatchStream:
    """The batches of a split, iteration by iteration, without end.

    Iteration i, counted from 0, is batch ``i % len(self)`` of epoch ``i // len(self)``: a function of the seed and of i
    alone, whatever was read before, wherever the images are held and however many workers read them.

    Args:
        source: source of the samples.
        batch_size: number of images in a batch.
        seed: seed of the run.
        shuffle: whether to draw a new order each epoch; off for evaluation, in which each pass is epoch 0.
        balanced: whether each class is drawn equally often, by the labels that the source knows; see ``BalancedOrder``.
        drop_last: whether to leave out a smaller last batch of an epoch.
        placement: ``stream`` reads samples as they are needed, in ``workers`` processes if there are any; ``memory``
            and ``device`` hold them; ``auto`` leaves the choice to ``choose_placement``.
        all_samples: number of samples in all splits, which share the budget of ``auto``; None if this is the only one.
        workers: number of processes that read ahead.
        device: device that batches will be moved to; for a CUDA device, batches from workers are pinned.
        timeout: longest time that a batch may take to arrive from the workers, in seconds.
        stopping: function that says whether a stop was requested; called only while waiting for the workers.
        portion: the shards of each batch that are read, where other processes read the rest.
        step: number of iterations from one batch to the next, where other processes read those between.
    """

    def __init__(
        self,
        source: ImageSource,
        *,
        batch_size: int,
        seed: int,
        shuffle: bool,
        balanced: bool = False,
        drop_last: bool = False,
        placement: Placement = "auto",
        all_samples: int | None = None,
        workers: int = 0,
        device: torch.device | None = None,
        timeout: float = 600.0,
        stopping: Callable[[], bool] = lambda: False,
        portion: Portion = WHOLE,
        step: int = 1,
    ) -> None:
        device = device or torch.device("cpu")
        self.placement, self.why = choose_placement(
            placement,
            samples_of(source),
            all_bytes=lambda: (
                (len(source) if all_samples is None else all_samples) * source.gather(torch.tensor([0]))[0].nbytes
            ),
            workers=workers,
            device=device,
        )
        self.kind, self.labels = samples_of(source), labels_at_hand(source)
        """What the source says of its samples, wherever they are held: their kind, and the labels of all of them, (N,),
        None if those are not known without reading the images."""
        self._source = hold(source, self.placement, device, at_once=placement != "auto")
        self._batch_size = batch_size
        self._portion = portion
        self._step = step
        self._shuffle = shuffle
        self._seed = seed
        self._order: EpochOrder | BalancedOrder = EpochOrder(len(source), seed, shuffle=shuffle)
        if balanced:
            assert self.labels is not None, "whoever asks for balanced classes has looked for labels"
            self._order = BalancedOrder(self.labels, seed)
        self._length = batches_in_epoch(len(source), batch_size, drop_last=drop_last)
        unaided = placement == "auto" and isinstance(source, FiledImages)
        self._workers = workers if self.placement == "stream" and not unaided else 0
        self._pin = device.type == "cuda"
        self._position = 0
        self._timeout = timeout
        self._stopping = stopping
        self._read_ahead: ReadAhead | None = None
        self._beside = isinstance(self._source, FiledImages) and self._source.beside
        self._following: tuple[int, torch.Tensor, ThreadedRead] | None = None

    def __len__(self) -> int:
        """Number of batches in an epoch."""
        return self._length

    @property
    def samples(self) -> int:
        """Number of samples in the split."""
        return len(self._source)

    @property
    def held_targets(self) -> torch.Tensor | None:
        """The targets of all samples, (N, ...); None if they are read as needed, or there are none."""
        return self._source.targets if isinstance(self._source, ResidentImages) else None

    def seek(self, position: int) -> None:
        """Makes ``position``, counted from 0, the next iteration; the cost is the same for every position."""
        if position != self._position:
            self.close()
        self._position = position

    def indices(self, position: int) -> torch.Tensor:
        """Returns the indices of an iteration's samples, int64 of shape (n,), whichever process reads them."""
        epoch, batch = divmod(position, self._length)
        start = batch * self._batch_size
        return self._order.indices(epoch, start, min(start + self._batch_size, len(self._source)))

    def size(self, position: int) -> int:
        """Returns the number of samples in an iteration's whole batch."""
        start = position % self._length * self._batch_size
        return min(self._batch_size, len(self._source) - start)

    def own_indices(self, position: int) -> torch.Tensor:
        """Returns those of an iteration's indices that are read here."""
        indices = self.indices(position)
        if self._portion is WHOLE:
            return indices
        start, stop = self._portion.bounds(len(indices))
        return indices[start:stop]

    def read(self, position: int) -> Batch:
        """Reads the batch of an iteration in this process; the position of the stream does not change."""
        indices = self.own_indices(position)
        images, targets = self._source.gather(indices, seed=self._seed, epoch=self.epoch(position))
        return Batch(images, targets, indices)

    def _read_beside(self, position: int) -> Batch:
        """Returns the batch of an iteration, which was read by a thread if the one before has been asked for, too.

        Nothing is read beyond the end of an epoch, after which an evaluation ends.
        """
        if self._following is None or self._following[0] != position:
            self._following = self._begun(position)
        _, indices, reading = self._following
        batch = Batch(*reading.result(), indices)
        following = position + self._step
        same_epoch = following // self._length == position // self._length
        self._following = self._begun(following) if same_epoch else None
        return batch

    def _begun(self, position: int) -> tuple[int, torch.Tensor, ThreadedRead]:
        indices, epoch = self.own_indices(position), self.epoch(position)
        return position, indices, ThreadedRead(partial(self._source.gather, indices, seed=self._seed, epoch=epoch))

    def first(self, count: int) -> Batch:
        """Reads the first samples of the split, as in epoch 0; the position of the stream does not change."""
        (batch,) = self.in_order(count, count)
        return batch

    def examples(self, count: int) -> Batch:
        """Reads samples to show: of each class in turn if the labels are known, otherwise the first of the split.

        They are the same samples each time, as in epoch 0; the position of the stream does not change.
        """
        labels = getattr(self._source, "labels", None)
        if not isinstance(labels, torch.Tensor):
            return self.first(count)
        indices = balanced_examples(labels, count)
        images, targets = self._source.gather(indices, seed=self._seed, epoch=0)
        return Batch(images, targets, indices)

    def in_order(self, count: int, size: int) -> Iterator[Batch]:
        """Reads as ``first`` does, ``size`` samples at a time."""
        for indices in torch.arange(min(count, len(self._source))).split(size):
            if isinstance(self._source, ResidentImages):
                images, targets = self._source.between(int(indices[0]), int(indices[-1]) + 1)
            else:
                images, targets = self._source.gather(indices, seed=self._seed, epoch=0)
            yield Batch(images, targets, indices)

    def epoch(self, position: int) -> int:
        """Returns the epoch whose draws an iteration uses, counted from 0."""
        return position // self._length if self._shuffle else 0

    def __iter__(self) -> BatchStream:
        return self

    def __next__(self) -> Batch:
        position = self._position
        if self._workers:
            if self._read_ahead is None:
                self._read_ahead = self._reading_ahead(position)
            images, targets = next(self._read_ahead)
            batch = Batch(images, targets, self.own_indices(position))
        else:
            batch = self._read_beside(position) if self._beside else self.read(position)
        self._position += self._step
        return batch

    def begin(self) -> None:
        """Starts the processes that read ahead, if there are to be any, and waits until they can read.

        Raises:
            Interrupted: a stop was requested.
            DataError: the source can't be handed to them.
            TrainingFailure: they don't start.
        """
        if self._workers:
            self._read_ahead = self._read_ahead or self._reading_ahead(self._position)
            self._read_ahead.begin()

    def require_handover(self) -> None:
        """Tries whether the source can be handed to processes that read ahead, if there are to be any.

        Raises:
            DataError: it can't.
        """
        if self._workers:
            require_handover(self._source)

    def close(self) -> None:
        """Ends what reads ahead. Reading from the stream again starts it anew."""
        self._following = None
        if self._read_ahead is not None:
            self._read_ahead.close()
            self._read_ahead = None

    def _reading_ahead(self, start: int) -> ReadAhead:
        return ReadAhead(
            self._source,
            seed=self._seed,
            addresses=_Positions(self, start, self._step),
            workers=self._workers,
            pin_memory=self._pin,
            timeout=self._timeout,
            stopping=self._stopping,
        )


class _Positions(Sampler[tuple[int, torch.Tensor]]):
    """The epoch and the samples of every ``step``-th iteration from ``start`` on, without end."""

    def __init__(self, stream: BatchStream, start: int, step: int) -> None:
        self._stream = stream
        self._start, self._step = start, step

    def __iter__(self) -> Iterator[tuple[int, torch.Tensor]]:
        position = self._start
        while True:
            yield self._stream.epoch(position), self._stream.own_indices(position)
            position += self._step
