"""A file of decoded samples, of which each is checked against its checksum as it is read.

The file has a header, the records one behind the other from a multiple of 4,096 bytes on, a table with a checksum and a
state for each record, and a checksum of the header and the table. It is whole or isn't taken for one.
"""

from __future__ import annotations

import fcntl
import json
import logging
import math
import os
import stat
import struct
import weakref
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy
import torch
from crc32c import crc32c

logger = logging.getLogger("firebox")

MAGIC = b"firebox\n"
FORMAT = 1
"""Version of the file's format."""
PAGE = 4096
READING = os.O_RDONLY | os.O_NONBLOCK
"""How a file is opened: what has its name but is a pipe is not waited for."""


class Unusable(ValueError):
    """A file of samples can't be used; the message says why."""


@dataclass(frozen=True, slots=True)
class Column:
    """A part of every record.

    Args:
        name: what it holds, such as "image".
        dtype: name of numpy's dtype.
        shape: its shape in the record: an image is (H, W, C), a mask (H, W), and a target image (C, H, W).
    """

    name: str
    dtype: str
    shape: tuple[int, ...]

    @property
    def nbytes(self) -> int:
        return numpy.dtype(self.dtype).itemsize * math.prod(self.shape)


@dataclass(frozen=True, slots=True)
class Layout:
    """What a file of samples holds, and where.

    Args:
        key: identity of the content.
        count: number of records.
        columns: the parts of a record.
    """

    key: str
    count: int
    columns: tuple[Column, ...]

    @property
    def record(self) -> int:
        """Bytes of a record."""
        return sum(column.nbytes for column in self.columns)

    @property
    def head(self) -> bytes:
        """The header, filled up with zeros to where the records begin."""
        text = json.dumps({"format": FORMAT, **asdict(self)}).encode()
        head = MAGIC + struct.pack("<I", len(text)) + text
        return head.ljust(-(-len(head) // PAGE) * PAGE, b"\0")

    def offset(self, position: int) -> int:
        """Returns where a record begins; of ``count``, where the table does."""
        return len(self.head) + position * self.record

    @property
    def size(self) -> int:
        """Bytes of the whole file."""
        return self.offset(self.count) + self.count * 5 + 4

    def table(self, checksums: numpy.ndarray[Any, Any], unreadable: numpy.ndarray[Any, Any]) -> bytes:
        """Returns the end of a file.

        Args:
            checksums: crc32c of each record, uint32 (count,).
            unreadable: whether the file of each sample can't be read, bool (count,); its record then has no meaning.
        """
        table = checksums.astype("<u4").tobytes() + unreadable.astype("u1").tobytes()
        return table + struct.pack("<I", crc32c(table, crc32c(self.head)))


class SampleFile:
    """An open file of samples.

    As long as it is open, a shared lock tells others that it is in use. It is not mapped into memory: copying whole
    records takes less time than mapping the pages that they are on, and a file that is cut off ends no process.

    Args:
        path: the file.
        key: identity that its content must have.

    Raises:
        FileNotFoundError: there is no such file.
        OSError: it can't be read.
        Unusable: it is damaged, or something else than expected.
    """

    def __init__(self, path: Path, key: str) -> None:
        self.path = path
        self._descriptor = os.open(path, READING)
        weakref.finalize(self, os.close, self._descriptor)
        with suppress(OSError):  # without locks, a file that is removed while it is in use stays readable
            fcntl.flock(self._descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        state = os.fstat(self._descriptor)
        if not stat.S_ISREG(state.st_mode):
            raise Unusable("it is no file")
        size = state.st_size
        self._layout = layout = _layout(self._descriptor, size)
        if layout.key != key:
            raise Unusable("it holds other samples than its name says")
        table = _pread(self._descriptor, layout.offset(layout.count), layout.count * 5 + 4)
        checksums = numpy.frombuffer(table, "<u4", layout.count)
        unreadable = numpy.frombuffer(table, "u1", layout.count, offset=layout.count * 4) != 0
        if layout.table(checksums, unreadable) != table:
            raise Unusable("its header or its table is damaged")
        self._checksums: list[int] = checksums.tolist()
        self.unreadable: list[int] = unreadable.nonzero()[0].tolist()
        """Positions of the samples whose files can't be read."""
        self._trusted = True

    @property
    def layout(self) -> Layout:
        """What the file holds."""
        return self._layout

    def read(self, positions: torch.Tensor) -> tuple[torch.Tensor, list[int]]:
        """Reads records, and compares each with its checksum.

        If one differs, the file is removed, so that another is prepared the next time; the first time, this is said.

        Args:
            positions: int64 of shape (n,), values in [0, count).

        Returns:
            Records, uint8 (n, record), and which of them, in 0..n-1, are not as they were written.
        """
        count, record, begin = len(positions), self._layout.record, self._layout.offset(0)
        records = torch.empty(count, record, dtype=torch.uint8)
        content, wrong = bytes_of(records.numpy()), []
        for k, position in enumerate(positions.tolist()):
            # Compared at once, while it is in the processor's own cache.
            own = content[k * record : (k + 1) * record]
            if (
                not _filled(own, self._descriptor, begin + position * record)
                or crc32c(own) != self._checksums[position]
            ):
                wrong.append(k)
        if wrong:
            self._distrust()
        return records, wrong

    def _distrust(self) -> None:
        if self._trusted:
            self._trusted = False
            logger.warning(
                "%s is damaged: what is wrong in it is decoded from the images, and the next run prepares it anew",
                self.path,
            )
            with suppress(OSError):
                self.discard()

    def discard(self) -> None:
        """Removes the file from its folder, if it is still there; what has it open can still read it.

        Raises:
            OSError: it can't be removed.
        """
        with suppress(FileNotFoundError):
            if os.path.samestat(self.path.stat(), os.fstat(self._descriptor)):
                self.path.unlink()


def bytes_of(*parts: numpy.ndarray[Any, Any]) -> memoryview:
    """Returns the bytes of arrays in the order of their elements: of a contiguous one alone, its own memory."""
    contents = [memoryview(numpy.ascontiguousarray(part).data).cast("B") for part in parts]
    return contents[0] if len(contents) == 1 else memoryview(b"".join(contents))


def _layout(descriptor: int, size: int) -> Layout:
    head = _pread(descriptor, 0, PAGE)
    if not head:
        raise Unusable("it is empty")
    if not head.startswith(MAGIC) or len(head) < PAGE:
        raise Unusable("it doesn't begin as a file of samples does")
    (length,) = struct.unpack_from("<I", head, len(MAGIC))
    try:
        content = json.loads(_pread(descriptor, len(MAGIC) + 4, min(length, size)))
        if content.pop("format") != FORMAT:
            raise Unusable("it was written by another version of Firebox")
        columns = tuple(Column(c["name"], c["dtype"], tuple(c["shape"])) for c in content["columns"])
        layout = Layout(content["key"], content["count"], columns)
        expected = layout.size
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        if isinstance(error, Unusable):
            raise
        raise Unusable("its header is damaged") from None
    if size != expected:
        raise Unusable(f"it has {size:,} bytes, expected {expected:,}")
    return layout


def _pread(descriptor: int, offset: int, length: int) -> bytes:
    parts = []
    while length and (part := os.pread(descriptor, length, offset)):
        parts.append(part)
        offset, length = offset + len(part), length - len(part)
    return b"".join(parts)


def _filled(memory: memoryview, descriptor: int, offset: int) -> bool:
    """Reads bytes at an offset into memory; returns whether all could be read."""
    try:
        while len(memory) and (length := os.preadv(descriptor, [memory], offset)):
            memory, offset = memory[length:], offset + length
    except OSError:
        return False
    return not len(memory)
