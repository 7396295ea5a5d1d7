"""What a data set consists of: the files of its samples, known before any of them is decoded."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, TypeVar

Split = Literal["train", "validation", "test"]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class TargetFiles:
    """The file of each sample's target.

    Args:
        names: path of each file below the data's folder, with forward slashes.
        sizes: size of each file in bytes.
        changed: time of the last change of each file, in nanoseconds since 1970.
    """

    names: Sequence[str]
    sizes: Sequence[int]
    changed: Sequence[int]


@dataclass(frozen=True, slots=True)
class Listing:
    """The files of a data set: one for each sample, in the order of the samples, or files that hold many each.

    Args:
        root: folder that the files are below.
        names: path of each file below the root, with forward slashes.
        sizes: size of each file in bytes.
        changed: time of the last change of each file, in nanoseconds since 1970.
        labels: label of each sample, an index into ``classes``; empty if there are no classes.
        classes: names of the classes.
        splits: positions of the samples that the folder assigns to each split, ascending.
        notes: what was left out and why; a sentence each, printable.
        warnings: what may not be meant, such as a class without images in a split; a sentence each, printable.
        values: numbers of each sample that are its target, such as values to regress; empty if there are none.
        targets: file of each sample's target, such as a mask; None if there are none.
        held: what is known of the samples that each file holds, as a digest or a text; None if each file is a sample.
        groups: name of the group that each sample belongs to, such as a patient; empty if there are none.
    """

    root: Path
    names: Sequence[str]
    sizes: Sequence[int]
    changed: Sequence[int]
    labels: Sequence[int]
    classes: tuple[str, ...]
    splits: Mapping[Split, Sequence[int]]
    notes: Sequence[str] = field(default=())
    warnings: Sequence[str] = field(default=())
    values: Sequence[tuple[float, ...]] = field(default=())
    targets: TargetFiles | None = None
    held: Sequence[str] | None = None
    groups: Sequence[str] = field(default=())

    def __len__(self) -> int:
        return len(self.names)

    def part(self, splits: Mapping[Split, Sequence[int]]) -> Listing:
        """Returns the listing of some of the samples, in the same order.

        Args:
            splits: positions of the samples that each split is to have.
        """
        kept = sorted({position for positions in splits.values() for position in positions})
        place = {position: number for number, position in enumerate(kept)}

        def own(values: Sequence[T]) -> list[T]:
            return [values[position] for position in kept] if values else []

        targets = self.targets
        if targets is not None:
            targets = TargetFiles(own(targets.names), own(targets.sizes), own(targets.changed))
        return replace(
            self,
            names=own(self.names),
            sizes=own(self.sizes),
            changed=own(self.changed),
            labels=own(self.labels),
            splits={split: sorted(place[position] for position in positions) for split, positions in splits.items()},
            values=own(self.values),
            targets=targets,
            held=None if self.held is None else own(self.held),
            groups=own(self.groups),
        )

    def files_of(self, position: int) -> tuple[Path, ...]:
        """Returns the files of a sample: its image, and its target if that is a file."""
        return tuple(map(Path, self.paths_of(position)))

    def paths_of(self, position: int) -> tuple[str, ...]:
        """Returns the paths of the files of a sample; a ``Path`` takes longer than a small file does to be read."""
        names = (self.names,) if self.targets is None else (self.names, self.targets.names)
        return tuple(os.path.join(self.root, each[position]) for each in names)  # noqa: PTH118

    def labels_of(self, positions: Sequence[int]) -> list[int]:
        """Returns the labels of some samples; an empty list if there are no classes."""
        return [self.labels[position] for position in positions] if self.classes else []
