"""Holding out, naming missing files, seeding samples."""

from __future__ import annotations

import random
from pathlib import Path

import numpy
import pytest
import torch

from firebox.data.datamodule import (
    held_out_length,
    hold_out,
    require_files,
    stratified_hold_out,
    stratified_length,
)
from firebox.data.source import DatasetImages


@pytest.mark.parametrize(("length", "fraction"), [(1000, 0.1), (7, 0.5), (5, 0.0), (10, 0.99), (1, 0.9)])
def test_hold_out_divides_every_sample_once(length: int, fraction: float) -> None:
    kept, held_out = hold_out(length, fraction, 0)

    assert sorted([*kept.tolist(), *held_out.tolist()]) == list(range(length))
    assert len(held_out) == held_out_length(length, fraction)
    assert len(kept) >= 1
    assert (kept.diff() > 0).all()
    assert (held_out.diff() > 0).all()


def test_hold_out_is_seeded_and_leaves_torchs_generator_alone() -> None:
    before = torch.get_rng_state()
    first, second, other = (hold_out(1000, 0.2, seed)[1] for seed in (3, 3, 4))

    assert torch.equal(first, second)
    assert not torch.equal(first, other)
    assert torch.equal(torch.get_rng_state(), before)


def test_hold_out_draws_without_regard_to_order() -> None:
    """Files are often sorted by class: every tenth of the samples gives about its share."""
    _, held_out = hold_out(10_000, 0.1, 0)

    assert torch.histc(held_out.float(), 10, 0, 10_000).sub(100).abs().max() < 40


@pytest.mark.parametrize(
    ("length", "fraction", "expected"),
    [(1, 0.5, 0), (2, 0.01, 1), (2, 0.99, 1), (10, 0.3, 3), (100, 0.1, 10), (4, 0.99, 3), (9, 0.0, 0)],
)
def test_a_class_of_two_or_more_is_in_both_parts(length: int, fraction: float, expected: int) -> None:
    assert stratified_length(length, fraction) == expected


def test_a_stratified_hold_out_takes_its_share_of_every_class() -> None:
    labels = [0] * 100 + [1] * 10 + [2] * 2 + [3]
    kept, held_out = stratified_hold_out(labels, ("a", "b", "c", "d"), 0.2, 0)
    classes = torch.tensor(labels)

    assert sorted([*kept.tolist(), *held_out.tolist()]) == list(range(113))
    assert classes[held_out].bincount(minlength=4).tolist() == [20, 2, 1, 0]
    assert classes[kept].bincount(minlength=4).tolist() == [80, 8, 1, 1]
    # The control: the draw without regard to classes leaves the small ones out.
    assert classes[hold_out(113, 0.2, 0)[1]].bincount(minlength=4).tolist() != [20, 2, 1, 0]


def test_a_class_that_is_added_changes_no_others_hold_out() -> None:
    _, before = stratified_hold_out([0] * 20 + [1] * 20, ("ant", "cat"), 0.3, 0)
    _, after = stratified_hold_out([0] * 20 + [1] * 5 + [2] * 20, ("ant", "bee", "cat"), 0.3, 0)
    _, other = stratified_hold_out([0] * 20 + [1] * 20, ("ant", "cat"), 0.3, 1)

    assert before[before < 20].tolist() == after[after < 20].tolist()
    assert (before[before >= 20] + 5).tolist() == after[after >= 25].tolist()
    assert not torch.equal(before, other)


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
