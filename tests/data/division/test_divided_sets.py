"""Data sets divided into folds and by groups."""

from __future__ import annotations

from pathlib import Path

import numpy
import pytest
import torch
from PIL import Image

from firebox.data.arrays import Arrays
from firebox.data.bases.datamodule import DataModule
from firebox.data.declarations.data_error import DataError
from firebox.data.division.division import Division
from firebox.data.division.folds import Folds
from firebox.data.fashion_mini import FashionMini
from firebox.data.image_folder import ImageFolder
from firebox.data.image_table import ImageTable

FIVE = [{"count": 5, "index": index} for index in range(5)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """20 images of cats and 10 of dogs, image k in the grey k."""
    for number in range(30):
        name = tmp_path / "images" / ("cat" if number < 20 else "dog") / f"{number:02}.png"
        name.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (4, 4), number).save(name)
    return tmp_path / "images"


def greys(data: DataModule, split: str) -> list[int]:
    source = data.read(split)
    return source.gather(torch.arange(len(source)))[0][:, 0, 0, 0].tolist()


def test_the_folds_of_a_folder_validate_on_each_image_once(folder: Path) -> None:
    validated = []
    for folds in FIVE:
        data = ImageFolder(root=str(folder), image_size=(4, 4), folds=folds)
        held_out, kept = greys(data, "validation"), greys(data, "train")
        assert data.split_lengths == {"train": 24, "validation": 6}
        assert sum(grey < 20 for grey in held_out) == 4
        assert sorted(held_out + kept) == list(range(30))
        validated += held_out
    assert sorted(validated) == list(range(30))


def test_the_folds_of_a_published_data_set_are_stratified() -> None:
    whole = FashionMini(validation_fraction=0).read("train")
    seen = []
    for folds in FIVE[:2]:
        data = FashionMini(folds=folds)
        assert data.split_lengths == {"train": 4800, "validation": 1200, "test": 1000}
        held_out = data.read("validation")
        assert held_out.labels.bincount().tolist() == [120] * 10
        assert data.read("train").labels.bincount().tolist() == [480] * 10
        seen.append({image.numpy().tobytes() for image in held_out.images})
    assert len({image.numpy().tobytes() for image in whole.images}) == 6000
    assert seen[0].isdisjoint(seen[1])


def test_more_folds_than_images_of_a_class_are_refused(folder: Path) -> None:
    with pytest.raises(DataError, match=r"folds: got .* the class dog has 10 training samples; expected a count of at"):
        _ = ImageFolder(root=str(folder), image_size=(4, 4), folds={"count": 11, "index": 0}).split_lengths


def test_folds_beside_a_validation_split_are_refused(folder: Path) -> None:
    splits = {"train": "cat", "validation": "dog"}
    data = ImageFolder(root=str(folder), image_size=(4, 4), splits=splits, folds=FIVE[0])
    with pytest.raises(
        DataError, match=r"folds: got .*, but the data has a validation split; expected leave folds out"
    ):
        _ = data.split_lengths


def table(folder: Path, splits: dict[int, str] | None = None) -> Path:
    """Writes a table of the images, of which each three that follow one another are of one patient."""
    splits = splits or {}
    rows = [
        f"{path.relative_to(folder).as_posix()},{path.parent.name},patient {int(path.stem) // 3},"
        f"{splits.get(int(path.stem), 'train')}"
        for path in sorted(folder.rglob("*.png"))
    ]
    path = folder / "table.csv"
    path.write_text("\n".join(["path,kind,patient,split", *rows]))
    return path


def test_no_group_of_a_table_is_in_two_splits(folder: Path) -> None:
    settings = {"table": str(table(folder)), "label_column": "kind", "image_size": (4, 4), "group_column": "patient"}
    data = ImageTable(**settings, validation_fraction=0.2)
    kept, held_out = greys(data, "train"), greys(data, "validation")

    assert data.split_lengths == {"train": 24, "validation": 6}
    assert sorted(kept + held_out) == list(range(30))
    assert {grey // 3 for grey in kept}.isdisjoint(grey // 3 for grey in held_out)
    folds = [greys(ImageTable(**settings, folds={"count": 3, "index": index}), "validation") for index in range(3)]
    assert sorted(grey for fold in folds for grey in fold) == list(range(30))
    assert sum(len({grey // 3 for grey in fold}) for fold in folds) == 10


def test_a_group_in_two_splits_of_a_table_is_refused_with_its_line(folder: Path) -> None:
    path = table(folder, {4: "test"})
    data = ImageTable(table=str(path), split_column="split", group_column="patient", image_size=(4, 4))

    assert "line 6, patient: the group patient 1 is for test, and in line 5 for train" in str(data.missing())
    assert ImageTable(table=str(path), split_column="split", image_size=(4, 4)).missing() is None


@pytest.mark.parametrize("limit", [0, 1000], ids=["computed", "held"])
@pytest.mark.parametrize(("length", "count"), [(10, 2), (11, 3), (101, 5), (5, 5)])
def test_folds_of_any_length_are_held_out_once_and_trained_on_else(length: int, count: int, limit: int) -> None:
    validated = []
    for index in range(count):
        folds = Folds(count, index)
        kept, held_out = (
            Division(length, 0.1, 3, split, folds=folds, limit=limit) for split in ("train", "validation")
        )
        found = held_out[torch.arange(len(held_out))].tolist()
        assert sorted(kept[torch.arange(len(kept))].tolist() + found) == list(range(length))
        validated += found
    assert sorted(validated) == list(range(length))
    assert validated != list(range(length))


def test_the_folds_of_arrays_validate_on_each_sample_once(tmp_path: Path) -> None:
    numpy.save(tmp_path / "x.npy", numpy.arange(23, dtype=numpy.uint8).repeat(16).reshape(23, 4, 4))
    made = [Arrays(root=str(tmp_path), images="x.npy", folds=folds) for folds in FIVE]

    assert [data.split_lengths["validation"] for data in made] == [5, 5, 5, 4, 4]
    assert sorted(grey for data in made for grey in greys(data, "validation")) == list(range(23))
    assert made[0].transform["folds"] == "{count: 5, index: 0}"
    with pytest.raises(DataError, match=r"folds: got .*, but there are 23 training samples"):
        _ = Arrays(root=str(tmp_path), images="x.npy", folds={"count": 24, "index": 0}).split_lengths
    numpy.save(tmp_path / "y.npy", numpy.zeros((3, 4, 4), numpy.uint8))
    own = Arrays(root=str(tmp_path), images={"train": "x.npy", "validation": "y.npy"}, folds=FIVE[0])
    with pytest.raises(DataError, match=r"folds: got .*, but the data has a validation split"):
        _ = own.split_lengths
