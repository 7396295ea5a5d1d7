"""Arrays in .npy, .npz and HDF5 files: what their headers say of them, known before any of them is read."""

from __future__ import annotations

import math
import os
import re
import struct
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from firebox.data.declarations.data_error import DataError
from firebox.data.declarations.extras import required
from firebox.foundation.problems import in_one_line, listed, shown, similar

if TYPE_CHECKING:
    import numpy

_NAME = re.compile(r"(?P<file>.+?\.(?:npy|npz|h5|hdf5))(?::(?P<key>.+))?", re.IGNORECASE)
_LOCAL_HEADER = 30
"""Bytes of the header before a zip file's member; the lengths of its name and of its extra field are at 26."""


@dataclass(frozen=True, slots=True)
class ArrayFile:
    """An array in a file.

    Args:
        name: file and key, as messages call it.
        path: the file.
        key: its name in the file; empty for a .npy file.
        shape: its shape.
        dtype: its dtype, in the byte order of this machine.
        offset: where it begins in the file, in bytes, if it lies there as in memory; None if it has to be unpacked.
        size: bytes of the whole file.
    """

    name: str
    path: Path
    key: str
    shape: tuple[int, ...]
    dtype: numpy.dtype[Any]
    offset: int | None
    size: int

    @property
    def is_hdf5(self) -> bool:
        return self.path.suffix.lower() in (".h5", ".hdf5")

    @property
    def row_bytes(self) -> int:
        """Bytes of one sample."""
        return math.prod(self.shape[1:]) * self.dtype.itemsize

    @property
    def described(self) -> str:
        """Its name, shape and dtype."""
        return f"{self.name}, {self.dtype.name} {self.shape}"


def file_of(name: str) -> str:
    """Returns the file of an array that is given as ``FILE.npy``, ``FILE.npz:KEY`` or ``FILE.h5:KEY``.

    Raises:
        DataError: it is given otherwise.
    """
    return _parsed(name)[0]


def _parsed(name: str) -> tuple[str, str]:
    match = _NAME.fullmatch(name)
    if match is None:
        raise DataError(f"got {shown(name)}, expected FILE.npy, FILE.npz:KEY or FILE.h5:KEY")
    return match["file"], match["key"] or ""


def array_file(root: Path, name: str) -> ArrayFile:
    """Reads what the header of an array says.

    Args:
        root: folder that the file is in.
        name: ``FILE.npy``, ``FILE.npz:KEY`` or ``FILE.h5:KEY``; the key may be left out if the file has one array.

    Raises:
        DataError: there is no such array, or its file is torn or holds what can't be used.
    """
    file, key = _parsed(name)
    path = root / file
    kind = path.suffix.lower()
    try:
        found = {".npy": _npy, ".npz": _npz}.get(kind, _hdf5)(name, path, key)
    except DataError:
        raise
    except OSError as error:
        raise DataError(f"{path}: can't be read: {in_one_line(error)}") from None
    except Exception as error:  # what a torn file makes of the readers is not known
        raise DataError(f"{path}: is torn, or no {kind} file: {in_one_line(error)}") from None
    dtype = found.dtype
    if dtype.names or dtype.kind not in "buif":
        raise DataError(f"{name}: got {dtype}, expected an array of numbers")
    if not dtype.isnative:
        raise DataError(
            f"{name}: its numbers are in another byte order; save array.astype(array.dtype.newbyteorder('='))"
        )
    if not found.shape or 0 in found.shape:
        raise DataError(f"{name}: got the shape {found.shape}, expected samples along its first axis")
    return found


def _npy(name: str, path: Path, key: str) -> ArrayFile:
    if key:
        raise DataError(f"got {shown(name)}: a .npy file holds one array, expected no key")
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        shape, dtype = _header(name, file)
        offset = file.tell()
    _require_whole(name, offset, size, shape, dtype)
    return ArrayFile(name, path, "", shape, dtype, offset, size)


def _npz(name: str, path: Path, key: str) -> ArrayFile:
    with path.open("rb") as file, zipfile.ZipFile(file) as members:
        keys = [member.removesuffix(".npy") for member in members.namelist()]
        key = _chosen(name, key, keys)
        member = members.getinfo(f"{key}.npy" if f"{key}.npy" in members.namelist() else key)
        with members.open(member) as opened:
            shape, dtype = _header(name, opened)
            begins = opened.tell()
        _require_whole(name, begins, member.file_size, shape, dtype)
        offset, size = None, os.fstat(file.fileno()).st_size
        if member.compress_type == zipfile.ZIP_STORED:
            file.seek(member.header_offset + 26)
            lengths = struct.unpack("<HH", file.read(4))
            offset = member.header_offset + _LOCAL_HEADER + sum(lengths) + begins
    return ArrayFile(name, path, key, shape, dtype, offset, size)


def _header(name: str, file: IO[bytes]) -> tuple[tuple[int, ...], numpy.dtype[Any]]:
    """Reads the header of a .npy file, up to where the numbers begin."""
    from numpy.lib import format as npy

    version = npy.read_magic(file)
    if version not in ((1, 0), (2, 0)):
        raise DataError(f"{name}: got a .npy file of version {version}, expected an array of numbers")
    read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, by_column, dtype = read(file)
    if dtype.hasobject:
        raise DataError(f"{name}: holds Python objects, which are never unpickled; save an array of numbers")
    if by_column and sum(side > 1 for side in shape) > 1:
        raise DataError(f"{name}: its first index runs fastest; save numpy.ascontiguousarray(array)")
    return shape, dtype


def _require_whole(name: str, offset: int, size: int, shape: tuple[int, ...], dtype: numpy.dtype[Any]) -> None:
    expected = offset + math.prod(shape) * dtype.itemsize
    if size < expected:
        raise DataError(f"{name}: is torn: {size:,} bytes, expected {expected:,} for the shape {shape} in its header")


def _hdf5(name: str, path: Path, key: str) -> ArrayFile:
    h5py = required("h5py", "hdf5", f"{path.name}, an HDF5 file,")
    if not path.is_file():
        raise FileNotFoundError(f"no such file: {path}")
    keys: list[str] = []
    with h5py.File(path, "r") as file:
        file.visititems(lambda at, node: keys.append(at) if isinstance(node, h5py.Dataset) else None)
        key = _chosen(name, key.strip("/"), keys)
        data = file[key]
        plain = data.chunks is None and not data.is_virtual and not data.external and file.userblock_size == 0
        offset = data.id.get_offset() if plain else None
        shape, dtype, size = tuple(data.shape or ()), data.dtype, path.stat().st_size
    if offset is not None:
        _require_whole(name, offset, size, shape, dtype)
    return ArrayFile(name, path, key, shape, dtype, offset, size)


def _chosen(name: str, key: str, keys: list[str]) -> str:
    if key in keys:
        return key
    if not key and len(keys) == 1:
        return keys[0]
    if not keys:
        raise DataError(f"{name}: the file holds no arrays")
    given = f"has no array {shown(key)}" if key else "no key is given"
    file = file_of(name)
    raise DataError(f"{name}: {given}{similar(key, keys)}; expected {file}:KEY, of the keys {listed(keys, 20)}")
