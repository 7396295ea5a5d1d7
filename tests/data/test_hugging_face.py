"""Tables of the datasets library as a data set: kinds of files, columns and targets, and what is refused."""

import pickle
import sys

import numpy
import pytest
import torch

from firebox.data.declarations.data_error import DataError
from firebox.data.declarations.targets import Classes, Labels, Mask, Values
from firebox.data.hugging_face import HuggingFace
from firebox.data.sources.samples import faults_of_samples
from tests.data.packed_files import CLASSES, all_of, arrays

datasets = pytest.importorskip("datasets", reason="writes the tables")
COUNT, SIDE = 40, 12


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """The same rows, saved in each way."""
    from PIL import Image

    images, labels = arrays(COUNT, SIDE)

    def rows():
        for k in range(COUNT):
            yield {
                "image": Image.fromarray(images[k]),
                "label": int(labels[k]),
                "number": int(labels[k]),
                "name": CLASSES[labels[k]],
                "size": labels[k] / 2,
                "tags": [0, 2] if k % 2 else [],
                "mask": Image.fromarray(images[k][..., 0] // 100),
            }

    features = datasets.Features(
        {
            "image": datasets.Image(),
            "label": datasets.ClassLabel(names=list(CLASSES)),
            "number": datasets.Value("int64"),
            "name": datasets.Value("string"),
            "size": datasets.Value("float32"),
            "tags": datasets.Sequence(datasets.ClassLabel(names=["x", "y", "z"])),
            "mask": datasets.Image(),
        }
    )
    root = tmp_path_factory.mktemp("tables")
    datasets.disable_progress_bars()
    table = datasets.Dataset.from_generator(rows, features=features, cache_dir=str(root / "cache"))
    table.save_to_disk(root / "one")
    parts = {"train": table.select(range(30)), "test": table.select(range(30, COUNT))}
    datasets.DatasetDict(parts).save_to_disk(root / "parts")
    table.to_parquet(root / "one.parquet")
    (root / "parquet").mkdir()
    for split, part in parts.items():
        part.to_parquet(root / "parquet" / f"{split}-00000-of-00001.parquet")
    for k in range(COUNT):
        (root / "images" / CLASSES[labels[k]]).mkdir(parents=True, exist_ok=True)
        Image.fromarray(images[k]).save(root / "images" / CLASSES[labels[k]] / f"{k:03d}.png")
    return root


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


def data(path, **settings):
    return HuggingFace(
        path=str(path), **{"images": "image", "image_size": (SIDE, SIDE), "validation_fraction": 0.0, **settings}
    )


@pytest.mark.parametrize("name", ["one", "parts", "one.parquet", "parquet"])
def test_every_kind_of_file_gives_the_rows_that_are_in_it(root, name):
    images, labels = arrays(COUNT, SIDE)
    found, train = data(root / name), COUNT if name.startswith("one") else 30
    assert found.specification.target == Classes(CLASSES)
    assert found.split_lengths == {"train": train, "validation": 0} | ({} if train == COUNT else {"test": COUNT - 30})
    source = found.read("train")
    for read in (all_of(source), all_of(pickle.loads(pickle.dumps(source)))):
        assert numpy.array_equal(read[0].permute(0, 2, 3, 1).numpy(), images[:train])
        assert read[1].tolist() == labels[:train].tolist()
        assert not list(faults_of_samples(*read, found.specification))
    assert source.labels.tolist() == labels[:train].tolist()
    assert found.listing.names and found.assigned("validation").tolist() == []


def test_a_folder_of_images_is_read_as_the_library_does(root):
    found = data(root / "images", images=None)
    assert found.specification.classes == CLASSES
    read = all_of(found.read("train"))
    pixels = {tuple(image.flatten().tolist()): int(label) for image, label in zip(*read, strict=True)}
    images, labels = arrays(COUNT, SIDE)
    for image, label in zip(torch.from_numpy(images).permute(0, 3, 1, 2), labels, strict=True):
        assert pixels[tuple(image.flatten().tolist())] == label


@pytest.mark.parametrize(
    ("settings", "target", "expected"),
    [
        ({"targets": "name", "target": "class", "classes": list(CLASSES)}, Classes(CLASSES), lambda k, label: label),
        ({"targets": "number", "target": "class", "classes": 4}, Classes(("0", "1", "2", "3")), lambda k, label: label),
        ({"targets": "size", "classes": ["size"]}, Values(("size",)), lambda k, label: [label / 2]),
        ({"targets": "tags"}, Labels(("x", "y", "z")), lambda k, label: [1, 0, 1] if k % 2 else [0, 0, 0]),
        ({"targets": "mask", "target": "mask", "classes": 3}, Mask(("0", "1", "2")), None),
        ({"target": "none"}, None, None),
    ],
)
def test_targets_are_columns(root, settings, target, expected):
    images, labels = arrays(COUNT, SIDE)
    found = data(root / "one", **settings)
    assert found.specification.target == target
    read = all_of(found.read("train"))
    assert not list(faults_of_samples(*read, found.specification))
    if expected is not None:
        assert read[1].tolist() == [expected(k, label) for k, label in enumerate(labels)]
    elif target is None:
        assert read[1] is None
    else:
        assert numpy.array_equal(read[1].numpy(), images[..., 0] // 100)


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("one", {"images": "imag"}, r'images: .*one has no column "imag"; did you mean image\?'),
        ("one", {"images": None}, "images: .*one has image, mask, expected to be told which"),
        ("one", {"images": "label"}, "images: the column label is ClassLabel.*, expected encoded images"),
        ("one", {"targets": "image"}, "targets: got image, which are the images"),
        ("one", {"targets": "number"}, "target: the column number is .*int64.*, expected to be told what it means"),
        ("one", {"targets": "number", "target": "class"}, "classes: not given"),
        ("one", {"targets": "number", "target": "mask", "classes": 2}, "targets: the column number is .*int64"),
        ("one", {"target": "values"}, "targets: not given, expected the column of the target values"),
        ("one", {"splits": {"train": "trian"}}, r'splits: .*one has no "trian" for train; did you mean train\?'),
        ("absent", {}, "absent: no such file or folder; a data set of the hub is named by hub instead of path"),
    ],
)
def test_what_can_not_be_is_refused_in_one_line(root, name, settings, message):
    with pytest.raises(DataError if "classes: not" not in message else ValueError, match=message) as caught:
        _ = data(root / name, **settings).specification
    assert "\n" not in str(caught.value)


