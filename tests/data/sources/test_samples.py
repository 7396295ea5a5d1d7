"""Samples that are not what their data set says are refused before the first step."""

import logging

import pytest
import torch

from firebox.data.declarations.specification import ImageSpecification
from firebox.data.sources.samples import faults_of_samples
from firebox.data.sources.source import DatasetImages
from firebox.engine.launch import launch
from firebox.engine.training.limits.stopping import StopRequest
from firebox.foundation.problems import Refusal
from tests.handlers.runs import configured

OWN = """
import torch
from firebox.data.bases.datamodule import DataModule
from firebox.data.sources.source import DatasetImages, ResidentImages
from firebox.data.declarations.specification import ImageSpecification

class Samples:
    def __len__(self):
        return 90
    def __getitem__(self, index):
        return {sample}

class Own(DataModule):
    @property
    def specification(self):
        return ImageSpecification((1, 8, 8), classes=("a", "b"))
    @property
    def split_lengths(self):
        return {{"train": 90}}
    def read(self, split):
        return {source}
"""
IMAGE = "torch.full((1, 8, 8), index % 5 / 5)"
ITEMS = "DatasetImages(Samples())"


def trained_on(folder, sample, source=ITEMS):
    (folder / "own.py").write_text(OWN.format(sample=sample, source=source))
    configuration = configured(
        folder, {}, datagenerator=None, datamodule={"name": "own.py:Own", "batch_size": 10, "augmentations": []}
    )
    return launch.train(configuration, None, StopRequest()), configuration


@pytest.mark.parametrize(
    ("sample", "source", "message"),
    [
        (f"255 * {IMAGE}, 0", ITEMS, "its images are torch.float32 from 0 to 204, expected [0, 1]: return uint8, or"),
        (f"{IMAGE} * float('nan'), 0", ITEMS, "its images are torch.float32 from nan to nan, expected [0, 1]"),
        (f"{IMAGE}.double(), 0", ITEMS, "its images are torch.float64, expected torch.uint8 in 0..255 or"),
        (f"{IMAGE}[:, :4], 0", ITEMS, "its images have shape (1, 4, 8), expected (1, 8, 8), as specification says"),
        (f"{IMAGE}, 2", ITEMS, "it has the label 2, expected 0 to 1: its specification has 2 classes"),
        (f"{IMAGE}, -1", ITEMS, "it has the label -1, expected 0 to 1"),
        ("{}['lost']", ITEMS, "the data set Samples: sample 0: KeyError: 'lost'"),
        (
            "None",
            "ResidentImages(torch.zeros(90, 1, 8, 8, dtype=torch.uint8), torch.arange(90) // 45 * 3)",
            "it has the label 3, expected 0 to 1",
        ),
    ],
)
def test_samples_that_are_not_what_they_are_said_to_be_are_refused(tmp_path, sample, source, message):
    with pytest.raises(Refusal) as caught:
        trained_on(tmp_path, sample, source)
    (line,) = str(caught.value).splitlines()
    assert message in line
    assert "configuration.yaml:" in line
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("sample", [f"{IMAGE}, 1", IMAGE, f"(255 * {IMAGE}).byte(), 0", f"1.2 * {IMAGE} - 0.1, 1"])
def test_samples_as_they_should_be_are_trained_on(tmp_path, sample):
    assert trained_on(tmp_path, sample)[0] == launch.COMPLETED


def test_a_label_that_comes_later_stops_the_run_and_names_its_samples(tmp_path, caplog):
    code, _ = trained_on(tmp_path, f"{IMAGE}, 7 if index == 80 else 0")
    assert code == launch.FAILED
    said = [record.getMessage() for record in caplog.records if record.levelno >= logging.INFO]
    assert not any("Traceback" in text for text in said)
    assert (
        "it has the label 7, expected 0 to 1: its specification has 2 classes; the samples are among [" in caplog.text
    )


def test_labels_of_unknown_classes_are_not_looked_at():
    source = DatasetImages([(torch.zeros(1, 2, 2), 100)])
    assert source.gather(torch.tensor([0]))[1].item() == 100
    specification = ImageSpecification((1, 2, 2))
    assert not list(faults_of_samples(torch.zeros(1, 1, 2, 2), torch.tensor([100]), specification))
