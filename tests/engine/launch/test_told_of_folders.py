"""What a run says of its folder of images: at its start, with --check, and where it is refused."""

import pytest
from PIL import Image

from firebox.data.image_folder import ImageFolder
from firebox.engine.launch import messages
from tests.exactness import SCRIPT, run_python


@pytest.fixture
def folder(tmp_path):
    for split, count in (("train", 6), ("valid", 2), ("test", 1)):
        for name in ("cat", "dog"):
            (tmp_path / "data" / split / name).mkdir(parents=True)
            for number in range(count):
                Image.new("L", (8, 8), number).save(tmp_path / "data" / split / name / f"{number}.png")
    (tmp_path / "data" / "train" / "bird").mkdir()
    (tmp_path / "data" / "test" / "dog" / "0.png").unlink()
    (tmp_path / "data" / "read\x1bme.txt").touch()
    return tmp_path


SAID = [
    "data: images: train 12, validation 4, test 1; 2 classes: cat 9, dog 8",
    "left out files that are no images: 1 .txt",
    "left out folders that hold no images: test/dog, train/bird",
    "test has no images of 1 of 2 classes: dog",
]


def _run(folder, *options):
    data = "datamodule={name: image_folder, root: data, image_size: [16, 16], color: grayscale, batch_size: 4}"
    settings = [data, "output.root=runs", "training.device=cpu", "training.epochs=1"]
    given = [word for setting in settings for word in ("--set", setting)]
    return run_python(SCRIPT, *given, *options, cwd=folder)


def test_a_check_and_a_run_say_splits_classes_and_what_is_left_out(folder):
    checked = _run(folder, "--check")
    trained = _run(folder)
    (log,) = (folder / "runs").glob("*/*/*/log.txt")

    assert checked.returncode == trained.returncode == 0, checked.stderr + trained.stderr
    for said in SAID:
        assert checked.stderr.count(said) == 1
        assert trained.stderr.count(said) == 1
        assert log.read_text().count(said) == 1


def test_a_quiet_run_says_what_may_not_be_meant(folder):
    done = _run(folder, "--quiet", "--check")

    assert SAID[-1] in done.stderr
    assert SAID[0] not in done.stderr


def test_a_refused_folder_leaves_nothing_and_its_way_out_works(folder):
    (folder / "data" / "test").rename(folder / "data" / "holdout")
    refused = _run(folder)
    way = "datamodule.splits={train: train, validation: valid, test: holdout}"

    assert refused.returncode == 2
    assert "Traceback" not in refused.stderr
    assert "train/, valid/ are named like splits, but not holdout/; expected " in refused.stderr
    assert f"--set '{way}'" in refused.stderr
    assert not (folder / "runs").exists()
    assert SAID[0] in _run(folder, "--set", way, "--check").stderr


def test_many_classes_are_told_in_short(tmp_path, caplog):
    for number in range(30):
        (tmp_path / f"class{number:02d}").mkdir()
        for image in range(1 + (number == 7)):
            (tmp_path / f"class{number:02d}" / f"{image}.png").touch()
    with caplog.at_level("INFO", logger="firebox"):
        messages.listed(ImageFolder(root=str(tmp_path)))

    said = "images: train 30, validation 1 held out of train; 30 classes, from 1 image (class00) to 2 (class07)"
    assert caplog.messages == [f"{tmp_path}: {said}"]
