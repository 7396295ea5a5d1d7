"""How the processes of one attempt find each other in a store that may still hold what earlier attempts have left."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Callable
from dataclasses import asdict
from uuid import uuid4

from firebox.engine.world.failures import Member
from firebox.engine.world.store import Keys
from firebox.foundation.problems import Interrupted, Problem, Refusal, listed

MEETING_SECONDS = 300.0
"""Time limit until all processes have come."""
_POLL_SECONDS = 0.02


def meet(store: Keys, rank: int, size: int, stopping: Callable[[], bool]) -> tuple[str, list[Member]]:
    """Waits until all processes have come; returns the name of the attempt, and the processes.

    A launcher counts its attempts on each machine by itself, and a process may be killed before it has said a word. So
    nothing is counted: each process comes under a name of its own, and the first one answers to the newest of each.

    Args:
        store: the store, in which earlier attempts may have left their names.
        rank: number of this process, counted from 0.
        size: number of processes.
        stopping: function that says whether a stop was requested.

    Raises:
        Refusal: they have not come.
        Interrupted: a stop was requested.
    """
    own, ends = uuid4().hex, time.monotonic() + MEETING_SECONDS

    def until(find: Callable[[], str], missing: Callable[[], list[int]] = lambda: [0]) -> str:
        while not (value := find()):
            if stopping():
                raise Interrupted
            if time.monotonic() > ends:
                names = listed([f"rank {other}" for other in missing()])
                message = f"{names} of {size} processes did not come within {MEETING_SECONDS:g} s"
                raise Refusal([Problem("", f"{message}; expected as many as torchrun was told to start")])
            time.sleep(_POLL_SECONDS)
        return value

    if rank:
        store.set(f"coming/{rank}", json.dumps([own, socket.gethostname(), os.getpid()]))
        attempt = until(lambda: _got(store, f"answer/{own}"))
        store.set(f"come/{attempt}/{rank}", own)
        members = until(lambda: _got(store, f"members/{attempt}"))
        return attempt, [Member(**each) for each in json.loads(members)]
    found = {0: Member(0, socket.gethostname(), os.getpid())}
    answered: dict[int, str] = {}

    def all_there() -> str:
        for other in range(1, size):
            coming = "" if other in found else _got(store, f"coming/{other}")
            if not coming:
                continue
            name, host, pid = json.loads(coming)
            if answered.get(other) != name:
                store.set(f"answer/{name}", own)
                answered[other] = name
            if _got(store, f"come/{own}/{other}") == name:
                found[other] = Member(other, host, pid)
        return own if len(found) == size else ""

    until(all_there, lambda: [other for other in range(size) if other not in found])
    members = json.dumps([asdict(found[each]) for each in range(size)])
    store.set(f"members/{own}", members)
    return own, [found[each] for each in range(size)]


def _got(store: Keys, key: str) -> str:
    """Returns a value; an empty text if there is none yet."""
    return store.get(key).decode() if store.check([key]) else ""
