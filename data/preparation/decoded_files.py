"""Files that are decoded for a file of samples rather than for a batch."""

from __future__ import annotations

import errno
import os
import weakref
from collections.abc import Generator, Sequence
from contextlib import closing
from pathlib import Path

import numpy
import torch
from crc32c import crc32c

from firebox.data.cache.cache import write_at
from firebox.data.cache.sample_file import Layout, bytes_of
from firebox.data.declarations.data_error import DataError
from firebox.data.decoding.decoding import UnreadableFile
from firebox.data.decoding.image_files import Files, ImageFiles
from firebox.data.sources.progress import Doing, note
from firebox.data.sources.reading import Reading
from firebox.data.workers.one_pass import one_pass
from firebox.foundation.problems import Interrupted, TrainingFailure

TOGETHER, AT_ONCE = 32, 8 << 20
"""Number of files that a process decodes between two reports, and bytes of their samples, which it holds meanwhile."""
Unreadable = dict[int, str]
"""What is wrong with each file that can't be decoded, by its position in the listing."""
READ, UNREADABLE, CHANGED = 0, 1, 2
"""States of a file; a negative state is the error code with which its sample could not be written."""


class DecodedFiles:
    """A source that decodes files and writes the samples where they belong, and returns their checksums alone.

    Each process writes by itself, so that no sample is handed from one to another.

    Args:
        files: the files.
        layout: layout of the file of samples; None if nothing is to be written.
        path: path of the file of samples, which exists.
    """

    def __init__(self, files: ImageFiles, layout: Layout | None = None, path: Path | None = None) -> None:
        self._files = files
        self._path = path
        self._begin, self._record = (0, 0) if layout is None else (layout.offset(0), layout.record)
        self._opened: int | None = None
        self.together = max(1, min(TOGETHER, AT_ONCE // max(1, self._record)))
        """Number of files to decode at once."""

    @property
    def keeps(self) -> bool:
        """Whether samples are written."""
        return self._path is not None

    def __len__(self) -> int:
        return len(self._files)

    def gather(self, indices: torch.Tensor, *, seed: int = 0, epoch: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
        """Decodes files that follow one another, and writes their samples.

        Returns:
            The crc32c of each sample and the state of each file, int64 (n,) each.
        """
        # All files are read before any is decoded, and all samples are written thereafter: code that runs between two
        # decodings is in no cache of the processor any more, and takes several times as long.
        positions, states, files, records = indices.tolist(), [READ] * len(indices), [], []
        for position in positions:
            note(Doing.SAMPLE, position)
            files.append(self._files.loaded(position))
        for k, position in enumerate(positions):
            note(Doing.SAMPLE, position)
            try:
                record = self.decode(position, files[k])
            except UnreadableFile:
                states[k], record = UNREADABLE, memoryview(bytes(self._record))
            records.append(record)
        checksums = [0] * len(indices)
        try:
            checksums = self.write(records, positions[0])
        except OSError as error:
            states = [-(error.errno or errno.EIO)] * len(indices)
        for k, position in enumerate(positions):
            if states[k] == READ and not self._files.is_as_listed(position):
                states[k] = CHANGED
        return torch.tensor(checksums), torch.tensor(states)

    def name_of(self, position: int) -> str:
        """Returns what messages call a file."""
        return str(self._files.file_of(position))

    def decode(self, position: int, files: Files | None = None) -> memoryview:
        """Decodes a file; returns the bytes of its sample, or none if nothing is to be written.

        Args:
            position: its position in the listing.
            files: it, and that of its target, as ``ImageFiles.loaded`` returned them; None to read them now.

        Raises:
            UnreadableFile: the file can't be decoded.
        """
        parts = self._files.record(position, files)
        return memoryview(b"") if self._path is None else bytes_of(*parts)

    def write(self, records: Sequence[memoryview], position: int) -> list[int]:
        """Writes samples, of which the first belongs at a position; returns the crc32c of each.

        Raises:
            OSError: they can't be written.
        """
        if self._path is not None:
            if self._opened is None:
                self._opened = os.open(self._path, os.O_WRONLY)
                weakref.finalize(self, os.close, self._opened)
            write_at(self._opened, records, self._begin + position * self._record)
        return list(map(crc32c, records))


class DecodingPass:
    """One pass over all files, by processes of its own or in this one.

    Args:
        decoded: the files, and what becomes of their samples.
        count: number of files.
        reading: how they may be read.
    """

    def __init__(self, decoded: DecodedFiles, count: int, reading: Reading) -> None:
        self._decoded = decoded
        self._count = count
        self._reading = reading
        self._batches = torch.arange(count).split(decoded.together)
        self.workers = min(reading.workers, len(self._batches))
        self.checksums = numpy.zeros(count, numpy.uint32)
        """crc32c of each sample."""
        self.changed: list[int] = []
        """Positions of the files that are not as they were listed."""

    def unreadable(self) -> Unreadable:
        """Decodes all files, and returns what is wrong with those that can't be decoded.

        Raises:
            DataError: the processes fail.
            OSError: samples can't be written.
            Interrupted: a stop was requested.
        """
        suspect: list[int] = []
        done = 0
        with closing(self._results()) as results:
            for indices, (checksums, states) in zip(self._batches, results, strict=True):
                if (states < READ).any():
                    code = -int(states.min())
                    raise OSError(code, os.strerror(code))
                self.checksums[indices.numpy()] = checksums.numpy()  # NumPy takes a tensor of one index for a number
                suspect += indices[states == UNREADABLE].tolist()
                self.changed += indices[states == CHANGED].tolist()
                done += len(indices)
                self._reading.progress("samples decoded", done, self._count)
                if self._reading.stopping():
                    raise Interrupted
        return {position: why for position in suspect if (why := self._why(position)) is not None}

    def _results(self) -> Generator[tuple[torch.Tensor, torch.Tensor]]:
        results = one_pass(self._decoded, self._batches, self.workers, self._reading)
        try:
            with closing(results):
                for checksums, states in results:
                    assert states is not None
                    yield checksums, states
        except TrainingFailure as failure:
            way_out = "; with cache: off, files are decoded as they are needed" if self._decoded.keeps else ""
            raise DataError(f"{failure}{way_out}") from None

    def _why(self, position: int) -> str | None:
        """Tries a file again in this process; returns what is wrong with it, None if it could be decoded now."""
        try:
            self.checksums[position] = self._decoded.write([self._decoded.decode(position)], position)[0]
        except UnreadableFile as error:
            return error.why
        return None
