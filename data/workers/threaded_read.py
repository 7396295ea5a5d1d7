"""A batch that is read by a thread while the one before is in use."""

from __future__ import annotations

import weakref
from collections.abc import Callable

from firebox.data.workers.patience import GRACE_SECONDS
from firebox.data.workers.worker import Gathered
from firebox.foundation.threaded import Threaded


class ThreadedRead(Threaded[Gathered]):
    """A batch that a thread of its own begins to read at once.

    It is worth it where reading mostly waits for the system, which lets other threads run: a thread that computes would
    take turns with the training.

    Args:
        read: function that reads the batch.
    """

    def __init__(self, read: Callable[[], Gathered]) -> None:
        super().__init__(read, "firebox-read")
        # Python would end the thread within torch's code, which ends the process by SIGABRT.
        weakref.finalize(self, self._thread.join, GRACE_SECONDS)
