"""The interface of a data set over synthetic, unbounded data."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar

from firebox.data.bases.datamodule import DataModule, Samples, Split

if TYPE_CHECKING:
    import torch

    from firebox.data.sources.source import ImageSource


class DataGenerator(DataModule):
    """Synthetic data: sample i of a split is a pure function of (seed, split, i), for any i.

    Args:
        train_length: number of training samples per epoch; each epoch draws new ones.
        validation_length: number of validation samples, the same ones each time.
        test_length: number of test samples.
        seed: seed of the data; a property of the data, not of the run.
    """

    reads: ClassVar[Samples] = "changing"

    def __init__(self, *, train_length: int, validation_length: int, test_length: int, seed: int) -> None:
        self._lengths: dict[Split, int] = {
            "train": train_length,
            "validation": validation_length,
            "test": test_length,
        }
        self.seed = seed

    @property
    def split_lengths(self) -> dict[Split, int]:
        return self._lengths

    @abstractmethod
    def sample(self, split: Split, indices: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Draws samples by index.

        Args:
            split: part of the seed, so that splits never share samples.
            indices: int64 of shape (n,), any non-negative values.

        Returns:
            Images (n, C, H, W) uint8, and targets (n, ...) as the specification says, such as classes (n,) int64;
            None if there are none.
        """

    def read(self, split: Split) -> ImageSource:
        return GeneratedImages(self, split)


class GeneratedImages:
    """The samples of one split of a datagenerator.

    Training never sees a sample twice: index i of epoch e is sample ``e * length + i``. The other splits are the
    same in every epoch.
    """

    def __init__(self, generator: DataGenerator, split: Split) -> None:
        self._generator = generator
        self._split: Split = split

    def __len__(self) -> int:
        return self._generator.split_lengths[self._split]

    def gather(
        self, indices: torch.Tensor, *, seed: int = 0, epoch: int = 0
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        if self._split == "train":
            indices = indices + epoch * len(self)
        return self._generator.sample(self._split, indices)
