"""Every kind of target, from one table: a run that is killed is the run that is not, down to what it predicts."""

import json
import re
import signal

import numpy
import pytest
import yaml
from PIL import Image

from firebox.engine.commands.command_line import main
from firebox.experiments.predict import main as predict
from firebox.trainers.train_cae_baseline import TRAINER as CAE
from firebox.trainers.train_classifier_baseline import TRAINER as CLASSIFIER
from firebox.trainers.train_restoration_baseline import TRAINER as RESTORATION
from firebox.trainers.train_unet_baseline import TRAINER as UNET
from tests.data.folders_of_images import picture
from tests.exactness import Forked, differences, kill_at, only_run, output, rehearse

COUNT = 40
HANDLERS = [
    {"evaluation": {"every": "1 epoch", "test": True}},
    {"image_dump": {"every": "1 epoch", "count": 4}},
    {"loss_log": {"every": "1 iteration"}},
]
CLASSIFIED = {"name": "classifier_baseline", "channels": [4]}
DENSE = {"name": "unet_baseline", "channels": [4, 6]}
MASKS = {"mask_column": "mask", "classes": ["a", "b", "c", "d"], "ignored": 255}
VALUES = {"value_columns": ["x", "y"], "target_scale": "standardised"}
KINDS = {
    "class": (CLASSIFIER, {"label_column": "kind"}, CLASSIFIED, {"name": "classification"}, "accuracy"),
    "labels": (CLASSIFIER, {"labels_columns": ["third", "odd"]}, CLASSIFIED, {"name": "multilabel"}, "mean_ap"),
    "values": (CLASSIFIER, VALUES, CLASSIFIED, {"name": "regression", "loss": "huber"}, "mean_r2"),
    "mask": (UNET, MASKS, DENSE, {"name": "segmentation", "loss": "both"}, "mean_iou"),
    "image": (RESTORATION, {"image_column": "deep"}, DENSE, {"name": "reconstruction"}, "psnr"),
    "none": (CAE, {}, {"name": "linear_autoencoder", "latent_dim": 4}, {"name": "reconstruction"}, "psnr"),
}
"""By kind of target: trainer, settings of the table, model, module, and the metric by which the best is kept."""


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Images with a class, two labels, two values, a mask and a target image of 12 bits each."""
    root = tmp_path_factory.mktemp("data")
    for folder in ("images", "masks", "deep"):
        (root / folder).mkdir()
    rows = ["path,kind,third,odd,x,y,mask,deep,split"]
    for number in range(COUNT):
        name = f"images/{number:02d}.{'jpg' if number % 2 else 'png'}"
        image = picture(number, (30 + number % 5, 26))
        grey = numpy.asarray(image.convert("L"))
        image.save(root / name)
        mask = grey >> 6
        mask[:3] = 255
        Image.fromarray(mask).save(root / f"masks/{number:02d}.png")
        Image.fromarray(grey.astype(numpy.uint16) * 16).save(root / f"deep/{number:02d}.tif")
        third, odd = int(number % 3 == 0), number % 2
        values = f"{1900 + grey.mean():.3f},{number / COUNT}"
        files = f"masks/{number:02d}.png,deep/{number:02d}.tif"
        split = "train" if number < 24 else "val" if number < 32 else "test"
        rows.append(f"{name},{'ab'[third]},{third},{odd},{values},{files},{split}")
    (root / "table.csv").write_text("\n".join(rows))
    return root


def write(folder, data, kind, **settings):
    """Writes the configuration of a run on a kind of target; the cache is the folder's own."""
    trainer, table, model, module, metric = KINDS[kind]
    augmentations = [{"random_horizontal_flip": {"p": 0.5}}, {"random_affine": {"degrees": 10.0, "p": 0.5}}]
    datamodule = {"name": "image_table", "table": str(data / "table.csv"), "split_column": "split", "batch_size": 6}
    datamodule |= {"image_size": [16, 16], "augmentations": augmentations, "cache": str(folder / "cache"), **table}
    if kind == "image":
        datamodule |= {"color": "grayscale", "target_value_range": [0, 4095]}
    best = {"every": "3 iterations", "monitor": f"validation/{metric}", "mode": "max"}
    content = {
        "trainer": trainer.name,
        "seed": 11,
        "datamodule": {**datamodule, **settings},
        "model": model,
        "module": module,
        "optimizer": {"name": "adamw", "lr": 0.01},
        "training": {"epochs": 2, "device": "cpu"},
        "output": {"root": str(folder / "runs")},
        "handlers": [{"checkpoint": best}, *HANDLERS],
    }
    folder.mkdir(exist_ok=True)
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def predictions_of(run, images, folder, capsys):
    """Archives a run and predicts images by it; returns the files of the predictions."""
    assert main(["archive", str(run), "--checkpoint", "last"]) == 0
    archive = capsys.readouterr().out.splitlines()[-1]
    assert predict([archive, str(images), "--output", str(folder)]) == 0, capsys.readouterr().err
    assert "images are read as the files of the training data" in capsys.readouterr().err
    found = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    about = json.loads(found.pop("about.json"))
    assert about["predicted"] == COUNT
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_that_is_killed_is_the_run_that_is_not_down_to_its_predictions(data, tmp_path, kind, capsys):
    trainer = KINDS[kind][0]
    whole = write(tmp_path / "whole", data, kind)
    rehearse(whole, trainer)
    assert Forked(str(whole), trainer=trainer).wait() == 0, output(whole)
    # The other run decodes what the first one has kept, and reads it as it goes.
    killed = write(tmp_path / "killed", data, kind, cache="off", placement="stream", workers=1)
    assert Forked(str(killed), prepare=kill_at(5), trainer=trainer).wait() == -signal.SIGKILL, output(killed)
    assert Forked(str(killed), "--resume", trainer=trainer).wait() == 0, output(killed)
    reference, resumed = only_run(whole.parent), only_run(killed.parent)
    assert differences(reference, resumed) == []

    rows = [json.loads(line) for line in (reference / "losses.jsonl").read_text().splitlines()]
    assert len({row["loss"] for row in rows}) > 8
    assert KINDS[kind][-1] in next(row for row in rows if row["split"] == "test")
    assert list((reference / "images" / "train").glob("*.png"))
    assert main(["replay", str(resumed), "--iteration", "7"]) == 0, capsys.readouterr().err
    predicted = predictions_of(reference, data / "images", tmp_path / "a", capsys)
    assert predicted == predictions_of(resumed, data / "images", tmp_path / "b", capsys)

    if kind == "class":  # The test can tell: one digit of one loss, and weights of an epoch before, are noticed.
        losses = resumed / "losses.jsonl"
        losses.write_text(losses.read_text().replace("1", "2", 1))
        assert differences(reference, resumed) == ["losses.jsonl"]
        shorter = write(tmp_path / "shorter", data, kind)
        shorter.write_text(shorter.read_text().replace("epochs: 2", "epochs: 1"))
        assert Forked(str(shorter), trainer=trainer).wait() == 0, output(shorter)
        assert predicted != predictions_of(only_run(shorter.parent), data / "images", tmp_path / "c", capsys)


@pytest.mark.parametrize(
    ("kind", "module", "told"),
    [
        ("class", "regression", "have values to regress, got a class of 2; choose .* takes it: classification"),
        ("labels", "classification", "have a class, got any of 2 labels; choose .* takes it: multilabel"),
        ("values", "multilabel", "have several labels, got the values x, y; choose .* takes it: regression"),
        ("mask", "classification", "have a class, got a mask of 4 classes; choose .* takes it: segmentation"),
        ("image", "segmentation", "have a mask, got an image of shape .1, 16, 16.; choose another data set or module"),
        ("none", "classification", "have a class, got none; choose another data set or module"),
    ],
)
def test_a_module_for_another_target_is_refused_before_anything_is_written(data, tmp_path, kind, module, told, capsys):
    trainer = UNET if module == "segmentation" else CLASSIFIER
    configuration = write(tmp_path, data, kind)
    content = yaml.safe_load(configuration.read_text()) | {"trainer": trainer.name, "module": {"name": module}}
    content["model"] = DENSE if trainer is UNET else CLASSIFIED
    configuration.write_text(yaml.safe_dump(content))
    assert main(["train", trainer.name, str(configuration)]) == 2
    assert re.search(told, " ".join(capsys.readouterr().err.split()))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.yaml"]
