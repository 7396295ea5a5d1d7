"""Which samples are shown."""

import pytest
import torch

from firebox.data.fashion_mini import FashionMini
from firebox.data.sources.examples import balanced, integers
from firebox.data.sources.source import DatasetImages
from firebox.data.streaming.stream import BatchStream


@pytest.mark.parametrize(
    ("labels", "count", "expected"),
    [
        ([0, 0, 0, 1, 1, 2], 6, [0, 3, 5, 1, 4, 2]),
        ([0, 0, 0, 1, 1, 2], 4, [0, 3, 5, 1]),
        ([7, 7, -3, 7, -3], 5, [2, 0, 4, 1, 3]),
        ([5, 5, 5], 9, [0, 1, 2]),
    ],
)
def test_classes_take_turns_as_long_as_they_last(labels, count, expected):
    assert balanced(torch.tensor(labels), count).tolist() == expected


def test_a_published_data_set_shows_all_its_classes():
    stream = BatchStream(FashionMini().read("train"), batch_size=9, seed=1, shuffle=True)

    assert stream.examples(20).labels.tolist() == [*range(10), *range(10)]


class Labelled:
    targets = [0] * 5 + [1] * 5

    def __len__(self):
        return 10

    def __getitem__(self, index):
        return torch.full((1, 2, 2), index, dtype=torch.uint8), self.targets[index]


class Unlabelled(Labelled):
    targets = None

    def __getitem__(self, index):
        return torch.full((1, 2, 2), index, dtype=torch.uint8)


def test_a_data_set_of_ones_own_that_has_its_labels_at_hand_shows_all_classes():
    part = DatasetImages(Labelled(), torch.tensor([0, 1, 2, 8, 9]), fixed=True)
    batch = BatchStream(part, batch_size=2, seed=1, shuffle=True).examples(4)

    assert batch.indices.tolist() == [0, 3, 1, 4]
    assert batch.images[:, 0, 0, 0].tolist() == [0, 8, 1, 9]
    assert batch.labels.tolist() == [0, 1, 0, 1]


def test_without_labels_the_first_are_shown():
    batch = BatchStream(DatasetImages(Unlabelled()), batch_size=2, seed=1, shuffle=True).examples(4)

    assert batch.indices.tolist() == [0, 1, 2, 3]
    assert batch.labels is None


@pytest.mark.parametrize("values", [None, [0.5, 1.0], ["a", "b"], [0], torch.rand(2), torch.zeros(2, 3), {0: 1}])
def test_labels_that_are_not_one_integer_per_sample_are_none(values):
    assert integers(values, 2) is None
