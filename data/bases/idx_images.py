"""Data sets published in the format of MNIST: four idx files of 28 x 28 grey pixels."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from firebox.data.bases.published import DownloadedImages
from firebox.data.containers.idx import FILES, read_labelled

if TYPE_CHECKING:
    import torch

    from firebox.data.containers.idx import Part


class IdxImages(DownloadedImages):
    """60,000 training and 10,000 test images of 28 x 28 grey pixels."""

    shape = (1, 28, 28)
    train_length = 60000
    test_length = 10000
    files = FILES

    def _read_files(self, folder: Path, part: Part) -> tuple[torch.Tensor, torch.Tensor]:
        return read_labelled(folder, part)
