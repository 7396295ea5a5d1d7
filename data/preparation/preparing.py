"""Decodes all files of a data set once, by several processes, into a file of samples."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy

from firebox.data.cache.cache import Cache, NoRoom, Writing
from firebox.data.cache.sample_file import Layout, SampleFile
from firebox.data.decoding.decoding import UnreadableFile, versions
from firebox.data.decoding.image_files import Decoder, ImageFiles
from firebox.data.division.listing import Listing
from firebox.data.preparation.decoded_files import DecodedFiles, DecodingPass, Unreadable
from firebox.data.sources.reading import Reading
from firebox.foundation.console import size
from firebox.foundation.problems import Interrupted, counted

logger = logging.getLogger("firebox")

POLL_SECONDS = 0.2
"""Seconds between two looks at what another process writes."""


class Prepared(NamedTuple):
    """What a data set knows once its files were decoded.

    Attributes:
        kept: the file of the samples; None if none is kept.
        unreadable: the files that can't be decoded, as far as they were tried.
    """

    kept: SampleFile | None
    unreadable: Unreadable


class NotKept(Exception):
    """Samples can't be kept; the message says why."""


def prepare(
    listing: Listing,
    decoder: Decoder,
    reading: Reading,
    *,
    skip: bool,
    contents: Callable[[Reading], Sequence[str]],
) -> Prepared:
    """Finds the decoded samples of a data set in the cache, or decodes all files and keeps them there.

    Args:
        listing: the files.
        decoder: the way from the files of a sample to the sample.
        reading: how they may be read, and where samples may be kept.
        skip: whether files that can't be decoded are left out, so that all must be tried even if nothing is kept; if
            not, nothing is kept where there are any.
        contents: function that returns the SHA-256 of the content of each sample's files; called only if files are
            recognised by it.

    Raises:
        DataError: the processes that decode fail.
        Interrupted: a stop was requested; nothing half-made is left.
    """
    files = ImageFiles(listing, decoder)
    if reading.cache is not None:
        try:
            key = key_of(listing, decoder, contents(reading) if reading.content else None)
            return _Keeping(key, files, listing, reading, skip=skip).result()
        except (NotKept, NoRoom, OSError) as error:
            why = str(error)
            if isinstance(error, OSError):
                why = f"{error.strerror or error}: {error.filename or reading.cache}"
            level = logging.WARNING if reading.asked else logging.INFO
            logger.log(level, "%s: no decoded samples are kept: %s; goes on without", listing.root, why)
    return Prepared(None, verify_files(listing, decoder, reading) if skip else {})


def verify_files(listing: Listing, decoder: Decoder, reading: Reading) -> Unreadable:
    """Decodes all files, keeps nothing, and returns what is wrong with those that can't be decoded.

    Args:
        listing: the files.
        decoder: the way from a file to a sample.
        reading: by how many processes, and for how long, they may be read.

    Raises:
        DataError: the processes that decode fail.
        Interrupted: a stop was requested.
    """
    return DecodingPass(DecodedFiles(ImageFiles(listing, decoder)), len(listing), reading).unreadable()


def told(listing: Listing, unreadable: Unreadable, most: int = 20) -> str:
    """Names files that can't be decoded, and why; of many, the first."""
    names = [f"{listing.names[position]} ({why})" for position, why in list(unreadable.items())[:most]]
    more = len(unreadable) - len(names)
    return ", ".join(names) + (f" and {more:,} more" if more else "")


def key_of(listing: Listing, decoder: Decoder, contents: Sequence[str] | None = None) -> str:
    """Returns the identity of all decoded samples of a listing, wherever its folder is.

    Args:
        listing: the files.
        decoder: the way from the files of a sample to the sample.
        contents: SHA-256 of the content of each sample's files; None to recognise them by size and time of change.
    """
    known = hashlib.sha256(json.dumps([decoder.described(), versions()], sort_keys=True).encode())
    for position, name in enumerate(listing.names):
        state = f"{listing.changed[position]}" if contents is None else contents[position]
        known.update(os.fsencode(f"{name}\0{listing.sizes[position]}\0{state}\n"))
        if listing.targets is not None:
            own = listing.targets
            state = f"{own.changed[position]}" if contents is None else ""
            known.update(os.fsencode(f"{own.names[position]}\0{own.sizes[position]}\0{state}\n"))
    return known.hexdigest()


