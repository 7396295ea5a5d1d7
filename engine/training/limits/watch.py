"""A thread that watches time limits.

It costs an iteration nothing, because it looks from outside. It interrupts what is overdue by a signal, because only
a signal interrupts a blocking system call; the signal's handler raises in the main thread. If even that has no effect,
as in code that never returns to the interpreter, the process exits.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

from firebox.foundation.exit_codes import FAILED, STOPPED_BY
from firebox.foundation.places import is_installed
from firebox.foundation.problems import Interrupted, TrainingFailure

ALARM = signal.SIGALRM
"""The signal that this process sends to itself."""
STOP_SECONDS = 300.0
"""Time limit from a request to stop until training has ended and is saved."""
STEP_SECONDS = 60.0
"""Time limit of a handler's flush or close."""
READING_SECONDS = 5.0
"""Time limit from a request to stop until the reading of a batch in this process is given up."""
UNWINDING_SECONDS = 5.0
"""Time limit from an exception in overdue code that has no effect until the process exits."""
LOOK_SECONDS = 5.0
"""Interval at which the thread looks while nothing is limited; a look costs about ten microseconds."""
POLL_SECONDS = 0.5
SAME_SECONDS = 0.5
"""A signal this soon after a request to stop is the same one: ``timeout`` signals its child, then the group."""

READING = ("firebox.data.streaming.stream", ("BatchStream.read", "BatchStream._read_beside", "BatchStream.in_order"))
"""Module and names of the functions that read a batch in this process, which can be given up safely."""


class Overdue(TrainingFailure):
    """A time limit was exceeded."""


@dataclass(slots=True)
class Limit:
    """A time limit.

    Args:
        what: what is limited, as the subject of a sentence.
        seconds: longest duration.
        from_stop: whether the time counts from a request to stop instead of the beginning.
    """

    what: str
    seconds: float
    from_stop: bool = False
    deadline: float = float("inf")
    exceeded: float | None = None
    heard: bool = False

    def __str__(self) -> str:
        since = " after it was told to stop" if self.from_stop else ""
        return f"{self.what} has not ended within {self.seconds:g} s{since}"


