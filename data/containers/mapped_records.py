"""Records of one length in a file, read through memory of which little stays resident."""

from __future__ import annotations

import mmap
import os
import warnings

import torch

WINDOW = 1 << 16
"""Bytes around a touched one that the system may make resident with it."""
RESIDENT = 256 << 20
"""Bytes of a file that stay resident in a process at most; more stay in the system's cache."""


class CutOff(Exception):
    """The file has another size than when it was opened."""


class MappedRecords:
    """Records that follow one another in an open file.

    Args:
        descriptor: the file, which stays open as long as this is used.
        offset: where the first record begins, in bytes.
        count: number of records, at least 1.
        record: bytes of a record.
        size: bytes of the whole file.
        resident: bytes of it that stay resident in this process at most.
    """

    def __init__(
        self, descriptor: int, offset: int, count: int, record: int, *, size: int, resident: int = RESIDENT
    ) -> None:
        self._descriptor = descriptor
        self._size = size
        self._map = mmap.mmap(descriptor, 0, prot=mmap.PROT_READ)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # nothing writes to the tensor
            records = torch.frombuffer(self._map, dtype=torch.uint8, offset=offset, count=count * record)
        self._records = records.view(count, record)
        self._windows = (record // WINDOW + 2) * WINDOW
        self._resident = resident
        self._touched = 0

    def take(self, positions: torch.Tensor) -> torch.Tensor:
        """Reads records, uint8 (n, record).

        Args:
            positions: int64 of shape (n,), values in [0, count).

        Raises:
            CutOff: the file has changed its size.
        """
        if os.fstat(self._descriptor).st_size != self._size:
            raise CutOff  # touching what was cut off would end the process
        records = self._records.index_select(0, positions)
        self._touched += len(positions) * self._windows
        if self._touched > self._resident:
            self._map.madvise(mmap.MADV_DONTNEED)
            self._touched = 0
        return records
