"""Worker processes that read batches ahead, end whenever the run ends, and are never waited for without limit."""

from __future__ import annotations

import atexit
import multiprocessing
import os
import pickle
import shutil
import signal
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, cast

import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from firebox.data.data_error import DataError
from firebox.data.source import ImageSource
from firebox.foundation.exit_codes import STOPPED_BY
from firebox.foundation.own_modules import Served
from firebox.foundation.places import own_place
from firebox.foundation.problems import Interrupted, TrainingFailure, in_one_line

POLL_SECONDS = 0.5
"""Seconds between checks for a stop while waiting for a batch."""
GRACE_SECONDS = 3.0
"""Seconds that workers are given to end by themselves before they are killed."""
SHARED_MEMORY = Path("/dev/shm")

Gathered = tuple[torch.Tensor, torch.Tensor | None]
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
        loader = DataLoader(
            _InSharedMemory(source, seed),
            batch_size=None,
            sampler=addresses,
            num_workers=workers,
            pin_memory=pin_memory,
            collate_fn=_as_gathered,
            generator=torch.Generator(),
            timeout=POLL_SECONDS,
            worker_init_fn=_begin,
        )
        self._timeout = timeout
        self._stopping = stopping
        iterator, self._workers = _started(loader)
        self._iterator = [iterator]
        # Not left to the interpreter's end: multiprocessing sends SIGTERM there and waits for ever.
        self._close = weakref.finalize(self, _end, self._iterator, self._workers, os.getpid())
        self._close.atexit = False
        _open.add(self)

    def __next__(self) -> Gathered:
        """Returns the next batch.

        Raises:
            Interrupted: a stop was requested while it was awaited.
            TrainingFailure: a worker died, the batch took too long, or there is no shared memory left for it.
            DataError: samples of the batch can't be read.
        """
        began = time.monotonic()
        while (batch := self._arrived()) is None:
            # Once a stop is requested, the fate of a worker no longer matters.
            if self._stopping():
                raise Interrupted
            if dead := [worker for worker in self._workers if not worker.is_alive()]:
                raise TrainingFailure(_epitaph(dead[0]))
            if time.monotonic() - began > self._timeout:
                processes = ", ".join(str(worker.pid) for worker in self._workers)
                raise TrainingFailure(
                    f"no batch within {self._timeout:g} s from {len(self._workers)} workers (processes {processes}): "
                    "the data set blocks, or needs a longer timeout in the section of the data"
                )
        if isinstance(batch, _NoSharedMemory):
            raise TrainingFailure(batch.message)
        if isinstance(batch, _Unread):
            raise DataError(batch.message)
        return batch

    def _arrived(self) -> Gathered | _NoSharedMemory | _Unread | None:
        """Returns the next batch; None if it has not arrived. A worker's own exceptions are raised."""
        try:
            return cast("Gathered | _NoSharedMemory | _Unread", next(self._iterator[0]))
        except RuntimeError as error:
            # No cause to raise from: torch's frames would keep the iterator, and so its workers.
            if not str(error).startswith(("DataLoader timed out", "DataLoader worker")):
                raise
        except (EOFError, ConnectionError, FileNotFoundError):
            pass  # A worker died while it handed over the batch's memory; its end shows a moment later.
        return None

    def close(self) -> None:
        """Ends the workers; those that do not end by themselves are killed."""
        self._close()


class _NoSharedMemory:
    """What a worker returns instead of a batch for which there is no shared memory."""

    def __init__(self, message: str) -> None:
        self.message = message


class _Unread:
    """What a worker returns instead of a batch that can't be read.

    An exception would arrive as the text of the worker's whole stack.
    """

    def __init__(self, message: str) -> None:
        self.message = message


class _InSharedMemory(Dataset[Any]):
    """A source as a data set whose items are whole batches.

    Shared memory is taken here rather than by the thread of the worker's queue: what goes wrong there is lost, and the
    batch awaited for ever.
    """

    def __init__(self, source: ImageSource, seed: int) -> None:
        self._source = source
        self._seed = seed

    def __reduce__(self) -> tuple[object, ...]:
        # A worker that was not forked must know where the user's own modules are before it unpickles a source from one.
        return _in_shared_memory, (Served(), self._source, self._seed)

    def __getitem__(self, address: tuple[int, torch.Tensor]) -> Gathered | _NoSharedMemory | _Unread:
        epoch, indices = address
        try:
            images, labels = self._source.gather(indices, seed=self._seed, epoch=epoch)
        except DataError as error:
            return _Unread(str(error))
        except BaseException as error:  # of a source of the user's own
            place = own_place(error)
            at = "" if place is None else f" ({place})"
            return _Unread(f"a worker that reads the data: {in_one_line(error)}{at}")
        try:
            images.share_memory_()
            if labels is not None:
                labels.share_memory_()
        except (OSError, RuntimeError) as error:
            return _NoSharedMemory(_no_shared_memory(images.nbytes, error))
        return images, labels


