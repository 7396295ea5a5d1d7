"""Runs over folders of pairs and over tables: killed and resumed equal to the bit, and refused where data differs."""

import json
import os
import shutil
import signal
from functools import cache
from pathlib import Path

import numpy
import pytest
import yaml
from PIL import Image

from firebox.engine.records import checkpoints
from tests.data.folders_of_images import picture
from tests.exactness import Forked, differences, kill_at, only_run, output, resumed_to_the_end, write_configuration

COUNT = 40
OWN = Path(__file__).parent / "pairs_components.py"
HANDLERS = [
    {"checkpoint": {"every": "2 iterations", "keep_last": 2, "keep_best": 1, "monitor": "validation/loss"}},
    {"evaluation": {"every": "1 epoch"}},
    {"image_dump": {"every": "1 epoch", "count": 4}},
    {"loss_log": {"every": "1 iteration"}},
]
PARTS = {
    "image": {
        "datamodule": {"name": "image_pairs", "target": "image", "targets": "deep", "target_value_range": [0, 4095]},
        "model": {"name": "linear_autoencoder", "latent_dim": 4},
        "module": {"name": "reconstruction"},
    },
    "mask": {
        "datamodule": {"name": "image_pairs", "target": "mask", "classes": ["a", "b", "c", "d"], "ignored": 255},
        "model": {"name": f"{OWN}:Pixels"},
        "module": {"name": f"{OWN}:Segmentation"},
    },
    "values": {
        "datamodule": {"name": "image_table", "value_columns": ["x", "y"], "color": "rgba"},
        "model": {"name": f"{OWN}:Means"},
        "module": {"name": f"{OWN}:Regression"},
    },
}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp("data")
    for folder in ("images", "targets", "deep"):
        (root / folder).mkdir()
    rows = ["path,x,y"]
    for number in range(COUNT):
        image = picture(number, (48 + number % 5, 40))
        grey = numpy.asarray(image.convert("L"))
        name = f"images/{number:02d}.{'jpg' if number % 2 else 'png'}"
        image.save(root / name)
        mask = grey >> 6
        mask[:4] = 255
        Image.fromarray(mask).save(root / "targets" / f"{number:02d}.png")
        Image.fromarray(grey.astype(numpy.uint16) * 16).save(root / "deep" / f"{number:02d}.tif")
        rows.append(f"{name},{grey.mean() / 255},{number / COUNT}")
    (root / "table.csv").write_text("\n".join(rows))
    return root


def write(folder, data, kind, **settings):
    """Writes the configuration of a run over the data; the cache is the folder's own."""
    path = write_configuration(folder, {"training": {"epochs": 2}})
    content = yaml.safe_load(path.read_text())
    parts = json.loads(json.dumps(PARTS[kind]))
    place = {"table": str(data / "table.csv")} if kind == "values" else {"root": str(data)}
    augmentations = [{"random_horizontal_flip": {"p": 0.5}}, {"random_affine": {"degrees": 10.0, "p": 0.5}}]
    parts["datamodule"] |= {**place, "image_size": [16, 16], "validation_fraction": 0.2, "batch_size": 8}
    parts["datamodule"] |= {"augmentations": augmentations, "cache": str(folder / "cache"), **settings}
    if kind == "image":
        parts["datamodule"]["target_color"] = parts["datamodule"]["color"] = "grayscale"
    content |= {**parts, "handlers": HANDLERS}
    path.write_text(yaml.safe_dump(content))
    return path


@pytest.fixture(scope="module")
def whole(data, tmp_path_factory):
    """Makes the run of a kind that is never stopped, once."""

    @cache
    def made(kind):
        configuration = write(tmp_path_factory.mktemp("whole"), data, kind, pixel_range="[0,1]")
        assert Forked(str(configuration)).wait() == 0, output(configuration)
        return only_run(configuration.parent)

    return made


def losses(run):
    return [json.loads(line)["loss"] for line in (run / "losses.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("kind", PARTS)
@pytest.mark.parametrize("settings", [{}, {"cache": "off", "placement": "stream", "workers": 2}])
def test_a_run_that_is_killed_and_resumed_is_the_run_that_is_not(data, whole, tmp_path, kind, settings):
    killed = write(tmp_path / "killed", data, kind, pixel_range="[0,1]", **settings)
    assert Forked(str(killed), prepare=kill_at(5)).wait() == -signal.SIGKILL, output(killed)

    assert differences(whole(kind), resumed_to_the_end(killed)) == []
    found = losses(whole(kind))
    assert numpy.isfinite(found).all()
    assert len(set(found)) > 6
    assert list((whole(kind) / "images").rglob("*.png"))


def test_moments_are_the_same_after_resuming(data, whole, tmp_path):
    standardised = write(tmp_path / "whole", data, "mask", pixel_range="standardised")
    assert Forked(str(standardised)).wait() == 0, output(standardised)
    killed = write(tmp_path / "killed", data, "mask", pixel_range="standardised", cache="off")
    assert Forked(str(killed), prepare=kill_at(5)).wait() == -signal.SIGKILL, output(killed)

    assert differences(only_run(standardised.parent), resumed_to_the_end(killed)) == []
    assert losses(only_run(standardised.parent)) != losses(whole("mask"))
    recorded = json.loads((only_run(standardised.parent) / "data.json").read_text())["moments"]
    assert recorded[0] != [0.5, 0.5, 0.5]


@pytest.mark.parametrize("pixel_range", ["standardised", "[0,1]"])
def test_an_image_that_was_changed_unnoticed_shows_in_the_moments(data, tmp_path, pixel_range):
    shutil.copytree(data, tmp_path / "data")
    for path in (tmp_path / "data" / "images").glob("*.png"):  # of a size that does not change with the content
        Image.open(path).save(path.with_suffix(".bmp"))
        path.unlink()
    configuration = write(tmp_path, tmp_path / "data", "mask", pixel_range=pixel_range)
    assert Forked(str(configuration), prepare=kill_at(5)).wait() == -signal.SIGKILL, output(configuration)
    for path in (tmp_path / "data" / "images").glob("*.bmp"):
        Image.fromarray(255 - numpy.asarray(Image.open(path))).save(path)
    before = checkpoints.iterations_in(only_run(tmp_path) / "checkpoints")

    code = Forked(str(configuration), "--resume").wait()
    assert code == (2 if pixel_range == "standardised" else 0), output(configuration)
    if pixel_range == "standardised":
        assert "the mean and deviation of the training images were ((" in output(configuration)
        assert "Traceback" not in output(configuration)
        assert checkpoints.iterations_in(only_run(tmp_path) / "checkpoints") == before
        assert Forked(str(configuration), "--resume", "--allow-change", "data").wait() == 0, output(configuration)


def test_masks_that_do_not_fit_are_refused_before_anything_is_written(data, tmp_path):
    configuration = write(tmp_path, data, "mask", classes=["a", "b"])
    assert Forked(str(configuration)).wait() == 2
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
