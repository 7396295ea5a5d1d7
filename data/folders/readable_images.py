"""Image files as a source that goes on where a file can't be decoded, and says so."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from firebox.data.decoding.decoding import ImageDecoder, UnreadableFile, reading
from firebox.data.decoding.jpeg import ORIENTATION, TURNS
from firebox.data.folders.image_list import ImageList
from firebox.data.sources.progress import Doing, note
from firebox.data.sources.source import stacked


class ReadableImages:
    """A source of image files; one that can't be decoded is an image of zeros.

    Its targets are int64 (N, 3): 1 where the file was decoded and otherwise 0, then the image's height and width before
    it was scaled, turned as a camera's notes say; 0 where they were not asked for.

    Args:
        images: the files.
        decoder: the way from a file to a sample.
        sizes: whether to read the images' own sizes.
    """

    def __init__(self, images: ImageList, decoder: ImageDecoder, *, sizes: bool = False) -> None:
        self._images = images
        self._decoder = decoder
        self._sizes = sizes

    def __len__(self) -> int:
        return len(self._images)

    def gather(
        self, indices: torch.Tensor, *, seed: int = 0, epoch: int = 0
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        found: dict[int, torch.Tensor] = {}
        about = torch.zeros(len(indices), 3, dtype=torch.int64)
        for k, position in enumerate(indices.tolist()):
            note(Doing.SAMPLE, position)
            try:
                found[k], height, width = self.read(position)
            except UnreadableFile:
                continue
            about[k] = torch.tensor([1, height, width])
        like = next(iter(found.values()), torch.empty(self._decoder.shape, dtype=torch.uint8))
        return stacked([found.get(k, torch.zeros_like(like)) for k in range(len(indices))]), about

    def read(self, position: int) -> tuple[torch.Tensor, int, int]:
        """Reads an image (C, H, W), and its height and width before it was scaled.

        Raises:
            UnreadableFile: it can't be decoded.
        """
        path = self._images.path_of(position)
        if not path.is_file():
            there = "is no file" if self._images.names[position] and path.exists() else "is not there"
            raise UnreadableFile(path, there if self._images.names[position] else "is not named", "name another file")
        image = self._decoder(path)
        height, width = upright_size(path) if self._sizes else (0, 0)
        return image, height, width

    def name_of(self, position: int) -> Path:
        """Returns what messages call a file."""
        return self._images.path_of(position)


def described_decoder(described: Mapping[str, Any]) -> ImageDecoder:
    """Returns the decoder that ``ImageDecoder.described`` told of, read back from JSON, whatever version that one had.

    Raises:
        ValueError, LookupError, TypeError: it is none.
    """
    given = {name: value for name, value in described.items() if name != "decoder"}
    height, width = given.pop("image_size")
    value_range = given.pop("value_range", None)
    return ImageDecoder((int(height), int(width)), **given, value_range=value_range and tuple(value_range))


def upright_size(path: Path) -> tuple[int, int]:
    """Returns (H, W) of the image in a file, turned as the camera's notes say, without decoding it.

    Raises:
        UnreadableFile: it is no image.
    """
    from PIL import Image

    with reading(path), Image.open(path) as opened:
        turned, _ = TURNS.get(opened.getexif().get(ORIENTATION, 1), (False, ()))
        return (opened.width, opened.height) if turned else (opened.height, opened.width)
