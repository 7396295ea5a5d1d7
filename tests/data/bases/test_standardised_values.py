"""Values that are standardised by those of the training split: measured once, of the training samples alone."""

import numpy
import pytest
import torch

from firebox.data.arrays import Arrays
from firebox.data.bases.limited_data import limited
from firebox.data.bases.standardised_values import scaled
from firebox.data.declarations.data_error import DataError
from firebox.data.declarations.specification_record import plain_specification, specification_from
from firebox.data.declarations.targets import Values
from firebox.data.fashion_mini import FashionMini
from firebox.data.image_table import ImageTable
from firebox.data.sources.reading import Reading
from tests.data.folders_of_images import write_images

COUNT = 30


def values(draw=0):
    given = numpy.random.default_rng(draw).normal([2000, 0.5], [10, 0.01], (COUNT, 2))
    return given.astype(numpy.float32).tolist()


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """The same values in a table of images and in arrays."""
    root = tmp_path_factory.mktemp("data")
    write_images(root / "images", COUNT)
    files = sorted(path for path in (root / "images").rglob("*") if path.is_file())
    rows = [f"{path.relative_to(root)},{year},{size}" for path, (year, size) in zip(files, values(), strict=True)]
    (root / "t.csv").write_text("\n".join(["path,year,size", *rows]))
    (root / "same.csv").write_text("\n".join(["path,year,size", *(f"{row.rsplit(',', 1)[0]},7" for row in rows)]))
    numpy.save(root / "x.npy", numpy.zeros((COUNT, 8, 8), numpy.uint8))
    numpy.save(root / "y.npy", numpy.array(values(), numpy.float32))
    return root


def table(root, name="t.csv", **settings):
    return ImageTable(table=root / name, value_columns=["year", "size"], image_size=(8, 8), **settings)


def arrays(root):
    return Arrays(root=root, images="x.npy", targets="y.npy", target="values", classes=["year", "size"])


@pytest.mark.parametrize("data", [table, arrays])
@pytest.mark.parametrize("limit", [None, 12])
def test_modules_see_training_values_with_mean_0_and_deviation_1(root, data, limit):
    data = scaled(limited(data(root), limit), "standardised")
    assert data.specification.target == Values(("year", "size"), (0.0, 0.0), (1.0, 1.0)), "not measured yet"
    data.prepare(Reading())
    target = data.specification.target

    source = data.read("train")
    _, given = source.gather(torch.arange(len(source)))
    seen = target.prepared(given)
    torch.testing.assert_close(seen.mean(0), torch.zeros(2), atol=1e-4, rtol=0)
    torch.testing.assert_close(seen.std(0, correction=0), torch.ones(2), atol=1e-4, rtol=0)
    torch.testing.assert_close(target.in_units(seen), given)
    assert torch.equal(Values(target.names).in_units(given), Values(target.names).prepared(given))
    assert len(source) == (limit or 27)


def test_files_that_are_skipped_are_not_measured(root, tmp_path):
    rows = (root / "t.csv").read_text().replace("images", str(root / "images")).splitlines()
    (tmp_path / "broken.png").write_text("no image")
    (tmp_path / "t.csv").write_text("\n".join([*rows, f"{tmp_path / 'broken.png'},9000,9"]))
    measured = []
    for name in (root / "t.csv", tmp_path / "t.csv"):
        settings = {"validation_fraction": 0.0, "on_bad_file": "skip"}
        data = scaled(table(root, name, **settings), "standardised")
        data.prepare(Reading())
        measured.append(data.specification.target)
    assert data.skipped
    assert measured[0] == measured[1]


def test_values_without_deviation_are_refused_by_name(root):
    with pytest.raises(DataError, match="target_scale: got standardised, but size has the same value in all training"):
        scaled(table(root, "same.csv"), "standardised").prepare(Reading())


def test_moments_outlive_the_data(root):
    data = scaled(arrays(root), "standardised")
    data.prepare(Reading())
    assert specification_from(plain_specification(data.specification)) == data.specification
    plain = plain_specification(arrays(root).specification)
    del plain["target"]["mean"], plain["target"]["std"]
    assert specification_from(plain) == arrays(root).specification, "a record of before there were moments"


def test_data_without_values_is_as_it_was():
    plain, data = FashionMini(), scaled(FashionMini(), "standardised")
    data.prepare(Reading())
    assert data.specification == plain.specification
    assert scaled(plain, "given") is plain
