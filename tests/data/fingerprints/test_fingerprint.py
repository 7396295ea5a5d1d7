"""The fingerprint of a data set: what it depends on, and what it does not."""

import threading
import time
import unicodedata
from pathlib import Path

import pytest
import torch

from firebox.data.bases.datamodule import DataModule
from firebox.data.declarations.data_error import DataError
from firebox.data.declarations.specification import ImageSpecification
from firebox.data.division.listing import Listing
from firebox.data.fashion_mini import FashionMini
from firebox.data.fingerprints.changes import Changes
from firebox.data.fingerprints.fingerprint import Fingerprint, agree, content_of, fingerprint
from firebox.data.preparation.file_digests import digests_of
from firebox.data.shapes import Shapes
from firebox.data.sources.reading import Reading
from firebox.data.sources.source import DatasetImages
from firebox.data.streaming.stream import BatchStream
from firebox.foundation.files import digest
from firebox.foundation.problems import Interrupted


class Listed(DataModule):
    """Files by name, size and label."""

    def __init__(self, files, classes=("a", "b"), splits=None, transform=None):
        self._files, self._classes, self._splits, self._transform = files, classes, splits, transform or {}

    @property
    def listing(self):
        names, sizes, labels = zip(*self._files, strict=True)
        splits = self._splits or {"train": range(len(names))}
        return Listing(Path("/nowhere"), names, sizes, [0] * len(names), labels, self._classes, splits)

    @property
    def specification(self):
        return ImageSpecification((1, 2, 2), classes=self._classes)

    @property
    def split_lengths(self):
        return {split: len(positions) for split, positions in self.listing.splits.items()}

    @property
    def transform(self):
        return self._transform

    def read(self, split):
        raise AssertionError("a listing needs no reading")


FILES = [("a/1", 5, 0), ("a/2", 6, 0), ("b/1", 5, 1), ("b/2", 8, 1)]


def stream(data, placement="auto"):
    return lambda split: BatchStream(data.read(split), batch_size=4, seed=0, shuffle=False, placement=placement)


def of(data, content=False, placement="auto"):
    return fingerprint(data, stream(data, placement), Reading(), content=content)


def told(before, now):
    return Changes(of(before), of(now)).told()


def test_it_survives_its_record():
    found = of(Listed(FILES, transform={"size": (2, 2)}))
    assert Fingerprint.from_plain(found.plain(), found.files) == found
    assert Fingerprint.from_plain(found.plain(), found.files).files == found.files
    other = of(Listed([*FILES[:3], ("b/2", 9, 1)]))
    assert Fingerprint.from_plain(found.plain(), other.files).files is None
    plain = found.plain()
    plain["splits"]["train"]["samples"] = 5
    with pytest.raises(ValueError, match="digests"):
        Fingerprint.from_plain(plain)


@pytest.mark.parametrize(
    ("files", "classes", "splits"),
    [
        ([*FILES[:3], ("b/2", 9, 1)], ("a", "b"), None),
        ([*FILES[:3], ("b/3", 8, 1)], ("a", "b"), None),
        ([*FILES[:3], ("b/2", 8, 0)], ("a", "b"), None),
        (FILES[:3], ("a", "b"), None),
        (FILES[::-1], ("a", "b"), None),
        (FILES, ("a", "c"), None),
        (FILES, ("b", "a"), None),
        (FILES, ("a", "b"), {"train": [0, 1, 2], "validation": [3]}),
    ],
)
def test_names_sizes_labels_order_classes_and_splits_are_part_of_it(files, classes, splits):
    before, now = Listed(FILES), Listed(files, classes, splits)
    assert not agree(of(before).digests, of(now).digests)
    assert told(before, now)
    assert not told(before, before)


def test_accents_are_one_whichever_way_a_file_system_spells_them():
    name = "caf\N{LATIN SMALL LETTER E WITH ACUTE}"
    both = [
        of(Listed([(unicodedata.normalize(form, f"{name}/1"), 5, 0)], (unicodedata.normalize(form, name),)))
        for form in ("NFC", "NFD")
    ]
    assert both[0].digests == both[1].digests


def test_names_that_are_no_text_are_known_too():
    assert of(Listed([("a/\udcff", 5, 0)])).digests["names"] != of(Listed([("a/\udcfe", 5, 0)])).digests["names"]


def test_equal_sizes_of_several_files_are_no_renaming():
    before, now = Listed(FILES), Listed([("a/8", 5, 0), ("a/2", 6, 0), ("b/9", 5, 1), ("b/2", 8, 1)])
    assert told(before, now) == ["2 added (a/8, b/9)", "2 removed (a/1, b/1)"]


