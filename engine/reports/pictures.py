"""The pictures of a run over time, as they are embedded in a page."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from PIL import Image

from firebox.data.bases.datamodule import Split

_NAME = re.compile(r"iteration_(\d{1,15})_(.+)\.png")
_PNG = b"\x89PNG\r\n\x1a\n"
LARGEST_PICTURE = 1 << 24
"""Largest size in bytes of a picture that is embedded."""
MOST_PIXELS = 1 << 26
QUALITY = 80
"""Quality of WebP, 0..100, where the pictures as they are would make the page too large."""


@dataclass(frozen=True, slots=True)
class Film:
    """Pictures of the same things at several iterations.

    Args:
        split: the split that they are of.
        name: what they show, such as ``reconstruction``.
        frames: iteration and picture, as a data URL.
        left_out: number of pictures that are not among them, so that the page stays small.
    """

    split: str
    name: str
    frames: list[tuple[int, str]]
    left_out: int


def films_of(folder: Path, budget: int) -> list[Film]:
    """Reads the pictures in a run's folder of images. Links are not followed.

    Args:
        folder: the folder, with a folder for each split.
        budget: bytes that all pictures may take together.
    """
    found: dict[tuple[str, str], list[tuple[int, Path]]] = {}
    for split in reversed(get_args(Split)):
        for path in sorted((folder / split).glob("iteration_*.png")):
            match = _NAME.fullmatch(path.name)
            if match and not path.is_symlink() and path.is_file() and path.stat().st_size <= LARGEST_PICTURE:
                found.setdefault((split, match[2]), []).append((int(match[1]), path))
    share = budget // max(len(found), 1)
    films = [_film(split, name, paths, share) for (split, name), paths in found.items()]
    return [film for film in films if film.frames]


def _film(split: str, name: str, paths: Sequence[tuple[int, Path]], budget: int) -> Film:
    read = [(iteration, content) for iteration, path in paths if (content := _read(path))]
    frames = [(iteration, "png", content) for iteration, content in read]
    if sum(len(content) for _, _, content in frames) > budget:
        frames = [(iteration, "webp", small) for iteration, content in read if (small := _webp(content))]
    kept = frames
    number = len(frames)
    while number > 1 and sum(len(content) for _, _, content in kept) > budget:
        number -= 1
        # The last one stays, and the others at equal distances before it.
        kept = [frames[-1 - round(k * (len(frames) - 1) / max(number - 1, 1))] for k in range(number)][::-1]
    urls = [
        (iteration, f"data:image/{kind};base64,{base64.b64encode(content).decode()}")
        for iteration, kind, content in kept
    ]
    return Film(split, name, urls, len(paths) - len(kept))


def _read(path: Path) -> bytes:
    try:
        content = path.read_bytes()
    except OSError:
        return b""
    return content if content.startswith(_PNG) else b""


def _webp(content: bytes) -> bytes:
    """Returns a picture in a smaller form; nothing if it can't be decoded."""
    try:
        with Image.open(io.BytesIO(content), formats=("PNG",)) as picture:
            if picture.width * picture.height > MOST_PIXELS:
                return b""
            file = io.BytesIO()
            picture.convert("RGB").save(file, "WEBP", quality=QUALITY)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return b""
    return file.getvalue()
