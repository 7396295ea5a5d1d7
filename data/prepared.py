"""The samples of a split that were decoded beforehand."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from firebox.data.filed import FiledImages
from firebox.data.image_files import ImageFiles
from firebox.data.sample_file import SampleFile, Unusable
from firebox.data.source import as_images


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
        self._labels = torch.tensor(files.targets, dtype=torch.int64)[positions] if files.targets else None
        self.path: Path = kept.path

    @property
    def labels(self) -> torch.Tensor | None:
        """All samples' labels, int64 of shape (N,); None if there are none."""
        return self._labels

    def __len__(self) -> int:
        return len(self._positions)

    def gather(
        self, indices: torch.Tensor, *, seed: int = 0, epoch: int = 0
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        return as_images(self._pixels(indices)), None if self._labels is None else self._labels[indices]

    def _pixels(self, indices: torch.Tensor) -> torch.Tensor:
        """Reads pixels, uint8 (n, H, W, C)."""
        positions = self._positions[indices]
        channels, height, width = self._files.decoder.shape
        if self._kept is None:
            records = torch.empty(len(indices), height * width * channels, dtype=torch.uint8)
            wrong = list(range(len(indices)))
        else:
            records, wrong = self._kept.read(positions)
        pixels = records.view(len(indices), height, width, channels)
        for k in wrong:
            pixels[k] = self._files.image(int(positions[k])).permute(1, 2, 0)
        return pixels

    def __getstate__(self) -> dict[str, Any]:
        key = None if self._kept is None else self._kept.layout.key
        return {**self.__dict__, "_kept": key}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        key, self._kept = state["_kept"], None
        if key is not None:
            with suppress(OSError, Unusable):  # without it, the samples are decoded from their files
                self._kept = SampleFile(self.path, key)
