"""The ways in which multiprocessing starts a process."""

import multiprocessing

import pytest

METHODS = ("fork", "forkserver", "spawn")


@pytest.fixture
def start_by():
    """Sets how processes are started, until the test ends."""
    before = multiprocessing.get_start_method()
    yield lambda method: multiprocessing.set_start_method(method, force=True)
    multiprocessing.set_start_method(before, force=True)


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
