"""The lock on a run's directory: it survives what the process does with the file, and ends with the process alone."""

import errno
import fcntl
import logging
import multiprocessing
import os
import shutil
import signal
import time

import pytest

from firebox.engine.records.lock import Lock
from firebox.foundation.problems import Refusal

FORK = multiprocessing.get_context("fork")


def refused(path):
    """Whether another process is refused the lock."""

    def take():
        try:
            Lock(path).take()
        except Refusal:
            os._exit(2)
        os._exit(0)

    process = FORK.Process(target=take)
    process.start()
    process.join()
    return process.exitcode == 2


def record_lock(path):
    """Takes a POSIX record lock, which belongs to the process instead of the open file."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT)
    fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return descriptor


def record_lock_is_held(path):
    def take():
        try:
            record_lock(path)
        except OSError:
            os._exit(2)
        os._exit(0)

    process = FORK.Process(target=take)
    process.start()
    process.join()
    return process.exitcode == 2


def test_a_copy_of_the_folder_leaves_the_lock_alone(tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    lock = Lock(run / ".lock")
    lock.take()
    assert refused(run / ".lock")
    shutil.copytree(run, tmp_path / "backup")
    assert lock.is_held()
    assert refused(run / ".lock")
    lock.give_back()
    assert not refused(run / ".lock")


def test_a_record_lock_would_be_dropped_by_the_copy(tmp_path):
    """The control."""
    run = tmp_path / "run"
    run.mkdir()
    descriptor = record_lock(run / ".lock")
    assert record_lock_is_held(run / ".lock")
    shutil.copytree(run, tmp_path / "backup")
    assert not record_lock_is_held(run / ".lock")
    os.close(descriptor)


@pytest.mark.parametrize("closed", [True, False], ids=["closed_in_forks", "control"])
def test_a_process_that_outlives_the_killed_owner_does_not_hold_the_lock(tmp_path, closed):
    path = tmp_path / ".lock"
    receiver, sender = FORK.Pipe(duplex=False)

    def own():
        lock = Lock(path)
        lock.take()
        if not closed:
            os.dup(lock._descriptor)  # a descriptor that no hook closes
        worker = os.fork()
        if not worker:
            time.sleep(1000)
        sender.send(worker)
        signal.pause()

    owner = FORK.Process(target=own)
    owner.start()
    worker = receiver.recv()
    assert refused(path)
    owner.kill()
    owner.join()
    os.kill(worker, 0)
    assert refused(path) is not closed
    os.kill(worker, signal.SIGKILL)


def test_looking_neither_takes_the_lock_nor_drops_it(tmp_path):
    lock = Lock(tmp_path / ".lock")
    assert not lock.is_held()
    assert not (tmp_path / ".lock").exists()
    lock.take()
    assert lock.is_held() and Lock(tmp_path / ".lock").is_held()
    assert refused(tmp_path / ".lock")
    lock.give_back()
    assert not lock.is_held()


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_is_a_warning(tmp_path, monkeypatch, caplog, number):
    def no_locks(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", no_locks)
    monkeypatch.setattr(logging.getLogger("firebox"), "propagate", True)
    lock = Lock(tmp_path / ".lock")
    lock.take()
    assert "the file system has no locks" in caplog.text
    assert "another process" not in caplog.text
    assert lock.is_held()
    lock.give_back()


def test_another_users_lock_is_refused_with_a_way_out(tmp_path):
    path = tmp_path / ".lock"
    path.write_text("")
    path.chmod(0o600 if os.geteuid() == 0 else 0)

    def take(queue):
        if os.geteuid() == 0:
            tmp_path.chmod(0o755)
            for parent in list(tmp_path.parents)[:-2]:
                parent.chmod(0o755)
            os.seteuid(65534)
        try:
            Lock(path).take()
        except Refusal as refusal:
            queue.put((str(refusal), Lock(path).is_held()))

    queue = FORK.SimpleQueue()
    process = FORK.Process(target=take, args=(queue,))
    process.start()
    message, held = queue.get()
    process.join()
    assert (
        "can't lock" in message and "Permission denied" in message and "continue a copy of your own: cp -r" in message
    )
    assert held
