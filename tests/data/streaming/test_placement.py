"""Where samples are held, and what a check before training says of it."""

from pathlib import Path

import pytest
import torch
from PIL import Image

from firebox.data.bases.datamodule import DataModule
from firebox.data.declarations.specification import ImageSpecification
from firebox.data.fashion_mini import FashionMini
from firebox.data.image_folder import ImageFolder
from firebox.data.shapes import Shapes
from firebox.data.streaming.placement import choose_placement, samples_of
from firebox.engine.checks.rehearsal import Rehearsal
from firebox.engine.configuration import read
from firebox.engine.training.factory import build
from firebox.trainers.train_cae_baseline import TRAINER

CPU, CUDA = torch.device("cpu"), torch.device("cuda", 0)
BUDGET = 1000


@pytest.fixture(autouse=True)
def _budget(monkeypatch):
    monkeypatch.setattr("firebox.data.streaming.placement.MEMORY_BUDGET", BUDGET)


@pytest.mark.parametrize(
    ("samples", "device", "workers", "size", "placement"),
    [
        ("resident", CPU, 0, BUDGET + 1, "memory"),
        ("resident", CPU, 2, 1, "memory"),
        ("resident", CUDA, 2, BUDGET, "device"),
        ("resident", CUDA, 0, BUDGET + 1, "memory"),
        ("fixed", CPU, 0, BUDGET, "memory"),
        ("fixed", CUDA, 0, BUDGET, "memory"),
        ("fixed", CPU, 0, BUDGET + 1, "stream"),
        ("fixed", CPU, 2, 1, "stream"),
        ("prepared", CPU, 0, BUDGET, "memory"),
        ("prepared", CPU, 2, BUDGET + 1, "stream"),
        ("prepared", CUDA, 2, BUDGET, "device"),
        ("prepared", CUDA, 0, BUDGET + 1, "stream"),
        ("changing", CPU, 0, 1, "stream"),
        ("changing", CUDA, 0, 1, "stream"),
    ],
)
def test_auto_holds_what_fits_and_can_be_held(samples, device, workers, size, placement):
    chosen, _ = choose_placement("auto", samples, all_bytes=lambda: size, workers=workers, device=device)
    assert chosen == placement


@pytest.mark.parametrize("asked", ["device", "memory", "stream"])
def test_what_the_configuration_asks_for_is_what_is_chosen(asked):
    for samples in ("resident", "fixed", "changing"):
        chosen = choose_placement(asked, samples, all_bytes=lambda: BUDGET + 1, workers=2, device=CUDA)
        assert chosen == (asked, "as configured")


def image_folder(root: Path) -> ImageFolder:
    for label in ("a", "b"):
        (root / "train" / label).mkdir(parents=True)
        for number in range(4):
            Image.new("L", (8, 8), number).save(root / "train" / label / f"{number}.png")
    return ImageFolder(root=str(root), image_size=(8, 8))


@pytest.mark.parametrize("make", [lambda _: FashionMini(), lambda _: Shapes(), image_folder])
def test_a_data_set_reads_what_it_says_before_it_reads(tmp_path, make):
    data: DataModule = make(tmp_path)
    assert samples_of(data.read("train")) == data.reads


@pytest.mark.parametrize(
    ("data", "placement", "budget"),
    [
        ({"datamodule": {"name": "fashion_mini"}}, "auto", 1 << 30),
        ({"datamodule": {"name": "fashion_mini"}}, "auto", 1),
        ({"datamodule": {"name": "fashion_mini"}}, "memory", 1),
        ({"datamodule": {"name": "fashion_mini"}}, "stream", 1),
        ({"datamodule": {"name": "fashion_mini", "workers": 2}}, "auto", 1 << 30),
        ({"datagenerator": {"name": "shapes", "train_length": 256, "batch_size": 128}}, "auto", 1 << 30),
    ],
)
def test_a_rehearsal_counts_the_images_that_the_run_holds(monkeypatch, tmp_path, data, placement, budget):
    import yaml

    monkeypatch.setattr("firebox.data.streaming.placement.MEMORY_BUDGET", budget)
    next(iter(data.values()))["placement"] = placement
    file = tmp_path / "configuration.yaml"
    file.write_text(yaml.safe_dump({"model": {"name": "linear_autoencoder"}, "training": {"device": "cpu"}, **data}))
    configuration = read(TRAINER.name, TRAINER.default, file)
    run = build(configuration)
    specification, lengths = run.data.specification, dict(run.data.split_lengths)
    rehearsal = Rehearsal(configuration, specification, lengths, samples=run.data.reads)

    assert isinstance(specification, ImageSpecification)
    held = all(stream.placement == "memory" for stream in run.streams.values())
    images = sum(lengths.values()) * torch.Size(specification.shape).numel()
    assert rehearsal.steps().data == (images if held else 0)
    assert held == (placement == "memory" or (placement == "auto" and "datamodule" in data))
