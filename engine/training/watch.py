"""A thread that watches that what must end does.

It costs an iteration nothing: it looks from outside. What is overdue it reaches by a signal, as that alone interrupts a
system call that blocks; the handler raises in the main thread. Where even that is not heard, as by code that never
returns to the interpreter, it leaves the process.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import sysconfig
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

from firebox.foundation.exit_codes import FAILED, STOPPED_BY
from firebox.foundation.problems import Interrupted, TrainingFailure

ALARM = signal.SIGALRM
"""The signal that this process sends itself."""
STOP_SECONDS = 300.0
"""From a stop's request until the training has ended and is saved."""
STEP_SECONDS = 60.0
"""What a handler's flush or close may take."""
READING_SECONDS = 5.0
"""From a stop's request until the reading of a batch in this process is given up."""
UNWINDING_SECONDS = 5.0
"""From an exception in what is overdue until the process is left without it having been heard."""
LOOK_SECONDS = 5.0
"""How often the thread looks while nothing is limited; a look costs some ten microseconds."""
POLL_SECONDS = 0.5
SAME_SECONDS = 0.5
"""What follows a stop's request so soon is the same one: ``timeout`` signals its child and then the child's group."""

READING = ("firebox.data.stream", ("BatchStream.read", "BatchStream.in_order"))
"""Module and names of the functions that read a batch in this process. Between iterations, so it can be given up."""


class Overdue(TrainingFailure):
    """Something that must end did not."""


@dataclass(slots=True)
class Limit:
    """How long something may take.

    Args:
        what: is limited, the subject of a sentence.
        seconds: what it may take.
        from_stop: counted from a stop's request instead of its beginning.
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
    """The thread, and what it watches. Made, and asked to end, in the main thread."""

    def __init__(self) -> None:
        self._reader, self.wake_up = os.pipe()
        os.set_blocking(self.wake_up, False)
        self.reading_seconds = float("inf")
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
                outer.exceeded = time.monotonic()  # it goes on unwinding from here
            self._limit = outer

    def alarmed(self, number: int, frame: FrameType | None) -> None:
        """Raises in the main thread where it is overdue; only there it is sure what it is at."""
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
            for number in news:
                self._signalled(number, now)
            frame = sys._current_frames().get(self._main)
            self._look_at_reading(frame, now)
            self._look_at_limit(frame, now)

    def _signalled(self, number: int, now: float) -> None:
        if number not in STOPPED_BY:
            return
        if self._stop is None:
            self._stop = number, now
        elif insists(number, now - self._stop[1]):
            # The main thread leaves, too, if it hears of it.
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
        stopped = self._stop is not None and now - max(self._stop[1], self._since) > READING_SECONDS
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
        """Leaves the process. The last words may block as well, so they have a thread of their own."""
        speaking = threading.Thread(target=self.last_words, args=(reason,), daemon=True)
        speaking.start()
        speaking.join(UNWINDING_SECONDS)
        os._exit(FAILED if self._stop is None else STOPPED_BY[signal.Signals(self._stop[0])])


def insists(number: int, seconds: float) -> bool:
    """Whether a signal says once more, and on its own account, what another asked for ``seconds`` ago.

    A hang-up never does: it comes twice, from the terminal and from its shell, and is nobody's impatience.
    """
    return number != signal.SIGHUP and seconds >= SAME_SECONDS


def _reading(frame: FrameType | None) -> FrameType | None:
    """Returns the frame that reads a batch among those that led to one, if there is one."""
    while frame is not None:
        if frame.f_code.co_qualname in READING[1] and frame.f_globals.get("__name__") == READING[0]:
            return frame
        frame = frame.f_back
    return None


def _place(frame: FrameType | None) -> str:
    """Returns where a frame is: in the innermost code that is neither Python's nor an installed package's."""
    installed = tuple(sysconfig.get_paths()[name] for name in ("stdlib", "platstdlib", "purelib", "platlib"))
    innermost = frame
    while frame is not None and frame.f_code.co_filename.startswith((*installed, "<")):
        frame = frame.f_back
    at = frame or innermost
    return "unknown" if at is None else f"{at.f_code.co_qualname} ({at.f_code.co_filename}:{at.f_lineno})"
