"""Runs over folders of pairs: what is measured of them, and refusals where data differs or can not be meant."""

import json
import os
import shutil
import signal

import numpy
import pytest
import yaml
from PIL import Image

from firebox.engine.records import checkpoints
from firebox.trainers.train_unet_baseline import TRAINER
from tests.data.folders_of_images import picture
from tests.exactness import Forked, differences, kill_at, only_run, output, rehearse, write_configuration
from tests.soaking import soak

COUNT = 40
HANDLERS = [
    {"checkpoint": {"every": "2 iterations", "keep_last": 2, "keep_best": 1, "monitor": "validation/loss"}},
    {"evaluation": {"every": "1 epoch"}},
    {"image_dump": {"every": "1 epoch", "count": 4}},
    {"loss_log": {"every": "1 iteration"}},
]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp("data")
    for folder in ("images", "targets"):
        (root / folder).mkdir()
    for number in range(COUNT):
        image = picture(number, (48 + number % 5, 40))
        grey = numpy.asarray(image.convert("L"))
        name = f"images/{number:02d}.{'jpg' if number % 2 else 'png'}"
        image.save(root / name)
        mask = grey >> 6
        mask[:4] = 255
        Image.fromarray(mask).save(root / "targets" / f"{number:02d}.png")
    return root


def write(folder, data, **settings):
    """Writes the configuration of a run over the data; the cache is the folder's own."""
    path = write_configuration(folder, {"training": {"epochs": 2}})
    content = yaml.safe_load(path.read_text())
    content["datamodule"] = {
        "name": "image_pairs",
        "root": str(data),
        "target": "mask",
        "classes": ["a", "b", "c", "d"],
        "ignored": 255,
        "image_size": [16, 16],
        "validation_fraction": 0.2,
        "batch_size": 8,
        "cache": str(folder / "cache"),
        **settings,
    }
    content["trainer"] = "unet_baseline"
    content |= {"model": {"name": "unet_baseline", "channels": [4, 6]}, "module": {"name": "segmentation"}}
    content["handlers"] = HANDLERS
    path.write_text(yaml.safe_dump(content))
    return path


def trained(configuration, *arguments):
    if not arguments:
        rehearse(configuration, TRAINER)
    assert Forked(str(configuration), *arguments, trainer=TRAINER).wait() == 0, output(configuration)
    return only_run(configuration.parent)


def kill(configuration):
    assert Forked(str(configuration), prepare=kill_at(5), trainer=TRAINER).wait() == -signal.SIGKILL, output(
        configuration
    )


def losses(run):
    return [json.loads(line)["loss"] for line in (run / "losses.jsonl").read_text().splitlines()]


def test_moments_are_the_same_after_resuming(data, tmp_path):
    whole = trained(write(tmp_path / "whole", data, pixel_range="standardised"))
    killed = write(tmp_path / "killed", data, pixel_range="standardised", cache="off")
    kill(killed)
    plain = trained(write(tmp_path / "plain", data, pixel_range="[0,1]"))

    assert differences(whole, trained(killed, "--resume")) == []
    assert losses(whole) != losses(plain)
    recorded = json.loads((whole / "data.json").read_text())["moments"]
    assert recorded[0] != [0.5, 0.5, 0.5]


@pytest.mark.parametrize("pixel_range", ["standardised", pytest.param("[0,1]", marks=soak)])
def test_an_image_that_was_changed_unnoticed_shows_in_the_moments(data, tmp_path, pixel_range):
    shutil.copytree(data, tmp_path / "data")
    for path in (tmp_path / "data" / "images").glob("*.png"):  # of a size that does not change with the content
        Image.open(path).save(path.with_suffix(".bmp"))
        path.unlink()
    configuration = write(tmp_path, tmp_path / "data", pixel_range=pixel_range)
    assert Forked(str(configuration), prepare=kill_at(5), trainer=TRAINER).wait() == -signal.SIGKILL, output(
        configuration
    )
    for path in (tmp_path / "data" / "images").glob("*.bmp"):
        Image.fromarray(255 - numpy.asarray(Image.open(path))).save(path)
    before = checkpoints.iterations_in(only_run(tmp_path) / "checkpoints")

    code = Forked(str(configuration), "--resume", trainer=TRAINER).wait()
    assert code == (2 if pixel_range == "standardised" else 0), output(configuration)
    if pixel_range == "standardised":
        assert "the mean and deviation of the training images were ((" in output(configuration)
        assert "Traceback" not in output(configuration)
        assert checkpoints.iterations_in(only_run(tmp_path) / "checkpoints") == before
        assert Forked(str(configuration), "--resume", "--allow-change", "data", trainer=TRAINER).wait() == 0, output(
            configuration
        )


def test_masks_that_do_not_fit_are_refused_before_anything_is_written(data, tmp_path):
    configuration = write(tmp_path, data, classes=["a", "b"])
    assert Forked(str(configuration), trainer=TRAINER).wait() == 2
    assert "40 of 40 files" in output(configuration)
    assert "has a target, 00.png, that has the values 2, 3, expected 0, 1, or 255, which is ignored" in output(
        configuration
    )
    assert "Traceback" not in output(configuration)
    assert not (tmp_path / "runs").exists()
    assert os.listdir(tmp_path / "cache") == []  # noqa: PTH208


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"name": "image_table", "table": "no.csv"}, "there is no file"),
        ({"name": "image_pairs", "root": ".", "target": "mask"}, "classes: got none, expected the names"),
        ({"name": "image_pairs", "root": "nowhere", "target": "image"}, "there is no folder"),
        ({"name": "image_pairs", "root": "."}, "datamodule.target"),
    ],
)
def test_what_can_not_be_meant_is_refused_by_the_check(tmp_path, changes, told):
    path = write_configuration(tmp_path, {"datamodule": {}})
    content = yaml.safe_load(path.read_text())
    content["datamodule"] = changes
    path.write_text(yaml.safe_dump(content))
    assert Forked(str(path), "--check").wait() == 2
    assert told in output(path)
    assert "Traceback" not in output(path)
