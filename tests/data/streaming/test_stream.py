"""One endless stream of batches, the same wherever it begins and however it is read."""

import itertools
import random

import numpy
import pytest
import torch

from firebox.data.declarations.data_error import DataError
from firebox.data.declarations.specification import ImageSpecification
from firebox.data.sources.batch import Batch, Preparation
from firebox.data.sources.source import DatasetImages, ResidentImages
from firebox.data.streaming.stream import BatchStream


def images(count=10, channels=1, side=4):
    values = torch.arange(count * channels * side * side) % 251
    return ResidentImages(values.to(torch.uint8).view(count, channels, side, side), torch.arange(count))


def stream(source=None, **settings):
    settings = {"batch_size": 4, "seed": 7, "shuffle": True, **settings}
    return BatchStream(source or images(), **settings)


def taken(batches, count):
    return [(batch.images.clone(), batch.labels, batch.indices) for batch in itertools.islice(batches, count)]


def equal(left, right):
    return all(
        torch.equal(a, b) for first, second in zip(left, right, strict=True) for a, b in zip(first, second, strict=True)
    )


class Noisy(torch.utils.data.Dataset):
    """A user's data set that draws random numbers when it is read."""

    def __len__(self):
        return 10

    def __getitem__(self, index):
        return torch.rand(1, 2, 2) * random.random() * numpy.random.rand(), index


class Counted(torch.utils.data.Dataset):
    """A user's data set whose samples stay the same; remembers which were read."""

    def __init__(self):
        self.read = []

    def __len__(self):
        return 10

    def __getitem__(self, index):
        self.read.append(index)
        return images(channels=3).images[index], index


def test_an_epoch_shows_every_sample_once():
    for epoch in range(3):
        batches = stream()
        batches.seek(epoch * 3)
        assert sorted(torch.cat([indices for _, _, indices in taken(batches, 3)]).tolist()) == list(range(10))


def test_the_last_batch_is_smaller_or_left_out():
    assert [len(batch[0]) for batch in taken(stream(), 6)] == [4, 4, 2, 4, 4, 2]
    whole = stream(drop_last=True)
    assert len(whole) == 2
    assert [len(batch[0]) for batch in taken(whole, 4)] == [4, 4, 4, 4]


def test_images_and_labels_belong_to_the_indices():
    source = images()
    for shown, labels, indices in taken(stream(source), 6):
        assert torch.equal(shown, source.images[indices])
        assert torch.equal(labels, indices)


@pytest.mark.parametrize("position", [0, 1, 4, 3_000_000])
def test_a_stream_can_begin_at_any_iteration(position):
    reference = stream()
    reference.seek(max(0, position - 2))
    skipped = taken(reference, position - max(0, position - 2))
    assert len(skipped) == min(position, 2)
    begun = stream()
    begun.seek(position)
    assert equal(taken(begun, 5), taken(reference, 5))


@pytest.mark.parametrize("settings", [{"placement": "stream"}, {"placement": "stream", "workers": 2}], ids=str)
def test_placement_and_workers_change_nothing(settings):
    reference = taken(stream(placement="memory"), 7)
    read = stream(**settings)
    assert equal(taken(read, 7), reference)
    read.seek(4)
    assert equal(taken(read, 3), reference[4:])


@pytest.mark.parametrize("workers", [0, 2])
def test_a_data_set_that_draws_is_seeded_per_sample_and_epoch(workers):
    by_epoch = []
    for epoch in range(2):
        batches = stream(DatasetImages(Noisy()), workers=workers)
        batches.seek(3 * epoch)
        rows = {int(i): row for shown, _, indices in taken(batches, 3) for row, i in zip(shown, indices, strict=True)}
        by_epoch.append(rows)
    reference = stream(DatasetImages(Noisy()), batch_size=10)
    shown, _, indices = taken(reference, 1)[0]
    assert all(torch.equal(by_epoch[0][int(i)], row) for row, i in zip(shown, indices, strict=True))
    assert not torch.equal(by_epoch[0][0], by_epoch[1][0])


