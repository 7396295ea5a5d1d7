"""Naming missing files, seeding samples."""

from __future__ import annotations

import random
from pathlib import Path

import numpy
import torch

from firebox.data.bases.datamodule import require_files
from firebox.data.sources.source import DatasetImages


def test_required_files_that_are_absent_are_named(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("")

    assert require_files(tmp_path, ["a"], name="x", source="") is None
    text = require_files(tmp_path, ["a", "b", "c"], name="x", source="Ask someone.")
    assert text == (
        f"x: 2 of 3 files are missing in {tmp_path}: b, c. Ask someone. "
        "The data set fashion_mini is embedded and needs no files: --set 'datamodule={name: fashion_mini}'"
    )


class _Drawing:
    """Draws from all three generators that a data set may use."""

    def __len__(self) -> int:
        return 20

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return torch.tensor([random.random(), float(numpy.random.rand()), float(torch.rand(()))]).view(3, 1, 1), index


def test_a_sample_draws_the_same_wherever_and_whenever_it_is_read() -> None:
    source = DatasetImages(_Drawing())
    images, labels = source.gather(torch.tensor([4, 9, 2]), seed=5, epoch=3)
    torch.manual_seed(0)
    random.seed(0)
    again, _ = source.gather(torch.tensor([2, 4]), seed=5, epoch=3)
    part, _ = DatasetImages(_Drawing(), torch.tensor([9, 2])).gather(torch.tensor([1]), seed=5, epoch=3)

    assert labels is not None
    assert labels.tolist() == [4, 9, 2]
    assert torch.equal(images[[2, 0]], again)
    assert torch.equal(part[0], images[2])


def test_a_sample_draws_anew_for_another_seed_epoch_or_index() -> None:
    source = DatasetImages(_Drawing())
    image = source.gather(torch.tensor([4]), seed=5, epoch=3)[0]

    for index, seed, epoch in ((5, 5, 3), (4, 6, 3), (4, 5, 4)):
        assert (source.gather(torch.tensor([index]), seed=seed, epoch=epoch)[0] != image).all()
