"""Tar files as a data set: what the index says, how it is kept, and what is refused."""

import gzip
import io
import json
import os
import pickle
import tarfile

import numpy
import pytest
import torch

from firebox.data.containers import shard_index
from firebox.data.containers.shard_headers import PLACE, Shard
from firebox.data.declarations.data_error import DataError
from firebox.data.declarations.targets import Classes, Labels, Mask, Values
from firebox.data.shards import Shards
from firebox.data.sources.reading import Reading
from firebox.data.sources.samples import faults_of_samples
from firebox.data.streaming.stream import BatchStream
from firebox.foundation.problems import Interrupted
from tests.data.packed_files import CLASSES, all_of, arrays, grown_by, members_of, png, write_shard, write_shards
from tests.soaking import soak

SIDE = 12


def data(root, reading=None, **settings):
    settings = {"images": "png", "image_size": (SIDE, SIDE), "validation_fraction": 0.0, **settings}
    found = Shards(root=str(root), **settings)
    found.reading = reading or Reading()
    return found


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_samples_are_those_that_tarfile_reads(tmp_path, form):
    images, labels = arrays(6, SIDE)
    names = ["a", "b.c/d", "\N{SNOWMAN}" * 20, "e" * 60 + "/" + "f" * 60, "e" * 60 + "/" + "g" * 90, "h i"]
    samples = [(name, members_of(images[k], labels[k])) for k, name in enumerate(names)]
    write_shard(tmp_path / "0.tar", samples, form)
    found = data(tmp_path, targets="cls", classes=list(CLASSES))
    assert found.split_lengths == {"train": 6, "validation": 0}
    source = found.read("train")
    for read in (all_of(source), all_of(pickle.loads(pickle.dumps(source)))):
        assert numpy.array_equal(read[0].permute(0, 2, 3, 1).numpy(), images)
        assert read[1].tolist() == labels.tolist()
    assert "b.c/d.png" in source.name_of(1)


@pytest.mark.parametrize(
    ("targets", "settings", "target", "expected"),
    [
        ("cls", {"classes": 4}, Classes(("0", "1", "2", "3")), lambda label: label),
        ("json:name", {"target": "class", "classes": list(CLASSES)}, Classes(CLASSES), lambda label: label),
        ("json:values", {"target": "values", "classes": 2}, Values(("0", "1")), lambda label: [label / 2, 1]),
        ("json:tags", {"target": "labels", "classes": ["x", "y", "z"]}, Labels(("x", "y", "z")), lambda _: [1, 0, 1]),
        ("mask.png", {"target": "mask", "classes": 3}, Mask(("0", "1", "2")), None),
        ("png", {"target": "image", "images": "mask.png"}, None, None),
    ],
)
def test_targets_are_members_or_keys_of_them(tmp_path, targets, settings, target, expected):
    images, labels = write_shards(tmp_path)
    found = data(tmp_path, targets=targets, **settings)
    read = all_of(found.read("train"))
    assert target is None or found.specification.target == target
    assert not list(faults_of_samples(*read, found.specification))
    if expected is not None:
        assert read[1].tolist() == [expected(label) for label in labels]
    elif target is not None:
        assert numpy.array_equal(read[1].numpy(), images[..., 0] // 100)
    else:
        assert numpy.array_equal(read[1].permute(0, 2, 3, 1).numpy(), images)


def test_members_are_named_as_suffixes_are_too(tmp_path):
    _, labels = write_shards(tmp_path)
    read = all_of(data(tmp_path, images=".PNG", targets=".cls", classes=4).read("train"))
    assert read[1].tolist() == labels.tolist()


def test_splits_are_patterns_or_held_out(tmp_path):
    write_shards(tmp_path / "train")
    write_shards(tmp_path / "test", count=9, seed=1)
    found = data(tmp_path, files={"train": "train/*.tar", "test": "test/*"}, validation_fraction=0.25)
    assert found.split_lengths == {"train": 30, "validation": 10, "test": 9}
    both = torch.cat([all_of(found.read(split))[0] for split in ("train", "validation")])
    assert len(both.flatten(1).unique(dim=0)) == 40
    listing = found.listing
    assert listing.names == [*(f"train/train-0{k}.tar" for k in range(3)), *(f"test/train-0{k}.tar" for k in range(3))]
    assert found.assigned("validation").tolist() == [0, 1, 2]
    assert found.assigned("test").tolist() == [3, 4, 5]


def test_an_index_is_made_once_for_the_same_shards_and_anew_for_others(tmp_path, monkeypatch, caplog):
    write_shards(tmp_path / "set")
    reading = Reading(cache=tmp_path / "cache")
    first = all_of(data(tmp_path / "set", reading).read("train"))
    (kept,) = (tmp_path / "cache").iterdir()
    made = shard_index.scanned
    monkeypatch.setattr(shard_index, "scanned", None)  # the shards' headers are not read again
    assert torch.equal(all_of(data(tmp_path / "set", reading).read("train"))[0], first[0])
    monkeypatch.setattr(shard_index, "scanned", made)

    kept.write_bytes(kept.read_bytes()[:-1])
    assert torch.equal(all_of(data(tmp_path / "set", reading).read("train"))[0], first[0])
    assert "is damaged; the shards are indexed anew" in caplog.text
    write_shards(tmp_path / "set", count=43, seed=5)
    assert data(tmp_path / "set", reading).split_lengths["train"] == 43
    assert len(list((tmp_path / "cache").iterdir())) == 2
    assert data(tmp_path / "set", Reading(cache=tmp_path / "cache", cache_bytes=10)).split_lengths["train"] == 43
    os.utime(tmp_path / "set" / "train-00.tar", ns=(1, 1))
    with pytest.raises(Interrupted):
        _ = data(tmp_path / "set", Reading(cache=tmp_path / "cache", stopping=lambda: True)).split_lengths
    assert len(list((tmp_path / "cache").iterdir())) == 2


def test_the_fingerprint_knows_what_a_shard_holds_beside_its_size(tmp_path):
    write_shards(tmp_path)
    before, path = data(tmp_path).listing, tmp_path / "train-01.tar"
    content = path.read_bytes()
    with tarfile.open(path) as tar:
        samples = [(member.name.partition(".")[0], member) for member in tar.getmembers()]
    path.write_bytes(content.replace(samples[0][0].encode(), b"d/zzzz"))
    with pytest.raises(DataError, match=r"is no tar file"):
        _ = data(tmp_path).listing  # the checksums of its headers differ
    images, labels = arrays(40, SIDE)
    write_shard(path, [(f"e/{k:04d}", members_of(images[k], labels[k])) for k in range(1, 40, 3)])
    now = data(tmp_path).listing
    assert before.sizes == now.sizes
    assert [a == b for a, b in zip(before.held, now.held, strict=True)] == [True, False, True]


def shard_of(path, *members):
    """Writes a tar file of members: pairs of a name and a content."""
    with tarfile.open(path, "w") as tar:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))


