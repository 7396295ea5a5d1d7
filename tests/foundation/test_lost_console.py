"""log.txt says what the console lost, and the console what log.txt did."""

import logging
import resource
import signal
from pathlib import Path

import pytest

from firebox.foundation import console

logger = logging.getLogger("firebox")


@pytest.fixture(autouse=True)
def as_before():
    level = logger.level
    before = list(logger.handlers), logger.propagate, list(console._lost)
    yield
    for handler in set(logger.handlers) - set(before[0]):
        handler.close()
    logger.handlers[:], logger.propagate, console._lost[:] = before
    logger.setLevel(level)


def test_log_txt_says_what_the_console_lost_before_and_after_it_was_opened(tmp_path):
    console.start(quiet=False)
    console._lost[:] = ["standard error is gone"]
    console.log_to(tmp_path / "log.txt")
    logger.info("first")
    console._lost.append("standard output is gone")
    logger.info("second")
    lines = [line.split(" ", 2)[2] for line in (tmp_path / "log.txt").read_text().splitlines()]

    assert lines == [
        "WARNING standard error is gone",
        "INFO    first",
        "WARNING standard output is gone",
        "INFO    second",
    ]


def test_a_log_that_can_not_be_opened_is_said(tmp_path, capsys):
    console.start(quiet=False)
    console.log_to(tmp_path)
    logger.info("goes on")

    assert "can't be written to (Is a directory): the run goes on" in capsys.readouterr().err


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_a_full_log_is_said_once_without_a_traceback(capsys):
    console.start(quiet=False)
    console.log_to("/dev/full")
    logger.info("first")
    logger.info("second")
    said = capsys.readouterr().err

    assert said.count("/dev/full can't be written to (No space left on device): the run goes on") == 1
    assert said.splitlines()[0] == "first"
    assert "second" in said
    assert "Traceback" not in said
    assert "Logging error" not in said


def test_a_log_that_has_room_again_is_written_again(tmp_path, capsys):
    console.start(quiet=True)
    path = tmp_path / "log.txt"
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        console.log_to(path)
        logger.info("first")
        resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size, limits[1]))
        logger.info("second")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)
    logger.info("third")

    assert "File too large" in capsys.readouterr().err
    assert path.read_text().endswith("third\n")
