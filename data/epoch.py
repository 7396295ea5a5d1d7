"""How an epoch is divided into batches, and a batch into microbatches."""

from __future__ import annotations


def batch_sizes(length: int, batch_size: int, *, drop_last: bool = False) -> list[int]:
    """Returns the different sizes that the batches of an epoch have, the ordinary one first.

    Args:
        length: samples in the split.
        batch_size: samples in a batch.
        drop_last: leave out the last batch where it is smaller.
    """
    whole, rest = divmod(length, batch_size)
    return [batch_size] * (whole > 0) + [rest] * (rest > 0 and not drop_last)


def batches_in_epoch(length: int, batch_size: int, *, drop_last: bool = False) -> int:
    """Returns the number of batches in an epoch; the arguments are those of ``batch_sizes``."""
    return length // batch_size if drop_last else -(-length // batch_size)


def microbatch_sizes(batch: int, accumulation: int) -> list[int]:
    """Returns the different sizes of the microbatches of a batch, the larger one first, as ``torch.chunk`` makes them.

    Args:
        batch: samples in the batch.
        accumulation: microbatches per batch; a small batch may have fewer.
    """
    largest = -(-batch // accumulation)
    return list(dict.fromkeys([largest, batch % largest or largest]))
