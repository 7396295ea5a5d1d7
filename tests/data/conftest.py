"""The ways in which multiprocessing starts a process."""

import multiprocessing
from multiprocessing import forkserver
from pathlib import Path

import pytest

from firebox.foundation.exit_codes import STOPPED_BY

METHODS = ("fork", "forkserver", "spawn")


@pytest.fixture
def start_by():
    """Sets how processes are started, until the test ends."""
    before = multiprocessing.get_start_method()

    def start(method):
        if method == "forkserver":
            _end_server_of_others()
        multiprocessing.set_start_method(method, force=True)

    yield start
    multiprocessing.set_start_method(before, force=True)


def _end_server_of_others():
    """Ends the fork server if it was not started for workers, which block what stops a run until they can ignore it."""
    server = forkserver._forkserver
    if server._forkserver_pid is not None:
        status = Path(f"/proc/{server._forkserver_pid}/status").read_text()
        blocked = int(status.split("SigBlk:")[1].split()[0], 16)
        if not all(blocked >> number - 1 & 1 for number in STOPPED_BY):
            server._stop()


@pytest.fixture(params=METHODS)
def method(request, start_by):
    """Each way in turn."""
    start_by(request.param)
    return request.param


@pytest.fixture(params=METHODS[1:])
def not_forked(request, start_by):
    """Each way by which a worker has to be handed the data."""
    start_by(request.param)
    return request.param
