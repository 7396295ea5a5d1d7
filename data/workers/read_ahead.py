"""Worker processes that read batches ahead, end whenever the run ends, and are never waited for without limit."""

from __future__ import annotations

import atexit
import multiprocessing
import os
import signal
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import suppress
from multiprocessing import resource_tracker
from multiprocessing.process import BaseProcess
from typing import Any, cast

import torch
from torch.utils.data import Sampler

from firebox.data.declarations.data_error import DataError
from firebox.data.sources.progress import Progress
from firebox.data.sources.source import ImageSource
from firebox.data.workers.handover import require_handover
from firebox.data.workers.loader import Loader
from firebox.data.workers.patience import GRACE_SECONDS, POLL_SECONDS, Patience, kill
from firebox.data.workers.worker import (
    Beginning,
    Gathered,
    InSharedMemory,
    NoSharedMemory,
    Unread,
    as_gathered,
    shared_memory,
)
from firebox.foundation.exit_codes import STOPPED_BY
from firebox.foundation.problems import Interrupted, TrainingFailure, counted, in_one_line
from firebox.foundation.threaded import Threaded

START_SECONDS = 120.0
"""Seconds that workers may take to start, if a batch may not take longer. They import torch unless they are forked."""
_START_POLL_SECONDS = 0.005

_open: weakref.WeakSet[ReadAhead] = weakref.WeakSet()


class ReadAhead:
    """Batches that worker processes read ahead, in order.

    The workers ignore the signals that ask a run to stop, which often reach the whole process group: they go on reading
    until the run has saved itself and closes them. They end with their parent, however that ends.

    Args:
        source: source of the samples.
        seed: seed of the run.
        addresses: epoch and sample indices of each batch.
        workers: number of processes to start.
        pin_memory: whether batches are returned in pinned memory.
        timeout: longest time that a batch may take to arrive, in seconds.
        stopping: function that says whether a stop was requested; called only while waiting for a batch.

    Raises:
        TrainingFailure: the processes can't be started.
    """

    def __init__(
        self,
        source: ImageSource,
        *,
        seed: int,
        addresses: Sampler[tuple[int, torch.Tensor]],
        workers: int,
        pin_memory: bool,
        timeout: float,
        stopping: Callable[[], bool],
    ) -> None:
        require_handover(source)
        try:
            self._progress = Progress(workers)
        except OSError as error:
            raise _not_started(error) from None
        loader = Loader(
            InSharedMemory(source, seed, shared=pin_memory),
            batch_size=None,
            sampler=_Numbers(addresses),
            num_workers=workers,
            pin_memory=pin_memory,
            collate_fn=_unchanged,
            generator=torch.Generator(),
            timeout=POLL_SECONDS,
            worker_init_fn=Beginning(self._progress),
        )
        self._source = source
        self._timeout = timeout
        self._stopping = stopping
        self._began = False
        threads = set(threading.enumerate())
        iterator, self._workers = _started(loader)
        feeders = [thread for thread in threading.enumerate() if thread not in threads]
        self._iterator = [iterator]
        self._patience = Patience(self._workers, timeout, stopping)
        # Not left to the interpreter's end: multiprocessing sends SIGTERM there and waits for ever.
        self._close = weakref.finalize(self, _end, self._iterator, self._workers, feeders, self._patience, os.getpid())
        self._close.atexit = False
        _open.add(self)

    def begin(self) -> None:
        """Waits until all workers have started and have taken over the source. The time limit of a batch begins then.

        Raises:
            Interrupted: a stop was requested.
            TrainingFailure: a worker died, or does not start.
            DataError: a worker can't take over the source.
        """
        limit = max(self._timeout, START_SECONDS)
        ends = time.monotonic() + limit
        while not self._began and not self._progress.started():
            self._check_workers()
            if time.monotonic() > ends:
                raise TrainingFailure(
                    f"{self._described()} have not started within {limit:g} s: what they import blocks, or the "
                    "machine needs a longer timeout in the section of the data"
                )
            time.sleep(_START_POLL_SECONDS)
        self._began = True
        while self._progress.unable():
            next(self)  # raises when it comes to the batch of such a worker

    def __next__(self) -> Gathered:
        """Returns the next batch.

        Raises:
            Interrupted: a stop was requested while it was awaited.
            TrainingFailure: a worker died, the batch took too long, or there is no shared memory left for it.
            DataError: samples of the batch can't be read.
        """
        if not self._began:
            self.begin()
        with self._patience:
            began = time.monotonic()
            while (batch := self._arrived()) is None:
                if time.monotonic() - began > self._timeout and not self._stopping():
                    raise TrainingFailure(
                        f"no batch within {self._timeout:g} s from {self._described()}: "
                        "the data set blocks, or needs a longer timeout in the section of the data"
                    )
                self._check_workers()
        if isinstance(batch, NoSharedMemory):
            raise TrainingFailure(batch.message)
        if isinstance(batch, Unread):
            raise DataError(batch.message)
        return batch

    def _arrived(self) -> Gathered | NoSharedMemory | Unread | None:
        """Returns the next batch; None if it has not arrived. A worker's own exceptions are raised."""
        try:
            return cast("Gathered | NoSharedMemory | Unread", as_gathered(next(self._iterator[0])))
        except RuntimeError as error:
            # No cause to raise from: torch's frames would keep the iterator, and so its workers.
            if not str(error).startswith(("DataLoader timed out", "DataLoader worker")):
                raise
        except (EOFError, ConnectionError, FileNotFoundError):
            pass  # A worker died while it handed over the batch's memory; its end shows a moment later.
        return None

    def _check_workers(self) -> None:
        """Raises if a stop was requested, or a worker has ended."""
        # Once a stop is requested, the fate of a worker no longer matters.
        if self._stopping():
            raise Interrupted
        if dead := [worker for worker in self._workers if not worker.is_alive()]:
            raise TrainingFailure(_epitaph(dead[0], self._doing(dead[0])))

    def _doing(self, worker: BaseProcess) -> str:
        name_of = getattr(self._source, "name_of", "sample {} of its split".format)
        return self._progress.told(worker.pid or 0, name_of)

    def _described(self) -> str:
        doing = ", ".join(f"process {worker.pid}: {self._doing(worker)}" for worker in self._workers)
        return f"{counted(len(self._workers), 'worker')} ({doing})"

    def close(self) -> None:
        """Ends the workers; those that do not end by themselves are killed."""
        self._close()


