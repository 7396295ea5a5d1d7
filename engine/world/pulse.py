"""Whether other processes are alive, for as long as one may wait for another without limit: before the training."""

from __future__ import annotations

import threading
import time
from contextlib import suppress

from torch.distributed import Store

BEAT_SECONDS = 2.0
"""Interval at which a process says that it is alive."""
LOST_SECONDS = 60.0
"""Time without a word after which a process is lost."""


class Pulse:
    """Says at intervals that this process is alive, and watches the first one and the one after this in their order.

    A process that was killed, or whose machine was cut off, breaks no connection of those that wait for its word in the
    store, and the launcher of another machine does not tell them. Each is watched by at least one other.

    Args:
        store: store of this attempt, by a connection of its own.
        rank: number of this process.
        size: number of processes.
    """

    def __init__(self, store: Store, rank: int, size: int) -> None:
        self._store = store
        self._rank = rank
        self._heard: dict[int, tuple[bytes, float]] = {}
        now = time.monotonic()
        for other in {0, (rank + 1) % size} - {rank}:
            self._heard[other] = b"", now
        self._lost: list[int] = []
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._run, name="firebox-pulse", daemon=True)
        if size > 1:
            self._thread.start()

    @property
    def lost(self) -> list[int]:
        """The watched processes that say nothing any more."""
        return self._lost

    def end(self) -> None:
        """Ends the thread, unless the store has it wait."""
        self._ends.set()
        if self._thread.is_alive():
            self._thread.join(BEAT_SECONDS)

    def _run(self) -> None:
        beats = 0
        with suppress(RuntimeError):  # without the store, whoever waits in it has noticed
            while not self._ends.is_set():
                self._store.set(str(self._rank), str(beats))
                for other, (last, _) in self._heard.items():
                    if self._store.check([str(other)]):
                        now = self._store.get(str(other))
                        if now != last:
                            self._heard[other] = now, time.monotonic()
                silent_since = time.monotonic() - LOST_SECONDS
                self._lost = [other for other, (_, at) in self._heard.items() if at < silent_since]
                beats += 1
                self._ends.wait(BEAT_SECONDS)
