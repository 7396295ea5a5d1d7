"""Targets as settings declare them, and single targets as files give them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import PositiveInt

from firebox.data.declarations.specification import ImageSpecification
from firebox.data.declarations.target_image import TargetImage
from firebox.data.declarations.targets import Classes, Labels, Mask, Target, Values
from firebox.foundation.problems import in_one_line, shown

TargetKind = Literal["none", "class", "labels", "values", "mask", "image"]
Names = PositiveInt | list[str]
"""Names of classes, labels or values, or the number of them."""

NAMED = ("class", "labels", "values", "mask")
"""Kinds of targets that consist of named parts."""


def names_of(given: int | Sequence[str] | None) -> tuple[str, ...]:
    """Returns the names that a setting gives; of a number, the numbers from 0 on.

    Raises:
        ValueError: a name is given twice, or is empty.
    """
    if given is None:
        return ()
    names = tuple(map(str, range(given))) if isinstance(given, int) else tuple(given)
    if len(set(names)) < len(names) or "" in names or not names:
        raise ValueError(f"classes: got {shown(given)}, expected a number, or names that differ")
    return names


def target_of(
    kind: TargetKind, names: tuple[str, ...], *, ignored: int | None = None, image: ImageSpecification | None = None
) -> Target | None:
    """Returns the target that settings declare; None for "none".

    Args:
        kind: its kind.
        names: names of its classes, labels or values.
        ignored: pixel value of a mask that is left out, in 0..255.
        image: specification of the images that are the targets, where they are.

    Raises:
        ValueError: the names are missing.
    """
    if ignored is not None and kind != "mask":
        raise ValueError(f"ignored: got {ignored} for the target {kind}, expected it for a mask alone")
    if kind == "none":
        return None
    if kind == "image":
        assert image is not None
        return TargetImage(image)
    if not names:
        what = {"class": "classes", "labels": "labels", "values": "values", "mask": "classes"}[kind]
        raise ValueError(f"classes: not given, expected the number of {what} or their names, for the target {kind}")
    if kind == "mask":
        if len(names) > 256:
            raise ValueError(f"classes: got {len(names)}, expected 256 at most for a mask")
        return Mask(names, ignored)
    if kind == "class":
        return Classes(names)
    return Labels(names) if kind == "labels" else Values(names)


def target_from(value: Any, target: Target) -> Any:
    """Returns one target, as a file or a table gives it, in the form in which batches of it are read.

    Args:
        value: a class as its number or name; a number, or several in a sequence; labels as 0 and 1 for each, or as the
            names of those that hold.
        target: what it is declared to be: classes, labels or values.

    Raises:
        ValueError: it is something else.
    """
    import torch

    if isinstance(target, Classes):
        return _number(value, target.names)
    assert isinstance(target, Labels | Values)
    values = list(value) if isinstance(value, list | tuple) or hasattr(value, "tolist") else [value]
    if isinstance(target, Labels) and all(isinstance(v, str) for v in values):
        found = torch.zeros(len(target.names))
        found[[_number(v, target.names) for v in values]] = 1
        return found
    try:
        numbers = torch.tensor([float(v) for v in values])
    except (TypeError, ValueError) as error:
        raise ValueError(f"got {shown(value)}, expected numbers: {in_one_line(error)}") from None
    if len(numbers) != len(target.names):
        raise ValueError(f"got {shown(value)}, expected {len(target.names)} numbers: {target.described}")
    return numbers


def _number(value: Any, names: tuple[str, ...]) -> int:
    """Returns the number of a class or label that is given by its number or its name."""
    if isinstance(value, str) and value in names:
        return names.index(value)
    try:
        number = int(value)
        if number == float(value) and 0 <= number < len(names):
            return number
    except (TypeError, ValueError, OverflowError):
        pass
    raise ValueError(f"got {shown(value)}, expected a number from 0 to {len(names) - 1}, or one of their names")
