"""The placement of a split's samples: on the device, in memory, or read as they are needed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch

from firebox.data.bases.datamodule import Samples
from firebox.data.declarations.data_error import DataError
from firebox.data.sources.filed import FiledImages
from firebox.data.sources.source import DatasetImages, ImageSource, RememberedImages, ResidentImages

Placement = Literal["auto", "device", "memory", "stream"]

MEMORY_BUDGET = 2 << 30
"""Bytes of images that placement auto holds at most, in memory or on a device."""


def choose_placement(
    asked: Placement, samples: Samples, *, all_bytes: Callable[[], int], workers: int, device: torch.device
) -> tuple[Placement, str]:
    """Decides where the samples of a split are held.

    Args:
        asked: placement in the configuration; only ``auto`` leaves anything to decide.
        samples: kind of samples that the data set reads.
        all_bytes: function that returns the bytes of the images of all splits, which share the budget; called only if
            the decision depends on it, because a sample may have to be read for it.
        workers: number of worker processes that read ahead.
        device: device that the batches will be moved to.

    Returns:
        A placement other than ``auto``, and the reason for it.
    """
    if asked != "auto":
        return asked, "as configured"
    if samples == "changing":
        return "stream", "they may be drawn anew each epoch"
    if samples == "prepared":
        return _of_prepared(all_bytes(), workers, device)
    if samples == "resident" and device.type == "cpu":
        return "memory", "the data set holds them there already"
    if samples == "fixed" and workers:
        return "stream", f"for {workers} workers"
    size = all_bytes()
    fits = size <= MEMORY_BUDGET
    why = f"{size >> 20:,} MiB in all splits, {'within' if fits else 'beyond'} {MEMORY_BUDGET >> 20:,}"
    if samples == "resident":
        return ("device" if fits else "memory"), why
    return ("memory" if fits else "stream"), why


def _of_prepared(size: int, workers: int, device: torch.device) -> tuple[Placement, str]:
    """Decides for samples that were decoded beforehand, which are read as fast as from memory."""
    fits = size <= MEMORY_BUDGET
    why = f"{size >> 20:,} MiB in all splits, decoded beforehand"
    if fits and device.type == "cuda":
        return "device", why
    slower = f", which {workers} worker{'s' if workers > 1 else ''} would only delay" if workers else ""
    return ("memory" if fits else "stream"), f"{why}, read from their file{slower}"


def samples_of(source: ImageSource) -> Samples:
    """Returns the kind of samples that a source holds."""
    if isinstance(source, ResidentImages):
        return "resident"
    if isinstance(source, FiledImages):
        return "prepared"
    return "fixed" if isinstance(source, DatasetImages) and source.fixed else "changing"


def hold(source: ImageSource, placement: Placement, device: torch.device, *, at_once: bool) -> ImageSource:
    """Puts the samples of a split where its placement says.

    Args:
        source: source of the samples.
        placement: placement as decided by ``choose_placement``.
        device: device that the placement ``device`` refers to.
        at_once: whether to read samples that are to be held in memory now; otherwise each is kept once it is read, and
            those that were decoded beforehand stay in their file.

    Returns:
        The source to gather from.

    Raises:
        DataError: samples that may change can't be held.
    """
    if placement == "stream":
        return source
    if isinstance(source, FiledImages):
        if placement == "memory" and not at_once:
            return source
        source = source.all()
    if isinstance(source, DatasetImages) and source.fixed:
        remembered = RememberedImages(source)
        if placement == "memory" and not at_once:
            return remembered
        source = remembered.all()
    if not isinstance(source, ResidentImages):
        raise DataError(
            f"placement: got {placement}, but the samples may be drawn anew each epoch; expected auto or stream "
            "(a data set whose samples never change says so: DatasetImages(..., fixed=True))"
        )
    return source.to(device) if placement == "device" else source