PNG = png(numpy.zeros((4, 4, 3), "uint8"))


@pytest.mark.parametrize(
    ("members", "settings", "message"),
    [
        ([("a.txt", b"x")], {}, "the sample a has txt, expected a member png"),
        ([("a.txt", b"x")], {"images": None}, "expected one image; the members"),
        ([("a.png", PNG), ("a.x.png", PNG), ("a.jpg", b"")], {"images": None}, "expected one image, or images to say"),
        ([("a.png", PNG), ("b.png", PNG), ("a.cls", b"1")], {"targets": "cls", "classes": 2}, "expected a member cls"),
        ([("a.png", PNG), ("a.PNG", PNG)], {}, "the sample a has png twice"),
        ([("README", b"x"), ("._a.png", b"x")], {}, "holds no samples"),
    ],
)
def test_samples_that_are_not_whole_are_named(tmp_path, members, settings, message):
    shard_of(tmp_path / "0.tar", *members)
    with pytest.raises(DataError, match=message) as caught:
        _ = data(tmp_path, **settings).split_lengths
    assert str(caught.value).startswith("0.tar")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (gzip.compress, "is compressed by gzip, so that no sample of it can be read by itself; unpack it"),
        (lambda content: content[:5000], "is torn: it has 5,000 bytes, expected 5,"),
        (lambda content: content[: 512 * 2], "is torn: it has no end"),
        (lambda _: b"no tar file at all" * 100, "is no tar file"),
        (lambda _: b"", "is no tar file: it is too short"),
        (lambda content: content[:512] + b"x" * 1024 + content[1536:], "is torn: byte"),
    ],
)
def test_what_is_no_whole_tar_file_is_refused(tmp_path, change, message):
    write_shards(tmp_path, shards=1, count=8)
    path = tmp_path / "train-00.tar"
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(DataError, match=message):
        _ = data(tmp_path).split_lengths


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"files": {"test": "*.tar"}}, "files: got test, expected shards for train"),
        ({"files": "/etc/*.tar"}, 'files: got "/etc/\\*.tar", expected a pattern of names below root'),
        ({"files": "a**.tar"}, "expected a pattern of names below root"),
        ({"targets": "cls:key", "classes": 2}, "targets: got .*, expected a key for JSON alone"),
        ({"targets": "json:label"}, "target: not given, expected to be told what json:label is"),
        ({"target": "class"}, "targets: got null for the target class"),
        ({"targets": "cls"}, "classes: not given, expected the number of classes or their names"),
        ({"files": {"train": "*.tar", "test": "train-*"}}, "files: train-00.tar is in train and in test"),
        ({"files": "*.tgz"}, r"has no files \*.tgz for train; put the shards there"),
    ],
)
def test_settings_that_can_not_work_are_refused(tmp_path, settings, message):
    write_shards(tmp_path, count=6)
    with pytest.raises(ValueError, match=message):
        _ = data(tmp_path, **settings).split_lengths


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"4", "0.tar/a.cls: got .4., expected a number from 0 to 1"), (b"\xff", "a.cls: is no text")],
)
def test_targets_that_are_something_else_are_named(tmp_path, content, message):
    shard_of(tmp_path / "0.tar", ("a.png", PNG), ("a.cls", content))
    with pytest.raises(DataError, match=message):
        all_of(data(tmp_path, targets="cls", classes=2).read("train"))


