"""What each worker is doing, in memory that it shares with the process that awaits its batches."""

from __future__ import annotations

import os
from collections.abc import Callable
from enum import IntEnum
from multiprocessing.sharedctypes import RawArray
from typing import Any

_noted: tuple[Any, int] | None = None
"""The memory and this process's place in it; None in a process that is no worker."""


class Doing(IntEnum):
    """What a worker is doing. Memory begins with zeros, so the first is where a worker begins."""

    STARTING = 0
    IDLE = 1
    """It hands over a batch, or waits for the next one to read."""
    BATCH = 2
    SAMPLE = 3


_NOTHING_YET = Doing.IDLE - 4
_UNABLE = Doing.IDLE - 8


class Progress:
    """What some workers are doing, a 64-bit number each, so that it can be read at any moment.

    Args:
        workers: number of workers.
    """

    def __init__(self, workers: int) -> None:
        self._processes = RawArray("q", workers)
        self._states = RawArray("q", workers)

    def follow(self, worker: int, *, able: bool) -> None:
        """Notes from now on what this process is doing, as the given worker, which has started.

        Args:
            worker: the worker, counted from 0.
            able: whether it has what it is to read from.
        """
        global _noted
        self._processes[worker] = os.getpid()
        self._states[worker] = _NOTHING_YET if able else _UNABLE
        _noted = self._states, worker

    def started(self) -> bool:
        """Whether all workers have started."""
        return all(self._states)

    def unable(self) -> bool:
        """Whether a worker has started that can't read."""
        return _UNABLE in list(self._states)

    def told(self, process: int, name_of: Callable[[int], str]) -> str:
        """Says what a worker is doing, as a participle.

        Args:
            process: the worker's process number.
            name_of: gives what messages call a sample of the source.
        """
        processes = list(self._processes)
        sample, doing = divmod(self._states[processes.index(process)], 4) if process in processes else (0, 0)
        if doing == Doing.SAMPLE:
            return f"reading {name_of(sample)}"
        if doing == Doing.BATCH:
            return f"reading the batch that begins with sample {sample} of its split"
        if doing == Doing.STARTING:
            return "starting"
        if sample < 0:
            return "awaiting its first batch"
        return f"handing over the batch that begins with sample {sample} of its split, or awaiting the next"


def note(doing: Doing, sample: int) -> None:
    """Notes what this process is doing if it is a worker.

    Args:
        doing: what it does.
        sample: index of the sample, or of a batch's first one; 0 or more.
    """
    if _noted is not None:
        states, worker = _noted
        states[worker] = sample * 4 + doing
