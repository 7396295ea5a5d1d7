"""A limited number of samples in each split: the same ones for all runs, in the proportions of the classes."""

from __future__ import annotations

from pathlib import Path

import numpy
import pytest
import torch
from PIL import Image

from firebox.data.arrays import Arrays
from firebox.data.bases.limited_data import limited
from firebox.data.division.limited import chosen, shares
from firebox.data.fashion_mini import FashionMini
from firebox.data.image_folder import ImageFolder
from firebox.data.shapes import Shapes
from firebox.data.sources.filed import FiledImages
from firebox.data.sources.reading import Reading
from firebox.data.sources.source import DatasetImages, ResidentImages
from firebox.data.streaming.placement import samples_of


@pytest.mark.parametrize(
    ("sizes", "limit", "expected"),
    [
        ((600, 300, 100), 10, [6, 3, 1]),
        ((997, 2, 1), 10, [8, 1, 1]),
        ((50, 50, 50), 10, [4, 3, 3]),
        ((1, 1, 98), 3, [1, 1, 1]),
        ((5, 5), 10, [5, 5]),
        ((1, 1, 1), 2, [1, 1, 0]),
    ],
)
def test_a_number_is_divided_in_the_proportions_of_the_classes(
    sizes: tuple[int, ...], limit: int, expected: list[int]
) -> None:
    assert shares(sizes, limit) == expected


def test_any_number_is_divided_wholly_and_never_beyond_a_class() -> None:
    draw = torch.Generator().manual_seed(0)
    for _ in range(300):
        sizes = (torch.rand(7, generator=draw).pow(3) * 100 + 1).long().tolist()
        limit = int(torch.randint(1, sum(sizes) + 1, (1,), generator=draw))
        counts = shares(sizes, limit)
        assert sum(counts) == limit
        assert all(int(limit >= 7) <= count <= size for count, size in zip(counts, sizes, strict=True))


def test_samples_are_drawn_in_order_by_split_and_stratified() -> None:
    labels = torch.tensor([0] * 900 + [1] * 90 + [2] * 10)
    drawn = chosen(1000, 100, "train", labels)

    assert labels[drawn].bincount().tolist() == [90, 9, 1]
    assert (drawn.diff() > 0).all() and drawn.diff().unique().numel() > 3
    assert torch.equal(drawn, chosen(1000, 100, "train", labels))
    assert not torch.equal(drawn, chosen(1000, 100, "validation", labels))
    assert torch.equal(chosen(5, 100, "train", labels[:5]), torch.arange(5))
    plain = chosen(10**12, 100, "train")
    assert len(plain.unique()) == 100 and 4 * 10**11 < plain.double().mean() < 6 * 10**11


def test_a_published_data_set_is_limited_in_each_split() -> None:
    whole = FashionMini()
    data = limited(whole, 50)
    source = data.read("train")

    assert data.split_lengths == {"train": 50, "validation": 50, "test": 50}
    assert isinstance(source, ResidentImages)
    assert source.labels.bincount().tolist() == [5] * 10
    known = {image.numpy().tobytes() for image in whole.read("train").images}
    assert {image.numpy().tobytes() for image in source.images} <= known
    assert limited(whole, 6000).read("train").images.shape[0] == 5400


def test_a_generator_draws_anew_each_epoch_within_its_limit() -> None:
    whole = Shapes(train_length=1000)
    source, every = limited(whole, 20).read("train"), whole.read("train")
    indices = chosen(1000, 20, "train")

    assert len(source) == 20
    for epoch in (0, 3):
        found, expected = source.gather(torch.arange(20), epoch=epoch), every.gather(indices, epoch=epoch)
        assert torch.equal(found[0], expected[0])


