"""Arrays as a data set: every kind of file, what headers tell, and what is refused."""

import os
import pickle
import sys
from multiprocessing import get_context

import numpy
import pytest
import torch

from firebox.data import arrays as module
from firebox.data.arrays import Arrays
from firebox.data.declarations.data_error import DataError
from firebox.data.declarations.targets import Classes, Labels, Mask, Values
from firebox.data.sources.reading import Reading
from firebox.data.sources.samples import faults_of_samples
from firebox.foundation.problems import Interrupted
from tests.data.packed_files import CLASSES, all_of, arrays, grown_by
from tests.soaking import soak

COUNT, SIDE = 40, 12


def write(root, name, array):
    """Writes an array as its name says."""
    file, _, key = name.partition(":")
    if file.endswith(".npy"):
        numpy.save(root / file, array)
    elif file.startswith("packed"):
        numpy.savez_compressed(root / file, **{key: array})
    elif file.endswith(".npz"):
        numpy.savez(root / file, other=numpy.zeros(3), **{key: array})
    else:
        h5py = pytest.importorskip("h5py", reason="reads HDF5")
        with h5py.File(root / file, "w") as opened:
            chunks = {"chunks": (4, *array.shape[1:]), "compression": "gzip"} if "chunked" in file else {}
            opened.create_dataset(key, data=array, **chunks)


def data(root, images="x.npy", targets="y.npy", **settings):
    return Arrays(root=str(root), images=images, targets=targets, **settings)


@pytest.fixture
def root(tmp_path):
    images, labels = arrays(COUNT, SIDE)
    numpy.save(tmp_path / "x.npy", images)
    numpy.save(tmp_path / "y.npy", labels)
    return tmp_path


@pytest.mark.parametrize("name", ["a.npy", "a.npz:x", "packed.npz:x", "a.h5:group/x", "chunked.hdf5:x"])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_every_kind_of_file_gives_the_samples_that_are_in_it(root, name, dtype):
    images, labels = arrays(COUNT, SIDE)
    images = (
        images / numpy.float32(255) if dtype == "float32" else images.astype(dtype) * (257 if dtype == "uint16" else 1)
    )
    write(root, name, images)
    found = data(root, name, classes=list(CLASSES), validation_fraction=0.0)
    found.prepare(Reading())
    assert found.specification.shape == (3, SIDE, SIDE)
    assert found.split_lengths == {"train": COUNT, "validation": 0}
    source = found.read("train")
    for read in (all_of(source), all_of(pickle.loads(pickle.dumps(source)))):
        assert str(read[0].dtype) == f"torch.{dtype}"
        assert numpy.array_equal(read[0].permute(0, 2, 3, 1).numpy(), images)
        assert read[1].tolist() == labels.tolist()
        assert not list(faults_of_samples(*read, found.specification))
    assert source.labels.tolist() == labels.tolist()


def test_rows_of_chunks_are_read_alike_in_a_fork(root):
    images, _ = arrays(COUNT, SIDE)
    write(root, "chunked.h5:x", images)
    source = data(root, "chunked.h5:x", classes=4).read("train")
    here = all_of(source)[0]
    with get_context("fork").Pool(1) as pool:
        there = pool.apply(_sum, (source,))
    assert there == int(here.sum())


def _sum(source):
    return int(all_of(source)[0].sum())


@pytest.mark.parametrize(
    ("shape", "layout", "expected"),
    [
        ((5, 8, 9), None, (1, 8, 9)),
        ((5, 8, 9, 3), None, (3, 8, 9)),
        ((5, 3, 8, 9), None, (3, 8, 9)),
        ((5, 4, 8, 9), None, (4, 8, 9)),
        ((5, 3, 8, 3), "NCHW", (3, 8, 3)),
        ((5, 3, 8, 3), "NHWC", (3, 3, 8)),
        ((5, 7, 8, 9), "NCHW", (7, 8, 9)),
    ],
)
def test_channels_are_told_by_their_number_or_by_a_setting(root, shape, layout, expected):
    images = numpy.arange(numpy.prod(shape), dtype=numpy.uint16).reshape(shape)
    numpy.save(root / "x.npy", images)
    found = data(root, targets=None, layout=layout, validation_fraction=0.0)
    assert found.specification.shape == expected
    read = all_of(found.read("train"))[0].numpy()
    last = layout == "NHWC" or (layout is None and shape[-1] == 3)
    assert numpy.array_equal(read, numpy.moveaxis(images, -1, 1) if last else images.reshape(5, *expected))


