"""Several processes that train one run."""

from __future__ import annotations

import pickle
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist

from firebox.engine.world.exchange import Exchanges
from firebox.engine.world.failures import Failures, PeerFailure
from firebox.engine.world.job import Job
from firebox.engine.world.launched import Launched
from firebox.engine.world.pulse import Pulse
from firebox.engine.world.store import Keys
from firebox.engine.world.world import Sum, World
from firebox.foundation.problems import Interrupted, TrainingFailure

T = TypeVar("T")
PARTING_SECONDS = 900.0
"""Longest time that the others wait at the end for the first process to write."""
ENDED_SECONDS = 60.0
"""Longest time between the ends of the training in processes that have decided to end it at the same iteration."""
SIGNAL_SECONDS = 1.0
"""Longest time between the signals that a launcher sends to its processes one after another."""
_POLL_SECONDS = 0.02


class Processes(World):
    """One of the processes that a launcher has started, each of which can be reached by all others.

    Before the training, one may wait for another as long as that takes, such as for decoding a data set: they speak
    through the store, a stop ends each by itself, and one that is no longer alive ends those that wait for it. In the
    training, exchanges have a time limit.

    Args:
        launched: what the launcher says of this process.
        store: the store of this attempt.
        failures: what the processes tell each other when one fails.
        job: what outlives the attempt.
        pulse: which of the others are alive.
        stopping: function that says whether a stop was requested.
    """

    def __init__(
        self,
        launched: Launched,
        store: Keys,
        failures: Failures,
        job: Job,
        pulse: Pulse,
        stopping: Callable[[], bool],
    ) -> None:
        self.rank, self.size = launched.rank, launched.size
        self.local_rank, self.local_size = launched.local_rank, launched.local_size
        self.failures: Failures = failures
        self.job = job
        self._store = store
        self._stopping = stopping
        self._said = 0
        self._pulse = pulse
        self._exchanges = Exchanges(self.rank, self.size)

    def limit(self, seconds: float) -> None:
        self.failures.seconds = self._exchanges.seconds = seconds
        if self.size > 1:
            # Under its earlier name in releases of torch that lack this one.
            set_timeout = getattr(dist, "set_timeout", None) or dist.distributed_c10d._set_pg_timeout
            set_timeout(timedelta(seconds=seconds), dist.group.WORLD)

    def sum_of(self, like: Sequence[torch.Tensor]) -> Sum:
        if self.size == 1:
            return list
        add = self._exchanges.flat_sum(like)

        def total(addend: Any) -> list[torch.Tensor | None]:
            with self.failures.named(self._partner):
                return add(addend)

        return total

    def scattered_sum(self, parts: torch.Tensor) -> torch.Tensor:
        if self.size == 1:
            return parts
        with self.failures.named(self._partner):
            return self._exchanges.scatter(parts)

    def settle(self, losses: torch.Tensor, votes: list[bool]) -> tuple[torch.Tensor, list[bool]]:
        add_up = self._exchanges.add_up
        with self.failures.named(self._partner):
            if losses.device.type == "cpu":
                both = torch.cat([losses, torch.tensor(votes, dtype=losses.dtype)])
                add_up(both, torch.empty_like(both))
                return both[: len(losses)], [vote > 0 for vote in both[len(losses) :].tolist()]
            # What the host must know does not wait for the device.
            add_up(losses, torch.empty_like(losses))
            voted = torch.tensor(votes, dtype=torch.float32)
            add_up(voted, torch.empty_like(voted))
            return losses, [vote > 0 for vote in voted.tolist()]

    def _partner(self) -> int | None:
        return self._exchanges.partner

    def broadcast(self, value: T | None) -> T:
        if self.size == 1:
            return value  # type: ignore[return-value]
        with self.failures.named():
            content = bytearray(pickle.dumps(value) if self.leads else b"")
            length = torch.tensor([len(content)])
            dist.broadcast(length, 0)
            data = (
                torch.frombuffer(content, dtype=torch.uint8)
                if self.leads
                else torch.empty(int(length), dtype=torch.uint8)
            )
            dist.broadcast(data, 0)
        return value if self.leads else pickle.loads(data.numpy().tobytes())  # type: ignore[return-value]

    def gather(self, value: T) -> list[T]:
        if self.size == 1:
            return [value]
        found: list[Any] | None = [None] * self.size if self.leads else None
        with self.failures.named():
            dist.gather_object(value, found, 0)
        return found or []

    def tell(self, value: T | None) -> T:
        self._said += 1
        key = f"told/{self._said}"
        if self.leads:
            with self.failures.meeting():
                self._store.set(key, pickle.dumps(value))  # type: ignore[arg-type]
            return value  # type: ignore[return-value]
        return self._awaited(key)  # type: ignore[no-any-return]

    def collect(self, value: T) -> list[T]:
        self._said += 1
        if not self.leads:
            with self.failures.meeting():
                self._store.set(f"said/{self._said}/{self.rank}", pickle.dumps(value))  # type: ignore[arg-type]
            return []
        return [value, *(self._awaited(f"said/{self._said}/{rank}") for rank in range(1, self.size))]

    def ended(self, iteration: int, *, early: bool) -> None:
        own, ends = str(iteration), time.monotonic() + ENDED_SECONDS
        with self.failures.meeting():
            self._store.set(f"ended/{self.rank}", own)
            for rank in range(self.size) if early else ():
                key = f"ended/{rank}"
                while not (there := self._store.check([key])) and time.monotonic() < ends:
                    time.sleep(_POLL_SECONDS)
                if not there or self._store.get(key).decode() != own:
                    raise TrainingFailure(
                        f"{self.failures.members[self.rank]} ended the training early after iteration {iteration}, but "
                        f"rank {rank} did not: expected run.trainer.terminate(), which all processes agree on, or "
                        "run.finish_early() in a handler that runs in all of them and decides the same in each"
                    )

    def part(self) -> None:
        with suppress(RuntimeError):  # the launcher has ended
            if self.leads:
                self._store.set("parted", "")
            ends = time.monotonic() + PARTING_SECONDS
            while not self._store.check(["parted"]) and time.monotonic() < ends and 0 not in self._pulse.lost:
                time.sleep(_POLL_SECONDS)

    def heed(self) -> None:
        """Looks, while this process waits for others, at what ends that.

        Raises:
            Interrupted: a stop was requested.
            PeerFailure: another process has failed, or is no longer alive.
        """
        if self._stopping():
            raise Interrupted
        with self.failures.meeting():
            failed = self.failures.first()
            if failed is None and self._pulse.lost:
                failed = self.failures.lose(self._pulse.lost)
        if failed is not None:
            self._await_signal()
            raise PeerFailure(failed)

    def _awaited(self, key: str) -> Any:
        with self.failures.meeting():
            while not self._store.check([key]):
                self.heed()
                time.sleep(_POLL_SECONDS)
            return pickle.loads(self._store.get(key))

    def _await_signal(self) -> None:
        """Waits a moment for the signal that another process may have ended at, which all of them receive."""
        ends = time.monotonic() + SIGNAL_SECONDS
        while time.monotonic() < ends:
            if self._stopping():
                raise Interrupted
            time.sleep(_POLL_SECONDS)
