"""The sizes of batches and microbatches."""

from __future__ import annotations


def batch_sizes(length: int, batch_size: int, *, drop_last: bool = False) -> list[int]:
    """Returns the distinct batch sizes of an epoch, the regular size first.

    Args:
        length: number of samples in the split.
        batch_size: number of samples in a batch.
        drop_last: whether to leave out a smaller last batch.
    """
    whole, rest = divmod(length, batch_size)
    return [batch_size] * (whole > 0) + [rest] * (rest > 0 and not drop_last)


def batches_in_epoch(length: int, batch_size: int, *, drop_last: bool = False) -> int:
    """Returns the number of batches in an epoch; the arguments are those of ``batch_sizes``."""
    return length // batch_size if drop_last else -(-length // batch_size)


def microbatch_sizes(batch: int, accumulation: int) -> list[int]:
    """Returns the distinct microbatch sizes of a batch, the larger size first, as made by ``torch.chunk``.

    Args:
        batch: number of samples in the batch.
        accumulation: microbatches per batch; a small batch may have fewer.
    """
    largest = -(-batch // accumulation)
    return list(dict.fromkeys([largest, batch % largest or largest]))
