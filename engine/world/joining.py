"""How a process joins the others that train the same run, and leaves them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from functools import partial

import torch
import torch.distributed as dist
from ignite.distributed import utils as idist
from ignite.distributed.comp_models import _SerialModel

from firebox.engine.world.failures import Failures, PeerFailure
from firebox.engine.world.job import Job
from firebox.engine.world.launched import Launched
from firebox.engine.world.meeting import MEETING_SECONDS, meet
from firebox.engine.world.processes import Processes
from firebox.engine.world.pulse import Pulse
from firebox.engine.world.store import SharedStore
from firebox.engine.world.world import World
from firebox.foundation.problems import Interrupted, Problem, Refusal, in_one_line
from firebox.foundation.threaded import Threaded

logger = logging.getLogger("firebox")

_LOOK_SECONDS = 0.1


@contextmanager
def joined(launched: Launched, stopping: Callable[[], bool]) -> Iterator[World]:
    """Joins the processes that the launcher has started, for as long as the block lasts.

    Args:
        launched: what the launcher says of this process.
        stopping: function that says whether a stop was requested; called while the others are awaited.

    Raises:
        Refusal: they can't be reached, or their number is not a power of two.
        Interrupted: a stop was requested meanwhile.
    """
    rank, size = launched.rank, launched.size
    if size & (size - 1):
        message = f"got {size} processes, expected a power of two, such as {1 << (size.bit_length() - 1)}"
        raise Refusal([Problem("", f"{message}: --nproc-per-node, times --nnodes")] if rank == 0 else [])
    base = _store(launched)
    ours = SharedStore(base).within("firebox")
    try:
        attempt, members = meet(ours, rank, size, stopping)
    except RuntimeError as error:
        message = f"{launched.address}:{launched.port}, where the processes meet, is gone: {in_one_line(error)}"
        raise Refusal([Problem("", message)] if launched.local_rank == 0 else []) from None
    # What an earlier attempt has written, such as the addresses of its processes, is not this one's.
    store = ours.within(attempt)
    failures = Failures(store, rank, members, first_here=launched.local_rank == 0)
    pulse = Pulse(dist.PrefixStore(f"firebox/pulse/{attempt}", base.clone()), rank, size)
    world = Processes(launched, store, failures, Job(ours.within("job")), pulse, stopping)
    try:
        if size > 1:
            _keep_ignite_out()
            # By a connection of its own: torch keeps others from using one while it waits.
            _connect(world, dist.PrefixStore(f"firebox/torch/{attempt}", base.clone()))
        yield world
    finally:
        pulse.end()
        if size > 1:
            with suppress(Exception):
                dist.destroy_process_group()


def _connect(world: Processes, store: dist.Store) -> None:
    """Connects the processes to each other: in a thread, because nothing interrupts torch while it waits for one."""
    connecting = Threaded(
        partial(
            dist.init_process_group,
            "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo",
            store=store,
            rank=world.rank,
            world_size=world.size,
            timeout=timedelta(seconds=MEETING_SECONDS),
        ),
        "firebox-joining",
    )
    while True:
        try:
            connecting.result(_LOOK_SECONDS)
            return
        except TimeoutError:
            _heed(world)
        except Exception as error:
            message = f"{world.failures.members[world.rank]} can't reach the others: {in_one_line(error)}"
            raise Refusal(
                [Problem("", f"{message}; expected all alive, at addresses that all can reach: GLOO_SOCKET_IFNAME")]
            ) from None


def _heed(world: Processes) -> None:
    try:
        world.heed()
    except Interrupted:
        world.failures.report("was asked to stop")
        raise
    except PeerFailure as error:
        raise error if world.failures.speaker else PeerFailure from None  # which is said once


def _store(launched: Launched) -> dist.Store:
    keeps = launched.rank == 0 and not launched.by_agent
    place = f"{launched.address}:{launched.port}"
    try:
        return dist.TCPStore(
            launched.address,
            launched.port,
            launched.size,
            is_master=keeps,
            timeout=timedelta(seconds=MEETING_SECONDS),
            wait_for_workers=False,
        )
    except (RuntimeError, ValueError) as error:
        if "EADDRINUSE" in str(error) or "address already in use" in str(error):
            message = f"{place} is in use by another program; expected a free port in MASTER_PORT"
        else:
            message = f"{place}, where the processes meet, can't be reached: {in_one_line(error)}"
        raise Refusal([Problem("", message)] if launched.rank == 0 or not keeps else []) from None


def _keep_ignite_out() -> None:
    """Has Ignite see one process: it would find the group by itself, and its metrics would add up what is gathered."""
    idist._model = _SerialModel()
    idist._need_to_sync = False