class Watch:
    """The thread and its limits. It is started and ended from the main thread."""

    def __init__(self) -> None:
        self._reader, self.wake_up = os.pipe()
        os.set_blocking(self.wake_up, False)
        self.reading_seconds = float("inf")
        self.gives_up_reading = True
        """Whether a request to stop ends the reading of a batch after ``READING_SECONDS``."""
        self.same_seconds = SAME_SECONDS
        """A signal this soon after a request to stop is the same one."""
        self.parent: int | None = None
        """The process whose end is a request to stop; None if there is none."""
        self.last_words: Callable[[str], object] = lambda reason: None
        self._main = threading.main_thread().ident or 0
        self._limit: Limit | None = None
        self._reading: FrameType | None = None
        self._since = 0.0
        self._given_up: float | None = None
        self._stop: tuple[int, float] | None = None
        self._thread = threading.Thread(target=self._run, name="firebox-watch", daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Ends the thread."""
        os.close(self.wake_up)
        self._thread.join()
        os.close(self._reader)

    @contextmanager
    def limit(self, limit: Limit) -> Iterator[None]:
        """Watches a limit for as long as the block lasts."""
        if not limit.from_stop:
            limit.deadline = time.monotonic() + limit.seconds
        outer, self._limit = self._limit, limit
        os.write(self.wake_up, b"\0")
        try:
            yield
        finally:
            if outer is not None and outer.exceeded is not None:
                outer.exceeded = time.monotonic()  # unwinding starts here
            self._limit = outer

    def alarmed(self, number: int, frame: FrameType | None) -> None:
        """Raises in the main thread if it is overdue; only there is it certain what the thread is doing."""
        reading = _reading(frame)
        if reading is not None and reading is self._reading and self._given_up is not None:
            if self._stop is not None:
                raise Interrupted
            raise TrainingFailure(self._blocked(frame))
        limit = self._limit
        if limit is not None and limit.exceeded is not None and not limit.heard:
            limit.heard = True
            raise Overdue(f"{limit}: {_place(frame)}")

    def _run(self) -> None:
        while True:
            urgent = self._stop is not None or (self._limit is not None and not self._limit.from_stop)
            ready, _, _ = select.select([self._reader], [], [], POLL_SECONDS if urgent else LOOK_SECONDS)
            news = os.read(self._reader, 4096) if ready else b"\0"
            if not news:
                return
            now = time.monotonic()
            if self.parent is not None and os.getppid() != self.parent:
                self.parent = None
                signal.pthread_kill(self._main, signal.SIGTERM)
            for number in news:
                self._signalled(number, now)
            frame = sys._current_frames().get(self._main)
            self._look_at_reading(frame, now)
            self._look_at_limit(frame, now)
            # Until the next look, it would keep what the calls of the main thread held, such as a loader's iterator,
            # whose workers then don't learn that they are to end.
            del frame

    def _signalled(self, number: int, now: float) -> None:
        if number not in STOPPED_BY:
            return
        if self._stop is None:
            self._stop = number, now
        elif insists(number, now - self._stop[1], self.same_seconds):
            # The main thread exits by itself, too, if it receives the signal.
            os._exit(STOPPED_BY[signal.Signals(number)])

    def _look_at_reading(self, frame: FrameType | None, now: float) -> None:
        reading = _reading(frame)
        if reading is None or reading is not self._reading:
            self._reading, self._since, self._given_up = reading, now, None
            return
        if self._given_up is not None:
            if now - self._given_up > UNWINDING_SECONDS and self._stop is None:
                self._leave(self._blocked(frame))
            return
        stopped = (
            self.gives_up_reading and self._stop is not None and now - max(self._stop[1], self._since) > READING_SECONDS
        )
        if stopped or now - self._since > self.reading_seconds:
            self._given_up = now
            signal.pthread_kill(self._main, ALARM)

    def _look_at_limit(self, frame: FrameType | None, now: float) -> None:
        limit = self._limit
        if limit is None:
            return
        deadline = limit.deadline
        if limit.from_stop and self._stop is not None:
            deadline = self._stop[1] + limit.seconds
        if now < deadline:
            return
        if limit.exceeded is None:
            limit.exceeded = now
            signal.pthread_kill(self._main, ALARM)
        elif now - limit.exceeded > UNWINDING_SECONDS and limit is self._limit:
            self._leave(f"{limit}: {_place(frame)}")

    def _blocked(self, frame: FrameType | None) -> str:
        return (
            f"no batch within {self.reading_seconds:g} s: the data set blocks, or needs a longer timeout in the "
            f"section of the data: {_place(frame)}"
        )

    def _leave(self, reason: str) -> None:
        """Exits the process. The last messages may block as well, so another thread writes them."""
        speaking = threading.Thread(target=self.last_words, args=(reason,), daemon=True)
        speaking.start()
        speaking.join(UNWINDING_SECONDS)
        os._exit(FAILED if self._stop is None else STOPPED_BY[signal.Signals(self._stop[0])])


def insists(number: int, seconds: float, same: float) -> bool:
    """Whether a signal is a second, separate request to stop, ``seconds`` after the first one.

    SIGHUP never is: it arrives twice, from the terminal and from its shell, and expresses nobody's impatience.

    Args:
        number: the signal.
        seconds: seconds since the first one.
        same: seconds within which it is the same one.
    """
    return number != signal.SIGHUP and seconds >= same


def _reading(frame: FrameType | None) -> FrameType | None:
    """Returns the frame that reads a batch among the callers of a frame; None if there is none."""
    while frame is not None:
        if frame.f_code.co_qualname in READING[1] and frame.f_globals.get("__name__") == READING[0]:
            return frame
        frame = frame.f_back
    return None


def _place(frame: FrameType | None) -> str:
    """Returns the place of a frame: the innermost code that is neither Python's nor an installed package's."""
    innermost = frame
    while frame is not None and is_installed(frame):
        frame = frame.f_back
    at = frame or innermost
    return "unknown" if at is None else f"{at.f_code.co_qualname} ({at.f_code.co_filename}:{at.f_lineno})"
