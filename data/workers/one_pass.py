"""One pass over a source, in the order of its samples."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence

import torch
from torch.utils.data import Sampler

from firebox.data.sources.reading import Reading
from firebox.data.sources.source import ImageSource
from firebox.data.workers.read_ahead import ReadAhead


def one_pass(
    source: ImageSource, batches: Sequence[torch.Tensor], workers: int, reading: Reading
) -> Generator[tuple[torch.Tensor, torch.Tensor | None]]:
    """Yields what a source gathers for each batch of indices, read by processes of its own or in this one.

    Args:
        source: the source.
        batches: indices of the samples of each batch, int64 (n,).
        workers: number of processes; 0 reads in this one.
        reading: how the samples may be read.

    Raises:
        TrainingFailure: the processes fail.
        Interrupted: a stop was requested.
    """
    if not workers:
        for indices in batches:
            yield source.gather(indices)
        return
    ahead = ReadAhead(
        source,
        seed=0,
        addresses=_Addresses(batches),
        workers=workers,
        pin_memory=False,
        timeout=reading.timeout,
        stopping=reading.stopping,
    )
    try:
        for _ in batches:
            yield next(ahead)
    finally:
        ahead.close()


class _Addresses(Sampler[tuple[int, torch.Tensor]]):
    def __init__(self, batches: Sequence[torch.Tensor]) -> None:
        self._batches = batches

    def __iter__(self) -> Iterator[tuple[int, torch.Tensor]]:
        return ((0, indices) for indices in self._batches)
