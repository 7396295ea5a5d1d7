"""The same face over synthetic, unbounded data."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

from data.datamodule import DataModule, Split

if TYPE_CHECKING:
    import torch

    from data.source import ImageSource


class DataGenerator(DataModule):
    """Synthetic data: sample i of a split is a pure function of (seed, split, i), for any i.

    Args:
        train_length: how many samples an epoch trains on; each epoch draws new ones.
        validation_length: how many samples validation sees, the same ones each time.
        test_length: how many samples the test sees.
        seed: selects the data; it belongs to the data, not to the run.
    """

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
            split: part of the seed: splits never share samples.
            indices: int64 of shape (n,), any values from 0.

        Returns:
            Images (n, C, H, W) uint8 and labels (n,) int64 (None: no labels).
        """

    def read(self, split: Split) -> ImageSource:
        from data.generated import GeneratedImages

        return GeneratedImages(self, split)
