"""Which columns of a table hold the images and the targets, and what the targets are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from firebox.data.declarations.data_error import DataError
from firebox.data.declarations.target_settings import TargetKind
from firebox.foundation.problems import listed, shown, similar


class Columns(NamedTuple):
    """What the columns of a table are.

    Attributes:
        image: column of the images.
        target: column of the targets; None for none.
        kind: what the targets are.
        names: names of the classes or labels that the column's type has; empty if it has none.
    """

    image: str
    target: str | None
    kind: TargetKind
    names: tuple[str, ...]


def columns_of(
    features: Mapping[str, Any], table: str, image: str | None, target: str | None, kind: TargetKind | None
) -> Columns:
    """Returns which columns to read, as settings say or as their types tell.

    Args:
        features: the type of each column, as ``datasets`` has it.
        table: what messages call the table.
        image: column of the images; None to tell it.
        target: column of the targets; None to tell it.
        kind: what the targets are; None to tell it.

    Raises:
        DataError: there is no such column, or it can't be told.
    """
    for setting, column in (("images", image), ("targets", target)):
        if column is not None and column not in features:
            known = listed(list(features), 20)
            raise DataError(
                f"{setting}: {table} has no column {shown(column)}{similar(column, features)}; it has {known}"
            )
    image = image or _only(features, "Image", "images", table)
    if image is None:
        raise DataError(f"images: {table} has no column of images among {listed(list(features), 20)}; name one")
    _require_images("images", image, features[image])
    if target == image:
        raise DataError(f"targets: got {target}, which are the images, expected another column")
    if kind == "none":
        if target is not None:
            raise DataError(f"targets: got {target} for the target none, expected null")
        return Columns(image, None, "none", ())
    if target is None:
        if kind not in (None, "class"):
            raise DataError(f"targets: not given, expected the column of the target {kind}")
        target = _only(features, "ClassLabel", "targets", table)
        if target is None:
            if kind is not None:
                raise DataError(f"targets: {table} has no column of classes, expected its name")
            return Columns(image, None, "none", ())
    feature = features[target]
    if kind is None:
        kind = _told(feature)
        if kind is None:
            raise DataError(f"target: the column {target} is {shown(feature)}, expected to be told what it means")
    if kind in ("mask", "image"):
        _require_images("targets", target, feature)
    named = feature if hasattr(feature, "names") else getattr(feature, "feature", None)
    return Columns(image, target, kind, tuple(getattr(named, "names", None) or ()))


def _require_images(setting: str, column: str, feature: Any) -> None:
    """Requires a column to hold encoded images."""
    encoded = type(feature).__name__ == "Image" or (isinstance(feature, dict) and "bytes" in feature)
    if not encoded and getattr(feature, "dtype", "") not in ("binary", "large_binary"):
        raise DataError(
            f"{setting}: the column {column} is {shown(feature)}, expected encoded images: Image, or binary"
        )


def _only(features: Mapping[str, Any], kind: str, setting: str, table: str) -> str | None:
    """Returns the only column of a type; None if there is none."""
    found = [name for name, feature in features.items() if type(feature).__name__ == kind]
    if len(found) > 1:
        none = ", or target: none" if setting == "targets" else ""
        raise DataError(f"{setting}: {table} has {listed(found, 20)}, expected to be told which{none}")
    return found[0] if found else None


def _told(feature: Any) -> TargetKind | None:
    """Returns what a column's type tells of the targets."""
    if type(feature).__name__ == "ClassLabel":
        return "class"
    inner = getattr(feature, "feature", None)
    if type(inner).__name__ == "ClassLabel":
        return "labels"
    return "values" if str(getattr(inner or feature, "dtype", "")).startswith("float") else None
