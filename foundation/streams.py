"""Standard output and standard error that a run outlives.

The reader of a pipe may leave, a disk be full, a terminal go away, a stream be closed from the start. What can't be
written is lost, and said once to whoever asked to know.
"""

from __future__ import annotations

import io
import os
import select
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TextIO

NAMES = {"stdout": "standard output", "stderr": "standard error"}

Lost = Callable[[str], object]
"""Called with a line that says what is lost, from whichever thread writes: it must not write itself."""


def outlive(lost: Lost) -> None:
    """Replaces both streams by ones whose writing never fails. Those that somebody has put in their place stay.

    Args:
        lost: told of each stream that can't be written to, once.
    """
    # A file opened next would take the number of a stream that is closed, and be written to by whatever prints.
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    for name, called in NAMES.items():
        stream: TextIO | None = getattr(sys, name)
        if stream is None:
            lost(f"{called} is closed: the run goes on without it")
            setattr(sys, name, _lasting(os.open(os.devnull, os.O_WRONLY), called, lost))
        elif stream is getattr(sys, f"__{name}__") and isinstance(stream, io.TextIOWrapper):
            replacement = _lasting(stream.fileno(), called, lost, like=stream)
            setattr(sys, name, replacement)


def _lasting(descriptor: int, called: str, lost: Lost, like: io.TextIOWrapper | None = None) -> io.TextIOWrapper:
    raw = _Lasting(descriptor, called, lost)
    if like is None:
        return io.TextIOWrapper(io.BufferedWriter(raw), encoding="utf-8", errors="backslashreplace")
    with suppress(OSError):
        like.flush()
    # What the encoding has no character for is escaped: a name in a message stops nothing either.
    errors = "backslashreplace" if like.errors == "strict" else like.errors
    return io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding=like.encoding,
        errors=errors,
        line_buffering=like.line_buffering,
        write_through=like.write_through,
    )


class _Lasting(io.FileIO):
    """A descriptor that takes whatever is written to it; what can't be written is lost."""

    def __init__(self, descriptor: int, called: str, lost: Lost) -> None:
        super().__init__(descriptor, "w", closefd=False)
        self._called = called
        self._lost: Lost | None = lost

    def write(self, data: Any) -> int:
        try:
            # None: the descriptor does not block, and its reader is behind.
            while (written := super().write(data)) is None:
                select.select((), (self,), ())
        except OSError as error:
            self._say(error)
            return len(data)
        return written

    def _say(self, error: OSError) -> None:
        lost, self._lost = self._lost, None
        if lost is not None:
            lost(f"{self._called} can't be written to ({error.strerror}): the run goes on without it")
