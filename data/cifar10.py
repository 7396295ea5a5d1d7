"""CIFAR-10: small colour photographs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from firebox.data.bases.published import DownloadedImages
from firebox.data.declarations.data_error import DataError

if TYPE_CHECKING:
    import torch

    from firebox.data.containers.idx import Part

FOLDER = "cifar-10-batches-py"


class CIFAR10(DownloadedImages):
    """50,000 training and 10,000 test photographs of 32 x 32 pixels in ten classes.

    Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009.
    """

    name = "cifar10"
    shape = (3, 32, 32)
    classes = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
    train_length = 50000
    test_length = 10000
    files = (
        *(f"{FOLDER}/data_batch_{number}" for number in range(1, 6)),
        f"{FOLDER}/test_batch",
        f"{FOLDER}/batches.meta",
    )
    default_root = "datasets/cifar10"
    origin = "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz"
    torchvision_name = "CIFAR10"

    def _read_files(self, folder: Path, part: Part) -> tuple[torch.Tensor, torch.Tensor]:
        import torch
        import torchvision.datasets

        try:
            # The files are pickles: torchvision compares them with their published MD5 before it opens them.
            files = torchvision.datasets.CIFAR10(folder, train=part == "train")
        except (OSError, RuntimeError) as error:
            raise DataError(
                f"cifar10: a file in {folder / FOLDER} is not as published, the file may be torn"
            ) from error
        images = torch.from_numpy(files.data).permute(0, 3, 1, 2)
        return images, torch.tensor(files.targets, dtype=torch.int64)
