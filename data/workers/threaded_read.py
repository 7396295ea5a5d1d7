"""A batch that is read by a thread while the one before is in use."""

from __future__ import annotations

import queue
import threading
import weakref
from collections.abc import Callable

from firebox.data.workers.patience import GRACE_SECONDS
from firebox.data.workers.worker import Gathered


class ThreadedRead:
    """A batch that a thread of its own begins to read at once.

    It is worth it where reading mostly waits for the system, which lets other threads run: a thread that computes would
    take turns with the training.

    Args:
        read: function that reads the batch.
    """

    def __init__(self, read: Callable[[], Gathered]) -> None:
        self._found: queue.SimpleQueue[Gathered | BaseException] = queue.SimpleQueue()
        # A daemon: a file system that does not answer must not keep the process from ending. At its end the thread is
        # still given time, as Python would end it within torch's code, which ends the process by SIGABRT.
        thread = threading.Thread(target=_read, args=(read, self._found), name="firebox-read", daemon=True)
        thread.start()
        weakref.finalize(self, thread.join, GRACE_SECONDS)

    def result(self) -> Gathered:
        """Waits for the batch, once. A signal's handler may end the wait, which can be taken up again.

        Raises:
            BaseException: whatever the function raised, each time.
        """
        found = self._found.get()
        if isinstance(found, BaseException):
            self._found.put(found)  # for whoever asks again
            raise found
        return found


def _read(read: Callable[[], Gathered], found: queue.SimpleQueue[Gathered | BaseException]) -> None:
    try:
        found.put(read())
    except BaseException as error:  # is raised where the batch is asked for
        found.put(error)
