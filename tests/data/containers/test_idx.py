"""The idx format, and what is said of files that aren't."""

from __future__ import annotations

from pathlib import Path

import numpy
import pytest

from firebox.data.containers.idx import read_idx, write_idx
from firebox.data.declarations.data_error import DataError


@pytest.mark.parametrize("name", ["a-idx3-ubyte", "a-idx3-ubyte.gz"])
def test_what_is_written_is_read(name: str, tmp_path: Path) -> None:
    array = numpy.arange(2 * 3 * 5, dtype=numpy.uint8).reshape(2, 3, 5)
    write_idx(tmp_path / name, array)

    assert (read_idx(tmp_path / name) == array).all()


def test_the_same_array_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a.gz", "b.gz"):
        write_idx(tmp_path / name, numpy.arange(200, dtype=numpy.uint8))

    assert (tmp_path / "a.gz").read_bytes() == (tmp_path / "b.gz").read_bytes()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not an idx file of bytes: it begins with nothing"),
        (b"\x89PNG\r\n", "not an idx file of bytes: it begins with 89 50 4e 47"),
        (b"\0\0\x0d\x01\0\0\0\1", "not an idx file of bytes: it begins with 00 00 0d 01"),
        (b"\0\0\x08\x01\0\0\0\5abc", r"torn: 11 bytes, expected 13 for the shape \(5,\) in its header"),
        (b"\0\0\x08\x03\0\0", "torn: 6 bytes, expected 16"),
    ],
)
def test_other_content_is_refused(content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(content)

    with pytest.raises(DataError, match=f"file: {message}"):
        read_idx(tmp_path / "file")


def test_a_flipped_bit_in_a_packed_file_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "a.gz"
    write_idx(path, numpy.random.default_rng(0).integers(0, 256, 5000).astype(numpy.uint8))
    content = bytearray(path.read_bytes())
    content[2500] ^= 1
    path.write_bytes(content)

    with pytest.raises(DataError, match=r"a\.gz: can't be read, the file may be torn"):
        read_idx(path)
