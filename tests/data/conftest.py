"""The ways in which multiprocessing starts a process."""

import multiprocessing

import pytest

from tests.soaking import soak

METHODS = ("fork", "forkserver", "spawn")
# What is spawned imports torch for seconds: the tests that look at how workers start and end ask for it by METHODS.
QUICK = (*METHODS[:2], pytest.param("spawn", marks=soak))


@pytest.fixture
def start_by():
    """Sets how processes are started, until the test ends."""
    before = multiprocessing.get_start_method()
    yield lambda method: multiprocessing.set_start_method(method, force=True)
    multiprocessing.set_start_method(before, force=True)


@pytest.fixture(params=QUICK)
def method(request, start_by):
    """Each way in turn, spawn for `make soak` alone."""
    start_by(request.param)
    return request.param


@pytest.fixture(params=QUICK[1:])
def not_forked(request, start_by):
    """Each way by which a worker has to be handed the data."""
    start_by(request.param)
    return request.param
