"""Standard output and standard error whose failure does not stop a run.

The reader of a pipe may leave, a disk may be full, a terminal may go away, a stream may be closed from the start. What
can't be written is lost, and reported once to a callback.
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
"""A callback that takes a line saying what is lost. Any thread that writes may call it, so it must not write itself."""


def outlive(lost: Lost) -> None:
    """Replaces both streams by ones that never fail to write. Streams that have already been replaced stay.

    Args:
        lost: callback that is told once of each stream that can't be written to.
    """
    # Otherwise the next file opened would get the descriptor of a closed stream, and receive whatever is printed.
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
    # Characters that the encoding lacks are escaped, so that a name in a message can't stop the run.
    errors = "backslashreplace" if like.errors == "strict" else like.errors
    return io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding=like.encoding,
        errors=errors,
        line_buffering=like.line_buffering,
        write_through=like.write_through,
    )


def unwritten() -> OSError | None:
    """Returns why a part of what was printed on standard output is lost; None if nothing is, or its reader left."""
    with suppress(OSError, ValueError):
        sys.stdout.flush()
    raw = getattr(getattr(sys.stdout, "buffer", None), "raw", None)
    error = raw.error if isinstance(raw, _Lasting) else None
    return None if isinstance(error, BrokenPipeError) else error


class _Lasting(io.FileIO):
    """A descriptor that accepts all writes; what can't be written is lost."""

    def __init__(self, descriptor: int, called: str, lost: Lost) -> None:
        super().__init__(descriptor, "w", closefd=False)
        self.error: OSError | None = None
        self._called = called
        self._lost: Lost | None = lost

    def write(self, data: Any) -> int:
        try:
            # None if the descriptor is non-blocking and its reader is behind.
            while (written := super().write(data)) is None:
                select.select((), (self,), ())
        except OSError as error:
            self._say(error)
            return len(data)
        return written

    def _say(self, error: OSError) -> None:
        self.error = self.error or error
        lost, self._lost = self._lost, None
        if lost is not None:
            lost(f"{self._called} can't be written to ({error.strerror}): the run goes on without it")