def test_a_member_that_is_no_image_is_named(tmp_path):
    shard_of(tmp_path / "0.tar", ("a.png", PNG), ("b.png", b"torn"))
    with pytest.raises(DataError, match=r"0.tar/b.png can't be read as an image"):
        all_of(data(tmp_path).read("train"))


@pytest.mark.parametrize("change", ["replaced", "cut", "gone", "touched"])
def test_a_shard_that_changes_during_a_run_is_named(tmp_path, change):
    write_shards(tmp_path)
    source, path = data(tmp_path).read("train"), tmp_path / "train-01.tar"
    all_of(source)
    if change == "replaced":
        write_shard(path, [("x", {"png": PNG})])
    elif change == "cut":
        os.truncate(path, 5000)
    elif change == "touched":
        os.utime(path, ns=(1, 1))
    else:
        path.unlink()
    with pytest.raises(DataError, match=r"train-01.tar (has changed since the run began|can't be read)"):
        all_of(source)


MANY = """
import torch
from pathlib import Path
from firebox.data.division.division import Division
from firebox.data.containers.shard_headers import Shard
from firebox.data.containers.shard_index import ShardIndex
from firebox.data.sources.source import DatasetImages
from firebox.data.streaming.stream import BatchStream

class Places(torch.utils.data.Dataset):
    def __init__(self, index): self.index = index
    def __len__(self): return len(self.index)
    def __getitem__(self, k):
        assert self.index.take(torch.tensor([k]))["image"][0] == 0
        return torch.zeros(1, 2, 2, dtype=torch.uint8)

count = {count}
# measured
index = ShardIndex([Shard("0.tar", 1, 1, count)], None, Path({path!r}))
source = DatasetImages(Places(index), Division(count, 0.1, 0, "train"), fixed=True)
stream = BatchStream(source, batch_size=64, seed=1, shuffle=True, placement="stream")
for position in (0, len(stream) - 1, 3 * len(stream) + 17):
    stream.seek(position)
    assert len(next(stream).indices.unique()) in (64, count * 9 // 10 % 64)
"""


def test_a_hundred_million_samples_take_no_memory_to_be_positioned_in(tmp_path):
    count = 10**8
    path = tmp_path / "index"
    with path.open("wb") as file:
        file.truncate(4096 + count * PLACE.itemsize)
    assert grown_by(MANY.format(count=count, path=str(path))) < 100
    held = grown_by("import torch\n# measured\ntorch.arange(10**8)")
    assert held > 700  # the control: what an order that is held would take


def test_an_index_holds_what_its_head_says(tmp_path):
    shards = [Shard("0.tar", 1, 2, 3, "digest"), Shard("1.tar", 1, 2, 2, "digest")]
    places = numpy.zeros(5, PLACE)
    places["image"] = range(5)
    (tmp_path / "index").write_bytes(shard_index.head_of(shards, "key") + places.tobytes())
    index = shard_index.ShardIndex(shards, None, tmp_path / "index")
    assert index.take(torch.tensor([4, 0]))["image"].tolist() == [4, 0]
    assert json.loads((tmp_path / "index").read_bytes()[51:].partition(b"\0")[0])["key"] == "key"


READ_ALL = """
from firebox.data.shards import Shards
from firebox.data.streaming.stream import BatchStream
source = Shards(root={root!r}, image_size=(8, 8), validation_fraction=0.0).read("train")
stream = BatchStream(source, batch_size=16, seed=0, shuffle=True, placement={placement!r})
next(stream)
# measured
for _ in range(len(stream)):
    next(stream)
"""


@soak
def test_shards_are_never_in_memory(tmp_path):
    noise = numpy.random.default_rng(0).integers(0, 256, (16, 1000, 1000, 3)).astype("uint8")
    for shard in range(4):  # 192 MiB
        write_shard(tmp_path / f"{shard}.tar", [(f"{k}", {"png": png(noise[k])}) for k in range(16)])
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) > 180 << 20
    assert grown_by(READ_ALL.format(root=str(tmp_path), placement="stream")) < 48


def test_workers_read_what_one_process_reads(tmp_path):
    write_shards(tmp_path)
    source = data(tmp_path, targets="cls", classes=4).read("train")
    alone, aided = (
        BatchStream(source, batch_size=16, seed=3, shuffle=True, placement="stream", workers=workers)
        for workers in (0, 2)
    )
    try:
        for _ in range(4):
            one, other = next(alone), next(aided)
            assert torch.equal(one.images, other.images) and torch.equal(one.targets, other.targets)
    finally:
        aided.close()
