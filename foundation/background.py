"""A thread that writes, so that training does not wait for files."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from typing import Any

from firebox.foundation.observing import for_the_training, observed
from firebox.foundation.problems import TrainingFailure

QUEUE_LENGTH = 64
"""Number of jobs that may be queued; beyond it, the training thread waits for one to finish."""


JOB_SECONDS = 300.0
"""Seconds that a single job may take while the end of a run waits for it."""
POLL_SECONDS = 0.5


class Background:
    """Runs jobs in order on a thread of its own. A job that fails stops the run at the next call, unless an observer
    submitted it.

    Args:
        stopping: function that says whether a stop was requested; from then on, no job is waited for without limit.
    """

    # concurrent.futures is not used: it joins its threads when the interpreter exits, so a job that hangs, for instance
    # in a file system that has disappeared, would keep the process from ever ending.

    def __init__(self, stopping: Callable[[], bool] = lambda: False) -> None:
        self._stopping = stopping
        self._doing: Callable[..., Any] | None = None
        self._jobs: queue.Queue[tuple[Callable[..., Any], tuple[Any, ...]] | None] = queue.Queue(QUEUE_LENGTH)
        self._error: BaseException | None = None
        self._thread: threading.Thread | None = None
        self._submitted = 0
        self._done = 0
        self._progress = threading.Condition()

    def submit(self, job: Callable[..., Any], *arguments: Any) -> int:
        """Submits a job, which is run after all jobs submitted before it.

        Returns:
            A ticket to pass to ``wait``.

        Raises:
            BaseException: the error of an earlier job.
        """
        self._raise()
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="firebox-background", daemon=True)
            self._thread.start()
        self._jobs.put((observed(job), arguments))
        self._submitted += 1
        return self._submitted

    def wait(self, ticket: int) -> None:
        """Waits until a job and all jobs before it are done, and raises the error of any of them.

        Raises:
            TrainingFailure: a stop was requested, and a job has taken ``JOB_SECONDS`` since.
        """
        self._await(ticket, self._stopping)
        self._raise()

    def drain(self) -> None:
        """Waits until all submitted jobs are done, and raises the error of any of them.

        Raises:
            TrainingFailure: a job has taken ``JOB_SECONDS``.
        """
        self._await(self._submitted, lambda: True)
        self._raise()

    def close(self) -> None:
        """Waits for all jobs, then ends the thread. A job that does not end is abandoned until the process ends.

        Raises:
            TrainingFailure: a job has taken ``JOB_SECONDS``.
        """
        thread, self._thread = self._thread, None
        if thread is not None:
            self._await(self._submitted, lambda: True)
            self._jobs.put(None)
            thread.join()
        self._raise()

    def _await(self, ticket: int, limited: Callable[[], bool]) -> None:
        done, since = self._done, time.monotonic()
        with self._progress:
            while not self._progress.wait_for(lambda: self._done >= ticket, POLL_SECONDS):
                if self._done != done or not limited():
                    done, since = self._done, time.monotonic()
                elif time.monotonic() - since >= JOB_SECONDS:
                    name = getattr(self._doing, "__qualname__", "a job")
                    raise TrainingFailure(f"{name}, on the thread that writes, has not ended within {JOB_SECONDS:g} s")

    def _raise(self) -> None:
        error, self._error = self._error, None
        if error is not None:
            with for_the_training():
                raise error

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            function, arguments = job
            self._doing = function
            try:
                if self._error is None:
                    function(*arguments)
            except BaseException as error:
                self._error = error
            finally:
                with self._progress:
                    self._done += 1
                    self._progress.notify_all()