@pytest.mark.parametrize(
    ("targets", "settings", "target"),
    [
        (numpy.arange(COUNT, dtype=numpy.uint8)[:, None] % 3, {"classes": 3}, Classes(("0", "1", "2"))),
        (numpy.arange(2 * COUNT).reshape(COUNT, 2) % 2 > 0, {}, Labels(("0", "1"))),
        (
            numpy.arange(2 * COUNT).reshape(COUNT, 2) % 2,
            {"target": "labels", "classes": ["a", "b"]},
            Labels(("a", "b")),
        ),
        (numpy.linspace(0, 1, COUNT), {}, Values(("0",))),
        (numpy.ones((COUNT, 2), "float32"), {"classes": ["x", "y"]}, Values(("x", "y"))),
        (numpy.ones((COUNT, SIDE, SIDE), "uint8"), {"classes": 2, "ignored": 255}, Mask(("0", "1"), 255)),
        (numpy.ones((COUNT, 1, SIDE, SIDE), "bool"), {"target": "mask", "classes": 2}, Mask(("0", "1"))),
    ],
)
def test_targets_are_told_by_shape_and_dtype_or_by_a_setting(root, targets, settings, target):
    numpy.save(root / "t.npy", targets)
    found = data(root, targets="t.npy", validation_fraction=0.0, **settings)
    assert found.specification.target == target
    read = all_of(found.read("train"))
    assert not list(faults_of_samples(*read, found.specification))
    assert numpy.allclose(read[1].numpy().reshape(targets.shape), targets)


def test_images_can_be_targets(root):
    numpy.save(root / "t.npy", numpy.full((COUNT, SIDE, SIDE, 1), 0.5, "float32"))
    found = data(root, targets="t.npy", target="image")
    assert found.specification.target.kind == "image"
    read = all_of(found.read("train"))
    assert read[1].shape == (COUNT - 4, 1, SIDE, SIDE)
    assert not list(faults_of_samples(*read, found.specification))


def test_splits_are_arrays_of_their_own_or_held_out(root):
    for name, count in (("x2.npy", 7), ("x3.npy", 5)):
        numpy.save(root / name, arrays(count, SIDE)[0])
    files = {"train": "x.npy", "validation": "x2.npy", "test": "x3.npy"}
    found = data(root, files, None)
    assert found.split_lengths == {"train": COUNT, "validation": 7, "test": 5}
    assert numpy.array_equal(all_of(found.read("test"))[0].permute(0, 2, 3, 1).numpy(), arrays(5, SIDE)[0])
    held = data(root, classes=4, validation_fraction=0.25)
    assert held.split_lengths == {"train": 30, "validation": 10}
    both = torch.cat([all_of(held.read(split))[0] for split in ("train", "validation")])
    assert len(both.flatten(1).unique(dim=0)) == COUNT


WRONG = [
    ({"images": "d.npy"}, "images: got d.npy, float64 (40, 12, 12, 3), expected uint8, uint16 or float32"),
    ({"images": "o.npy"}, "o.npy: holds Python objects, which are never unpickled"),
    ({"images": "torn.npy"}, "torn.npy: is torn: 5,000 bytes, expected "),
    ({"images": "torn.npz:x"}, "torn.npz: is torn, or no .npz file"),
    ({"images": "two.npz"}, "two.npz: no key is given; expected two.npz:KEY, of the keys x, y"),
    ({"images": "two.npz:z"}, 'has no array "z"'),
    ({"images": "absent.npy"}, "images: .*absent.npy: can't be read"),
    ({"images": "x.png"}, 'images: got "x.png", expected FILE.npy, FILE.npz:KEY or FILE.h5:KEY'),
    ({"images": "x.npy:key"}, "a .npy file holds one array, expected no key"),
    ({"images": "big.npy"}, "in another byte order"),
    ({"images": "column.npy"}, "its first index runs fastest"),
    ({"images": "either.npy"}, "layout: either.npy, uint8 (40, 3, 8, 3) may have its channels first or last"),
    ({"images": "y.npy"}, "images: got y.npy, int64 (40,), expected uint8"),
    ({"images": "none.npy"}, "none.npy: got the shape (0, 8, 8), expected samples"),
    ({"targets": "short.npy"}, "targets: got short.npy, int64 (39,), expected 40 rows, as x.npy"),
    ({"targets": "many.npy"}, "target: many.npy, int64 (40, 5) may be several things"),
    ({"targets": "x.npy", "target": "class"}, "targets: got x.npy, uint8 (40, 12, 12, 3), expected integers (N,)"),
    ({"targets": "x.npy", "target": "mask"}, "expected uint8 or bool (N, 12, 12), as the images are"),
    ({"classes": None}, "classes: not given, expected the number of classes or their names"),
    ({"images": {"train": "x.npy", "test": "gray.npy"}, "targets": None}, "expected samples as x.npy"),
    ({"targets": "many.npy", "target": "values", "classes": 3}, "classes: got 3, expected 5 values"),
]


