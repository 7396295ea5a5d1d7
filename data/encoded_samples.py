"""The way from encoded images and plain values to a sample."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from firebox.data.data_error import DataError
from firebox.data.decoding import ImageDecoder, UnreadableFile
from firebox.data.encoded import Encoded
from firebox.data.target_image import TargetImage
from firebox.data.target_settings import target_from
from firebox.data.targets import Mask, Target
from firebox.foundation.problems import in_one_line

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True)
class SampleDecoder:
    """Decodes images, and their targets likewise or from plain values.

    Args:
        image: what becomes of an image, and of a target that is one.
        target: what the targets are; None for none.
    """

    image: ImageDecoder
    target: Target | None

    @property
    def encoded_target(self) -> bool:
        """Whether targets are encoded images, rather than plain values."""
        return isinstance(self.target, Mask | TargetImage)

    def target_of(self, value: Any, name: str) -> Any:
        """Returns a target in the form in which batches of it are read.

        Args:
            value: an ``Encoded`` image, or a class, labels or values as ``target_from`` takes them.
            name: what messages call it.

        Raises:
            DataError: it is not what it is declared to be; the message names it.
        """
        assert self.target is not None
        if isinstance(value, Encoded):
            return self.image(value) if isinstance(self.target, TargetImage) else self._mask(value)
        try:
            return target_from(value, self.target)
        except ValueError as error:
            raise DataError(f"{name}: {error}") from None

    def _mask(self, encoded: Encoded) -> torch.Tensor:
        """Returns a mask, uint8 (H, W), scaled by the nearest pixels and cropped as an image is."""
        import numpy
        import torch
        from PIL import Image, ImageOps

        height, width = self.image.image_size
        try:
            with Image.open(encoded) as opened:
                if opened.mode not in ("L", "P", "1"):
                    raise ValueError(f"got the mode {opened.mode}, expected one channel of class numbers, or a palette")
                classes = Image.fromarray(numpy.asarray(opened).astype(numpy.uint8))
                fitted = ImageOps.fit(classes, (width, height), Image.Resampling.NEAREST)
        except Exception as error:  # a decoder may raise anything where a file is torn
            raise UnreadableFile(encoded, f"can't be read as a mask: {in_one_line(error)}", "replace it") from error
        return torch.from_numpy(numpy.array(fitted))
