"""What the data of a run consists of, found out once, when it is first asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from typing import Literal

from firebox.data.bases.datamodule import DataModule, Split
from firebox.data.fingerprints.fingerprint import Fingerprint, fingerprint, skipped_in
from firebox.data.sources.reading import Reading
from firebox.data.streaming.stream import BatchStream


class DataIdentity:
    """Data and its fingerprint.

    Args:
        data: the data.
        reading: how its files may be read.
        verify: whether files and samples are known by their names and labels, or also by their content.
        stream: function that returns a stream of a split; None to read the split for it.
    """

    def __init__(
        self,
        data: DataModule,
        reading: Reading,
        *,
        verify: Literal["names", "content"],
        stream: Callable[[Split], BatchStream] | None = None,
    ) -> None:
        self.data = data
        self._reading = reading
        self._content = verify == "content"
        self._stream = stream or self._read

    @property
    def fingerprint(self) -> Fingerprint:
        """What the data consists of; which files it skips and what is measured is known once it is prepared.

        Raises:
            DataError: a file or sample can't be read.
            Interrupted: a stop was requested.
        """
        return replace(self._found, skipped=skipped_in(self.data), moments=self.data.moments)

    @cached_property
    def _found(self) -> Fingerprint:
        return fingerprint(self.data, self._stream, self._reading, content=self._content)

    def _read(self, split: Split) -> BatchStream:
        return BatchStream(self.data.read(split), batch_size=1, seed=0, shuffle=False, placement="stream")
