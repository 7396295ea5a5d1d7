"""The face that every finite data set shows to the engine."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from firebox.data.data_error import DataError as DataError
from firebox.data.specification import ImageSpecification

if TYPE_CHECKING:
    import torch

    from firebox.data.source import ImageSource

Split = Literal["train", "validation", "test"]

Samples = Literal["resident", "fixed", "changing"]
"""Of a split that was read: in memory already, the same whenever they are read, or possibly drawn anew each epoch."""


class DataModule(ABC):
    """A finite data set, its splits and its preprocessing.

    The keyword parameters of a subclass's constructor are its settings in a configuration. Constructing one reads
    nothing: ``specification`` and ``split_lengths`` answer from what is known beforehand.
    """

    reads: ClassVar[Samples] = "fixed"
    """What ``read`` gives; the memory that a run takes is estimated from it, before anything is read."""

    @property
    @abstractmethod
    def specification(self) -> ImageSpecification:
        """Shape, range and classes of the samples."""

    @property
    @abstractmethod
    def split_lengths(self) -> dict[Split, int]:
        """How many samples each split has. A split that is absent or 0 does not exist."""

    @abstractmethod
    def read(self, split: Split) -> ImageSource:
        """Reads a split.

        Raises:
            DataError: the files are not there; the message says which, where to put them, and what needs none.
        """

    def missing(self) -> str | None:
        """Says in one text which files are missing and where to put them; None: everything is there."""
        return None


def hold_out(length: int, fraction: float, split_seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Divides ``length`` training samples by a fixed, seeded draw.

    Args:
        length: how many training samples there are.
        fraction: the share to hold out, in [0, 1).
        split_seed: selects the draw. It belongs to the data set, not to the run: every run holds out the same samples.

    Returns:
        Indices to train on and indices held out for validation, int64, each sorted.
    """
    import torch

    from firebox.foundation.randomness import generator

    order = torch.randperm(length, generator=generator(split_seed, "hold_out", length))
    held_out = held_out_length(length, fraction)
    return order[held_out:].sort().values, order[:held_out].sort().values


def stratified_hold_out(
    labels: Sequence[int], classes: Sequence[str], fraction: float, split_seed: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Divides labelled training samples class by class, each by a fixed, seeded draw.

    Args:
        labels: the label of each sample, in [0, len(classes)).
        classes: the names of the classes. A name is part of its class's draw: a class that is added changes no other.
        fraction: the share of each class to hold out, in [0, 1); see ``stratified_length``.
        split_seed: selects the draws. It belongs to the data set, not to the run.

    Returns:
        Indices to train on and indices held out for validation, int64, each sorted.
    """
    import torch

    from firebox.foundation.randomness import generator

    known = torch.tensor(labels, dtype=torch.int64)
    kept, held_out = [], []
    for label, name in enumerate(classes):
        own = (known == label).nonzero().flatten()
        order = torch.randperm(len(own), generator=generator(split_seed, "hold_out", name, len(own)))
        length = stratified_length(len(own), fraction)
        held_out.append(own[order[:length]])
        kept.append(own[order[length:]])
    return torch.cat(kept).sort().values, torch.cat(held_out).sort().values


def stratified_length(length: int, fraction: float) -> int:
    """Returns how many of a class's ``length`` samples ``stratified_hold_out`` holds out.

    Where there are two samples or more, at least one is held out and at least one stays to train on.
    """
    return min(max(round(length * fraction), 1), max(length - 1, 0)) if fraction else 0


def held_out_length(length: int, fraction: float) -> int:
    """Returns how many of ``length`` samples ``hold_out`` holds out; at least one stays to train on."""
    return min(round(length * fraction), max(length - 1, 0))


EMBEDDED = "The data set fashion_mini is embedded and needs no files: --set 'datamodule={name: fashion_mini}'"
"""The way out where a data set's files are missing; the whole section, as others have other parameters."""


def require_files(root: Path, names: list[str], *, name: str, source: str) -> str | None:
    """Returns a text that names the missing files under ``root``, or None where all are there.

    Args:
        root: the folder that they belong in.
        names: file names below it.
        name: the data set's short name.
        source: one line on where the files can be had.
    """
    absent = [file for file in names if not (root / file).is_file()]
    if not absent:
        return None
    return (
        f"{name}: {len(absent)} of {len(names)} files are missing in {root}: {', '.join(absent)}. {source} {EMBEDDED}"
    )
