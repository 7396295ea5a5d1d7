"""The way from an image file to a sample, as an archive's card describes it."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from firebox.data.declarations.specification import ImageSpecification
from firebox.data.decoding.decoding import DECODER, DEPTHS, ImageDecoder
from firebox.data.folders.readable_images import described_decoder
from firebox.engine.records.sealing import CARD
from firebox.foundation.problems import Problem, Refusal, shown

logger = logging.getLogger("firebox")


def decoder_for(path: Path, card: Mapping[str, Any], specification: ImageSpecification) -> ImageDecoder:
    """Returns the way from a file to a sample of an archive's data, and says it.

    Args:
        path: the archive's folder.
        card: content of its card.
        specification: what the archive's data says of its samples.

    Raises:
        Refusal: no file makes such a sample.
    """
    described = card["decoding"]
    channels, height, width = specification.shape
    if described is not None:
        try:
            decoder = replace(described_decoder(described), converts=True)
        except (ValueError, LookupError, TypeError, AttributeError):
            message = f"decoding: got {shown(described)}, expected the settings of a decoder"
            raise _refusal(f"{path / CARD}: {message}") from None
        if described["decoder"] != DECODER:
            logger.warning("files are decoded by other code than the training data was: pixels may differ slightly")
        how = "as the files of the training data"
    else:
        if channels not in (1, 3) or specification.value_range is not None:
            what = f"{channels} channels" if channels not in (1, 3) else f"values in {specification.value_range}"
            raise _refusal(f"{path}: its model takes images with {what}, which image files don't give")
        decoder = ImageDecoder((height, width), "rgb" if channels == 3 else "grayscale")
        how = "for lack of files among the training data"
    logger.info(
        "images are read %s: scaled to cover %d x %d pixels, cropped at the center, %s, %s%s",
        how,
        *decoder.image_size,
        {"rgb": "colour", "grayscale": "grayscale", "rgba": "colour with opacity"}[decoder.color],
        DEPTHS[decoder.dtype],
        "" if decoder.color == "rgba" else f", transparency over {decoder.background}",
    )
    return decoder


def _refusal(message: str) -> Refusal:
    return Refusal([Problem("", message)])
