"""Embeddings of images in an .npz file, written without being held in memory."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import IO

import numpy
import torch

TOGETHER = 4096
"""Number of names that are converted at a time."""


class EmbeddingFile:
    """A file with the arrays ``names`` (N,), texts, and ``embeddings`` (N, ...), float32; complete after the block.

    Args:
        path: the file to make.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._raw = path.with_suffix(".raw")
        self._file: IO[bytes] | None = None
        self._names: list[str] = []
        self._shape: tuple[int, ...] = ()

    def __enter__(self) -> EmbeddingFile:
        self._file = self._raw.open("wb")
        return self

    def __exit__(self, *error: object) -> None:
        assert self._file is not None
        self._file.close()
        if self._names and error[0] is None:
            self._complete()
        self._raw.unlink()

    def add(self, names: Sequence[str], embeddings: torch.Tensor) -> None:
        """Adds embeddings (n, ...) and the names of their images."""
        assert self._file is not None
        self._names += names
        self._shape = tuple(embeddings.shape[1:])
        self._file.write(embeddings.detach().float().cpu().contiguous().numpy().tobytes())

    def _complete(self) -> None:
        count = len(self._names)
        dtype = numpy.dtype(f"<U{max((len(name) for name in self._names), default=1) or 1}")
        parts = (self._names[start : start + TOGETHER] for start in range(0, count, TOGETHER))
        with zipfile.ZipFile(self._path, "w", zipfile.ZIP_STORED) as archive:
            _add(archive, "names", dtype, (count,), (numpy.array(part, dtype).tobytes() for part in parts))
            with self._raw.open("rb") as raw:
                shape = (count, *self._shape)
                _add(archive, "embeddings", numpy.dtype("<f4"), shape, iter(lambda: raw.read(1 << 20), b""))


def _add(
    archive: zipfile.ZipFile, name: str, dtype: numpy.dtype, shape: tuple[int, ...], content: Iterable[bytes]
) -> None:
    """Adds an array to an .npz file, as numpy.savez would."""
    with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
        described = {"descr": dtype.str, "fortran_order": False, "shape": shape}
        numpy.lib.format.write_array_header_1_0(file, described)
        for part in content:
            file.write(part)
