"""One thread that writes."""

import threading
import time

import pytest

from firebox.foundation.background import QUEUE_LENGTH, Background
from firebox.foundation.problems import TrainingFailure


def test_jobs_are_done_in_order():
    background, done = Background(), []
    for number in range(3 * QUEUE_LENGTH):
        background.submit(done.append, number)
    background.drain()
    assert done == list(range(3 * QUEUE_LENGTH))
    background.close()


def test_a_ticket_waits_for_its_job_alone():
    background, gate, done = Background(), threading.Event(), []
    ticket = background.submit(done.append, 1)
    background.submit(gate.wait)
    background.wait(ticket)
    assert done == [1]
    gate.set()
    background.close()


@pytest.mark.parametrize("call", ["submit", "wait", "drain", "close"])
def test_a_failure_is_raised_at_the_next_call_and_nothing_is_done_after_it(call):
    background, done = Background(), []

    def fail():
        raise OSError("no space")

    gate = threading.Event()
    background.submit(gate.wait)
    background.submit(fail)
    ticket = background.submit(done.append, 1)
    gate.set()
    with background._progress:
        background._progress.wait_for(lambda: background._done >= ticket)
    arguments = {"submit": (done.append, 2), "wait": (ticket,)}.get(call, ())
    with pytest.raises(OSError, match="no space"):
        getattr(background, call)(*arguments)
    assert done == []
    background.close()


def test_an_unused_one_has_no_thread():
    background = Background()
    background.drain()
    background.close()
    assert not any(thread.name == "firebox-background" for thread in threading.enumerate())


@pytest.mark.parametrize("call", ["wait", "drain", "close"])
def test_a_job_that_does_not_end_is_not_awaited_for_ever_by_what_ends_a_run(monkeypatch, call):
    monkeypatch.setattr("firebox.foundation.background.JOB_SECONDS", 0.5)
    stop, gate = threading.Event(), threading.Event()
    background = Background(stop.is_set)
    ticket = background.submit(gate.wait)
    # Training waits for as long as it takes, until a stop is requested.
    threading.Timer(1.5, stop.set).start()
    began = time.monotonic()
    with pytest.raises(TrainingFailure, match=r"Event.wait, on the thread that writes, has not ended within 0.5 s"):
        getattr(background, call)(*([ticket] if call == "wait" else []))
    assert (time.monotonic() - began >= 1.5) is (call == "wait")
    gate.set()


def test_jobs_that_are_done_one_after_the_other_may_take_longer_together(monkeypatch):
    monkeypatch.setattr("firebox.foundation.background.JOB_SECONDS", 1.0)
    background = Background()
    for _ in range(5):
        background.submit(time.sleep, 0.4)
    background.drain()
    background.close()
