"""The end of a wait for worker processes that ends in no other way."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from multiprocessing.process import BaseProcess

POLL_SECONDS = 0.5
"""Seconds between checks for a stop while waiting for a batch."""
GRACE_SECONDS = 3.0
"""Seconds that workers are given to end by themselves before they are killed."""


class Patience:
    """Ends workers if a wait for them ends in no other way; entered while a batch is awaited.

    Memory is handed over through a socket that a thread of the worker serves. A data set that neither returns nor lets
    other threads run, such as one in a regular expression that backtracks, would be waited for there without limit.

    Args:
        workers: the processes.
        timeout: longest time that a batch may take to arrive, in seconds.
        stopping: function that says whether a stop was requested.
    """

    def __init__(self, workers: list[BaseProcess], timeout: float, stopping: Callable[[], bool]) -> None:
        self._workers = workers
        self._timeout = timeout
        self._stopping = stopping
        self._since: float | None = None
        self._over = threading.Event()
        threading.Thread(target=self._watch, name="firebox-patience", daemon=True).start()

    def __enter__(self) -> None:
        self._since = time.monotonic()

    def __exit__(self, *_: object) -> None:
        self._since = None

    def end(self) -> None:
        """Ends the thread that watches."""
        self._over.set()

    def _watch(self) -> None:
        stop_seen, seen_in = 0.0, None
        while not self._over.wait(POLL_SECONDS):
            since, now = self._since, time.monotonic()
            if since is None or not self._stopping() or seen_in != since:
                stop_seen, seen_in = now, since
            if since is not None and (now - since > self._timeout + GRACE_SECONDS or now - stop_seen > GRACE_SECONDS):
                kill(self._workers)
                return


def kill(workers: list[BaseProcess]) -> None:
    """Ends those processes that have not ended."""
    for worker in workers:
        if worker.is_alive():
            worker.kill()