def _in_shared_memory(_served: None, source: ImageSource, seed: int) -> _InSharedMemory:
    return _InSharedMemory(source, seed)


def _as_gathered(gathered: Any) -> Any:
    """Without a batch size, the loader still converts what it is given; a gathered batch is as it should be."""
    return gathered


def _started(loader: DataLoader[Any]) -> tuple[Iterator[Any], list[BaseProcess]]:
    """Starts a loader's workers, and finds out which processes they are."""
    before = set(multiprocessing.active_children())
    # Blocked, as a worker can't ignore them before it has begun; processes inherit the mask, forkserver's too.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, STOPPED_BY)
    on_child = signal.getsignal(signal.SIGCHLD)
    try:
        iterator = iter(loader)
    except OSError as error:
        raise TrainingFailure(f"can't start worker processes: {error}; {_shared_memory()}, or lower workers") from None
    except pickle.PicklingError as error:
        method = multiprocessing.get_start_method()
        message = (
            f"the data can't be handed to worker processes that are started by {method}: {error}; expected workers: 0"
        )
        raise TrainingFailure(message) from None
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        # torch's handler raises wherever the training is when a worker ends. It is noticed when a batch is awaited.
        if threading.current_thread() is threading.main_thread() and on_child is not None:
            signal.signal(signal.SIGCHLD, on_child)
    return iterator, [child for child in multiprocessing.active_children() if child not in before]


def _begin(_: int) -> None:
    """Prepares a worker to ignore the signals that stop a run, and to end with its parent, even while reading."""
    for number in STOPPED_BY:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPED_BY)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.sentinel,), name="firebox-parent", daemon=True).start()


def _end_with(sentinel: int) -> None:
    wait([sentinel])
    os._exit(1)


def _end(iterator: list[Iterator[Any]], workers: list[BaseProcess], owner: int) -> None:
    """Ends workers, of a process that is not a fork of the one that started them."""
    if os.getpid() != owner:
        return
    # torch waits five seconds for each worker that hangs, and then sends what it ignores.
    impatience = threading.Timer(GRACE_SECONDS, _kill, (workers,))
    impatience.daemon = True
    impatience.start()
    iterator.clear()
    ends = time.monotonic() + GRACE_SECONDS
    for worker in workers:
        worker.join(max(0.0, ends - time.monotonic()))
    impatience.cancel()
    _kill(workers)


def _kill(workers: list[BaseProcess]) -> None:
    for worker in workers:
        if worker.is_alive():
            worker.kill()


@atexit.register
def _close_all() -> None:
    for reading in list(_open):
        reading.close()


def _epitaph(worker: BaseProcess) -> str:
    """Returns a text that says how a worker ended, and what may help."""
    code = worker.exitcode or 0
    name = signal.Signals(-code).name if code < 0 else f"exit code {code}"
    why = {
        "SIGKILL": ": the system does so when memory runs out; lower workers or batch_size",
        "SIGBUS": f": {_shared_memory()}, or lower workers or batch_size",
    }.get(name, "")
    return f"a worker that reads the data (process {worker.pid}) was ended by {name}{why}"


def _no_shared_memory(size: int, error: Exception) -> str:
    reason = str(error).splitlines()[0]
    return (
        f"a worker has no shared memory for a batch of {size / 2**20:.1f} MiB ({reason}); {_shared_memory()}, "
        "or lower workers or batch_size"
    )


def _shared_memory() -> str:
    """Returns a text that says how much shared memory is left, and how to get more."""
    try:
        usage = shutil.disk_usage(SHARED_MEMORY)
    except OSError:
        return "allow more shared memory"
    return (
        f"{SHARED_MEMORY} has {usage.free / 2**20:.1f} of {usage.total / 2**20:.1f} MiB left; enlarge it "
        f"(docker run --shm-size=2g, or mount -o remount,size=2g {SHARED_MEMORY})"
    )
