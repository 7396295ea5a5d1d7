"""Archives of short runs whose data is gone, of every kind of output, for tests."""

from __future__ import annotations

import shutil
from pathlib import Path

from firebox.engine.archives.making import archive_run
from firebox.engine.configuration import read
from firebox.engine.launch.launch import train
from firebox.engine.training.limits.stopping import StopRequest
from tests.data.folders_of_images import write_images

HANDLERS = "handlers: [progress: false, image_dump: false, loss_log: false]"
FOLDER = "{name: image_folder, root: images, image_size: [16, 24], color: %s, batch_size: 8}"
CLASSIFIER = f"""\
trainer: classifier_baseline
datamodule: {FOLDER % "rgb"}
model: {{name: classifier_baseline, channels: [4]}}
module: {{name: classification}}
training: {{epochs: 1, device: cpu}}
{HANDLERS}
"""
AUTOENCODER = f"""\
trainer: cae_baseline
datamodule: {FOLDER % "grayscale"}
model: {{name: linear_autoencoder, latent_dim: 4}}
module: {{name: reconstruction}}
training: {{epochs: 1, device: cpu}}
{HANDLERS}
"""
OWN = """\
import torch
from firebox import (
    Batch, DataModule, DatasetImages, Evaluated, ImageSpecification, Labels, Mask, Module, TargetImage, Values,
    loss_metric,
)

TARGETS = {
    "mask": Mask(("ground", "sky", "sea"), ignored=255),
    "plain_mask": Mask(("ground", "sky", "sea")),
    "labels": Labels(("wet", "dry")),
    "values": Values(("height", "width")),
    "image": TargetImage(ImageSpecification((1, 16, 24))),
    "undeclared": Values(("height",)),
}


class OwnData(DataModule):
    def __init__(self, *, kind: str) -> None:
        self.kind = kind

    @property
    def specification(self) -> ImageSpecification:
        return ImageSpecification((1, 16, 24), target=TARGETS[self.kind])

    @property
    def split_lengths(self):
        return {"train": 8, "validation": 8}

    def read(self, split):
        target = self.specification.target
        targets = target.zeros(8, self.specification.shape)
        return DatasetImages([(torch.full((1, 16, 24), 30 * k, dtype=torch.uint8), targets[k]) for k in range(8)])


class OwnModel(torch.nn.Module):
    def __init__(self, input_shape: tuple[int, int, int], num_classes: int, *, kind: str) -> None:
        super().__init__()
        self.kind = kind
        self.scale = torch.nn.Parameter(torch.ones(num_classes))

    def forward(self, images):
        scale = 1 + 1e-9 * self.scale
        if self.kind.endswith("mask"):  # ground where it is dark, sky where it is bright
            return torch.cat([0.5 - images, images - 0.5, images - 9], 1) * scale.view(1, -1, 1, 1)
        if self.kind == "image":
            return 1 - images * scale.view(1, -1, 1, 1)
        return (images.mean((1, 2, 3)).unsqueeze(1) - 0.5) * scale


class OwnModule(Module):
    takes = ("mask", "labels", "values", "image")

    @property
    def output_kind(self):
        kinds = {"labels": "label_logits", "values": "values", "image": "pixels", "undeclared": None}
        return kinds.get(self.model.kind, "mask_logits")

    @property
    def goal(self):
        target = self.specification.target
        return target.specification if isinstance(target, TargetImage) else self.specification

    def pixels(self, output):
        return output

    def training_step(self, batch: Batch, update):
        loss = self.model(batch.images).square().mean()
        update(loss)
        return {"loss": loss.detach()}

    def evaluation_step(self, batch: Batch):
        output = self.model(batch.images)
        return Evaluated({"loss": output.flatten(1).square().mean(1)}, output, output)

    def metrics(self, device):
        return {"loss": loss_metric("loss", device)}
"""
OWN_CONFIGURATION = f"""\
trainer: classifier_baseline
datamodule: {{name: "own.py:OwnData", kind: KIND, batch_size: 4}}
model: {{name: "own.py:OwnModel", kind: KIND}}
module: {{name: "own.py:OwnModule"}}
training: {{epochs: 1, device: cpu}}
{HANDLERS}
"""


def archive_without_data(folder: Path, configuration: str, trainer: str) -> Path:
    """Trains for an epoch on images in the folder, archives the run, and removes the images."""
    write_images(folder / "images", 40)
    archive = archive_of(folder, configuration, trainer)
    shutil.rmtree(folder / "images")
    return archive


def own_archive(folder: Path, kind: str) -> Path:
    """Archives a run of data, a model and a module of a user's own, which are removed."""
    (folder / "own.py").write_text(OWN)
    archive = archive_of(folder, OWN_CONFIGURATION.replace("KIND", kind), "classifier_baseline")
    (folder / "own.py").unlink()
    return archive


def archive_of(folder: Path, configuration: str, trainer: str) -> Path:
    """Trains as a configuration says, and archives the run."""
    file = folder / "configuration.yaml"
    file.write_text(configuration)
    settings = read(trainer, file, None, [f"output.root={folder / 'runs'}"])
    assert train(settings, None, StopRequest()) == 0
    return archive_run(settings.directory / "version_0", "last")
