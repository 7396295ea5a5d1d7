"""How images lie in an array, and what the targets in an array are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, cast

from firebox.data.containers.array_files import ArrayFile
from firebox.data.declarations.data_error import DataError
from firebox.data.declarations.target_settings import TargetKind

if TYPE_CHECKING:
    import torch

    from firebox.data.decoding.decoding import Dtype

Order = Literal["NCHW", "NHWC"]
HELD = ("uint8", "uint16", "float32")
"""The dtypes in which images are read, as numpy names them."""
FEW_CHANNELS = (1, 3, 4)
"""Numbers of channels by which the order of an array's axes is told."""


@dataclass(frozen=True, slots=True)
class ImageLayout:
    """How images lie in an array.

    Args:
        shape: (C, H, W) of an image.
        dtype: name of their dtype.
        channels_last: whether the channels are the array's last axis.
    """

    shape: tuple[int, int, int]
    dtype: Dtype
    channels_last: bool

    def images(self, taken: torch.Tensor) -> torch.Tensor:
        """Returns samples as they were taken from the array as images (n, C, H, W), without a copy."""
        from firebox.data.sources.source import as_images

        channels, height, width = self.shape
        if self.channels_last:
            return as_images(taken.view(-1, height, width, channels))
        return taken.view(-1, channels, height, width)


def layout_of(file: ArrayFile, setting: str, order: Order | None) -> ImageLayout:
    """Returns how images lie in an array.

    Args:
        file: the array.
        setting: the setting that names it, for messages.
        order: order of its axes; None to tell it by the number of channels.

    Raises:
        DataError: it holds no images that can be used, or the order can't be told.
    """
    dtype, axes = cast("Dtype", file.dtype.name), file.shape[1:]
    if dtype not in HELD:
        way_out = "uint8 in 0..255" if dtype.startswith(("int", "uint", "bool")) else "float32"
        raise DataError(f"{setting}: got {file.described}, expected uint8, uint16 or float32; save it as {way_out}")
    if len(axes) == 2:
        return ImageLayout((1, *axes), dtype, channels_last=False)
    if len(axes) != 3:
        raise DataError(f"{setting}: got {file.described}, expected (N, H, W), (N, C, H, W) or (N, H, W, C)")
    if order is None:
        first, last = axes[0] in FEW_CHANNELS, axes[2] in FEW_CHANNELS
        if first == last:
            raise DataError(
                f"layout: {file.described} may have its channels first or last, expected to be told which: "
                "layout: NCHW, or layout: NHWC"
            )
        order = "NCHW" if first else "NHWC"
    shape = axes if order == "NCHW" else (axes[2], axes[0], axes[1])
    return ImageLayout((shape[0], shape[1], shape[2]), dtype, channels_last=order == "NHWC")


def kind_of(file: ArrayFile, kind: TargetKind | None, layout: ImageLayout, *, named: bool) -> TargetKind:
    """Returns what the targets in an array are.

    Args:
        file: the array.
        kind: what the settings say; None to tell it by the array's shape and dtype.
        layout: how the images lie in theirs.
        named: whether the settings name classes.

    Raises:
        DataError: the array can't be that, or it can't be told.
    """
    if kind is None:
        kind = _told(file, named=named)
        if kind is None:
            raise DataError(f"target: {file.described} may be several things, expected to be told: {_choices(file)}")
    expected = _expected(kind, layout)
    if expected is not None and not _fits(file, kind, layout):
        raise DataError(f"targets: got {file.described}, expected {expected} for the target {kind}")
    return kind


def _told(file: ArrayFile, *, named: bool) -> TargetKind | None:
    axes, dtype = file.shape[1:], file.dtype.kind
    if len(axes) < 2:
        if dtype == "f":
            return "values"
        if axes in ((), (1,)):
            return "class" if dtype != "b" else None
        return "labels" if dtype == "b" else None
    if len(axes) == 3 or dtype == "f":
        return "image"
    return "mask" if named else None


def _choices(file: ArrayFile) -> str:
    axes = file.shape[1:]
    if len(axes) >= 2:
        return "target: mask with its classes, or target: image"
    return "target: labels or target: values" if axes else "target: class, target: labels or target: values"


def _expected(kind: TargetKind, layout: ImageLayout) -> str | None:
    """Says what an array of targets has to be; None if that is left to ``layout_of``."""
    _, height, width = layout.shape
    return {
        "class": "integers (N,)",
        "labels": "0 and 1 (N, labels)",
        "values": "numbers (N,) or (N, values)",
        "mask": f"uint8 or bool (N, {height}, {width}), as the images are",
        "none": "no targets",
    }.get(kind)


def _fits(file: ArrayFile, kind: TargetKind, layout: ImageLayout) -> bool:
    axes, dtype = file.shape[1:], file.dtype
    if kind == "class":
        return axes in ((), (1,)) and dtype.kind in "iu"
    if kind in ("labels", "values"):
        return len(axes) <= 1
    if kind == "mask":
        plane = layout.shape[1:]
        return axes in (plane, (1, *plane), (*plane, 1)) and dtype.name in ("uint8", "bool")
    return False
