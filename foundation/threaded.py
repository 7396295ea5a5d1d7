"""A call that a thread makes, so that whoever waits for it can give up."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

Result = TypeVar("Result")


class Threaded(Generic[Result]):
    """A function that a thread of its own calls at once.

    The thread is a daemon: what never answers, such as a file system, must not keep the process from ending.

    Args:
        call: function to call.
        name: name of the thread.
    """

    def __init__(self, call: Callable[[], Result], name: str) -> None:
        self._ended: queue.SimpleQueue[tuple[Result | None, BaseException | None]] = queue.SimpleQueue()
        # Not a method: the thread would keep this object, which others may watch the end of.
        self._thread = threading.Thread(target=_call, args=(call, self._ended), name=name, daemon=True)
        self._thread.start()

    def result(self, seconds: float | None = None) -> Result:
        """Waits for what the function returns, once. A signal's handler may end the wait, which can be taken up again.

        Args:
            seconds: longest time to wait; None for no limit.

        Raises:
            TimeoutError: it has not returned by then.
            BaseException: whatever the function raised, each time.
        """
        try:
            value, error = self._ended.get(timeout=seconds)
        except queue.Empty:
            raise TimeoutError(f"{self._thread.name}: no result within {seconds:g} s") from None
        if error is not None:
            self._ended.put((None, error))  # for whoever asks again
            raise error
        return value  # type: ignore[return-value]  # is there where no error is


def _call(call: Callable[[], Result], ended: queue.SimpleQueue[tuple[Result | None, BaseException | None]]) -> None:
    try:
        ended.put((call(), None))
    except BaseException as error:  # is raised where the result is asked for
        ended.put((None, error))
