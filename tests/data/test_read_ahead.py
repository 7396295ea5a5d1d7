"""Worker processes that read ahead: they ignore what stops the run, and no wait for them is endless."""

import collections
import itertools
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest
import torch

from firebox.data import read_ahead
from firebox.data.source import DatasetImages
from firebox.data.stream import BatchStream
from firebox.foundation.problems import Interrupted, TrainingFailure

FORK = multiprocessing.get_context("fork")


class Blocking(torch.utils.data.Dataset):
    """A data set that blocks at one sample."""

    def __init__(self, at=None, side=2):
        self.at = at
        self.side = side

    def __len__(self):
        return 8

    def __getitem__(self, index):
        if index == self.at:
            time.sleep(1000)
        return torch.full((1, self.side, self.side), index, dtype=torch.uint8)


def stream(at=None, side=2, workers=2, **settings):
    source = DatasetImages(Blocking(at, side))
    return BatchStream(source, batch_size=2, seed=7, shuffle=False, placement="stream", workers=workers, **settings)


def workers_of(batches):
    return batches._read_ahead._workers


def gone(pid, seconds=10.0):
    """Whether a process ends within some seconds."""
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1])
def test_workers_go_on_reading_whatever_asks_the_run_to_stop(number):
    batches = stream()
    first = next(batches)
    for worker in workers_of(batches):
        os.kill(worker.pid, number)
    assert [int(next(batches).images[0, 0, 0, 0]) for _ in range(7)] == [2, 4, 6, 0, 2, 4, 6]
    assert int(first.images[0, 0, 0, 0]) == 0
    batches.close()


def test_workers_that_ignore_nothing_would_end(monkeypatch):
    """The control."""
    monkeypatch.setattr(read_ahead, "STOPPED_BY", {})
    batches = stream()
    next(batches)
    for worker in workers_of(batches):
        subprocess.run(["kill", "-TERM", str(worker.pid)], check=True)
    with pytest.raises(TrainingFailure, match=r"was ended by SIGTERM"):
        collections.deque(itertools.islice(batches, 20))
    batches.close()


def test_the_signal_is_ignored_from_a_workers_first_moment():
    """Not from when it has begun: the signal comes while the process is still starting."""
    batches = stream()
    batches._read_ahead = batches._reading_ahead(0)
    for worker in workers_of(batches):
        os.kill(worker.pid, signal.SIGTERM)
    assert len(next(batches).images) == 2
    batches.close()


def test_processes_that_the_stream_did_not_start_keep_their_signals():
    batches = stream()
    next(batches)
    other = FORK.Process(target=time.sleep, args=(1000,))
    other.start()
    other.terminate()
    other.join(10)
    assert other.exitcode == -signal.SIGTERM
    batches.close()


def test_a_worker_that_is_killed_is_named_where_its_batch_is_awaited_and_nowhere_else():
    batches = stream()
    next(batches)
    worker = workers_of(batches)[0]
    worker.kill()
    worker.join()
    time.sleep(0.1)  # torch's own handler of SIGCHLD would have raised here
    with pytest.raises(TrainingFailure, match=rf"process {worker.pid}\) was ended by SIGKILL: .* lower workers"):
        collections.deque(itertools.islice(batches, 20))
    batches.close()


def test_a_worker_that_is_killed_while_it_hands_over_a_batch_is_named_too():
    """Whether the memory's descriptor, its socket or the process goes first differs from one kill to the next."""
    for _ in range(10):
        batches = stream()
        next(batches)
        for worker in workers_of(batches):
            worker.kill()
        with pytest.raises(TrainingFailure, match="was ended by SIGKILL"):
            collections.deque(itertools.islice(batches, 20))
        batches.close()


def test_a_batch_that_does_not_come_has_a_time_limit():
    batches = stream(at=2, timeout=1.0)
    next(batches)
    began = time.monotonic()
    with pytest.raises(TrainingFailure, match=r"no batch within 1 s from 2 workers .* longer timeout"):
        next(batches)
    assert time.monotonic() - began < 10
    batches.close()


def test_a_stop_is_honoured_while_a_batch_is_awaited():
    batches = stream(at=2, stopping=lambda: True)
    next(batches)
    with pytest.raises(Interrupted):
        next(batches)
    batches.close()


@pytest.mark.parametrize("at", [None, 2])
def test_closing_ends_every_worker_even_one_that_hangs(at):
    batches = stream(at=at)
    next(batches)
    workers = workers_of(batches)
    began = time.monotonic()
    batches.close()
    assert time.monotonic() - began < (read_ahead.GRACE_SECONDS + 5 if at else 5)
    assert not any(worker.is_alive() for worker in workers)


def test_workers_that_hang_end_with_their_parent():
    receiver, sender = FORK.Pipe(duplex=False)

    def read():
        batches = stream(at=2)
        next(batches)
        sender.send([worker.pid for worker in workers_of(batches)])
        signal.pause()

    parent = FORK.Process(target=read)
    parent.start()
    workers = receiver.recv()
    assert not any(gone(pid, 0.2) for pid in workers)
    parent.kill()
    parent.join()
    assert all(gone(pid) for pid in workers)


def test_an_interpreter_ends_though_a_stream_was_left_open():
    code = "from tests.data.test_read_ahead import stream; batches = stream(at=2); next(batches)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")


SMALL = """
import sys
from firebox.foundation.problems import TrainingFailure
from tests.data.test_read_ahead import stream
batches = stream(side=int(sys.argv[1]))
try:
    for _ in range(4):
        batch = next(batches)
    print(batch.images.shape[-1])
except TrainingFailure as error:
    print(error)
"""


def in_small_shared_memory(side):
    """Reads images of some height and width where /dev/shm is 2 MiB."""
    unshare = shutil.which("unshare")
    mounted = 'mount -t tmpfs -o size=2m none /dev/shm && exec "$@"'
    command = [unshare, "--user", "--map-root-user", "--mount", "sh", "-c", mounted, "sh"]
    if unshare is None or subprocess.run([*command, "true"], capture_output=True, check=False).returncode:
        pytest.skip("needs a mount namespace of its own: unshare --user --mount")
    full = [*command, sys.executable, "-c", SMALL, str(side)]
    return subprocess.run(full, capture_output=True, text=True, timeout=120, check=False)


def test_shared_memory_that_is_full_is_named_instead_of_awaited():
    done = in_small_shared_memory(2000)
    assert "a worker has no shared memory for a batch of 7.6 MiB" in done.stdout, done.stdout + done.stderr
    assert "/dev/shm has" in done.stdout
    assert "--shm-size" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
    assert in_small_shared_memory(20).stdout == "20\n"
