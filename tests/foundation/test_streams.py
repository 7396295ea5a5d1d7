"""Standard output and standard error whose reader leaves."""

import errno
import io
import os
import pty
import subprocess
import sys

import pytest

from firebox.foundation.streams import _lasting


def stream_to(descriptor, told):
    return _lasting(descriptor, "standard error", told.append)


def gone_pipe():
    reader, writer = os.pipe()
    os.close(reader)
    return writer


def gone_terminal():
    master, terminal = pty.openpty()
    os.close(master)
    return terminal


def closed():
    reader, writer = os.pipe()
    os.close(writer)
    os.close(reader)
    return writer


@pytest.mark.parametrize(
    ("opened", "number"),
    [
        (gone_pipe, errno.EPIPE),
        (gone_terminal, errno.EIO),
        (lambda: os.open("/dev/full", os.O_WRONLY), errno.ENOSPC),
        (closed, errno.EBADF),
    ],
    ids=["pipe", "terminal", "disk", "closed"],
)
def test_what_can_not_be_written_is_lost_and_said_once(opened, number):
    descriptor, told = opened(), []
    if number == errno.EBADF:
        reader, writer = os.pipe()
        stream = stream_to(writer, told)
        os.close(writer)
        os.close(reader)
    else:
        stream = stream_to(descriptor, told)
    for _ in range(3):
        stream.write("text\n" * 10_000)
        stream.flush()

    reason = os.strerror(number)
    assert told == [f"standard error can't be written to ({reason}): the run goes on without it"]
    stream.close()
    if number != errno.EBADF:
        os.close(descriptor)


def test_without_it_the_same_write_fails():
    descriptor = gone_pipe()
    with io.FileIO(descriptor, "w") as plain, pytest.raises(BrokenPipeError):
        plain.write(b"text")


def test_what_is_written_arrives_even_through_a_pipe_that_does_not_block():
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    told, text = [], "x" * 300_000
    child = os.fork()
    if not child:
        os.close(reader)
        stream = stream_to(writer, told)
        stream.write(text)
        stream.flush()
        os._exit(len(told))
    os.close(writer)
    with io.TextIOWrapper(io.FileIO(reader)) as arriving:
        assert arriving.read() == text
    assert os.waitpid(child, 0)[1] == 0


OUTLIVING = """
import os, sys
from firebox.foundation import console
console.outlive()
print("\\u2014", "\\udcff")
assert sys.stdout is not sys.__stdout__
before = sys.stdout
console.outlive()
assert sys.stdout is before
opened = os.open(os.devnull, os.O_RDONLY)
assert opened > 2, opened
sys.exit(7)
"""


@pytest.mark.parametrize("closed", ["", "1>&-", "2>&-", "1>&- 2>&-", "0<&- 1>&- 2>&-", "1>/dev/full 2>/dev/full"])
def test_a_process_keeps_its_exit_code_whatever_becomes_of_its_streams(closed):
    command = f"exec {sys.executable} -c '{OUTLIVING}' {closed}"
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False, env=environment)
    assert (done.returncode, done.stderr) == (7, "")
    if not closed:
        assert done.stdout == "\\u2014 \\udcff\n"
