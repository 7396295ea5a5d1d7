"""firebox data: what a configuration's data holds, and a picture of its samples."""

import numpy
import pytest
import yaml
from PIL import Image

from firebox.engine.commands.command_line import main
from firebox.foundation import console
from firebox.foundation.exit_codes import COMPLETED, REFUSED
from firebox.foundation.package import ROOT

FLIP = "datamodule.augmentations=[random_vertical_flip: {p: 1.0}]"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Two classes in two splits, one of them with an image that is white above and black below."""
    pixels = numpy.zeros((8, 8), numpy.uint8)
    pixels[:4] = 255
    for split, count in (("train", 6), ("valid", 2)):
        for name in ("cat", "dog"):
            (tmp_path / "images" / split / name).mkdir(parents=True)
            for number in range(count):
                Image.fromarray(pixels).save(tmp_path / "images" / split / name / f"{number}.png")
    (tmp_path / "images" / "train" / "cat" / "notes.txt").write_text("no image")
    data = {"name": "image_folder", "root": "images", "image_size": [8, 8], "color": "grayscale", "batch_size": 4}
    (tmp_path / "my.yaml").write_text(yaml.safe_dump({"trainer": "cae_baseline", "datamodule": data}))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.usefixtures("folder")
def test_splits_classes_and_what_was_left_out_are_shown(capsys):
    assert main(["data", "my.yaml"]) == COMPLETED
    said = capsys.readouterr().out
    rows = [line.split() for line in said.splitlines()]
    assert "image_folder: 1 x 8 x 8, [0,1], a class of 2" in said
    assert ["cat", "6", "2"] in rows
    assert ["dog", "6", "2"] in rows
    assert ["all", "12", "4"] in rows
    assert ".txt" in said
    assert said.splitlines()[-1] == "runs/image_folder/data.png"


def test_names_of_classes_are_whole_in_a_narrow_terminal(folder, monkeypatch, capsys):
    for split in ("train", "valid"):
        (folder / "images" / split / "cat").rename(folder / "images" / split / "domestic_cat_of_europe")
    monkeypatch.setattr(console.results, "width", console.results.width)  # is put back
    monkeypatch.setattr(console, "WIDEST", 20)
    assert main(["data", "my.yaml"]) == COMPLETED
    said = capsys.readouterr().out
    assert "domestic_cat_of_europe" in "".join(line[:8].strip() for line in said.splitlines())


def test_the_picture_shows_each_sample_as_it_is_and_augmented_beneath(folder, capsys):
    assert main(["data", "my.yaml", "--set", FLIP, "--count", "1", "--picture", "shown.png"]) == COMPLETED
    assert capsys.readouterr().out.splitlines()[-1] == "shown.png"
    shown = numpy.asarray(Image.open(folder / "shown.png").convert("L"))
    plain, flipped = numpy.array_split(shown[:, shown.shape[1] // 2], 2)
    assert plain[len(plain) // 4] == 255
    assert plain[3 * len(plain) // 4] == 0
    assert flipped[len(flipped) // 4] == 0
    assert flipped[3 * len(flipped) // 4] == 255


def test_every_file_that_can_not_be_decoded_is_named_at_once(folder, capsys):
    assert main(["data", "my.yaml", "--verify"]) == COMPLETED
    assert "all 16 files can be decoded" in capsys.readouterr().out
    torn = ["train/cat/1.png", "valid/dog/0.png"]
    for name in torn:
        (folder / "images" / name).write_bytes(b"torn")
    assert main(["data", "my.yaml", "--verify"]) == REFUSED
    said = capsys.readouterr().err
    assert "my.yaml:" in said
    assert "2 of 16 files" in said
    assert all(name in said for name in torn)


def test_data_without_files_of_their_own_are_shown_too(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    default = str(ROOT / "configs" / "cae" / "cae_baseline_fashion_mini.yaml")
    assert main(["data", default]) == COMPLETED
    assert "a class of 10" in capsys.readouterr().out
    assert main(["data", default, "--verify"]) == REFUSED
    assert "decodes no files that could be verified" in capsys.readouterr().err


def test_missing_data_and_mistyped_settings_are_refused_and_nothing_is_written(folder, capsys):
    assert main(["data", "my.yaml", "--set", "datamodule.root=absent"]) == REFUSED
    assert "there is no folder" in capsys.readouterr().err
    assert main(["data", "my.yaml", "--set", "datamodule.rot=images"]) == REFUSED
    assert "did you mean" in capsys.readouterr().err
    assert not (folder / "runs").exists()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--picture", "images"], "--picture: can't write images: Is a directory"),
        (["--picture", "my.yaml/shown.png"], "--picture: can't write my.yaml/shown.png: "),
    ],
)
@pytest.mark.usefixtures("folder")
def test_a_picture_that_can_not_be_written_is_said(capsys, arguments, told):
    assert main(["data", "my.yaml", *arguments]) == REFUSED
    assert told in " ".join(capsys.readouterr().err.split())


def test_files_that_are_skipped_are_neither_counted_nor_shown(folder, capsys):
    (folder / "images" / "train" / "cat" / "0.png").write_bytes(b"torn")
    skip = ["--set", "datamodule.on_bad_file=skip", "--set", "datamodule.cache=off"]
    assert main(["data", "my.yaml"]) == REFUSED
    assert main(["data", "my.yaml", *skip]) == COMPLETED
    said = capsys.readouterr()
    assert ["cat", "5", "2"] in [line.split() for line in said.out.splitlines()]
    assert "1 of 16 files" in said.err
    assert "are skipped: train/cat/0.png (" in " ".join(said.err.split())


@pytest.mark.parametrize("count", ["0", "-3", "x"])
@pytest.mark.usefixtures("folder")
def test_a_picture_of_no_samples_is_refused(capsys, count):
    with pytest.raises(SystemExit, match="2"):
        main(["data", "my.yaml", "--count", count])
    assert f"--count: got {count}, expected a positive integer" in capsys.readouterr().err
