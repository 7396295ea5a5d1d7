"""Fixtures that several folders of tests share."""

import os

# A fork of a process that holds OpenMP's threads waits for them for ever, and OpenMP reads this as torch is imported.
os.environ["OMP_NUM_THREADS"] = "1"

import atexit
import shutil
import tempfile

import hypothesis
import pytest
import torch

from tests.exactness import Forked, only_run, output, rehearse, write_configuration
from tests.worlds import SMALL

# How fast examples are drawn depends on what else the machine does.
hypothesis.settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("any machine")

# Decoded samples are kept in a folder of these tests' own, by the processes that they start, too.
os.environ["XDG_CACHE_HOME"] = tempfile.mkdtemp(prefix="firebox-tests-")
atexit.register(shutil.rmtree, os.environ["XDG_CACHE_HOME"], ignore_errors=True)

# The first backward pass of a process starts autograd's threads if it is made on fake tensors, which pretend that there
# is a GPU; no fork of a process that holds them can compute gradients. So the first one is a real one.
torch.ones((), requires_grad=True).backward()


@pytest.fixture(scope="session")
def reference(tmp_path_factory):
    """The run that is never stopped."""
    return _trained(write_configuration(tmp_path_factory.mktemp("reference")))


@pytest.fixture(scope="session")
def alone(tmp_path_factory):
    """The run of one process that nothing disturbs, whose batches are cut into shards."""
    configuration = write_configuration(tmp_path_factory.mktemp("alone"), SMALL)
    run = _trained(configuration)
    rehearse(configuration)
    return run


def _trained(configuration):
    assert Forked(str(configuration)).wait() == 0, output(configuration)
    return only_run(configuration.parent)
