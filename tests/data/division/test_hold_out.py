"""The division of training samples: by a fraction or into folds, stratified."""

from __future__ import annotations

import random

import pytest
import torch

from firebox.data.declarations.data_error import DataError
from firebox.data.division.folds import Folds, folds_of
from firebox.data.division.hold_out import held_out_length, hold_out, require_folds, stratified_length

NAMES = ("a", "b", "c", "d")


def test_what_runs_have_held_out_so_far_stays_held_out() -> None:
    labels = [0] * 12 + [1] * 5 + [2] * 2 + [3]

    assert hold_out(20, 0.3, 1)[1].tolist() == [8, 9, 10, 12, 13, 14]
    assert hold_out(20, 0.25, 5, labels=labels, classes=NAMES)[1].tolist() == [2, 7, 9, 15, 17]


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
    kept, held_out = hold_out(113, 0.2, 0, labels=labels, classes=("a", "b", "c", "d"))
    classes = torch.tensor(labels)

    assert sorted([*kept.tolist(), *held_out.tolist()]) == list(range(113))
    assert classes[held_out].bincount(minlength=4).tolist() == [20, 2, 1, 0]
    assert classes[kept].bincount(minlength=4).tolist() == [80, 8, 1, 1]
    # The control: the draw without regard to classes leaves the small ones out.
    assert classes[hold_out(113, 0.2, 0)[1]].bincount(minlength=4).tolist() != [20, 2, 1, 0]


def test_a_class_that_is_added_changes_no_others_hold_out() -> None:
    two, three = {"labels": [0] * 20 + [1] * 20}, {"labels": [0] * 20 + [1] * 5 + [2] * 20}
    _, before = hold_out(40, 0.3, 0, **two, classes=("ant", "cat"))
    _, after = hold_out(45, 0.3, 0, **three, classes=("ant", "bee", "cat"))
    _, other = hold_out(40, 0.3, 1, **two, classes=("ant", "cat"))

    assert before[before < 20].tolist() == after[after < 20].tolist()
    assert (before[before >= 20] + 5).tolist() == after[after >= 25].tolist()
    assert not torch.equal(before, other)


@pytest.mark.parametrize("count", [2, 3, 5])
def test_each_sample_is_held_out_in_exactly_one_fold_and_folds_are_alike(count: int) -> None:
    labels = [0] * 50 + [1] * 7 + [2] * 5 + [3] * 11
    random.Random(0).shuffle(labels)
    known, found = torch.tensor(labels), []
    for index in range(count):
        folds = Folds(count, index)
        kept, held_out = hold_out(len(labels), 0, 3, labels=labels, classes=NAMES, folds=folds)
        assert sorted([*kept.tolist(), *held_out.tolist()]) == list(range(len(labels)))
        assert len(held_out) == folds.length(len(labels))
        found.append(held_out)

    assert torch.cat(found).sort().values.tolist() == list(range(len(labels)))
    by_class = torch.stack([known[held_out].bincount(minlength=4) for held_out in found])
    assert (by_class.max(0).values - by_class.min(0).values <= 1).all()
    # The control: folds without regard to classes are not that much alike.
    plain = [hold_out(len(labels), 0, 3, folds=Folds(count, index))[1] for index in range(count)]
    by_class = torch.stack([known[held_out].bincount(minlength=4) for held_out in plain])
    assert (by_class.max(0).values - by_class.min(0).values > 1).any()


def test_folds_are_drawn_by_the_seed() -> None:
    first, again, other = (hold_out(100, 0, seed, folds=Folds(5, 2))[1] for seed in (1, 1, 2))

    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert first.diff().unique().numel() > 1


@pytest.mark.parametrize(
    ("given", "fraction", "message"),
    [
        ({"count": 5}, 0.1, r"folds: got {'count': 5}, expected both count and index: {count: 5, index: 0}"),
        ({"count": 1, "index": 0}, 0.1, "folds: got {count: 1, index: 0}, expected a count of 2 or more"),
        ({"count": 5, "index": 5}, 0.1, "folds: got {count: 5, index: 5}, expected an index from 0 to 4"),
        ({"count": 5, "index": -1}, 0.1, "expected an index from 0 to 4"),
        ({"count": 5, "index": 0}, 0.3, "validation_fraction: got 0.3 beside folds"),
    ],
)
def test_folds_that_there_are_not_are_refused(given: dict, fraction: float, message: str) -> None:
    with pytest.raises(ValueError) as refused:
        folds_of(given, fraction)

    assert message.replace("\\", "") in str(refused.value)


def test_folds_stand_beside_no_fraction_or_the_usual_one() -> None:
    assert folds_of(None, 0.3) is None
    assert {folds_of({"count": 5, "index": 4}, fraction) for fraction in (0, 0.1)} == {Folds(5, 4)}


@pytest.mark.parametrize(
    ("known", "message"),
    [
        ({}, "there are 6 training samples; expected a count of at most 6"),
        (
            {"labels": [0, 0, 0, 0, 1, 1], "classes": NAMES},
            "the class b has 2 training samples; expected a count",
        ),
        ({"labels": [0, 0, 0, 0, 0, 1], "classes": NAMES}, "1 training sample; expected more of them, or validation_f"),
        ({"groups": list("xxyyzz")}, "there are 3 groups; expected a count of at most 3"),
    ],
)
def test_more_folds_than_there_is_to_divide_are_refused(known: dict, message: str) -> None:
    with pytest.raises(DataError, match=message):
        require_folds(Folds(7, 0), 6, **known)
