"""Tables of images: each kind of target, splits, and what is said of rows that can't be used."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from PIL import Image

from firebox.data.declarations.data_error import DataError
from firebox.data.declarations.target_image import TargetImage
from firebox.data.declarations.targets import Classes, Labels, Mask, Values
from firebox.data.image_table import ImageTable
from firebox.data.preparation.prepared import PreparedImages
from firebox.data.sources.reading import Reading
from firebox.data.sources.source import RememberedImages

COUNT = 9


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "photos").mkdir()
    for number in range(COUNT):
        Image.fromarray(numpy.full((8, 8), number * 10, numpy.uint8)).save(tmp_path / "photos" / f"{number}.png")
        Image.fromarray(numpy.full((8, 8), number % 3, numpy.uint8)).save(tmp_path / "photos" / f"{number}_mask.png")
    return tmp_path


def write(folder: Path, rows: list[str], name: str = "table.csv", encoding: str = "utf-8") -> Path:
    path = folder / name
    path.write_bytes("\n".join(rows).encode(encoding))
    return path


def whole(folder: Path, name: str = "table.csv", comma: str = ",") -> Path:
    rows = ["path,kind,age,height,old,tall,mask,split"]
    for number in range(COUNT):
        split = "TRAIN" if number < 5 else "val" if number < 7 else "testing"
        kind, numbers = f"k{number % 2}", f"{number / 4},{number}e1,{number % 2},{number % 3 == 0:d}"
        rows.append(f"photos/{number}.png,{kind},{numbers},photos/{number}_mask.png,{split}")
    return write(folder, [row.replace(",", comma) for row in rows], name)


def made(table: Path, **settings: Any) -> ImageTable:
    return ImageTable(table=str(table), **{"image_size": (8, 8), "color": "grayscale", **settings})


def missing(table: Path, **settings: Any) -> str:
    return str(made(table, **settings).missing())


KINDS: dict[str, tuple[dict[str, Any], Any, Any]] = {
    "class": ({"label_column": "kind"}, Classes(("k0", "k1")), [1, 0]),
    "values": ({"value_columns": ["age", "height"]}, Values(("age", "height")), [[1.25, 50], [1.5, 60]]),
    "labels": ({"labels_columns": ["old", "tall"]}, Labels(("old", "tall")), [[1, 0], [0, 1]]),
    "mask": ({"mask_column": "mask", "classes": ["a", "b", "c"]}, Mask(("a", "b", "c")), None),
    "image": ({"image_column": "mask", "target_color": "rgb"}, TargetImage, None),
    "none": ({}, None, None),
}


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_of_target_is_declared_and_equal_wherever_it_is_held(kind: str, folder: Path, tmp_path: Path) -> None:
    settings, target, expected = KINDS[kind]
    table = whole(folder)
    plain, prepared = (made(table, split_column="split", **settings) for _ in range(2))
    prepared.prepare(Reading(cache=tmp_path / "cache"))
    declared = plain.specification.target

    assert declared is None or declared == target or isinstance(declared, TargetImage)
    assert plain.split_lengths == {"train": 5, "validation": 2, "test": 2}
    source = prepared.read("validation")
    assert isinstance(source, PreparedImages)
    indices = torch.arange(2)
    images, targets = plain.read("validation").gather(indices)
    assert images[:, 0, 0, 0].tolist() == [50, 60]
    assert (targets is None) == (target is None)
    if expected is not None and targets is not None:
        assert targets.tolist() == expected
        assert targets.dtype == (torch.int64 if kind == "class" else torch.float32)
    if kind == "mask" and targets is not None:
        assert targets[:, 0, 0].tolist() == [2, 0]
    remembered = [RememberedImages(plain.read("validation")) for _ in range(2)]  # type: ignore[arg-type]
    for held in (remembered[0], remembered[1].all(), source, source.all()):
        found, own = held.gather(indices)
        assert torch.equal(found, images)
        assert own is None if targets is None else own is not None and torch.equal(own, targets)


def test_without_splits_a_share_is_held_out_stratified(folder: Path) -> None:
    datamodule = made(whole(folder), label_column="kind", validation_fraction=0.3)

    assert datamodule.split_lengths == {"train": 6, "validation": 3}
    labels = datamodule.read("validation").gather(torch.arange(3))[1]
    assert labels is not None and sorted(labels.tolist()) == [0, 0, 1]


def test_classes_that_are_numbers_are_ordered_as_numbers(folder: Path) -> None:
    rows = ["path,label", *(f"photos/{number}.png,{number * 5}" for number in range(4))]

    assert made(write(folder, rows), label_column="label").specification.classes == ("0", "5", "10", "15")


def test_a_root_and_absolute_paths_and_tabs_and_a_mark_of_the_byte_order(folder: Path) -> None:
    table = write(folder / "photos", ["\ufeffpath\tx", f"{folder}/photos/1.png\t1", "2.png\t2"], "t.tsv")
    assert list(made(table, value_columns=["x"]).listing.names) == ["1.png", "2.png"]
    table = write(folder, ['"path"', '"photos/1.png"', "", "photos/2.png"])
    assert list(made(table, root=str(folder)).listing.names) == ["photos/1.png", "photos/2.png"]


def test_everything_that_is_wrong_is_said_at_once_with_line_and_column(folder: Path) -> None:
    rows = [
        "path,label,split,x",
        "photos/0.png,a,train,1",
        "photos/no.png,a,train,2",
        ",a,train,3",
        "photos/1.png,,dev,nan",
        '"photos/2.png","b","train","two',
        'lines"',
        "photos/0.png,a,test,5",
        "photos/3.png,c,val,6",
        "photos,b,train,",
        "photos/4.png,b",
    ]
    told = missing(write(folder, rows), label_column="label", split_column="split")
    for part in (
        "has 9 faults: ",
        f"line 3, path: there is no file {folder}/photos/no.png; line 4, path: empty; line 5, split: got ",
        'got "dev", expected train, validation (or val) or test; line 5, label: empty; ',
        "line 8, path: photos/0.png is for test, and in line 2 for train",
        'line 9, label: got "c", expected one of those of the training rows: a, b',
        f"line 10, path: {folder}/photos is no file",
        "line 11: 2 values, expected 4 as in the header",
        "line 11, split: empty",
    ):
        assert part in told
    told = missing(write(folder, rows[:-1]), value_columns=["x"])
    assert 'line 5, x: got "nan", expected a finite number' in told
    assert 'line 6, x: got "two\\nlines", expected a finite number' in told
    assert "line 10, x: empty" in told
    assert 'line 3, x: got "2", expected 0 or 1' in missing(write(folder, rows[:4]), labels_columns=["x"])


def test_of_many_faults_the_first_are_said(folder: Path) -> None:
    told = missing(write(folder, ["path", *(f"{number}.png" for number in range(100))]))

    assert "has 100 faults" in told
    assert told.endswith("; and 80 more")


@pytest.mark.parametrize(
    ("rows", "settings", "told"),
    [
        (["path", "photos/0.png"], {"label_column": "lable"}, "datamodule.label_column is lable, but"),
        (["paths", "photos/0.png"], {}, "expected one of its columns: paths; did you mean paths?"),
        ([], {}, "table.csv is empty, expected a header and a row for each image"),
        (["path;x", "a;1"], {}, 'its header is "path;x", expected names separated by commas: save it with commas'),
        (["path\tx", "a\t1"], {}, "expected names separated by commas: name it .tsv"),
        (["path,path", "a,b"], {}, "has several columns of that name; rename them"),
        (["path"], {}, "has no rows, expected one for each image"),
        (["path,split", "photos/0.png,val"], {"split_column": "split"}, "no row is for training"),
        (['path\n"photos', "more"], {}, "line 3: unexpected end of data, expected comma-separated values"),
    ],
)
def test_a_table_that_can_not_be_meant_is_refused(
    rows: list[str], settings: dict[str, Any], told: str, folder: Path
) -> None:
    assert told in missing(write(folder, rows), **settings)


def test_a_table_that_can_not_be_read_is_refused(folder: Path) -> None:
    assert "there is no file" in missing(folder / "no.csv")
    assert "is not in UTF-8" in missing(write(folder, ["path", "caf\xe9.png"], encoding="latin-1"))
    with pytest.raises(ValueError, match=r"value_columns: got .* beside label_column, expected one kind of target"):
        made(whole(folder), label_column="kind", value_columns=["age"])
    with pytest.raises(ValueError, match=r"labels_columns: got .*, expected different columns"):
        made(whole(folder), labels_columns=["old", "old"])
    with pytest.raises(ValueError, match="classes: got none"):
        made(whole(folder), mask_column="mask")


def test_files_that_do_not_fit_are_named(folder: Path, tmp_path: Path) -> None:
    datamodule = made(whole(folder), mask_column="mask", classes=["a", "b"])
    with pytest.raises(
        DataError, match=r"3 of 9 files.*photos/2.png \(has a target, 2_mask.png, that has the values 2"
    ):
        datamodule.prepare(Reading(cache=tmp_path / "cache"))


def test_parquet_without_pyarrow_says_how_to_get_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    write(folder, ["no table"], "table.parquet")

    assert "needs pyarrow: pip install 'firebox[parquet]'; or save it as CSV" in missing(folder / "table.parquet")


@pytest.mark.skipif(importlib.util.find_spec("pyarrow") is None, reason="needs pyarrow")
def test_parquet_is_read_as_csv_is(folder: Path) -> None:
    from pyarrow import csv, parquet

    table = whole(folder)
    parquet.write_table(csv.read_csv(table), folder / "table.parquet")
    for settings, _, _ in KINDS.values():
        found, expected = (
            made(path, split_column="split", **settings).listing for path in (folder / "table.parquet", table)
        )
        assert (found.names, found.labels, found.values) == (expected.names, expected.labels, expected.values)
        assert (found.targets, found.splits) == (expected.targets, expected.splits)
    assert "row 3, x: empty" in missing(_with_gaps(folder), value_columns=["x"])
    (folder / "torn.parquet").write_bytes((folder / "table.parquet").read_bytes()[:-30])
    assert "can't be read as Parquet" in missing(folder / "torn.parquet")


def _with_gaps(folder: Path) -> Path:
    import pyarrow
    from pyarrow import parquet

    columns = {"path": [f"photos/{number}.png" for number in range(3)], "x": [1.0, 2.0, None]}
    parquet.write_table(pyarrow.table(columns), folder / "gaps.parquet")
    return folder / "gaps.parquet"