def test_a_class_that_is_none_is_named_with_its_row(root):
    found = data(root / "one", targets="name", target="class", classes=list(CLASSES[:3]))
    row = arrays(COUNT, SIDE)[1].tolist().index(3)
    with pytest.raises(DataError, match=rf'one, train, row {row}: got "dog", expected a number from 0 to 2'):
        found.read("train")


def test_what_is_torn_is_refused_in_one_line(root, tmp_path):
    (tmp_path / "torn.parquet").write_bytes((root / "one.parquet").read_bytes()[:2000])
    (tmp_path / "empty").mkdir()
    for name in ("torn.parquet", "empty"):
        with pytest.raises(DataError, match=f"{name} can't be loaded by datasets: ") as caught:
            _ = data(tmp_path / name).split_lengths
        assert "\n" not in str(caught.value)


def test_either_a_path_or_a_name_is_given():
    with pytest.raises(ValueError, match="on_bad_file: got skip for a data set of the hub"):
        HuggingFace(hub="ylecun/mnist", on_bad_file="skip")
    with pytest.raises(ValueError, match="path: got neither of path and hub"):
        HuggingFace()
    with pytest.raises(ValueError, match="path: got both of path and hub"):
        HuggingFace(path="a", hub="b")


def test_a_library_that_is_missing_is_named_with_what_installs_it(root, monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(
        DataError, match=r"needs datasets, which is not installed; pip install 'firebox\[hugging_face\]'"
    ):
        _ = data(root / "one").specification


def test_code_of_a_data_set_is_never_run(tmp_path):
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "set.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    with pytest.raises(DataError):
        _ = data(tmp_path / "set").specification
    assert not (tmp_path / "ran").exists()
