"""Batches that a thread reads while the ones before are in use."""

from __future__ import annotations

import itertools
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import torch

from firebox.data.declarations.data_error import DataError
from firebox.data.sources.filed import FiledImages
from firebox.data.sources.subset import subset
from firebox.data.streaming.stream import BatchStream
from firebox.data.workers.threaded_read import ThreadedRead
from firebox.foundation.problems import Interrupted

COUNT, BATCH = 20, 6


class Filed(FiledImages):
    """Samples whose pixels are their index, and a record of what was read by which thread."""

    def __init__(self, *, beside: bool, torn: int = COUNT) -> None:
        self._beside, self._torn = beside, torn
        self.read: list[tuple[list[int], str]] = []

    @property
    def labels(self) -> None:
        return None

    @property
    def beside(self) -> bool:
        return self._beside

    def __len__(self) -> int:
        return COUNT

    def gather(self, indices: torch.Tensor, *, seed: int = 0, epoch: int = 0) -> tuple[torch.Tensor, None]:
        self.read.append((indices.tolist(), threading.current_thread().name))
        if self._torn in indices:
            raise DataError(f"sample {self._torn} is torn")
        return indices.to(torch.uint8).view(-1, 1, 1, 1).expand(-1, 3, 2, 2), None


def stream(source: Filed, *, shuffle: bool = True, step: int = 1) -> BatchStream:
    batches = BatchStream(source, batch_size=BATCH, seed=7, shuffle=shuffle, step=step)
    source.read.clear()  # a sample is read for its size
    return batches


@pytest.mark.parametrize("step", [1, 3])
@pytest.mark.parametrize("shuffle", [True, False])
def test_the_batches_are_those_that_are_read_in_place(shuffle: bool, step: int) -> None:
    source = Filed(beside=True)
    batches = stream(source, shuffle=shuffle, step=step)
    plain = stream(Filed(beside=False), shuffle=shuffle, step=step)
    for start in (0, 3, 1, 17):
        batches.seek(start)
        for number, batch in enumerate(itertools.islice(batches, 9)):
            expected = plain.read(start + number * step)
            assert torch.equal(batch.images, expected.images)
            assert torch.equal(batch.indices, expected.indices)
    assert {name for _, name in source.read} == {"firebox-read"}


def test_a_batch_is_read_while_the_one_before_is_in_use_and_none_beyond_an_epoch() -> None:
    source = Filed(beside=True)
    batches = stream(source, shuffle=False)
    for number in range(len(batches)):
        next(batches)
        expected, ends = min(number + 2, len(batches)), time.monotonic() + 60
        while len(source.read) < expected and time.monotonic() < ends:
            time.sleep(0.01)
        assert len(source.read) == expected
    time.sleep(0.05)
    assert [indices for indices, _ in source.read] == [list(range(i, min(i + BATCH, COUNT))) for i in range(0, 20, 6)]


def test_other_sources_are_read_in_place() -> None:
    for source in (Filed(beside=False), subset(Filed(beside=False), torch.arange(8))):
        assert isinstance(source, FiledImages)
        assert not source.beside
    source = Filed(beside=False)
    next(stream(source))
    assert [name for _, name in source.read] == [threading.main_thread().name]
    part = subset(Filed(beside=True), torch.arange(8))
    assert isinstance(part, FiledImages)
    assert part.beside


def test_an_error_is_raised_where_its_batch_is_asked_for() -> None:
    batches = stream(Filed(beside=True, torn=7), shuffle=False)
    assert next(batches).indices.tolist() == list(range(BATCH))
    for _ in range(2):
        with pytest.raises(DataError, match="sample 7 is torn"):
            next(batches)
    batches.seek(2)
    assert next(batches).indices.tolist() == list(range(12, 18))


def test_a_wait_that_a_signal_ends_can_be_taken_up_again() -> None:
    go_on = threading.Event()

    def read() -> tuple[torch.Tensor, None]:
        go_on.wait(30)
        return torch.zeros(1), None

    def interrupt(*_: object) -> None:
        raise Interrupted

    reading, before = ThreadedRead(read), signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        with pytest.raises(Interrupted):
            reading.result()
    finally:
        signal.signal(signal.SIGALRM, before)
    go_on.set()
    assert torch.equal(reading.result()[0], torch.zeros(1))


HANGING = """
import threading, time
from firebox.data.workers import threaded_read
threaded_read.GRACE_SECONDS = 0.1
kept = threaded_read.ThreadedRead(lambda: threading.Event().wait())
"""


def test_a_thread_that_hangs_does_not_keep_a_process_from_ending(tmp_path: Path) -> None:
    ended = subprocess.run([sys.executable, "-c", HANGING], capture_output=True, text=True, timeout=60, cwd=tmp_path)
    assert (ended.returncode, ended.stderr) == (0, "")
