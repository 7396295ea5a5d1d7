"""The idx format of MNIST and similar data sets: a header followed by bytes, uncompressed or as gzip.

The format is described at the end of http://yann.lecun.com/exdb/mnist/.
"""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from firebox.data.declarations.data_error import DataError

if TYPE_CHECKING:
    import numpy
    import torch

Part = Literal["train", "test"]

UINT8 = 0x08
_PREFIXES: dict[Part, str] = {"train": "train", "test": "t10k"}
FILES = tuple(f"{prefix}-{kind}-ubyte.gz" for prefix in _PREFIXES.values() for kind in ("images-idx3", "labels-idx1"))
"""The four files of a data set; each may also be uncompressed, without ``.gz``."""


def read_labelled(folder: Path, part: Part) -> tuple[torch.Tensor, torch.Tensor]:
    """Reads the images and labels of one part of a data set.

    Args:
        folder: folder that holds the part's two files, compressed or not.
        part: "train", or "test" (files called ``t10k``).

    Returns:
        Images uint8 (N, 1, H, W) and labels int64 (N,).

    Raises:
        DataError: a file is truncated, or the two files don't belong together.
    """
    import torch

    images = read_idx(_either(folder / f"{_PREFIXES[part]}-images-idx3-ubyte"))
    labels = read_idx(_either(folder / f"{_PREFIXES[part]}-labels-idx1-ubyte"))
    if images.ndim != 3 or labels.shape != images.shape[:1]:
        raise DataError(
            f"{folder}: the {part} images are {images.shape} and the labels {labels.shape}, expected (N, H, W) and (N,)"
        )
    return torch.from_numpy(images).unsqueeze(1), torch.from_numpy(labels).long()


def read_idx(path: Path) -> numpy.ndarray:
    """Reads an idx file of bytes as a uint8 array.

    Raises:
        DataError: the file can't be read, is truncated, or holds something else.
    """
    import numpy

    try:
        content = path.read_bytes()
        if path.suffix == ".gz":
            content = gzip.decompress(content)  # verifies the CRC-32 of what it unpacks
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: can't be read, the file may be torn: {error}") from error
    if len(content) < 4 or content[:3] != bytes((0, 0, UINT8)):
        raise DataError(f"{path}: not an idx file of bytes: it begins with {content[:4].hex(' ') or 'nothing'}")
    start = 4 + 4 * content[3]
    shape = tuple(int.from_bytes(content[at : at + 4], "big") for at in range(4, start, 4))
    expected = start + int(numpy.prod(shape, dtype=numpy.int64))
    if len(content) != expected:
        raise DataError(f"{path}: torn: {len(content)} bytes, expected {expected} for the shape {shape} in its header")
    return numpy.frombuffer(content, numpy.uint8, offset=start).reshape(shape).copy()


def write_idx(path: Path, array: numpy.ndarray) -> None:
    """Writes a uint8 array as an idx file, as gzip if the name ends in ``.gz``; the same bytes each time."""
    header = bytes((0, 0, UINT8, array.ndim)) + b"".join(length.to_bytes(4, "big") for length in array.shape)
    content = header + array.astype("uint8").tobytes()
    path.write_bytes(gzip.compress(content, mtime=0) if path.suffix == ".gz" else content)


def _either(path: Path) -> Path:
    return path if path.is_file() else path.with_name(f"{path.name}.gz")
