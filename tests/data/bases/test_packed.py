"""Data sets whose files hold many samples each: what is held out of each class, and samples that can't be decoded."""

import io
import json
import tarfile

import numpy
import pytest
import torch

from firebox.data.arrays import Arrays
from firebox.data.bases import unreadable
from firebox.data.bases.standardised_values import scaled
from firebox.data.declarations.data_error import DataError
from firebox.data.hugging_face import HuggingFace
from firebox.data.shards import Shards
from firebox.data.sources.reading import Reading
from firebox.data.sources.source import labels_at_hand
from tests.data.packed_files import CLASSES, all_of, png

COUNTS = (40, 12, 5, 2)
"""Samples of each class."""
SIDE = 8
TORN = {3: b"torn", 41: b""}
"""What stands for the images of some samples."""


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """The same samples as arrays, in shards and as a table; and shards and a table of which some are torn."""
    root = tmp_path_factory.mktemp("data")
    draw = numpy.random.default_rng(0)
    labels = draw.permutation(numpy.repeat(numpy.arange(len(COUNTS)), COUNTS))
    images = draw.integers(0, 256, (len(labels), SIDE, SIDE, 3)).astype(numpy.uint8)
    numpy.save(root / "x.npy", images)
    numpy.save(root / "y.npy", labels)
    encoded = [png(image) for image in images]
    for name, torn in (("whole", {}), ("torn", TORN)):
        contents = [torn.get(k, content) for k, content in enumerate(encoded)]
        (root / name).mkdir()
        with tarfile.open(root / name / "0.tar", "w") as tar:
            for k, content in enumerate(contents):
                about = json.dumps({"label": int(labels[k])}).encode()
                for kind, part in (("png", content), ("cls", str(labels[k]).encode()), ("json", about)):
                    info = tarfile.TarInfo(f"{k:03d}.{kind}")
                    info.size = len(part)
                    tar.addfile(info, io.BytesIO(part))
        _write_table(root / f"{name}.parquet", contents, labels)
    return root


def _write_table(path, contents, labels):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    parquet.write_table(pyarrow.table({"image": contents, "label": labels}), path)


def arrays(root, **settings):
    return Arrays(root=root, images="x.npy", targets="y.npy", classes=list(CLASSES), **settings)


def shards(root, name="whole", targets="cls", **settings):
    size = (SIDE, SIDE)
    settings |= {"targets": targets, "target": "class", "classes": list(CLASSES)}
    return Shards(root=root / name, images="png", image_size=size, **settings)


def shards_with_json(root, **settings):
    return shards(root, targets="json:label", **settings)


def table(root, name="whole", **settings):
    pytest.importorskip("datasets")
    settings |= {"images": "image", "targets": "label", "target": "class", "classes": list(CLASSES)}
    return HuggingFace(path=root / f"{name}.parquet", image_size=(SIDE, SIDE), **settings)


ALL = [arrays, shards, shards_with_json, table]


@pytest.mark.parametrize("data", ALL)
def test_a_fraction_is_held_out_of_each_class(root, data):
    found = data(root, validation_fraction=0.25)
    assert found.split_lengths == {"train": 44, "validation": 15}
    assert found.transform["stratified"] is True
    held_out = labels_at_hand(found.read("validation"))
    assert held_out.bincount().tolist() == [10, 3, 1, 1]
    # The labels that are known beforehand are those that the samples have, which all kinds hold out alike.
    images, labels = all_of(found.read("validation"))
    assert torch.equal(labels, held_out)
    assert torch.equal(images, all_of(arrays(root, validation_fraction=0.25).read("validation"))[0])


@pytest.mark.parametrize("data", ALL)
def test_folds_have_their_share_of_each_class(root, data):
    seen = []
    for index in range(2):
        found = data(root, folds={"count": 2, "index": index})
        labels = labels_at_hand(found.read("validation"))
        assert len(labels) == found.split_lengths["validation"]
        assert (labels.bincount(minlength=4) - torch.tensor(COUNTS) / 2).abs().max() <= 0.5
        seen.append(all_of(found.read("validation"))[0])
    assert len(torch.cat(seen).flatten(1).unique(dim=0)) == sum(COUNTS)
    with pytest.raises(
        DataError, match=r"folds: got .*, but the class dog has 2 training samples; expected a count of"
    ):
        _ = data(root, folds={"count": 3, "index": 0}).split_lengths


def test_without_classes_a_fraction_is_held_out_of_all(root):
    found = Arrays(root=root, images="x.npy", validation_fraction=0.25)
    assert found.split_lengths == {"train": 44, "validation": 15}
    assert "stratified" not in found.transform


@pytest.mark.parametrize("data", [shards, table])
def test_samples_that_can_not_be_decoded_are_skipped_by_name(root, tmp_path, data, caplog, monkeypatch):
    reading = Reading(cache=tmp_path)
    whole = data(root, validation_fraction=0.25)
    found = data(root, "torn", validation_fraction=0.25, on_bad_file="skip")
    assert found.skipped is None, "not known yet"
    assert found.split_lengths == whole.split_lengths
    found.prepare(reading)

    named = [f"{k:03d}.png" if data is shards else f"train, row {k}" for k in TORN]
    assert sorted(name.removeprefix("0.tar/") for name in found.skipped) == sorted(named)
    assert "2 of 59 samples can't be decoded and are skipped: " in caplog.text
    # The others are those of the splits in which they are without any that is torn.
    torn = torch.from_numpy(numpy.load(root / "x.npy")[list(TORN)]).permute(0, 3, 1, 2)
    for split in ("train", "validation"):
        images = all_of(whole.read(split))[0]
        left = torch.stack([image for image in images if not (image == torn).flatten(1).all(1).any()])
        assert torch.equal(all_of(found.read(split))[0], left)
        assert found.split_lengths[split] == len(left)

    # What was found is kept, and found again without it.
    again = [data(root, "torn", validation_fraction=0.25, on_bad_file="skip") for _ in range(2)]
    again[0].prepare(Reading())
    monkeypatch.setattr(unreadable, "unreadable_in", None)
    again[1].prepare(reading)
    assert found.skipped == again[0].skipped == again[1].skipped


@pytest.mark.parametrize("data", [shards, table])
def test_samples_that_can_not_be_decoded_are_refused_otherwise(root, data):
    found = data(root, "torn", validation_fraction=0.0)
    found.prepare(Reading())
    with pytest.raises(DataError, match=r"can't be read as an image.*; mend it, or leave it out by on_bad_file: skip"):
        all_of(found.read("train"))


@pytest.mark.parametrize("data", [shards, table])
def test_what_becomes_of_an_image_is_known_to_archives(root, data):
    found = data(root, color="grayscale")
    assert found.image_decoder.described()["color"] == "grayscale"
    assert scaled(found, "standardised").image_decoder == found.image_decoder
    assert arrays(root).image_decoder is None


def test_a_split_of_which_nothing_would_be_left_is_refused(tmp_path):
    for name, content in (("a", png(numpy.zeros((4, 4, 3), "uint8"))), ("b", b"torn")):
        with tarfile.open(tmp_path / f"{name}.tar", "w") as tar:
            info = tarfile.TarInfo("0.png")
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    data = Shards(root=tmp_path, files={"train": "a.tar", "validation": "b.tar"}, on_bad_file="skip")
    with pytest.raises(
        DataError, match=r"1 of 2 samples .*: b.tar/0.png .*; the validation split would have no sample"
    ):
        data.prepare(Reading())