@pytest.mark.parametrize(("settings", "message"), WRONG)
def test_what_headers_show_is_refused_in_one_line(root, settings, message):
    images, labels = arrays(COUNT, SIDE)
    numpy.save(root / "d.npy", images / 255)
    numpy.save(root / "o.npy", numpy.array([os.getcwd] * 3, object), allow_pickle=True)
    (root / "torn.npy").write_bytes((root / "x.npy").read_bytes()[:5000])
    numpy.savez(root / "two.npz", x=images, y=labels)
    (root / "torn.npz").write_bytes((root / "two.npz").read_bytes()[:5000])
    numpy.save(root / "big.npy", images.astype(">u2"))
    numpy.save(root / "column.npy", numpy.asfortranarray(images))
    numpy.save(root / "either.npy", numpy.zeros((COUNT, 3, 8, 3), "uint8"))
    numpy.save(root / "none.npy", numpy.zeros((0, 8, 8), "uint8"))
    numpy.save(root / "gray.npy", images[..., :1])
    numpy.save(root / "short.npy", labels[:-1])
    numpy.save(root / "many.npy", numpy.zeros((COUNT, 5), "int64"))
    with pytest.raises(ValueError) as caught:
        _ = data(root, **{"classes": 4, **settings}).specification
    assert "\n" not in str(caught.value)
    start, _, rest = message.partition(".*")
    assert start in str(caught.value) and rest in str(caught.value)


class Bomb:
    """What makes a folder when it is unpickled."""

    def __init__(self, path):
        self._path = path

    def __reduce__(self):
        return os.mkdir, (self._path,)


@pytest.mark.parametrize("name", ["bomb.npy", "bomb.npz:x", "packed.npz:x"])
def test_nothing_is_ever_unpickled(root, name):
    write(root, name, numpy.array([Bomb(str(root / "exploded"))], object))
    with pytest.raises(DataError, match="never unpickled"):
        _ = data(root, name).specification
    assert not (root / "exploded").exists()
    loaded = numpy.load(root / name.partition(":")[0], allow_pickle=True)  # the control
    assert name == "bomb.npy" or len(loaded["x"])
    assert (root / "exploded").exists()


def test_a_value_that_is_not_finite_is_named_before_the_training(root):
    images = arrays(COUNT, SIDE)[0] / numpy.float32(255)
    images[33, 3, 3, 1] = numpy.nan
    numpy.save(root / "x.npy", images)
    found = data(root, targets=None)
    with pytest.raises(DataError, match=r"x\.npy: image 33 has values that are not finite"):
        found.prepare(Reading())
    images[33, 3, 3, 1] = 0
    numpy.save(root / "x.npy", images)
    data(root, targets=None).prepare(Reading())
    with pytest.raises(Interrupted):
        data(root, targets=None).prepare(Reading(stopping=lambda: True))


def test_a_label_beyond_the_classes_is_named_wherever_it_is(root):
    labels = arrays(COUNT, SIDE)[1]
    labels[-1] = 9
    numpy.save(root / "y.npy", labels)
    for split in ("train", "validation"):
        with pytest.raises(DataError, match=rf"targets: y.npy: row {COUNT - 1}: it has the label 9, expected 0 to 3"):
            data(root, classes=4).read(split)


def test_a_wrong_pixel_of_a_mask_is_named_before_the_training(root):
    masks = numpy.zeros((COUNT, SIDE, SIDE), "uint8")
    masks[20, 3, 3] = 7
    numpy.save(root / "m.npy", masks)
    with pytest.raises(DataError, match=r"m\.npy: row 20: its masks have the values 7"):
        data(root, targets="m.npy", classes=2).prepare(Reading())


def test_a_file_that_is_cut_off_while_it_is_read_ends_no_process(root):
    source = data(root, classes=4).read("train")
    all_of(source)
    os.truncate(root / "x.npy", 4000)
    with pytest.raises(DataError, match=r"x\.npy has changed since it was opened: it has another size"):
        all_of(source)


def test_a_library_that_is_missing_is_named_with_what_installs_it(root, monkeypatch):
    write(root, "a.h5:x", arrays(COUNT, SIDE)[0])
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(DataError, match=r"needs h5py, which is not installed; pip install 'firebox\[hdf5\]'"):
        _ = data(root, "a.h5:x", classes=4).specification


def test_missing_files_are_named_with_their_folder(root):
    found = data(root, "nope.npy", classes=4)
    assert found.missing().startswith(f"missing in {root}: nope.npy; ")
    assert data(root, classes=4).missing() is None


def test_wide_sets_are_not_read_before_the_training(root, monkeypatch):
    numpy.save(root / "x.npy", numpy.full((COUNT, SIDE, SIDE, 3), numpy.nan, "float32"))
    monkeypatch.setattr(module, "SCANNED", 1000)
    data(root, targets=None).prepare(Reading())


READ_ALL = """
import torch, numpy
from firebox.data.containers import mapped_records
from firebox.data.arrays import Arrays
source = Arrays(root={root!r}, images="x.npy", validation_fraction=0.0).read("train")
if {whole}:
    source._images._records = source._images._opened()
    source._images._records._resident = 1 << 40
source.gather(torch.tensor([0]))
# measured
for indices in torch.randperm(len(source)).split(64):
    source.gather(indices)
"""


@soak
def test_a_set_four_times_as_large_as_what_may_stay_in_memory(tmp_path):
    numpy.lib.format.open_memmap(tmp_path / "x.npy", "w+", "uint8", (1024, 1024, 1024, 1))
    grown = {whole: grown_by(READ_ALL.format(root=str(tmp_path), whole=whole)) for whole in (False, True)}
    assert grown[False] < 256 + 128 + 64, grown
    assert grown[True] > 900, grown
