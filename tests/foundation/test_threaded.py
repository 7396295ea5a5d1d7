"""Calls that a thread makes, and whose result is awaited for a limited time."""

import gc
import threading
import weakref

import pytest

from firebox.foundation.threaded import Threaded


def test_what_a_call_returns_is_had_from_a_thread_of_its_own() -> None:
    called = Threaded(threading.current_thread, "somebody").result(30)
    assert (called.name, called.daemon) == ("somebody", True)
    assert called is not threading.current_thread()


def test_what_a_call_raises_is_raised_each_time_it_is_asked_for() -> None:
    def fail() -> None:
        raise SystemExit(3)

    call = Threaded(fail, "failing")
    for _ in range(2):
        with pytest.raises(SystemExit):
            call.result(30)


def test_a_wait_can_be_given_up_and_taken_up_again() -> None:
    go_on = threading.Event()
    call = Threaded(lambda: go_on.wait(30), "waiting")
    with pytest.raises(TimeoutError, match=r"^waiting: no result within 0\.01 s$"):
        call.result(0.01)
    go_on.set()
    assert call.result(30)


def test_a_call_that_never_returns_is_not_kept_by_its_thread() -> None:
    go_on = threading.Event()
    call = Threaded(lambda: go_on.wait(30), "forgotten")
    forgotten = weakref.ref(call)
    del call
    gc.collect()
    assert forgotten() is None
    go_on.set()
