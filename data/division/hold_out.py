"""The division of training samples into those to train on and those held out for validation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from firebox.data.declarations.data_error import DataError
from firebox.data.division.folds import Folds
from firebox.foundation.problems import counted

if TYPE_CHECKING:
    import torch


def hold_out(
    length: int,
    fraction: float,
    split_seed: int,
    *,
    labels: Sequence[int] | None = None,
    classes: Sequence[str] = (),
    groups: Sequence[str] | None = None,
    folds: Folds | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Divides training samples into those to train on and those held out, by fixed, seeded draws.

    With labels the division is stratified: each class has a draw of its own, seeded by the class's name, so that adding
    a class does not affect what a fraction holds out of the others. Folds are dealt out, class after class: over all
    indices each sample is held out once, and folds differ by one sample at most, as they do in each class.

    Args:
        length: number of training samples.
        fraction: fraction of the samples to hold out, in [0, 1); with labels, of each class: see ``stratified_length``.
        split_seed: seed of the draws. It is a property of the data set: every run holds out the same samples.
        labels: label of each sample, in [0, len(classes)); None if there are no classes.
        classes: names of the classes.
        groups: name of the group of each sample, none of which is divided; None if there are no groups.
        folds: the fold to hold out instead of a fraction; see ``require_folds``.

    Returns:
        Indices to train on and indices held out for validation, int64, each sorted.
    """
    import torch

    from firebox.foundation.randomness import generator

    strata: list[tuple[torch.Tensor, tuple[int | str, ...]]]
    if groups is not None:
        from firebox.data.division.groups import grouped_hold_out

        return grouped_hold_out(groups, labels, fraction, split_seed, folds=folds)
    if labels is None:
        strata = [(torch.arange(length), (length,))]
    else:
        known = torch.tensor(labels, dtype=torch.int64)
        by_class = known.argsort(stable=True).split(known.bincount(minlength=len(classes)).tolist())
        strata = [(own, (name, len(own))) for own, name in zip(by_class, classes, strict=True)]
    drawn = [
        own[torch.randperm(len(own), generator=generator(split_seed, "hold_out", *address))] for own, address in strata
    ]
    if folds is not None:
        dealt = torch.cat(drawn)
        held_out = dealt[folds.index :: folds.count]
    else:
        most = held_out_length if labels is None else stratified_length
        held_out = torch.cat([own[: most(len(own), fraction)] for own in drawn])
    kept = torch.ones(length, dtype=torch.bool)
    kept[held_out] = False
    return kept.nonzero().flatten(), held_out.sort().values


def require_folds(
    folds: Folds,
    length: int,
    *,
    labels: Sequence[int] | None = None,
    classes: Sequence[str] = (),
    groups: Sequence[str] | None = None,
) -> None:
    """Requires every fold to have something of everything; the arguments are those of ``hold_out``.

    Raises:
        DataError: there are more folds than samples, groups, or samples of a class.
    """
    most, few = length, f"there {'is' if length == 1 else 'are'} {counted(length, 'training sample')}"
    if groups is not None:
        most = len(set(groups))
        few = f"there {'is' if most == 1 else 'are'} {counted(most, 'group')}"
    elif labels:
        label, most = min(Counter(labels).items(), key=lambda item: item[1])
        few = f"the class {classes[label]} has {counted(most, 'training sample')}"
    if folds.count > most:
        way_out = f"a count of at most {most}" if most > 1 else "more of them, or validation_fraction instead"
        raise DataError(f"folds: got {folds.shown}, but {few}; expected {way_out}")


def require_undivided(folds: Folds | None, splits: Collection[str]) -> None:
    """Requires data that is to be divided into folds to have no validation split of its own.

    Raises:
        DataError: it has one.
    """
    if folds is not None and "validation" in splits:
        way_out = "leave folds out, or name nothing for validation"
        raise DataError(f"folds: got {folds.shown}, but the data has a validation split; expected {way_out}")


def held_out_length(length: int, fraction: float) -> int:
    """Returns the number of samples that a fraction holds out of ``length``; at least one remains to train on."""
    return min(round(length * fraction), max(length - 1, 0))


def stratified_length(length: int, fraction: float) -> int:
    """Returns the number of samples that a fraction holds out of a class of ``length`` samples.

    If the class has at least two samples, at least one is held out and at least one remains to train on.
    """
    return min(max(round(length * fraction), 1), max(length - 1, 0)) if fraction else 0


def number_held_out(length: int, fraction: float, folds: Folds | None, labels: torch.Tensor | None) -> int:
    """Returns the number of samples that ``hold_out`` holds out; ``labels`` are int64 (length,), or None."""
    if folds is not None:
        return folds.length(length)
    if labels is None:
        return held_out_length(length, fraction)
    return sum(stratified_length(count, fraction) for count in labels.bincount().tolist())
