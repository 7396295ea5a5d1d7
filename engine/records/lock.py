"""The lock that gives a run's directory to one process."""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import pwd
import time
from pathlib import Path

from firebox.foundation.files import WITHOUT_LOCKS
from firebox.foundation.problems import Problem, Refusal

logger = logging.getLogger("firebox")

TRIES, PAUSE = 5, 0.05
"""Seconds between two tries, because a process that checks whether a lock is held holds it for an instant."""


class Lock:
    """A lock on a file, which ends with the process that took it, however that ends.

    It belongs to the open file (``flock``), not to the process: opening and closing the same file elsewhere in the
    process, as a copy of the folder does, leaves it alone. Forks would inherit it and keep it when the process is
    killed, so they close it as they begin.

    Args:
        path: path of the file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None

    def take(self) -> None:
        """Takes the lock. If the file system has no locks, only warns.

        Raises:
            Refusal: another process has the lock, or the file can't be opened.
        """
        try:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise Refusal([Problem("", f"can't lock {self._path.parent}: {_why(self._path, error)}")]) from None
        try:
            _take(descriptor)
        except OSError as error:
            if error.errno in WITHOUT_LOCKS:
                logger.warning(
                    "%s: the file system has no locks (%s); nothing keeps a second process from training this run",
                    self._path.parent,
                    error.strerror,
                )
            else:
                os.close(descriptor)
                in_use = f"{self._path.parent} is in use: another process is training this run"
                if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                    in_use = f"can't lock {self._path.parent}: {_why(self._path, error)}"
                raise Refusal([Problem("", in_use)]) from None
        self._descriptor = descriptor
        _held.add(descriptor)

    def follow(self, path: Path) -> None:
        """Follows a renamed file. A lock that is held stays held, because it belongs to the open file."""
        self._path = path

    def give_back(self) -> None:
        """Releases the lock if it was taken."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor in _held:
            _held.remove(descriptor)
            os.close(descriptor)

    def is_held(self) -> bool:
        """Whether any process, including this one, has the lock; True if unknown."""
        try:
            descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        except OSError:
            return True
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return True
        finally:
            os.close(descriptor)
        return False


_held: set[int] = set()


def _close_in_child() -> None:
    while _held:
        os.close(_held.pop())


os.register_at_fork(after_in_child=_close_in_child)


def _take(descriptor: int) -> None:
    for remaining in reversed(range(TRIES)):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if not remaining:
                raise
            time.sleep(PAUSE)


def _why(path: Path, error: OSError) -> str:
    """Returns a message that says why a lock's file can't be used, and what to do."""
    if not isinstance(error, PermissionError):
        return f"{path.name}: {error.strerror}"
    try:
        owner = pwd.getpwuid(path.stat().st_uid).pw_name
    except (OSError, KeyError):
        owner = "another user"
    copy = f"cp -r {path.parent} {path.parent}_copy"
    return f"{path.name} belongs to {owner} ({error.strerror}); continue a copy of your own: {copy}"
