"""Transparent shades of PNG files of every depth."""

import struct
import zlib

import numpy
import pytest
import torch
from PIL import Image

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


@pytest.mark.parametrize(
    ("depth", "paired"), [(1, False), (2, False), (4, False), (8, False), (16, False), (2, True), (4, True)]
)
def test_the_shade_that_is_transparent_is_that_of_the_file(tmp_path, depth, paired):
    values = [0, 1, 1, 0] if depth == 1 else [0, 1, 2, 3]
    path, mask = write_png(tmp_path / "x.png", depth, GREY, values, (1,)), tmp_path / "mask.png"
    Image.fromarray(numpy.zeros((1, 4), numpy.uint8)).save(mask)
    dtype = "uint16" if depth == 16 else "uint8"

    def decoded(color):
        decoder = ImageDecoder((1, 4), color, dtype=dtype)
        return PairDecoder(decoder, MaskDecoder((1, 4), (0, 1), None))(path, mask)[0] if paired else decoder(path)

    clear = torch.tensor([value == 1 for value in values])
    assert torch.equal(decoded("rgba")[3, 0] == 0, clear)
    most = {"uint8": 255, "uint16": 65535}[dtype]
    assert (decoded("grayscale")[0, 0].numpy()[clear.numpy()] == most).all(), "laid over white"


def test_a_transparent_colour_that_pixels_lose_is_refused(tmp_path):
    eight = write_png(tmp_path / "8.png", 8, RGB, [1, 2, 3, 9, 9, 9], (1, 2, 3))
    assert ImageDecoder((1, 2), "rgba")(eight)[3, 0].tolist() == [0, 255]
    sixteen = write_png(tmp_path / "16.png", 16, RGB, [1, 2, 3, 900, 9, 9], (1, 2, 3))
    with pytest.raises(UnreadableFile, match=r"its transparent colour has 16 bits a channel, of which Pillow keeps 8"):
        ImageDecoder((1, 2), "rgb")(sixteen)
