"""JPEG files at a reduced scale, where the size allows."""

from __future__ import annotations

import io
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from firebox.data.decoding.encoded import Encoded

if TYPE_CHECKING:
    import numpy
    import torch

START = b"\xff\xd8\xff"
"""What every JPEG file begins with."""
MOST = 1 << 16
"""Bytes that are read of a file before it is known to be a JPEG file."""
NOTES, IMAGE = 0xE1, 0xDA
"""Markers of the segments that hold a camera's notes, which may turn the image, and where the image itself begins."""
ORIENTATION = 0x0112
TURNS: dict[int, tuple[bool, tuple[int, ...]]] = {
    1: (False, ()),
    2: (False, (-1,)),
    3: (False, (-1, -2)),
    4: (False, (-2,)),
    5: (True, ()),
    6: (True, (-1,)),
    7: (True, (-1, -2)),
    8: (True, (-2,)),
}
"""By the orientation in a camera's notes: whether height and width change places, and then which sides are flipped."""
REDUCED = 2
"""How many times as large as a sample an image stays, at least, where it is decoded at a reduced scale."""
PLAIN = {"YCbCr": "RGB", "Gray": "L"}
"""Colour spaces of the files that are decoded here, as simplejpeg names them, and the modes that Pillow gives them."""
WITH_SIMPLEJPEG = find_spec("simplejpeg") is not None
"""Whether files are decoded by simplejpeg, to the same pixels as by Pillow, but sooner."""


def read_jpeg(path: Path | Encoded, image_size: tuple[int, int], mode: str) -> torch.Tensor | None:
    """Decodes a JPEG file, scales the image to just cover a size, and crops it to that size at the center.

    An image that is at least four times as large is decoded at a half, a quarter or an eighth of its scale and stays at
    least twice as large, so that the antialiased scaling after that still decides what is seen. The window is cut at
    whole pixels.

    Args:
        path: the file.
        image_size: (H, W) of the sample, in pixels.
        mode: "RGB" or "L".

    Returns:
        The image, uint8 (C, H, W); None if it is no plain JPEG file, which only Pillow can tell more about.

    Raises:
        OSError: the file can't be read.
    """
    content = path.content if isinstance(path, Encoded) else _content(path)
    if not content.startswith(START):
        return None
    try:
        turned, flipped = TURNS[_orientation(content)]
        size = (image_size[1], image_size[0]) if turned else image_size
        pixels = (_by_simplejpeg if WITH_SIMPLEJPEG else _by_pillow)(content, size, mode)
    except Exception:  # a decoder may raise anything where a file is torn
        return None
    if pixels is None:
        return None
    image = _fitted(pixels, size)
    image = image.transpose(1, 2) if turned else image
    return image.flip(flipped) if flipped else image


def _content(path: Path) -> bytes:
    """Returns what a JPEG file holds, and of other files what they begin with."""
    with path.open("rb", buffering=0) as file:
        content = file.read(MOST)
        return content + file.read() if content.startswith(START) else content


def _orientation(content: bytes) -> int:
    """Returns the orientation of the image according to the camera's notes, 1 for upright."""
    from PIL import Image

    begin = 2
    while content[begin] == START[0] and content[begin + 1] != IMAGE:
        if content[begin + 1] == NOTES:
            with Image.open(io.BytesIO(content), formats=["JPEG"]) as opened:
                orientation = opened.getexif().get(ORIENTATION, 1)
            return orientation if orientation in TURNS else 1
        begin += 2 + int.from_bytes(content[begin + 2 : begin + 4])
    return 1


def _by_simplejpeg(content: bytes, image_size: tuple[int, int], mode: str) -> numpy.ndarray[Any, Any] | None:
    import simplejpeg

    *sides, space, _ = simplejpeg.decode_jpeg_header(content)
    height, width = map(int, sides)
    scale = _scale(height, width, image_size)
    if space not in PLAIN or scale is None:
        return None
    pixels: numpy.ndarray[Any, Any] = simplejpeg.decode_jpeg(
        content,
        {"RGB": "RGB", "L": "GRAY"}[mode],
        min_height=-(-height // scale),
        min_width=-(-width // scale),
    )
    return pixels


def _by_pillow(content: bytes, image_size: tuple[int, int], mode: str) -> numpy.ndarray[Any, Any] | None:
    import numpy
    from PIL import Image

    with Image.open(io.BytesIO(content), formats=["JPEG"]) as opened:
        scale = _scale(opened.height, opened.width, image_size)
        if opened.mode not in PLAIN.values() or opened.info.get("adobe_transform") == 0 or scale is None:
            return None
        opened.draft(mode, (opened.width // scale, opened.height // scale))
        image = opened if opened.mode == mode else opened.convert(mode)
        pixels = numpy.array(image)
    return pixels if pixels.ndim == 3 else pixels[..., None]


def _scale(height: int, width: int, image_size: tuple[int, int]) -> int | None:
    """Returns how many times smaller to decode an image; None if it is so large that Pillow warns of it."""
    from PIL import Image

    if Image.MAX_IMAGE_PIXELS is not None and height * width > Image.MAX_IMAGE_PIXELS:
        return None
    most = min(height // (REDUCED * image_size[0]), width // (REDUCED * image_size[1]))
    return next((scale for scale in (8, 4, 2) if scale <= most), 1)


def _fitted(pixels: numpy.ndarray[Any, Any], image_size: tuple[int, int]) -> torch.Tensor:
    """Cuts the largest centered window of a size's proportions out of pixels (H, W, C), and scales it to that size."""
    import torch
    from torch.nn.functional import interpolate

    (height, width), (sample_height, sample_width) = pixels.shape[:2], image_size
    ratio = min(height / sample_height, width / sample_width)
    window = [min(max(round(side * ratio), 1), most) for side, most in zip(image_size, (height, width), strict=True)]
    top, left = (height - window[0]) // 2, (width - window[1]) // 2
    # With the first dimension, its strides are those that torch knows as channels_last: the pixels stay in the order in
    # which samples are kept, and are copied less often. NumPy cuts sooner than torch does.
    cut = pixels.reshape(1, *pixels.shape)[:, top : top + window[0], left : left + window[1]]
    image = torch.from_numpy(cut.transpose(0, 3, 1, 2))
    if tuple(window) != (sample_height, sample_width):
        # The height first, which takes less than the width: torch alone would scale the width of all rows.
        image = interpolate(image, (sample_height, window[1]), mode="bilinear", antialias=True)
        image = interpolate(image, image_size, mode="bilinear", antialias=True)
    return image.squeeze(0)
