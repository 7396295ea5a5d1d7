"""How processes find each other, what they say of failures, and what outlives them, in a store of one process."""

import json
import socket
import threading
import time

import pytest
import torch.distributed as dist

from firebox.engine.world import failures as words
from firebox.engine.world import meeting
from firebox.engine.world.failures import Failures, Member, PeerFailure
from firebox.engine.world.job import Job
from firebox.engine.world.joining import joined
from firebox.engine.world.launched import Launched
from firebox.foundation.problems import Interrupted, Refusal

MEMBERS = [Member(rank, "here", 100 + rank) for rank in range(4)]


def met(store, rank, size, found):
    """Lets a process meet the others in a thread."""
    thread = threading.Thread(target=lambda: found.__setitem__(rank, meeting.meet(store, rank, size, lambda: False)))
    thread.start()
    return thread


def test_processes_meet_under_a_name_that_no_earlier_attempt_had():
    store, names = dist.HashStore(), []
    for _ in range(2):
        found = {}
        threads = [met(store, rank, 4, found) for rank in (2, 0, 3, 1)]
        for thread in threads:
            thread.join(30)
        assert len({attempt for attempt, _ in found.values()}) == 1
        assert [[member.rank for member in members] for _, members in found.values()] == [[0, 1, 2, 3]] * 4
        names.append(found[0][0])
    assert names[0] != names[1]


def test_a_process_that_was_killed_as_it_came_is_not_taken_for_its_successor():
    store, found = dist.HashStore(), {}
    store.set("coming/1", json.dumps(["killed", "elsewhere", 7]))
    first = met(store, 0, 2, found)
    time.sleep(0.2)
    assert not found, "nobody has come under that name"
    second = met(store, 1, 2, found)
    first.join(30), second.join(30)
    assert found[0] == found[1]
    assert found[0][1][1].host == socket.gethostname()


def test_who_does_not_come_is_named(monkeypatch):
    monkeypatch.setattr(meeting, "MEETING_SECONDS", 0.1)
    with pytest.raises(Refusal, match=r"rank 1, rank 2 of 3 processes did not come within 0.1 s; expected as many as"):
        meeting.meet(dist.HashStore(), 0, 3, lambda: False)


def test_a_stop_ends_the_waiting():
    with pytest.raises(Interrupted):
        meeting.meet(dist.HashStore(), 0, 2, lambda: True)


@pytest.fixture(autouse=True)
def quickly(monkeypatch):
    monkeypatch.setattr(words, "WORD_SECONDS", 0.2)


def broken(store, rank, error="Connection closed by peer", partner=None):
    with pytest.raises(PeerFailure) as caught, Failures(store, rank, MEMBERS).named(lambda: partner):
        raise RuntimeError(error)
    return str(caught.value)


def test_the_first_reason_that_was_given_counts():
    store = dist.HashStore()
    Failures(store, 2, MEMBERS).report("its disk is full")
    Failures(store, 3, MEMBERS).report("what came of it")
    assert broken(store, 0) == "rank 2 (process 102 on here): its disk is full"


def test_of_those_who_are_silent_the_one_is_lost_with_whom_an_exchange_broke():
    store = dist.HashStore()
    store.set("alive/3", "2")
    # Rank 1 waits for rank 3, and has nothing to say yet.
    assert broken(store, 0).startswith("rank 2 (process 102 on here): ended without a word")


def test_who_does_not_answer_in_time_hangs():
    store = dist.HashStore()
    for rank in (1, 3):
        store.set(f"alive/{rank}", "2")
    assert "rank 2 (process 102 on here): has not answered within" in broken(store, 0, "Timed out waiting 1ms", 2)


def test_the_first_that_is_alive_speaks():
    store = dist.HashStore()
    for rank in (2, 3):
        store.set(f"alive/{rank}", "0")
    failures = Failures(store, 1, MEMBERS)
    assert "rank 0" in failures.explained("Connection closed by peer", 0)
    assert failures.speaker
    other = Failures(store, 2, MEMBERS)
    other.explained("Connection closed by peer", 0)
    assert not other.speaker


def test_an_error_that_says_who_failed_is_passed_on():
    with pytest.raises(PeerFailure, match="known"), Failures(dist.HashStore(), 0, MEMBERS).named():
        raise PeerFailure("known")


def test_a_job_remembers_its_run_and_that_it_was_stopped():
    store = dist.HashStore()
    assert (Job(store).run, Job(store).stopped, Job().run) == (None, None, None)
    Job(store).run, Job(store).stopped = "/runs/version_0", 143
    assert (Job(store).run, Job(store).stopped) == ("/runs/version_0", 143)


def test_a_port_in_use_is_refused_in_plain_words():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        started = Launched(0, 2, 0, 2, "127.0.0.1", port, by_agent=False)
        with pytest.raises(Refusal, match=rf"127.0.0.1:{port} is in use by another program; expected a free port"):
            joined(started, lambda: False).__enter__()


def test_a_number_of_processes_that_is_no_power_of_two_is_refused():
    started = Launched(0, 3, 0, 3, "127.0.0.1", 1, by_agent=True)
    with pytest.raises(Refusal, match="got 3 processes, expected a power of two, such as 2: --nproc-per-node"):
        joined(started, lambda: False).__enter__()
