"""The transparent shade of a PNG file, which Pillow leaves in the file's depth where it scales the pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL import Image

FACTORS = {"L;2": 85, "L;4": 17}
"""What Pillow multiplies grey values of few bits by, by its name for them in a file."""


def scale_transparency(image: Image.Image) -> None:
    """Scales the transparent shade of an image that was just opened as its pixels will be.

    Raises:
        ValueError: the pixels lose what tells the transparent colour from others.
    """
    clear, tiles = image.info.get("transparency"), getattr(image, "tile", None)
    if clear is None or image.format != "PNG" or not tiles:
        return
    stored = tiles[0][3]
    if stored in FACTORS:
        image.info["transparency"] = clear * FACTORS[stored]
    elif stored == "RGB;16B":
        raise ValueError("its transparent colour has 16 bits a channel, of which Pillow keeps 8; save it with opacity")
