"""The order in which classes are equally frequent: a function of the seed and the position."""

from __future__ import annotations

import pytest
import torch

from firebox.data.division.balanced_order import BalancedOrder
from firebox.data.sources.source import ResidentImages
from firebox.data.streaming.stream import BatchStream
from firebox.foundation.randomness import EpochOrder

SIZES = (500, 70, 30, 5, 1)


def labels() -> torch.Tensor:
    """Returns the labels of samples of 5 classes that are not next to one another, shuffled."""
    known = torch.cat([torch.full((size,), 2 * label) for label, size in enumerate(SIZES)])
    return known[torch.randperm(len(known), generator=torch.Generator().manual_seed(0))]


@pytest.mark.parametrize("epoch", [0, 1, 10**6])
def test_every_class_is_equally_frequent_in_every_epoch(epoch: int) -> None:
    known = labels()
    counts = known[BalancedOrder(known, 7).indices(epoch, 0, len(known))].bincount()[::2]

    assert counts.sum() == len(known)
    assert counts.max() - counts.min() <= 1
    # The control: the other order has each sample once.
    assert known[EpochOrder(len(known), 7).indices(epoch, 0, len(known))].bincount()[::2].tolist() == list(SIZES)


def test_every_sample_of_a_class_is_drawn_equally_often_over_epochs() -> None:
    known, order = labels(), BalancedOrder(labels(), 7)
    drawn = torch.cat([order.indices(epoch, 0, len(known)) for epoch in range(7)]).bincount(minlength=len(known))

    for label in range(5):
        own = drawn[known == 2 * label]
        assert own.max() - own.min() <= 1
    assert drawn[known == 0].min() >= 1


def test_batches_are_mixed_and_epochs_and_seeds_differ() -> None:
    known = labels()
    order, other = BalancedOrder(known, 7), BalancedOrder(known, 8)
    first = [order.indices(0, start, start + 100) for start in range(0, 600, 100)]

    assert all((known[batch].bincount()[::2] > 5).all() for batch in first)
    assert not torch.equal(first[0], order.indices(1, 0, 100))
    assert not torch.equal(first[0], other.indices(0, 0, 100))


@pytest.mark.parametrize("block", [1, 64, 1000])
def test_any_part_of_an_order_can_be_asked_for_by_itself(block: int) -> None:
    known = labels()
    whole = BalancedOrder(known, 7).indices(4, 0, len(known))
    for start, stop in [(0, 1), (63, 65), (600, 606), (100, 330), (5, 5)]:
        assert torch.equal(BalancedOrder(known, 7, block=block).indices(4, start, stop), whole[start:stop])


def test_a_balanced_stream_begins_anywhere_and_reads_as_many_as_there_are() -> None:
    known = labels()
    source = ResidentImages(known.view(-1, 1, 1, 1).to(torch.uint8), known)
    settings = {"batch_size": 50, "seed": 3, "shuffle": True, "balanced": True}
    stream = BatchStream(source, **settings)
    epoch = [next(stream) for _ in range(len(stream))]

    assert sum(len(batch.indices) for batch in epoch) == len(known)
    assert all(torch.equal(batch.images.flatten().long(), batch.targets) for batch in epoch)
    for position in (0, 7, 10**7):
        begun = BatchStream(source, **settings)
        begun.seek(position)
        assert torch.equal(next(begun).indices, stream.read(position).indices)