@pytest.mark.parametrize(
    ("fixed", "workers", "budget", "placement", "why"),
    [
        (True, 0, 960, "memory", "0 MiB in all splits, within 0"),
        (True, 0, 959, "stream", "0 MiB in all splits, beyond 0"),
        (True, 2, 960, "stream", "for 2 workers"),
        (False, 0, 960, "stream", "they may be drawn anew each epoch"),
    ],
)
def test_auto_holds_samples_that_stay_the_same_and_fit(monkeypatch, fixed, workers, budget, placement, why):
    monkeypatch.setattr("firebox.data.streaming.placement.MEMORY_BUDGET", budget)
    batches = stream(DatasetImages(Counted(), fixed=fixed), workers=workers, all_samples=20)
    assert (batches.placement, batches.why) == (placement, why)


def test_auto_leaves_images_in_memory_where_they_are():
    assert (stream().placement, stream().why) == ("memory", "the data set holds them there already")
    asked = stream(placement="stream")
    assert (asked.placement, asked.why) == ("stream", "as configured")


@pytest.mark.parametrize(("placement", "at_first"), [("auto", 1), ("memory", 10)])
def test_what_is_held_is_read_once_and_stays_the_same(placement, at_first):
    data = Counted()
    held = stream(DatasetImages(data, fixed=True), placement=placement)
    held.seek(4)
    assert len(data.read) == at_first
    data.read.clear()
    begun = taken(held, 5)
    assert len(data.read) == len(set(data.read)) == (10 if placement == "auto" else 0)
    streamed = stream(DatasetImages(data), placement="stream")
    streamed.seek(4)
    assert equal(begun, taken(streamed, 5))


@pytest.mark.parametrize("placement", ["memory", "device"])
def test_samples_that_may_change_are_not_held(placement):
    with pytest.raises(DataError, match=f"placement: got {placement}, but the samples may be drawn anew each epoch"):
        stream(DatasetImages(Noisy()), placement=placement)


def test_one_channel_has_the_strides_of_every_memory_format():
    assert stream().read(0).images.stride() == torch.empty(4, 1, 4, 4).stride()


def test_evaluation_reads_in_order_and_draws_the_same_each_time():
    batches = stream(DatasetImages(Noisy()), shuffle=False)
    first, second = taken(batches, 3), taken(batches, 3)
    assert equal(first, second)
    assert torch.cat([indices for _, _, indices in first]).tolist() == list(range(10))


def test_reading_a_batch_leaves_the_stream_where_it_is():
    batches = stream()
    expected = taken(stream(), 2)
    assert torch.equal(batches.read(1).images, expected[1][0])
    assert equal(taken(batches, 2), expected)


@pytest.mark.parametrize(("pixel_range", "low", "high"), [("[0,1]", 0.0, 1.0), ("[-1,1]", -1.0, 1.0)])
def test_preparation_takes_bytes_into_the_pixel_range(pixel_range, low, high):
    specification = ImageSpecification((1, 1, 3), pixel_range)
    raw = Batch(torch.tensor([0, 51, 255], dtype=torch.uint8).view(1, 1, 1, 3), None, torch.tensor([0]))
    prepared = Preparation(specification, torch.device("cpu"))(raw).images.flatten()
    assert prepared.dtype == torch.float32
    assert prepared.tolist() == pytest.approx([low, low + 0.2 * (high - low), high])


def test_colours_are_held_as_convolutions_want_them():
    batch = stream(images(channels=3)).read(0)
    assert batch.images.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(batch.images, images(channels=3).images[batch.indices])


def test_standardised_pixels_come_back_exactly_as_displayed():
    specification = ImageSpecification((3, 2, 2), "standardised", mean=(0.5, 0.4, 0.3), std=(0.2, 0.3, 0.1))
    unit = torch.rand(5, 3, 2, 2)
    assert torch.allclose(specification.to_unit(specification.from_unit(unit)), unit, atol=1e-6)


def test_a_memory_format_changes_no_value():
    raw = Batch(images(6, 3, 5).images, None, torch.arange(6))
    specification = ImageSpecification((3, 5, 5))
    plain = Preparation(specification, torch.device("cpu"))(raw).images
    last = Preparation(specification, torch.device("cpu"), channels_last=True)(raw).images
    assert torch.equal(plain, last)
    assert last.is_contiguous(memory_format=torch.channels_last)
