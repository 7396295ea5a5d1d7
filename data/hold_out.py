"""The division of training samples into those to train on and those held out for validation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from firebox.data.data_error import DataError
from firebox.foundation.problems import counted, shown

if TYPE_CHECKING:
    import torch

USUAL_FRACTION = 0.1
"""The ``validation_fraction`` of data sets that are given none."""

FoldSettings = Annotated[
    dict[Literal["count", "index"], int], Field(title="a map of count and index, such as {count: 5, index: 0}")
]
"""``folds`` as the configuration has it."""


@dataclass(frozen=True, slots=True)
class Folds:
    """One of several divisions of the same samples, each of which validates on other ones.

    Args:
        count: number of folds, at least 2.
        index: fold that is validated on, in [0, count).
    """

    count: int
    index: int

    def length(self, samples: int) -> int:
        """Returns the number of samples of the fold, of so many that are dealt out."""
        return len(range(self.index, samples, self.count))

    @property
    def shown(self) -> str:
        return f"{{count: {self.count}, index: {self.index}}}"


def folds_of(given: Mapping[Literal["count", "index"], int] | None, validation_fraction: float) -> Folds | None:
    """Returns the folds that the settings of a data set ask for; None if they ask for none.

    Raises:
        ValueError: there are no such folds, or a fraction is to be held out as well.
    """
    if given is None:
        return None
    if given.keys() != {"count", "index"}:
        raise ValueError(f"folds: got {shown(dict(given))}, expected both count and index: {{count: 5, index: 0}}")
    folds = Folds(given["count"], given["index"])
    if folds.count < 2:
        raise ValueError(f"folds: got {folds.shown}, expected a count of 2 or more")
    if not 0 <= folds.index < folds.count:
        raise ValueError(f"folds: got {folds.shown}, expected an index from 0 to {folds.count - 1}")
    if validation_fraction not in (0, USUAL_FRACTION):
        raise ValueError(
            f"validation_fraction: got {validation_fraction:g} beside folds, one of which is validated on; expected "
            "one of the two: leave validation_fraction out or set it to 0, or leave folds out"
        )
    return folds


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
        from firebox.data.groups import grouped_hold_out

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


def held_out_length(length: int, fraction: float) -> int:
    """Returns the number of samples that a fraction holds out of ``length``; at least one remains to train on."""
    return min(round(length * fraction), max(length - 1, 0))


def stratified_length(length: int, fraction: float) -> int:
    """Returns the number of samples that a fraction holds out of a class of ``length`` samples.

    If the class has at least two samples, at least one is held out and at least one remains to train on.
    """
    return min(max(round(length * fraction), 1), max(length - 1, 0)) if fraction else 0
