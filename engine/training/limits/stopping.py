"""Stopping on a signal: the step is finished, a checkpoint is saved, and the process exits."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any

from firebox.engine.training.limits import watch
from firebox.engine.training.limits.watch import ALARM, Limit, Watch, insists
from firebox.foundation.exit_codes import STOPPED_BY

logger = logging.getLogger("firebox")

LAUNCHER_SECONDS = 3.0
"""A signal this soon after another is the same one where there is a launcher: Slurm signals it and its processes, and
it signals them, too."""


class StopRequest:
    """Remembers that a signal asked the run to stop. A second one, half a second later or more, leaves at once.

    ``requested`` is a plain attribute: it is read at every iteration and every evaluation batch. Where several
    processes train together, a signal is received by some of them; it counts as requested once all have agreed on it.
    """

    def __init__(self) -> None:
        self.requested = False
        self.signal: signal.Signals | None = None
        self._same_seconds = watch.SAME_SECONDS
        self._received_first: signal.Signals | None = None
        self._received_at = 0.0
        self._shared = False
        self._watch: Watch | None = None
        self._told = False

    def follow_launcher(self) -> None:
        """Takes a launcher's end for a request to stop, and what it and a batch system signal for one signal."""
        self._same_seconds = LAUNCHER_SECONDS
        if self._watch is not None:
            self._watch.same_seconds, self._watch.parent = LAUNCHER_SECONDS, os.getppid()

    def share(self) -> None:
        """Has a signal count as a request from now on only where all processes agree on it.

        No process gives up reading a batch then: the others wait for it, to agree on where the run stops.
        """
        self._shared, self.requested = True, False
        if self._watch is not None:
            self._watch.gives_up_reading = False

    def votes(self) -> list[bool]:
        """Returns, for each of the signals that ask for a stop, whether this process has received it."""
        return [number is self._received_first for number in STOPPED_BY]

    def agree(self, votes: Sequence[bool]) -> None:
        """Requests a stop if any process has received a signal.

        Args:
            votes: for each signal, whether any process has received it, the same in all processes.
        """
        if self._shared and not self.requested and any(votes):
            self.signal = next(number for number, voted in zip(STOPPED_BY, votes, strict=True) if voted)
            self.requested = True

    @property
    def exit_code(self) -> int:
        return STOPPED_BY[self.by]

    @property
    def by(self) -> signal.Signals:
        """The signal that asked for the stop."""
        by = self.signal or self._received_first
        assert by is not None
        return by

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Takes over the signals that ask for a stop, has a thread watch that it is followed, and gives them back.

        Outside the main thread there are no signals to take over; it says so.
        """
        if threading.current_thread() is not threading.main_thread():
            if not self._told:
                logger.warning("started outside the main thread: signals do not stop this run, what hangs is awaited")
                self._told = True
            yield
            return
        self._watch = Watch()
        taken = _Taken({**dict.fromkeys(STOPPED_BY, self._received), ALARM: self._watch.alarmed}, self._watch.wake_up)
        try:
            with self.limit("the run", watch.STOP_SECONDS, from_stop=True):
                yield
        finally:
            taken.give_back()
            self._watch.end()
            self._watch = None

    @contextmanager
    def limit(self, what: str, seconds: float | None = None, *, from_stop: bool = False) -> Iterator[None]:
        """Limits how long the block may take; a limit inside another takes its place for so long.

        Args:
            what: what is done in the block, the subject of a sentence.
            seconds: what it may take; None if it is one of the steps that all have ``STEP_SECONDS``.
            from_stop: counted from a stop's request instead of the block's beginning.

        Raises:
            Overdue: it took longer.
        """
        if self._watch is None:
            yield
            return
        with self._watch.limit(Limit(what, watch.STEP_SECONDS if seconds is None else seconds, from_stop=from_stop)):
            yield

    def watch_reading(self, seconds: float) -> None:
        """Limits how long the reading of one batch in this process may take, in seconds."""
        if self._watch is not None:
            self._watch.reading_seconds = seconds

    def before_leaving(self, action: Callable[[str], object]) -> None:
        """Has ``action`` called with the reason before the process is left because something does not end."""
        if self._watch is not None:
            self._watch.last_words = action

    def _received(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if self._received_first is None:
            self._received_first, self._received_at = signal.Signals(number), now
            if not self._shared:
                self.requested, self.signal = True, self._received_first
        elif insists(number, now - self._received_at, self._same_seconds):
            os._exit(STOPPED_BY[signal.Signals(number)])


class _Taken:
    """Signals that were taken over, and whose they were before.

    Args:
        handlers: by signal. A hang-up that was ignored, as under nohup, still is.
        wake_up: the descriptor that the interpreter writes each signal's number to, however busy the main thread is.
    """

    def __init__(self, handlers: dict[signal.Signals, Callable[[int, FrameType | None], Any]], wake_up: int) -> None:
        self._wake_up = signal.set_wakeup_fd(wake_up, warn_on_full_buffer=False)
        before = {number: signal.getsignal(number) for number in handlers}
        self._before = {n: h for n, h in before.items() if n != signal.SIGHUP or h is not signal.SIG_IGN}
        for number in self._before:
            signal.signal(number, handlers[number])
        _taken.append(self)

    def give_back(self) -> None:
        """Puts everything as it was."""
        _taken.remove(self)
        for number, handler in self._before.items():
            # None: a handler that is not Python's, which it can't put back.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        signal.set_wakeup_fd(self._wake_up)


_taken: list[_Taken] = []


def _give_back_in_child() -> None:
    """A fork is another process: what asks it to stop is not for this run, and must end it."""
    for taken in reversed(_taken.copy()):
        taken.give_back()


os.register_at_fork(after_in_child=_give_back_in_child)