class _Keeping:
    """The samples of a listing in a cache: found there, awaited from another process, or decoded."""

    def __init__(self, key: str, files: ImageFiles, listing: Listing, reading: Reading, *, skip: bool) -> None:
        assert reading.cache is not None
        self._layout = Layout(key, len(listing), files.decoder.columns)
        self._files = files
        self._listing = listing
        self._reading = reading
        self._cache = Cache(reading.cache, reading.cache_bytes)
        self._skip = skip

    def result(self) -> Prepared:
        waiting = _Waiting(self._cache.unfinished(self._layout.key), self._layout, self._reading)
        while True:
            found = self._found()
            if found is not None:
                return found
            with self._cache.writing(self._layout.key, self._layout.size) as file:
                if file is not None and not self._cache.entry(self._layout.key).exists():
                    unreadable = self._decoded_into(file)
                    if unreadable and not self._skip:
                        return Prepared(None, unreadable)
                    kept = self._cache.open(self._layout.key)
                    if kept is None:
                        raise NotKept(f"{self._cache.entry(self._layout.key)} was removed at once")
                    return Prepared(kept, unreadable)
            if file is None:
                waiting.look()

    def _found(self) -> Prepared | None:
        kept = self._cache.open(self._layout.key)
        if kept is None:
            return None
        unreadable = {}
        for position in kept.unreadable:
            try:
                self._files.decoded(position)
            except UnreadableFile as error:
                unreadable[position] = error.why
        if len(unreadable) == len(kept.unreadable):
            logger.info("%s: decoded samples are read from %s", self._listing.root, kept.path)
            return Prepared(kept, unreadable)
        logger.info("%s: files that could not be decoded now can: prepared anew", self._listing.root)
        kept.discard()
        return None

    def _decoded_into(self, file: Writing) -> Unreadable:
        began, count = time.monotonic(), len(self._listing)
        decoding = DecodingPass(DecodedFiles(self._files, self._layout, file.path), count, self._reading)
        unreadable = decoding.unreadable()
        if unreadable and not self._skip:
            return unreadable
        if decoding.changed:
            names = [self._listing.names[position] for position in decoding.changed]
            raise NotKept(f"{counted(len(names), 'file')} changed while they were decoded, such as {names[0]}")
        missing = numpy.zeros(count, bool)
        missing[list(unreadable)] = True
        file.write(self._layout.head, 0)
        file.write(self._layout.table(decoding.checksums, missing), self._layout.offset(count))
        file.keep()
        seconds, entry = time.monotonic() - began, self._cache.entry(self._layout.key)
        by = f"by {decoding.workers} processes" if decoding.workers > 1 else "by one process"
        logger.info(
            "%s: %s samples decoded in %.1f s %s, kept in %s (%s); later epochs and runs read them there",
            *(self._listing.root, f"{count:,}", seconds, by, entry, size(self._layout.size)),
        )
        return unreadable


class _Waiting:
    """Waits for another process that writes a file, as long as it makes progress."""

    def __init__(self, path: Path, layout: Layout, reading: Reading) -> None:
        self._path = path
        self._layout = layout
        self._reading = reading
        self._seen: tuple[int, int] | None = None
        self._since = 0.0

    def look(self) -> None:
        """Looks how far it is, and pauses.

        Raises:
            NotKept: it has made no progress for too long.
            Interrupted: a stop was requested.
        """
        if self._reading.stopping():
            raise Interrupted
        try:
            state = self._path.stat()
        except FileNotFoundError:
            return
        if self._seen is None:
            logger.info("another process decodes the same files into %s: waiting for it", self._path)
        if (now := (state.st_blocks, state.st_mtime_ns)) != self._seen:
            self._seen, self._since = now, time.monotonic()
        elif time.monotonic() - self._since > self._reading.timeout:
            raise NotKept(f"the process that writes {self._path} made no progress for {self._reading.timeout:g} s")
        done = min(state.st_blocks * 512 // self._layout.record, self._layout.count - 1)
        self._reading.progress("samples decoded by another process", done, self._layout.count)
        time.sleep(POLL_SECONDS)
