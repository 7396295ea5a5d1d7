"""Samples that are rows of a table of the ``datasets`` library."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import Dataset

from firebox.data.declarations.data_error import DataError
from firebox.data.declarations.targets import Classes
from firebox.data.decoding.decoding import UnreadableFile
from firebox.data.decoding.encoded import Encoded
from firebox.data.decoding.encoded_samples import WAY_OUT, SampleDecoder
from firebox.foundation.problems import in_one_line, shown


class TableSamples(Dataset[Any]):
    """A map-style data set that decodes a row each time it is asked for one.

    Args:
        table: the rows, a ``datasets.Dataset`` whose images are not decoded.
        name: what messages call the table.
        image: column of the images.
        target: column of the targets; None for none.
        decoder: what becomes of a row.
        names: names of the labels that are given by their numbers in this order; empty if they are given otherwise.

    Raises:
        DataError: there are classes, and one of a row is none of those.
    """

    def __init__(
        self, table: Any, name: str, image: str, target: str | None, decoder: SampleDecoder, names: Sequence[str] = ()
    ) -> None:
        self._table = table
        self._name = name
        self._image = image
        self._target = target
        self._decoder = decoder
        self._names = names
        self.targets = self._classes() if isinstance(decoder.target, Classes) else None
        """The class of each row, int64 (N,); None if the targets are something else."""

    def _classes(self) -> torch.Tensor:
        values = self._table.select_columns([self._target])[:][self._target]
        return torch.tensor([self._decoder.plain(value, self.file_of(k)) for k, value in enumerate(values)])

    def __len__(self) -> int:
        return len(self._table)

    def __getitem__(self, index: int) -> Any:
        """Reads an image, uint8 (C, H, W), and its target; the image alone if there are no targets.

        Raises:
            DataError: it can't be read; the message names the row.
        """
        try:
            row = self._table[index]
        except Exception as error:  # the library may raise anything where a file is torn
            raise DataError(f"{self.file_of(index)} can't be read: {in_one_line(error)}") from None
        image = self._encoded(row[self._image], index, self._image)
        if self._target is None:
            return self._decoder.alone(image)
        if self.targets is not None:
            return self._decoder.alone(image), self.targets[index]
        value = row[self._target]
        if self._decoder.pair is not None:
            value = self._encoded(value, index, self._target)
        elif self._names:
            value = [self._names[number] for number in value]
        return self._decoder(image, value, f"{self.file_of(index)}, {self._target}")

    def _encoded(self, value: Any, index: int, column: str) -> Encoded:
        """Returns the encoded image in a cell: its bytes, or a map of its bytes or its path."""
        name = f"{self.file_of(index)}, {column}"
        content, path = (value.get("bytes"), value.get("path")) if isinstance(value, dict) else (value, None)
        if content is None and path is not None:
            try:
                content = Path(path).read_bytes()
            except OSError as error:
                raise UnreadableFile(Encoded(b"", name), f"{path} can't be read: {error.strerror}", WAY_OUT) from None
        if not isinstance(content, bytes):
            raise UnreadableFile(Encoded(b"", name), f"is {shown(value)}, expected an encoded image", WAY_OUT)
        return Encoded(content, name if path is None else f"{name}: {path}")

    def file_of(self, index: int) -> str:
        """Returns what messages call a row."""
        return f"{self._name}, row {index}"
