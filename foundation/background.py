"""One thread that writes, so that training does not wait for files."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Any

QUEUE_LENGTH = 64
"""Jobs that may wait; when so many do, the training thread waits for one to be done."""


class Background:
    """Does jobs in order on a thread of its own. A job that fails stops the run at the next call."""

    # Not concurrent.futures: it joins its threads when the interpreter exits, so that a job which hangs, in a file
    # system that went away for instance, would keep the process from ever ending.

    def __init__(self) -> None:
        self._jobs: queue.Queue[tuple[Callable[..., Any], tuple[Any, ...]] | None] = queue.Queue(QUEUE_LENGTH)
        self._error: BaseException | None = None
        self._thread: threading.Thread | None = None
        self._submitted = 0
        self._done = 0
        self._progress = threading.Condition()

    def submit(self, job: Callable[..., Any], *arguments: Any) -> int:
        """Has a job done after all that were submitted before it.

        Returns:
            A ticket to ``wait`` for it with.

        Raises:
            BaseException: what an earlier job raised.
        """
        self._raise()
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="firebox-background", daemon=True)
            self._thread.start()
        self._jobs.put((job, arguments))
        self._submitted += 1
        return self._submitted

    def wait(self, ticket: int) -> None:
        """Waits until a job and all before it are done, and raises what any of them raised."""
        with self._progress:
            self._progress.wait_for(lambda: self._done >= ticket)
        self._raise()

    def drain(self) -> None:
        """Waits until every submitted job is done, and raises what any of them raised."""
        self.wait(self._submitted)

    def close(self) -> None:
        """Drains, then ends the thread."""
        if self._thread is not None:
            self._jobs.put(None)
            self._thread.join()
            self._thread = None
        self._raise()

    def _raise(self) -> None:
        error, self._error = self._error, None
        if error is not None:
            raise error

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            function, arguments = job
            try:
                if self._error is None:
                    function(*arguments)
            except BaseException as error:
                self._error = error
            finally:
                with self._progress:
                    self._done += 1
                    self._progress.notify_all()
