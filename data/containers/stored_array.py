"""Arrays in files, read by position."""

from __future__ import annotations

import os
import weakref
from abc import ABC, abstractmethod
from typing import Any

import numpy
import torch

from firebox.data.containers.array_files import ArrayFile
from firebox.data.containers.mapped_records import CutOff, MappedRecords
from firebox.data.declarations.data_error import DataError
from firebox.data.declarations.extras import required
from firebox.foundation.problems import in_one_line

TOGETHER = 4096
"""Number of samples that are read at a time when all are read."""


class StoredArray(ABC):
    """An array in a file, which is opened when it is first read, in each process by itself.

    Args:
        file: the file, and what its header says.
    """

    def __init__(self, file: ArrayFile) -> None:
        self.file = file

    def __len__(self) -> int:
        return self.file.shape[0]

    def take(self, positions: torch.Tensor) -> torch.Tensor:
        """Reads samples, (n, ...) in the dtype of the file.

        Args:
            positions: int64 of shape (n,), values in [0, len(self)).

        Raises:
            DataError: they can't be read.
        """
        try:
            return self._taken(positions)
        except CutOff:
            raise DataError(f"{self.file.path} has changed since it was opened: it has another size") from None
        except DataError:
            raise
        except Exception as error:  # a library may raise anything where a file is torn
            raise DataError(f"{self.file.name}: can't be read, the file may be torn: {in_one_line(error)}") from None

    def all(self) -> torch.Tensor:
        """Reads all samples, (N, ...)."""
        return torch.cat([self.take(positions) for positions in torch.arange(len(self)).split(TOGETHER)])

    @abstractmethod
    def _taken(self, positions: torch.Tensor) -> torch.Tensor:
        """Reads samples; any exception says that they can't be read."""

    def __getstate__(self) -> dict[str, Any]:
        return {"file": self.file}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]


class MappedArray(StoredArray):
    """An array that lies in its file as in memory, and is read through memory of which little stays resident."""

    def __init__(self, file: ArrayFile) -> None:
        super().__init__(file)
        self._records: MappedRecords | None = None
        self._dtype = torch.from_numpy(numpy.empty(0, file.dtype)).dtype

    def _taken(self, positions: torch.Tensor) -> torch.Tensor:
        if self._records is None:
            self._records = self._opened()
        return self._records.take(positions).view(self._dtype).view(len(positions), *self.file.shape[1:])

    def _opened(self) -> MappedRecords:
        file = self.file
        assert file.offset is not None
        descriptor = os.open(file.path, os.O_RDONLY)
        weakref.finalize(self, os.close, descriptor)
        if os.fstat(descriptor).st_size != file.size:
            raise CutOff
        return MappedRecords(descriptor, file.offset, len(self), file.row_bytes, size=file.size)


class UnpackedArray(StoredArray):
    """A compressed member of a .npz file, which is unpacked into memory when it is first read."""

    def __init__(self, file: ArrayFile) -> None:
        super().__init__(file)
        self._held: torch.Tensor | None = None

    def _taken(self, positions: torch.Tensor) -> torch.Tensor:
        if self._held is None:
            with numpy.load(self.file.path, allow_pickle=False) as members:
                held = torch.from_numpy(members[self.file.key])
            if tuple(held.shape) != self.file.shape:
                raise DataError(f"{self.file.path} has changed since it was opened: {self.file.key} has another shape")
            self._held = held
        return self._held.index_select(0, positions)


class ChunkedArray(StoredArray):
    """An array of an HDF5 file that is stored in chunks, which may be compressed."""

    def __init__(self, file: ArrayFile) -> None:
        super().__init__(file)
        self._opened_by = 0
        self._data: Any = None

    def _taken(self, positions: torch.Tensor) -> torch.Tensor:
        if self._opened_by != os.getpid():  # a fork must not use what its parent has open
            self._data = required("h5py", "hdf5", self.file.name).File(self.file.path, "r")[self.file.key]
            self._opened_by = os.getpid()
            if self._data.shape != self.file.shape or self._data.dtype != self.file.dtype:
                raise DataError(f"{self.file.path} has changed since it was opened: {self.file.key} is another array")
        taken = numpy.empty((len(positions), *self.file.shape[1:]), self.file.dtype)
        for k, position in enumerate(positions.tolist()):
            taken[k] = self._data[position]
        return torch.from_numpy(taken)


def stored_array(file: ArrayFile) -> StoredArray:
    """Returns an array, to be read in the way that its file allows."""
    if file.offset is not None:
        return MappedArray(file)
    return ChunkedArray(file) if file.is_hdf5 else UnpackedArray(file)
