"""A run that segments: killed, resumed, replayed and archived, as exact as any other."""

import json
import signal

import pytest
import yaml

from firebox.engine.archives.loading import load_archive
from firebox.engine.archives.measurement import measure
from firebox.engine.commands.command_line import main
from firebox.trainers.train_unet_baseline import TRAINER
from tests.exactness import Forked, differences, kill_at, only_run, output
from tests.soaking import soak

ITERATIONS = 16


def write_configuration(folder):
    content = {
        "trainer": "unet_baseline",
        "seed": 11,
        "datagenerator": {
            "name": "shapes",
            "target": "mask",
            "image_size": [17, 16],
            "train_length": 120,
            "validation_length": 24,
            "test_length": 24,
            "batch_size": 16,
            "augmentations": ["random_horizontal_flip", {"random_affine": {"degrees": 20.0, "p": 0.5}}],
        },
        "model": {"name": "unet_baseline", "channels": [4, 6]},
        "module": {"name": "segmentation", "loss": "both", "class_weights": [0.5, 1.0, 1.0, 1.0]},
        "scheduler": {"name": "one_cycle", "max_lr": 0.01},
        "training": {"epochs": 2, "device": "cpu", "accumulation": 2},
        "output": {"root": str(folder / "runs")},
        "handlers": [
            {"checkpoint": {"every": "3 iterations", "monitor": "validation/mean_iou", "mode": "max"}},
            {"image_dump": {"every": "1 epoch", "count": 4}},
            {"ema": {"decay": 0.9}},
        ],
    }
    folder.mkdir(exist_ok=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(content))
    return folder / "config.yaml"


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The run that is never stopped."""
    configuration = write_configuration(tmp_path_factory.mktemp("whole"))
    assert Forked(str(configuration), trainer=TRAINER).wait() == 0, output(configuration)
    return only_run(configuration.parent)


def killed_and_resumed(folder, iteration):
    configuration = write_configuration(folder)
    assert Forked(str(configuration), prepare=kill_at(iteration), trainer=TRAINER).wait() == -signal.SIGKILL
    assert Forked(str(configuration), "--resume", trainer=TRAINER).wait() == 0, output(configuration)
    return only_run(folder)


@pytest.mark.parametrize("iteration", [5, pytest.param(8, marks=soak)])
def test_a_run_on_masks_that_is_killed_resumes_exactly(whole, tmp_path, iteration):
    resumed = killed_and_resumed(tmp_path, iteration)
    assert differences(whole, resumed) == []
    # The test can tell: one bit of one loss would be noticed.
    losses = resumed / "losses.jsonl"
    losses.write_text(losses.read_text().replace("1", "2", 1))
    assert differences(whole, resumed) == ["losses.jsonl"]


def test_every_iteration_can_be_replayed(whole, capsys):
    for iteration in (2, ITERATIONS):
        assert main(["replay", str(whole), "--iteration", str(iteration)]) == 0, capsys.readouterr().err


def test_an_archive_measures_what_the_run_did(whole, capsys):
    assert main(["archive", str(whole)]) == 0
    archive = load_archive(capsys.readouterr().out.splitlines()[-1])
    card = json.loads((archive.path / "card.json").read_text())
    measured = measure(archive.run, "test")
    assert card["metrics"]["test"]["mean_iou"]["value"] == measured["mean_iou"] > 0
    assert {"iou_background", "dice_triangle", "psnr"} - measured.keys() == {"psnr"}
    assert (archive.path / "samples" / "segmentation.png").is_file()
    kept = {path.name for path in (archive.path / "images" / "validation").iterdir()}
    assert any("confusion_matrix" in name for name in kept) and any("segmentation" in name for name in kept)