def test_classes_that_swap_their_labels_are_named():
    now = Listed([(name, size, 1 - label) for name, size, label in FILES], ("b", "a"))
    assert told(Listed(FILES), now) == ["2 labels mean other classes (a -> b, b -> a)"]


def test_a_class_renamed_where_folders_are_no_classes():
    assert told(Listed(FILES), Listed(FILES, ("a", "c"))) == ['class "b" renamed to "c"']


def test_a_file_relabelled_is_named():
    now = [*FILES[:3], ("b/2", 8, 0)]
    assert told(Listed(FILES), Listed(now)) == ["1 relabelled (b/2: b -> a)"]


def test_what_a_terminal_would_act_on_is_escaped():
    assert told(Listed(FILES), Listed([*FILES, ("b/\x1b[2J", 1, 1)])) == ["1 added (b/\\x1b[2J)"]


def test_samples_in_memory_are_known_by_their_content_and_labels():
    data = FashionMini()
    found = of(data)
    assert found.digests["content"] is not None and found.parts["train"].by_class[0] > 500
    assert found == of(data, content=True)
    held = data.read("validation")
    whole = BatchStream(held, batch_size=7, seed=3, shuffle=True)
    assert content_of(whole) == found.parts["validation"].content
    held.labels[0] = 9 - held.labels[0]
    assert content_of(whole) != found.parts["validation"].content


class Own(DataModule):
    """A data set of somebody's own, without a listing."""

    def __init__(self, fixed, targets=None):
        self._fixed, self._targets = fixed, targets

    specification = ImageSpecification((1, 2, 2), classes=("a", "b"))
    split_lengths = {"train": 3, "validation": 0}  # noqa: RUF012

    def read(self, split):
        pixels = [(torch.full((1, 2, 2), i, dtype=torch.uint8), i % 2) for i in range(3)]
        dataset = type("Pixels", (list,), {"targets": self._targets})(pixels)
        return DatasetImages(dataset, fixed=self._fixed)


@pytest.mark.parametrize("placement", ["auto", "memory", "stream"])
def test_what_is_known_of_a_data_set_without_a_listing_does_not_depend_on_its_placement(placement):
    assert of(Own(fixed=True), placement=placement) == of(Own(fixed=True))
    assert of(Own(fixed=True), content=True, placement=placement) == of(Own(fixed=True), content=True)
    assert of(Own(fixed=True)).parts["train"].by_class == ()
    assert of(Own(fixed=True, targets=[0, 1, 0]), placement=placement).parts["train"].by_class == (2, 1)


def test_samples_that_may_change_are_never_hashed():
    assert of(Own(fixed=False), content=True).digests["content"] is None
    assert of(Own(fixed=True), content=True).digests["content"] is not None
    shapes = Shapes(image_size=(8, 8), train_length=4, validation_length=2, test_length=0)
    assert of(shapes, content=True).digests["content"] is None
    assert set(of(shapes).parts) == {"train", "validation"}


def test_files_are_hashed_by_several_threads_each_in_its_place(tmp_path):
    files = [tmp_path / str(number) for number in range(50)]
    for number, file in enumerate(files):
        file.write_bytes(bytes([number]) * number * 1000)
    assert digests_of(files, Reading()) == [digest(file) for file in files]
    assert digests_of([], Reading()) == []


def test_a_file_that_is_gone_is_named(tmp_path):
    with pytest.raises(DataError, match=r"gone can't be read: No such file"):
        digests_of([tmp_path / "gone"], Reading())


def test_a_stop_and_a_file_system_that_does_not_answer_end_the_waiting(tmp_path):
    import os

    os.mkfifo(tmp_path / "blocks")
    with pytest.raises(
        DataError, match=r"no file was read to its end within 0\.1 s; the first one awaited is .*blocks"
    ):
        digests_of([tmp_path / "blocks"], Reading(timeout=0.1))
    with pytest.raises(Interrupted):
        digests_of([tmp_path / "blocks"], Reading(stopping=lambda: True))
    # The threads end once they are answered.
    descriptor = os.open(tmp_path / "blocks", os.O_RDWR | os.O_NONBLOCK)
    time.sleep(0.1)
    os.close(descriptor)
    limit = time.monotonic() + 10
    while any(thread.name == "firebox file digests" for thread in threading.enumerate()):
        assert time.monotonic() < limit
        time.sleep(0.01)
