"""Grids of images, as PNG files and in TensorBoard."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import torch
from pydantic import PositiveInt

from firebox.data.bases.datamodule import Split
from firebox.data.sources.batch import Batch
from firebox.engine.records.tags import tag_of_picture
from firebox.engine.training.bases.handler import Handler
from firebox.engine.training.bases.module import Picture
from firebox.engine.training.bases.phases import Phase
from firebox.engine.training.bases.showing import draw
from firebox.engine.training.run import Run
from firebox.foundation.files import write_whole
from firebox.foundation.intervals import Interval
from firebox.foundation.pictures import encode
from firebox.foundation.randomness import mix, seed_everything
from firebox.handlers.loss_log import metrics_of

_NAME = re.compile(r"\.?iteration_(\d{8,})_.+\.png(\.writing)?")


class ImageDump(Handler):
    """Shows the module's output for a fixed set of images of each split, always on the same scale.

    If the labels are known before the images are read, the classes take turns: the first image of each class, then the
    second of each. Otherwise the first images of the split are shown. Two channels are shown as red and green, and of
    more than three the first three.

    Training waits for the forward pass alone: drawing, tiling, encoding and writing happen on another thread. The test
    split is shown once, at the end.

    Args:
        every: interval between dumps.
        count: number of images of each split.
    """

    phase = Phase.DUMP
    writes = ("images",)
    observes = True
    uses_weights = True

    def __init__(self, *, every: Interval = "1 epoch", count: PositiveInt = 16) -> None:
        self.every = every
        self.count = count
        self._batches: dict[Split, Batch] = {}

    def attach(self, run: Run) -> None:
        self._run = run
        run.every(self.every, self._dump, self.phase)

    def start(self, run: Run) -> None:
        if not run.world.leads:
            return
        self._writer = run.tensorboard
        for folder in run.directory.images.glob("*"):
            # Images that an interrupted run showed after the checkpoint are shown again, the test split at the end.
            remove_after(folder, -1 if folder.name == "test" else run.iteration)

    def finish(self) -> None:
        self._show(("test",), evaluated=("test",))

    def _dump(self) -> None:
        run = self._run
        self._show(("train", "validation"), evaluated=("validation",) if run.evaluated else ())

    def _show(self, splits: Sequence[Split], *, evaluated: Sequence[Split]) -> None:
        run = self._run
        grids: list[tuple[Split, str, tuple[torch.Tensor, ...]]] = []
        pictures: list[tuple[Split, str, Picture]] = []
        # What is gathered in inference mode could not be trained later.
        with run.evaluating(), torch.no_grad() if run.spreads else torch.inference_mode():
            for split in splits:
                if split in run.streams:
                    batch = self._batch(split)  # before seeding: reading the batch may seed the generators
                    seed_everything(mix(run.configuration.seed, "images"))
                    grids += [(split, *shown) for shown in run.module.images(batch).items()]
            for split in evaluated:
                metrics = {**metrics_of(run.metrics, split), **metrics_of(run.tables, split)}
                if metrics:
                    pictures += [(split, *shown) for shown in run.module.evaluation_images(metrics).items()]
        if not run.world.leads:
            return
        # Submitted together once the model is done, because the writing thread would slow it down.
        for grid_of_split in grids:
            run.background.submit(self._write_grid, run.iteration, *grid_of_split)
        for picture_of_split in pictures:
            run.background.submit(self._write, run.iteration, *picture_of_split)

    def _batch(self, split: Split) -> Batch:
        if split not in self._batches:
            self._batches[split] = self._run.preparation(self._run.streams[split].examples(self.count))
        return self._batches[split]

    def _write_grid(self, iteration: int, split: Split, name: str, pictures: tuple[torch.Tensor, ...]) -> None:
        self._write(iteration, split, name, draw(pictures, self._run.data.specification.classes))

    def _write(self, iteration: int, split: Split, name: str, picture: Picture) -> None:
        picture = picture if isinstance(picture, torch.Tensor) else picture()
        png = encode(picture)
        write_whole(self._run.directory.images / split / f"iteration_{iteration:08d}_{name}.png", png)
        channels, height, width = picture.shape
        self._writer.add_png(tag_of_picture(split, name), png, (channels, height, width), iteration)


def remove_after(folder: Path, iteration: int) -> None:
    """Removes the images of later iterations, and images that are only partly written."""
    for entry in folder.iterdir():
        match = _NAME.fullmatch(entry.name)
        if match and (match[2] or int(match[1]) > iteration):
            entry.unlink()
