"""SHA-256 of many files, read by several threads."""

from __future__ import annotations

import hashlib
import os
import queue
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from firebox.data.declarations.data_error import DataError
from firebox.data.division.listing import Listing
from firebox.data.sources.reading import Reading
from firebox.foundation.files import digest
from firebox.foundation.problems import Interrupted

MOST_THREADS = 8
POLL_SECONDS = 0.2


def contents_of(listing: Listing, reading: Reading) -> list[str]:
    """Returns the SHA-256 of the content of each sample's file; where its target is a file, too, that of both.

    Raises:
        DataError: a file can't be read, or none was for too long.
        Interrupted: a stop was requested.
    """
    files = zip(*map(listing.files_of, range(len(listing))), strict=True)
    digests = [digests_of(each, reading) for each in files]
    if len(digests) == 1:
        return digests[0]
    return [hashlib.sha256("".join(own).encode()).hexdigest() for own in zip(*digests, strict=True)]


def digests_of(files: Sequence[Path], reading: Reading) -> list[str]:
    """Returns the SHA-256 of each file.

    Raises:
        DataError: a file can't be read, or no file was read to its end within ``reading.timeout`` seconds.
        Interrupted: a stop was requested.
    """
    waiting: queue.SimpleQueue[int] = queue.SimpleQueue()
    read: queue.SimpleQueue[tuple[int, str | OSError]] = queue.SimpleQueue()
    for position in range(len(files)):
        waiting.put(position)
    over = threading.Event()

    def work() -> None:
        while not over.is_set():
            try:
                position = waiting.get_nowait()
            except queue.Empty:
                return
            try:
                read.put((position, digest(files[position])))
            except OSError as error:
                read.put((position, error))

    # Daemons: a file system that does not answer must not keep the process from ending.
    for _ in range(min(MOST_THREADS, 2 * (os.cpu_count() or 1), len(files))):
        threading.Thread(target=work, name="firebox file digests", daemon=True).start()
    try:
        return _collected(files, read, reading)
    finally:
        over.set()


def _collected(
    files: Sequence[Path], read: queue.SimpleQueue[tuple[int, str | OSError]], reading: Reading
) -> list[str]:
    found: list[str] = [""] * len(files)
    done, last = 0, time.monotonic()
    while done < len(files):
        if reading.stopping():
            raise Interrupted
        try:
            position, result = read.get(timeout=POLL_SECONDS)
        except queue.Empty:
            if time.monotonic() - last > reading.timeout:
                first = files[found.index("")]
                raise DataError(
                    f"no file was read to its end within {reading.timeout:g} s; the first one awaited is {first}"
                ) from None
            continue
        if isinstance(result, OSError):
            raise DataError(f"{files[position]} can't be read: {result.strerror or result}") from None
        found[position], done, last = result, done + 1, time.monotonic()
        reading.progress("files hashed", done, len(files))
    return found
