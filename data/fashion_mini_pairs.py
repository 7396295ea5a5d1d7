"""Blurred, noisy images of the embedded data set, to be restored."""

from __future__ import annotations

import shlex
from typing import Annotated

from pydantic import Field

from firebox.data.declarations.specification import PixelRange
from firebox.data.division.folds import FoldSettings
from firebox.data.image_pairs import ImagePairs
from firebox.foundation.paths import FilePath

FOLDER = "datasets/fashion_mini_pairs"


class FashionMiniPairs(ImagePairs):
    """3,000 training and 1,000 test images of ``fashion_mini``, blurred and noisy, with the originals as target images.

    ``python -m firebox.data.assets.make_pairs`` makes their files, in a few seconds.

    Args:
        root: folder that they were made in; null for datasets/fashion_mini_pairs below the working directory.
        validation_fraction: fraction of the training pairs held out for validation, in [0, 1).
        split_seed: seed of the draw that selects them; a property of the data, not of the run.
        folds: count, and index from 0, of folds of the training pairs; that fold is held out instead of a
            fraction. null for a fraction.
        pixel_range: range of the pixels that the model sees; target images are in [0,1] where it is standardised.
    """

    def __init__(
        self,
        *,
        root: FilePath | None = None,
        validation_fraction: Annotated[float, Field(ge=0, lt=1)] = 0.1,
        split_seed: int = 0,
        folds: FoldSettings | None = None,
        pixel_range: PixelRange = "[0,1]",
    ) -> None:
        super().__init__(
            root=root or FOLDER,
            target="image",
            image_size=(28, 28),
            color="grayscale",
            validation_fraction=validation_fraction,
            split_seed=split_seed,
            folds=folds,
            pixel_range=pixel_range,
        )

    def missing(self) -> str | None:
        if self._root.exists():
            return super().missing()
        command = shlex.join(["python", "-m", "firebox.data.assets.make_pairs", str(self._root)])
        return f"fashion_mini_pairs: there is no folder {self._root.absolute()}; make it: {command}"
