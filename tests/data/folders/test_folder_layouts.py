"""A table of folders as people have them: which are read as splits, which as classes, and which are refused."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import yaml

from firebox.data.declarations.data_error import DataError
from firebox.data.folders.folders import Splits, list_folder

SPLITS = {  # layout: the number of images of train, validation and test, and the classes
    "train/a validation/a test/a": ((1, 1, 1), ["a"]),
    "train/a val/a test/a": ((1, 1, 1), ["a"]),
    "train/a train/b valid/a test/a": ((2, 1, 1), ["a", "b"]),  # Roboflow's names
    "training/a testing/a": ((1, 0, 1), ["a"]),
    "Train/a Val/a Test/a": ((1, 1, 1), ["a"]),
    "TRAIN/a TEST/a": ((1, 0, 1), ["a"]),
    "Training/a Validation/a": ((1, 1, 0), ["a"]),
    "tRain/a teSt/a": ((1, 0, 1), ["a"]),
    "train/a train/b test/a": ((2, 0, 1), ["a", "b"]),
    "train/a": ((1, 0, 0), ["a"]),
    "train test": ((1, 0, 1), []),
    "train val": ((1, 1, 0), []),
    "train/images valid/images test/images": ((1, 1, 1), ["images"]),
    "train/test_tube train/flask test/flask": ((2, 0, 1), ["flask", "test_tube"]),
    "train/train train/bus val/bus": ((2, 1, 0), ["bus", "train"]),
}

CLASSES = (
    "cat dog",
    "cat/2020 cat/2021 dog/2020",
    "0 1 2 3",
    "n01440764 n01443537",
    "beaker flask test_tube",
    "train_station bus_stop",
    "steam_train bullet_train freight_train",
    "steam_train crash_test flask",
    "test_pattern noise",
    "validated_ticket forged_ticket",
    "trained untrained",
    "trains buses",
    "training_shoe boot",
    "dev_board breadboard",
    "evaluator judge",
    "Tr Ts",
    "de en tr",
    "valley testament trainee",
    "images masks",
    "tube test_tube beaker",
    "attestation protest contest",
    "Testarossa Trainspotting",
    "猫 犬",
    "caf\u00e9 th\u00e9",
    "crash_test",
    "flowers",
    "vehicles/train vehicles/bus animals/cat",
)

REFUSED = {  # layout: what is said, and which folders the proposed setting names
    "train bus car": ("train/ is named like a split, but not bus/, car/", {"train": "train"}),
    "train val test extra": ("but not extra/", {"train": "train", "validation": "val", "test": "test"}),
    "valid invalid": ("is named like a split, but not invalid/", {"train": "invalid", "validation": "valid"}),
    "bus test trian": ("but not bus/, trian/", {"train": "trian", "test": "test"}),
    "train test unlabeled": ("but not unlabeled/", {"train": "train", "test": "test"}),
    "train dev test": ("but not dev/", {"train": "train", "validation": "dev", "test": "test"}),
    "train eval": ("but not eval/", {"train": "train", "validation": "eval"}),
    "train holdout": ("but not holdout/", {"train": "train", "test": "holdout"}),
    "train hold_out": ("but not hold_out/", {"train": "train", "test": "hold_out"}),
    "train validation val": ("val/, validation/ are the same split", {"train": "train", "validation": "val"}),
    "train Train": ("Train/, train/ are the same split", {"train": "Train"}),
    "val test": ("there is no folder for training", {"train": "val"}),
    "test": ("there is no folder for training", {"train": "test"}),
    "train2017 val2017": ("train2017/, val2017/ look like splits", {"train": "train2017", "validation": "val2017"}),
    "train2017 val2017 unlabeled2017": ("look like splits", {"train": "train2017", "validation": "val2017"}),
    "train2017": ("train2017/ looks like a split", {"train": "train2017"}),
    "images images_test": ("images_test/ looks like a split", {"train": "images", "test": "images_test"}),
    "train_images test_images": ("look like splits", {"train": "train_images", "test": "test_images"}),
    "train_images train_masks": ("look like splits", {"train": "train_images"}),
    "trainset testset": ("look like splits", {"train": "trainset", "test": "testset"}),
    "TrainSet TestSet": ("look like splits", {"train": "TrainSet", "test": "TestSet"}),
    "imagesTr imagesTs": ("look like splits", {"train": "imagesTr", "test": "imagesTs"}),  # the medical decathlon
    "imagesTr labelsTr": ("look like splits", {"train": "imagesTr"}),
    "training_set test_set": ("look like splits", {"train": "training_set", "test": "test_set"}),
    "seg_train seg_test seg_pred": ("look like splits", {"train": "seg_train", "test": "seg_test"}),
    "cats_train cats_test": ("look like splits", {"train": "cats_train", "test": "cats_test"}),
    "cats_train dogs_test": ("look like splits", {"train": "cats_train", "test": "dogs_test"}),
    "cats cats_test": ("cats_test/ looks like a split", {"train": "cats", "test": "cats_test"}),
    "mnist-train mnist-val": ("look like splits", {"train": "mnist-train", "validation": "mnist-val"}),
    "1_train 2_test": ("look like splits", {"train": "1_train", "test": "2_test"}),
    "2017_train_images 2017_test_images": ("look like", {"train": "2017_train_images", "test": "2017_test_images"}),
    "trainval test2": ("look like splits", {"train": "trainval", "test": "test2"}),
    "testA testB trainA trainB": ("look like splits", {"train": "trainA", "test": "testA"}),  # CycleGAN's names
    "dev eval": ("look like splits", {"train": "dev"}),
}

DEEPER = {  # layout: the folder to be named as the root
    "data/train data/test": "data",
    "data/data/Train/a data/data/Test/a": "data/data",
    "data/train/cat data/train/dog": "data",
    "coco/train2017 coco/val2017": "coco",
    "images/train images/val masks/train masks/val": "images",
    "bottle/train/good bottle/test/broken cable/train/good cable/test/bent": "bottle",  # MVTec
    "cat/train cat/test dog/train dog/test": "cat",
    "a/b/train a/b/test c": "a/b",
}


def _made(root: Path, layout: str) -> Path:
    for folder in layout.split():
        (root / folder).mkdir(parents=True, exist_ok=True)
        (root / folder / "0.png").touch()
    return root


def _settings(message: str) -> list[tuple[str, str]]:
    """Returns the keys and values of the --set options in a message."""
    given = re.findall(r"--set ('.+?'(?=[;]|$)|\S+?(?=[;]|$))", message)
    return [tuple(shlex.split(each)[0].split("=", 1)) for each in given]  # type: ignore[misc]


@pytest.mark.parametrize("layout", SPLITS)
def test_known_names_alone_are_splits(layout: str, tmp_path: Path) -> None:
    lengths, classes = SPLITS[layout]
    listing = list_folder(_made(tmp_path, layout))

    assert tuple(len(listing.splits.get(split, ())) for split in ("train", "validation", "test")) == lengths
    assert list(listing.classes) == classes


@pytest.mark.parametrize("layout", CLASSES)
def test_names_that_only_remind_of_splits_are_classes(layout: str, tmp_path: Path) -> None:
    listing = list_folder(_made(tmp_path, layout))

    assert set(listing.splits) == {"train"}
    assert sorted(listing.classes) == sorted({folder.partition("/")[0] for folder in layout.split()})


@pytest.mark.parametrize("layout", REFUSED)
def test_names_that_may_be_splits_are_refused_with_settings_that_work(layout: str, tmp_path: Path) -> None:
    said, splits = REFUSED[layout]
    with pytest.raises(DataError) as refused:
        list_folder(_made(tmp_path, layout))
    proposed = _settings(str(refused.value))
    values: list[Splits] = [yaml.safe_load(value) for _, value in proposed]

    assert said in str(refused.value)
    assert [key for key, _ in proposed] == ["datamodule.splits", "datamodule.splits"]
    assert values == [splits, "none"]
    assert list(values[0]) == list(splits)
    assert set(list_folder(tmp_path, values[0]).splits) == set(splits)
    assert len(list_folder(tmp_path, "none")) == len(layout.split())


@pytest.mark.parametrize("layout", DEEPER)
def test_splits_one_level_deeper_are_refused_with_the_root_to_give(layout: str, tmp_path: Path) -> None:
    with pytest.raises(DataError) as refused:
        list_folder(_made(tmp_path, layout))

    assert _settings(str(refused.value)) == [
        ("datamodule.root", str(tmp_path / DEEPER[layout])),
        ("datamodule.splits", "none"),
    ]
    assert set(list_folder(tmp_path, "none").splits) == {"train"}


def test_folders_without_images_do_not_count(tmp_path: Path) -> None:
    _made(tmp_path, "train/a test/a")
    for name in ("labels", "annotations", "val", ".cache", "train/b"):
        (tmp_path / name).mkdir()
    (tmp_path / "labels" / "0.txt").touch()
    listing = list_folder(tmp_path)

    assert set(listing.splits) == {"train", "test"}
    assert listing.classes == ("a",)
    assert "left out folders that hold no images: annotations, labels, val, train/b" in listing.notes
    assert "left out hidden files or folders: .cache" in listing.notes
    assert "left out files that are no images: 1 .txt" in listing.notes


def test_a_training_folder_without_images_is_told(tmp_path: Path) -> None:
    _made(tmp_path, "val/a test/a")
    (tmp_path / "Train" / "a").mkdir(parents=True)
    with pytest.raises(DataError, match="there is no folder for training, and Train/ holds no images; "):
        list_folder(tmp_path)


def test_a_map_names_the_splits(tmp_path: Path) -> None:
    _made(tmp_path, "images/train2017/a images/val2017/a extra/a")
    listing = list_folder(tmp_path, {"train": "images/train2017", "validation": "images/val2017/"})

    assert list(listing.names) == ["images/train2017/a/0.png", "images/val2017/a/0.png"]
    assert {split: list(positions) for split, positions in listing.splits.items()} == {"train": [0], "validation": [1]}
    assert listing.notes == ["left out what splits does not name: extra"]


@pytest.mark.parametrize(
    ("splits", "said"),
    [
        (
            {"train": "trian"},
            "datamodule.splits gives trian for train, but there is no folder {root}/trian; did you mean train?",
        ),
        ({"train": "../x"}, "datamodule.splits gives ../x for train, expected a folder below {root}, such as train"),
        ({"train": "/x"}, "datamodule.splits gives /x for train, expected a folder below {root}, such as train"),
        (
            {"train": "train", "test": "empty"},
            "datamodule.splits gives empty for test, but {root}/empty holds no images (",
        ),
        ({"train": "train", "test": "train"}, "{root}/train and {root}/train are the same folder"),
        ({"train": ".", "test": "train"}, "{root}/train and {root}/train are the same folder"),
        ({"train": "train", "test": "train/a"}, "{root}/train/a and {root}/train/a are the same folder"),
    ],
)
def test_a_map_that_does_not_fit_is_refused(splits: Splits, said: str, tmp_path: Path) -> None:
    _made(tmp_path, "train/a train/b")
    (tmp_path / "empty").mkdir()

    with pytest.raises(DataError, match=re.escape(said.format(root=tmp_path))):
        list_folder(tmp_path, splits)


def test_a_single_class_whose_folders_may_be_the_classes_is_told(tmp_path: Path) -> None:
    (warning,) = list_folder(_made(tmp_path, "flowers/rose flowers/tulip")).warnings

    assert warning.startswith("all images are of one class, flowers; if its folders (rose, tulip) are the classes: ")
    assert _settings(warning) == [("datamodule.root", str(tmp_path / "flowers"))]
    assert list_folder(tmp_path / "flowers").warnings == []


def test_the_documented_layouts_are_taken_for_what_is_documented(tmp_path: Path) -> None:
    document = Path(__file__).parents[3] / "docs" / "image_folders.md"
    rows = re.findall(r"^\| `([\w/ ]+)` \| (classes|splits|refused)", document.read_text(), re.MULTILINE)
    found = []
    for number, (layout, _) in enumerate(rows):
        try:
            listing = list_folder(_made(tmp_path / str(number), layout))
        except DataError:
            found.append("refused")
        else:
            found.append("splits" if len(listing.splits) > 1 else "classes")

    assert len(rows) == 10
    assert found == [taken for _, taken in rows]
