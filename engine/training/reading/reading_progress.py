"""The progress of what is read before the training: a bar on a terminal, lines elsewhere."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

from rich.text import Text

from firebox.foundation import console

logger = logging.getLogger("firebox")

LINE_SECONDS = 10.0
"""Seconds between two lines where there is no bar."""


@contextmanager
def shown_progress() -> Iterator[Callable[[str, int, int], None]]:
    """Shows progress while the block lasts; yields the function that is told of it, as ``Reading.progress``."""
    shown = _Progress()
    live = console.live(shown.bar) if console.draws_progress() else None

    def told(what: str, done: int, total: int) -> None:
        shown.take(what, done, total)
        if live is None:
            shown.say()
        elif not live.is_started:
            live.start()

    try:
        yield told
    finally:
        if live is not None:
            live.stop()


class _Progress:
    """What is being done, and how far it is."""

    def __init__(self) -> None:
        self._what, self._done, self._total = "", 0, 0
        self._began = self._said = time.monotonic()

    def take(self, what: str, done: int, total: int) -> None:
        """Takes note of how far it is; another ``what`` begins anew."""
        if what != self._what:
            self._began = self._said = time.monotonic()
        self._what, self._done, self._total = what, done, total

    def say(self) -> None:
        """Writes a line, unless one was written a short time ago."""
        now = time.monotonic()
        if now - self._said >= LINE_SECONDS:
            self._said = now
            logger.info("%s of %s %s", f"{self._done:,}", f"{self._total:,}", f"{self._what}, {self._left()} left")

    def bar(self) -> Text:
        """Returns the bar; called by the drawing thread."""
        done, total = self._done, self._total
        rest = f" {100 * done // max(total, 1):3d} %  {done:,} of {total:,}  {self._left()} left"
        return console.bar(f"{self._what} ", done, total, rest)

    def _left(self) -> str:
        """Returns the time left at the average pace so far."""
        if not self._done:
            return "?"
        return str(timedelta(seconds=round((time.monotonic() - self._began) / self._done * (self._total - self._done))))
