"""The embedded data set: a class-balanced part of Fashion-MNIST."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from firebox.data.bases.published import PublishedImages
from firebox.data.declarations.data_error import DataError
from firebox.data.declarations.specification import PixelRange
from firebox.data.division.folds import FoldSettings
from firebox.data.fashion_mnist import FASHION_CLASSES

if TYPE_CHECKING:
    import torch

    from firebox.data.containers.idx import Part

FOLDER = Path(__file__).parent / "assets" / "fashion_mini"


class FashionMini(PublishedImages):
    """6,000 training and 1,000 test images of Fashion-MNIST, 600 and 100 of each class; needs no files from elsewhere.

    Xiao, Rasul and Vollgraf, "Fashion-MNIST: a Novel Image Dataset for Benchmarking Machine Learning Algorithms", 2017.

    Args:
        validation_fraction: fraction of the training images held out for validation, in [0, 1).
        split_seed: seed of the draw that selects them; a property of the data, not of the run.
        folds: count, and index from 0, of stratified folds of the training images; that fold is held out instead of a
            fraction. null for a fraction.
        pixel_range: range of the pixels that the model sees.
    """

    name = "fashion_mini"
    shape = (1, 28, 28)
    classes = FASHION_CLASSES
    train_length = 6000
    test_length = 1000

    def __init__(
        self,
        *,
        validation_fraction: Annotated[float, Field(ge=0, lt=1)] = 0.1,
        split_seed: int = 0,
        folds: FoldSettings | None = None,
        pixel_range: PixelRange = "[0,1]",
    ) -> None:
        super().__init__(
            validation_fraction=validation_fraction, split_seed=split_seed, folds=folds, pixel_range=pixel_range
        )

    def missing(self) -> str | None:
        from firebox.data.containers.idx import FILES

        absent = [name for name in FILES if not (FOLDER / name).is_file()]
        if not absent:
            return None
        return (
            f"fashion_mini: {', '.join(absent)} missing in {FOLDER}: the installation is not whole. "
            "Restore data/assets/fashion_mini from the repository"
        )

    def _read_part(self, part: Part) -> tuple[torch.Tensor, torch.Tensor]:
        from firebox.data.containers.idx import read_labelled

        text = self.missing()
        if text is not None:
            raise DataError(text)
        return read_labelled(FOLDER, part)
