"""Transparent shades of PNG files of every depth."""

import struct
import zlib

import numpy
import pytest

from firebox.data.decoding.decoding import ImageDecoder, UnreadableFile
from firebox.data.decoding.pair_decoding import MaskDecoder, PairDecoder

GREY, RGB = 0, 2


def write_png(path, depth, colour, values, clear):
    """Writes a PNG file of one row of samples, which Pillow can't write in all depths."""
    bits = "".join(format(value, f"0{depth}b") for value in values)
    row = int(bits.ljust(-(-len(bits) // 8) * 8, "0"), 2).to_bytes(-(-len(bits) // 8), "big")
    width = len(values) // (3 if colour == RGB else 1)
    parts = [
        (b"IHDR", struct.pack(">IIBBBBB", width, 1, depth, colour, 0, 0, 0)),
        (b"tRNS", struct.pack(f">{len(clear)}H", *clear)),
        (b"IDAT", zlib.compress(b"\0" + row)),
        (b"IEND", b""),
    ]
    chunks = [struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in parts]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunks))
    return path


@pytest.mark.parametrize("depth", [1, 2, 4, 8, 16])
def test_the_shade_that_is_transparent_is_that_of_the_file(tmp_path, depth):
    values = [0, 1, 1, 0] if depth == 1 else [0, 1, 2, 3]
    path = write_png(tmp_path / "x.png", depth, GREY, values, (1,))
    dtype = "uint16" if depth == 16 else "uint8"
    for decode in (
        lambda decoder: decoder(path),
        lambda decoder: PairDecoder(decoder, MaskDecoder((1, 4), (0, 1, 85, 2, 170, 3, 255, 17, 34, 51), None))(
            path, path
        )[0],
    ):
        opacity = decode(ImageDecoder((1, 4), "rgba", dtype=dtype))[3, 0].tolist()
        assert [value == 0 for value in opacity] == [value == 1 for value in values]
        shown = decode(ImageDecoder((1, 4), "grayscale", dtype=dtype))[0, 0].numpy()
        assert (shown[numpy.array(values) == 1] == (65535 if depth == 16 else 255)).all()
        if depth == 16:
            break


def test_a_transparent_colour_that_pixels_lose_is_refused(tmp_path):
    eight = write_png(tmp_path / "8.png", 8, RGB, [1, 2, 3, 9, 9, 9], (1, 2, 3))
    assert ImageDecoder((1, 2), "rgba")(eight)[3, 0].tolist() == [0, 255]
    sixteen = write_png(tmp_path / "16.png", 16, RGB, [1, 2, 3, 900, 9, 9], (1, 2, 3))
    with pytest.raises(UnreadableFile, match=r"its transparent colour has 16 bits a channel, of which Pillow keeps 8"):
        ImageDecoder((1, 2), "rgb")(sixteen)
