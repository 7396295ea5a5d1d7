"""What runs in a worker process: reading batches into shared memory, deaf to what stops the run."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import shutil
import signal
import threading
from multiprocessing.connection import wait
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from typing import Any

import numpy
import torch
from torch.utils.data import Dataset, get_worker_info

from firebox.data.declarations.data_error import DataError
from firebox.data.sources.progress import Doing, Progress, note
from firebox.data.sources.source import ImageSource
from firebox.foundation.exit_codes import STOPPED_BY
from firebox.foundation.own_modules import Served
from firebox.foundation.places import own_place
from firebox.foundation.problems import in_one_line, shown

SHARED_MEMORY = Path("/dev/shm")

BY_VALUE = 1 << 10
"""Bytes up to which a tensor is copied to the other process, which takes a fifth of the time that sharing its memory
takes. With two of them, a message is still written to the pipe at once (PIPE_BUF): a worker that is killed leaves none
that is half-written, which would be awaited for ever."""
PLAIN = (torch.bool, torch.uint8, torch.uint16, torch.int64, torch.float32)
"""dtypes of such tensors, all of which NumPy has, too."""

Gathered = tuple[torch.Tensor, torch.Tensor | None]


class NoSharedMemory:
    """What a worker returns instead of a batch for which there is no shared memory."""

    def __init__(self, message: str) -> None:
        self.message = message


class Unread:
    """What a worker returns instead of a batch that can't be read.

    An exception would arrive as the text of the worker's whole stack.
    """

    def __init__(self, message: str) -> None:
        self.message = message


class InSharedMemory(Dataset[Any]):
    """A source as a data set whose items are whole batches.

    Shared memory is taken here rather than by the thread of the worker's queue: what goes wrong there is lost, and the
    batch awaited for ever.

    Args:
        source: the source.
        seed: seed of the run.
        shared: whether small tensors are in shared memory, too, as those must be that are to be pinned.
    """

    def __init__(self, source: ImageSource, seed: int, *, shared: bool) -> None:
        self._source = source
        self._seed = seed
        self._shared = shared

    def __reduce__(self) -> tuple[object, ...]:
        # A worker that was not forked must know where the user's own modules are before it unpickles a source from one.
        # The source is pickled on its own, so that what fails as it is unpickled can be told.
        return _handed_over, (Served(), bytes(ForkingPickler.dumps(self._source)), self._seed, self._shared)

    def __getitem__(self, address: tuple[int, numpy.ndarray[Any, Any]]) -> Any:
        """Reads the batch of an epoch and of indices.

        Returns:
            Images and targets, which ``as_gathered`` takes; or why there are none.
        """
        epoch, indices = address[0], torch.from_numpy(address[1])
        first = int(indices[0])
        note(Doing.BATCH, first)
        try:
            images, labels = self._source.gather(indices, seed=self._seed, epoch=epoch)
        except DataError as error:
            return Unread(str(error))
        except BaseException as error:  # of a source of the user's own
            samples = f"samples {shown(indices.tolist())} of its split"
            return Unread(f"a worker that reads the data: {samples}: {_told(error)}")
        finally:
            note(Doing.IDLE, first)
        try:
            return self._handed(images), None if labels is None else self._handed(labels)
        except (OSError, RuntimeError) as error:
            return NoSharedMemory(_no_shared_memory(images.nbytes, error))

    def _handed(self, tensor: torch.Tensor) -> torch.Tensor | numpy.ndarray[Any, Any]:
        if not self._shared and tensor.dtype in PLAIN and tensor.is_contiguous() and tensor.nbytes <= BY_VALUE:
            return tensor.detach().numpy()
        tensor.share_memory_()
        return tensor


def as_gathered(batch: Any) -> Any:
    """Returns a batch as it was gathered; anything else that a worker returns as it is."""
    if not isinstance(batch, tuple):
        return batch
    return tuple(torch.from_numpy(part) if isinstance(part, numpy.ndarray) else part for part in batch)


class _NotHandedOver(Dataset[Any]):
    """What a worker has instead of a source that it can't unpickle: each batch is the reason."""

    def __init__(self, message: str) -> None:
        self._message = message

    def __getitem__(self, address: object) -> Unread:
        return Unread(self._message)


def _handed_over(_served: None, source: bytes, seed: int, shared: bool) -> Dataset[Any]:
    try:
        return InSharedMemory(pickle.loads(source), seed, shared=shared)
    except BaseException as error:
        method = multiprocessing.get_start_method()
        return _NotHandedOver(
            f"a worker that is started by {method} can't take over the data: {_told(error)}; expected what can be "
            "unpickled there; or workers: 0"
        )


class Beginning:
    """Prepares a worker to ignore the signals that stop a run, and to end with its parent, even while reading."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def __call__(self, worker: int) -> None:
        for number in STOPPED_BY:
            signal.signal(number, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPED_BY)
        parent = multiprocessing.parent_process()
        if parent is not None:
            threading.Thread(target=_end_with, args=(parent.sentinel,), name="firebox-parent", daemon=True).start()
        information = get_worker_info()
        assert information is not None
        self._progress.follow(worker, able=not isinstance(information.dataset, _NotHandedOver))


def shared_memory() -> str:
    """Returns a text that says how much shared memory is left, and how to get more."""
    try:
        usage = shutil.disk_usage(SHARED_MEMORY)
    except OSError:
        return "allow more shared memory"
    return (
        f"{SHARED_MEMORY} has {usage.free / 2**20:.1f} of {usage.total / 2**20:.1f} MiB left; enlarge it "
        f"(docker run --shm-size=2g, or mount -o remount,size=2g {SHARED_MEMORY})"
    )


def _told(error: BaseException) -> str:
    place = own_place(error)
    return in_one_line(error) if place is None else f"{in_one_line(error)} ({place})"


def _end_with(sentinel: int) -> None:
    wait([sentinel])
    os._exit(1)


def _no_shared_memory(size: int, error: Exception) -> str:
    reason = str(error).splitlines()[0]
    return (
        f"a worker has no shared memory for a batch of {size / 2**20:.1f} MiB ({reason}); {shared_memory()}, "
        "or lower workers or batch_size"
    )
