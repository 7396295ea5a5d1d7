"""The division of samples whose groups stay whole."""

from __future__ import annotations

import random

import pytest
import torch

from firebox.data.division.folds import Folds
from firebox.data.division.groups import grouped_hold_out
from firebox.data.division.hold_out import hold_out


def patients(count: int = 120) -> tuple[list[str], list[int]]:
    """Returns the patient and the class of images, of patients with 1 to 20 images, most of them of one class."""
    draw = random.Random(1)
    samples = []
    for patient in range(count):
        usual = draw.choice((0, 0, 0, 1, 2))
        samples += [(f"p{patient}", usual if draw.random() < 0.8 else 1) for _ in range(draw.randint(1, 20))]
    draw.shuffle(samples)
    return [patient for patient, _ in samples], [label for _, label in samples]


def test_no_group_is_divided_and_the_fraction_is_kept_in_every_class() -> None:
    groups, labels = patients()
    kept, held_out = grouped_hold_out(groups, labels, 0.2, 0)

    assert sorted([*kept.tolist(), *held_out.tolist()]) == list(range(len(groups)))
    assert {groups[i] for i in kept.tolist()}.isdisjoint(groups[i] for i in held_out.tolist())
    assert abs(len(held_out) / len(groups) - 0.2) < 0.005
    known = torch.tensor(labels)
    shares = known[held_out].bincount(minlength=3) / known.bincount(minlength=3)
    assert (shares - 0.2).abs().max() < 0.01
    # The control: a draw without regard to groups divides them.
    kept, held_out = hold_out(len(groups), 0.2, 0)
    assert not {groups[i] for i in kept.tolist()}.isdisjoint(groups[i] for i in held_out.tolist())


def test_each_group_is_held_out_in_exactly_one_fold() -> None:
    groups, labels = patients()
    found = [grouped_hold_out(groups, labels, 0, 0, folds=Folds(4, index))[1].tolist() for index in range(4)]

    assert sorted(i for held_out in found for i in held_out) == list(range(len(groups)))
    own = [{groups[i] for i in held_out} for held_out in found]
    assert sum(map(len, own)) == len(set(groups))
    assert max(abs(len(held_out) / len(groups) - 0.25) for held_out in found) < 0.01


def test_the_division_is_drawn_by_the_seed() -> None:
    groups, labels = patients()
    first, again, other = (grouped_hold_out(groups, labels, 0.2, seed)[1] for seed in (0, 0, 1))

    assert torch.equal(first, again)
    assert first.tolist() != other.tolist()


@pytest.mark.parametrize(
    ("sizes", "fraction", "expected"),
    [((50, 50), 0.01, 50), ((50, 50), 0.99, 50), ((90, 10), 0.1, 10), ((7,), 0.5, 0), ((5, 5, 5), 0, 0)],
)
def test_one_group_at_least_is_in_each_part_where_there_are_two(sizes: tuple, fraction: float, expected: int) -> None:
    groups = [str(group) for group, size in enumerate(sizes) for _ in range(size)]

    assert len(grouped_hold_out(groups, None, fraction, 0)[1]) == expected
