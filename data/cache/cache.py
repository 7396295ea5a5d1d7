"""The folder of decoded samples: what is in it, who writes to it, and how much it may take."""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from firebox.data.cache.sample_file import READING, SampleFile, Unusable
from firebox.foundation.console import size as shown
from firebox.foundation.files import WITHOUT_LOCKS

logger = logging.getLogger("firebox")

KEPT, WRITING = ".samples", ".samples.writing"
MARGIN = 1 << 30
"""Bytes that are left free on the disk, of a small one a twentieth."""
LEFT = "that are left on the disk"
ABANDONED_SECONDS = 24 * 3600.0
"""Time since the last change after which a file that is not locked, but can't be, counts as left behind."""


class NoRoom(Exception):
    """A file is larger than what the cache may take; the message says by what."""


class Cache:
    """A folder of files of decoded samples. Other files in it are left alone.

    A file is written under another name and renamed once it is whole. While it is written it is locked, so that what a
    killed process leaves is recognised and removed.

    Args:
        folder: the folder.
        limit: most bytes that it may take.
    """

    def __init__(self, folder: Path, limit: int) -> None:
        self.folder = folder
        self._limit = limit

    def entry(self, key: str) -> Path:
        """Returns the path of the file for a key."""
        return self.folder / f"{key[:32]}{KEPT}"

    def unfinished(self, key: str) -> Path:
        """Returns the path of the file for a key while it is written."""
        return self.folder / f"{key[:32]}{WRITING}"

    def open(self, key: str) -> SampleFile | None:
        """Opens the file for a key; None if there is none, or none that can be used, which is said.

        Raises:
            OSError: it can't be read, or is of no use and can't be removed.
        """
        path = self.entry(key)
        try:
            found = SampleFile(path, key)
        except FileNotFoundError:
            return None
        except Unusable as reason:
            logger.warning("%s can't be used: %s; the samples are prepared anew", path, reason)
            path.unlink(missing_ok=True)
            return None
        with suppress(OSError):  # another user's, or a folder that is only read
            os.utime(path)
        return found

    @contextmanager
    def writing(self, key: str, size: int) -> Iterator[Writing | None]:
        """Opens a file to write the samples for a key to; None if another process is writing it.

        A file that is not kept when the block ends is removed.

        Args:
            key: the key.
            size: bytes that the file will have.

        Raises:
            NoRoom: the file does not fit.
            OSError: the folder can't be written to.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        self._clean()
        claimed = _claimed(self.unfinished(key))
        if claimed is None:
            yield None
            return
        descriptor, path = claimed
        file = Writing(descriptor, path, self.entry(key))
        try:
            # An empty file is not cut: what was cut to nothing, ext4 writes to the disk as soon as a process closes it.
            if os.fstat(descriptor).st_size:
                os.ftruncate(descriptor, 0)
            os.ftruncate(descriptor, size)  # takes no space yet, but shows others how much it will take
            self._make_room(size, path)
            yield file
        finally:
            if not file.kept:
                with suppress(OSError):
                    path.unlink()
            os.close(descriptor)

    def _clean(self) -> None:
        """Removes what processes that were killed have left half-written."""
        for path in self.folder.glob(f"*{WRITING}"):
            with suppress(OSError), _opened(path) as descriptor:
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    path.unlink()
                except OSError as error:
                    if error.errno in WITHOUT_LOCKS and time.time() - path.stat().st_mtime > ABANDONED_SECONDS:
                        path.unlink()

    def _make_room(self, size: int, own: Path) -> None:
        """Removes the files that were not used for longest, none that is in use, until another one fits."""
        found = sorted(((state.st_mtime_ns, path, state) for path, state in self._files() if path != own))
        used = sum(state.st_size for _, _, state in found)
        disk = shutil.disk_usage(self.folder)
        left = disk.free + sum(state.st_blocks * 512 for _, _, state in found) - min(MARGIN, disk.total // 20)
        most = min(self._limit, left)
        if size > most:
            limit = f"that datamodule.cache_gib allows for {self.folder}"
            raise NoRoom(
                f"it takes {shown(size)}, more than the {shown(max(most, 0))} {limit if most < left else LEFT}"
            )
        for _, path, state in found:
            if used + size <= most:
                return
            if path.name.endswith(KEPT) and _removed_unless_in_use(path):
                used -= state.st_size
        if used + size > most:
            raise NoRoom(
                f"it takes {shown(size)}, which do not fit beside {shown(used)} that are in use in {self.folder}"
            )

    def _files(self) -> Iterator[tuple[Path, os.stat_result]]:
        for path in self.folder.iterdir():
            if path.name.endswith((KEPT, WRITING)):
                with suppress(FileNotFoundError):
                    yield path, path.stat()


class Writing:
    """A file that is being written, and is nobody else's until it is closed.

    Args:
        descriptor: the open file.
        path: its path.
        entry: the path that it gets once it is whole.
    """

    def __init__(self, descriptor: int, path: Path, entry: Path) -> None:
        self.path = path
        self.kept = False
        self._descriptor = descriptor
        self._entry = entry

    def write(self, content: bytes, offset: int) -> None:
        """Writes bytes at an offset."""
        write_at(self._descriptor, [memoryview(content)], offset)

    def keep(self) -> None:
        """Gives the file its name, and lets others read it.

        Training does not wait for the disk: what a loss of power leaves of the file is told by its checksums.
        """
        self.path.replace(self._entry)
        self.kept = True
        with suppress(OSError):
            fcntl.flock(self._descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)


def write_at(descriptor: int, contents: Sequence[memoryview], offset: int) -> None:
    """Writes all of some bytes, one part behind the other, at an offset of an open file."""
    left = list(contents)
    while left:
        written = os.pwritev(descriptor, left, offset)
        offset += written
        while left and written >= len(left[0]):
            written -= len(left.pop(0))
        if left:
            left[0] = left[0][written:]


def _claimed(path: Path) -> tuple[int, Path] | None:
    """Opens a file and locks it; returns it with its path, or None if another process has the lock."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(descriptor)
            if isinstance(error, BlockingIOError):
                return None
            if error.errno not in WITHOUT_LOCKS:
                raise
            path.unlink(missing_ok=True)
            own = path.with_name(f"{uuid.uuid4().hex}{WRITING}")
            return os.open(own, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o644), own
        # Meanwhile another process may have finished it and given it its name, or removed it.
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(descriptor), path.stat()):
                return descriptor, path
        os.close(descriptor)


def _removed_unless_in_use(path: Path) -> bool:
    with suppress(OSError), _opened(path) as descriptor:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path.unlink()
        return True
    return False


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    descriptor = os.open(path, READING)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
