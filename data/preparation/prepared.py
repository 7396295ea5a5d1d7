"""The samples of a split that were decoded beforehand."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from firebox.data.cache.sample_file import SampleFile, Unusable, bytes_of
from firebox.data.decoding.image_files import ImageFiles
from firebox.data.sources.batch import labels_of
from firebox.data.sources.filed import FiledImages
from firebox.data.sources.source import as_images

LARGE = 1 << 16
"""Bytes of a sample from which on batches are read by a thread beside the training."""


class PreparedImages(FiledImages):
    """The samples of a split, read from a file of samples that were decoded beforehand.

    A sample whose record is damaged is decoded from its own file.

    Args:
        kept: the file of the samples of all splits.
        files: the files that they were decoded from.
        positions: positions of the split's samples in both, int64 (N,).
    """

    def __init__(self, kept: SampleFile, files: ImageFiles, positions: torch.Tensor) -> None:
        self._kept: SampleFile | None = kept
        self._files = files
        self._positions = positions
        self._listed: torch.Tensor | None = None
        if files.targets:
            self._listed = torch.tensor(files.targets, dtype=torch.int64)[positions]
        elif files.values:
            self._listed = torch.tensor(files.values, dtype=torch.float32)[positions]
        self.path: Path = kept.path

    @property
    def labels(self) -> torch.Tensor | None:
        """All samples' labels, int64 of shape (N,); None if there are none."""
        return labels_of(self._listed)

    @property
    def beside(self) -> bool:
        # Of smaller samples, passing Python's lock to and fro takes longer than reading them.
        return sum(column.nbytes for column in self._files.decoder.columns) >= LARGE

    def __len__(self) -> int:
        return len(self._positions)

    def gather(
        self, indices: torch.Tensor, *, seed: int = 0, epoch: int = 0
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        pixels, targets = self._read(indices)
        if targets is None and self._listed is not None:
            targets = self._listed[indices]
        return as_images(pixels), targets

    def _read(self, indices: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Reads pixels (n, H, W, C), and targets (n, ...) if they were decoded from files, too."""
        positions, columns = self._positions[indices], self._files.decoder.columns
        if self._kept is None:
            records = torch.empty(len(indices), sum(column.nbytes for column in columns), dtype=torch.uint8)
            wrong = list(range(len(indices)))
        else:
            records, wrong = self._kept.read(positions)
        for k in wrong:
            content = bytes_of(*self._files.record(int(positions[k])))
            records[k] = torch.frombuffer(bytearray(content), dtype=torch.uint8)
        parts, begin = [], 0
        for column in columns:
            part = records[:, begin : begin + column.nbytes].contiguous()
            parts.append(part.view(getattr(torch, column.dtype)).view(-1, *column.shape))
            begin += column.nbytes
        return parts[0], parts[1] if len(parts) > 1 else None

    def __getstate__(self) -> dict[str, Any]:
        key = None if self._kept is None else self._kept.layout.key
        return {**self.__dict__, "_kept": key}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        key, self._kept = state["_kept"], None
        if key is not None:
            with suppress(OSError, Unusable):  # without it, the samples are decoded from their files
                self._kept = SampleFile(self.path, key)
