"""Encoded images that lie in a larger file or in a table rather than in files of their own."""

from __future__ import annotations

import io
from pathlib import PurePosixPath


class Encoded(io.BytesIO):
    """An encoded image in memory, which a decoder reads as it reads a file.

    Args:
        content: the bytes of the file that it would be.
        name: what messages call it.
    """

    def __init__(self, content: bytes, name: str) -> None:
        super().__init__(content)
        self.content = content
        """The bytes."""
        self._path = name

    @property
    def name(self) -> str:
        """The last part of its name."""
        return PurePosixPath(self._path).name

    @property
    def suffix(self) -> str:
        """The suffix of its name."""
        return PurePosixPath(self._path).suffix

    def open(self, mode: str = "rb", buffering: int = -1) -> io.BytesIO:
        """Opens it to be read from its beginning."""
        assert mode == "rb"
        return io.BytesIO(self.content)

    def __repr__(self) -> str:
        return f"<{self}>"

    def __str__(self) -> str:
        return self._path