def test_arrays_are_limited_and_still_read_through_memory(tmp_path: Path) -> None:
    numpy.save(tmp_path / "x.npy", numpy.arange(200, dtype=numpy.uint8).repeat(16).reshape(200, 4, 4))
    numpy.save(tmp_path / "y.npy", numpy.arange(200) % 2)
    data = limited(Arrays(root=str(tmp_path), images="x.npy", targets="y.npy", classes=2), 30)
    source = data.read("train")
    images, targets = source.gather(torch.arange(30))

    assert isinstance(source, FiledImages) and samples_of(source) == "prepared"
    assert source.labels.bincount().tolist() == [15, 15]
    assert torch.equal(images[:, 0, 0, 0].long() % 2, targets)
    assert torch.equal(source.all().images, images)
    assert data.transform["limit"] == 30


class Numbered(torch.utils.data.Dataset):
    """A user's data set of images drawn anew whenever they are read, with all labels at hand."""

    targets = [0] * 30 + [1] * 10

    def __len__(self) -> int:
        return 40

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return torch.rand(1, 2, 2), self.targets[index]


def test_a_data_set_that_draws_draws_the_same_where_fewer_are_read() -> None:
    whole = DatasetImages(Numbered())
    part = whole.subset(torch.tensor([3, 35, 20])).subset(torch.tensor([1, 2]))

    assert part.labels.tolist() == [1, 0]
    found, expected = (
        part.gather(torch.arange(2), seed=1, epoch=2),
        whole.gather(torch.tensor([35, 20]), seed=1, epoch=2),
    )
    assert torch.equal(found[0], expected[0])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """60 images of cats and 30 of dogs, image k in the grey k."""
    for number in range(90):
        name = tmp_path / "images" / ("cat" if number < 60 else "dog") / f"{number:02}.png"
        name.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (4, 4), number).save(name)
    return tmp_path / "images"


def test_of_a_folder_only_the_files_within_the_limit_are_decoded_and_listed(folder: Path, tmp_path: Path) -> None:
    whole = ImageFolder(root=str(folder), image_size=(4, 4), validation_fraction=0.5)
    data = limited(whole, 15)
    said: list[tuple[int, int]] = []
    data.prepare(Reading(cache=tmp_path / "cache", progress=lambda what, done, total: said.append((done, total))))
    kept, held_out = (
        data.read(split).gather(torch.arange(15))[0][:, 0, 0, 0].tolist() for split in ("train", "validation")
    )

    assert data.split_lengths == {"train": 15, "validation": 15}
    assert said[-1] == (30, 30)
    assert len(data.listing) == 30 and data.whole is whole and len(whole.listing) == 90
    assert sum(grey < 60 for grey in kept) == sum(grey < 60 for grey in held_out) == 10
    assert set(kept) <= {int(whole.listing.names[position][-6:-4]) for position in whole.assigned("train").tolist()}
    assert set(kept).isdisjoint(held_out)


def test_a_limited_folder_names_the_files_that_cant_be_decoded_among_its_own_alone(folder: Path) -> None:
    whole = ImageFolder(root=str(folder), image_size=(4, 4), on_bad_file="skip")
    used = {limited(whole, 20).listing.names[0], "dog/60.png"}
    other = next(name for name in whole.listing.names if name not in limited(whole, 20).listing.names)
    for name in (*used, other):
        (folder / name).write_bytes(b"no image")
    data = limited(ImageFolder(root=str(folder), image_size=(4, 4), on_bad_file="skip"), 20)
    data.prepare(Reading())

    assert set(data.skipped) == used & set(data.listing.names)
    assert other not in data.skipped


def test_folds_are_limited_after_they_are_divided(folder: Path) -> None:
    folds = {"count": 3, "index": 1}
    whole = ImageFolder(root=str(folder), image_size=(4, 4), folds=folds)
    data = limited(ImageFolder(root=str(folder), image_size=(4, 4), folds=folds), 9)

    assert data.split_lengths == {"train": 9, "validation": 9}
    names = {whole.listing.names[position] for position in whole.assigned("validation").tolist()}
    assert {data.listing.names[position] for position in data.assigned("validation").tolist()} <= names
