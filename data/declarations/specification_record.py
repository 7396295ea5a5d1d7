"""Specifications as plain data, for a record that outlives the data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from firebox.data.declarations.specification import ImageSpecification
from firebox.data.declarations.target_image import TargetImage
from firebox.data.declarations.targets import Classes, Labels, Mask, Target, Values

NAMED: dict[str, type[Classes] | type[Labels]] = {known.kind: known for known in (Classes, Labels)}
"""By kind, the targets that consist of names alone."""


def plain_specification(specification: ImageSpecification) -> dict[str, Any] | None:
    """Returns a specification as JSON can hold it; None if its target is of a class that only a user's code knows."""
    target: dict[str, Any] | None = None
    if isinstance(specification.target, TargetImage):
        inner = plain_specification(specification.target.specification)
        target = {"kind": "image", "specification": inner}
        if inner is None:
            return None
    elif specification.target is not None:
        known = type(specification.target)
        if known not in (*NAMED.values(), Values, Mask):
            return None
        target = {"kind": known.kind, "names": list(specification.target.names)}  # type: ignore[attr-defined]
        if isinstance(specification.target, Mask):
            target["ignored"] = specification.target.ignored
        if isinstance(specification.target, Values):
            target |= {"mean": list(specification.target.mean), "std": list(specification.target.std)}
    value_range = specification.value_range
    return {
        "shape": list(specification.shape),
        "pixel_range": specification.pixel_range,
        "mean": list(specification.mean),
        "std": list(specification.std),
        "value_range": None if value_range is None else list(value_range),
        "target": target,
    }


def specification_from(plain: Mapping[str, Any]) -> ImageSpecification:
    """Returns the specification that ``plain_specification`` made plain.

    Raises:
        ValueError, LookupError, TypeError: it is not one.
    """
    channels, height, width = plain["shape"]
    value_range = plain["value_range"]
    return ImageSpecification(
        (int(channels), int(height), int(width)),
        plain["pixel_range"],
        mean=tuple(plain["mean"]),
        std=tuple(plain["std"]),
        value_range=None if value_range is None else (value_range[0], value_range[1]),
        target=None if plain["target"] is None else _target(plain["target"]),
    )


def _target(plain: Mapping[str, Any]) -> Target:
    kind = plain["kind"]
    if kind == "image":
        return TargetImage(specification_from(plain["specification"]))
    names = tuple(plain["names"])
    if kind == "values":  # records of before values could be standardised have no moments
        return Values(names, tuple(plain.get("mean", ())), tuple(plain.get("std", ())))
    return Mask(names, plain["ignored"]) if kind == "mask" else NAMED[kind](names)