class _Numbers(Sampler[Any]):
    """Addresses in a form that is copied to a worker; the memory of a tensor would be shared, which takes longer."""

    def __init__(self, addresses: Sampler[tuple[int, torch.Tensor]]) -> None:
        self._addresses = addresses

    def __iter__(self) -> Iterator[Any]:
        return ((epoch, indices.numpy()) for epoch, indices in self._addresses)


def _unchanged(gathered: Any) -> Any:
    """Without a batch size, the loader still converts what it is given; a gathered batch is as it should be."""
    return gathered


def _started(loader: Loader) -> tuple[Iterator[Any], list[BaseProcess]]:
    """Starts a loader's workers, and finds out which processes they are."""
    before = set(multiprocessing.active_children())
    # Blocked, as a worker can't ignore them before it has begun; processes inherit the mask, forkserver's too.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, STOPPED_BY)
    on_child = signal.getsignal(signal.SIGCHLD)
    try:
        if multiprocessing.get_start_method() != "fork":
            # The server imports torch once instead of each worker. A script without a guard would end it.
            multiprocessing.set_forkserver_preload([Beginning.__module__])
            # To start this helper of multiprocessing's unblocks SIGINT and SIGTERM.
            resource_tracker.ensure_running()
            signal.pthread_sigmask(signal.SIG_BLOCK, STOPPED_BY)
        iterator = iter(loader)
    except BaseException as error:
        kill([child for child in multiprocessing.active_children() if child not in before])
        if isinstance(error, TrainingFailure) or not isinstance(error, Exception):
            raise
        raise _not_started(error) from None
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        # torch's handler raises wherever the training is when a worker ends. It is noticed when a batch is awaited.
        if threading.current_thread() is threading.main_thread() and on_child is not None:
            signal.signal(signal.SIGCHLD, on_child)
    iterator._workers_done_event = _Done(iterator._workers_done_event)  # type: ignore[attr-defined]
    started = [child for child in multiprocessing.active_children() if child not in before]
    return iterator, sorted(started, key=lambda worker: worker.pid or 0)


def _not_started(error: Exception) -> TrainingFailure:
    cure = f"{shared_memory()}, or lower workers" if isinstance(error, OSError | RuntimeError) else "lower workers"
    return TrainingFailure(f"can't start worker processes: {in_one_line(error)}; {cure}")


class _Done:
    """The event by which a loader's iterator ends its workers, in the process that sets it.

    A worker that is killed while it looks at the event leaves its lock taken, for which torch would wait without end.

    Args:
        event: the event that the workers look at.
    """

    def __init__(self, event: Any) -> None:
        self._event = event
        self._set = False

    def is_set(self) -> bool:
        return self._set

    def set(self) -> None:
        self._set = True
        with suppress(TimeoutError):  # workers that can't look at it are killed
            Threaded(self._event.set, "firebox-done").result(GRACE_SECONDS)


def _end(
    iterator: list[Iterator[Any]],
    workers: list[BaseProcess],
    feeders: list[threading.Thread],
    patience: Patience,
    owner: int,
) -> None:
    """Ends workers, of a process that is not a fork of the one that started them."""
    if os.getpid() != owner:
        return
    patience.end()
    # torch waits five seconds for each worker that hangs, and then sends what it ignores.
    impatience = threading.Timer(GRACE_SECONDS, kill, (workers,))
    impatience.daemon = True
    impatience.start()
    iterator.clear()
    ends = time.monotonic() + GRACE_SECONDS
    for worker in workers:
        worker.join(max(0.0, ends - time.monotonic()))
    # The threads that fill the workers' queues free the last of their semaphores, which an interpreter that ends
    # meanwhile would report as lost.
    for feeder in feeders:
        feeder.join(max(0.0, ends - time.monotonic()))
    impatience.cancel()
    kill(workers)


@atexit.register
def _close_all() -> None:
    for reading in list(_open):
        reading.close()


def _epitaph(worker: BaseProcess, doing: str) -> str:
    """Returns a text that says how a worker ended, and what may help."""
    code = worker.exitcode or 0
    name = signal.Signals(-code).name if code < 0 else f"exit code {code}"
    why = {
        "SIGKILL": ": the system does so when memory runs out; lower workers or batch_size",
        "SIGBUS": f": {shared_memory()}, or lower workers or batch_size",
    }.get(name, "; what it wrote as it imported the script says why" if code > 0 and doing == "starting" else "")
    return f"a worker that reads the data (process {worker.pid}) was ended by {name} while {doing}{why}"
