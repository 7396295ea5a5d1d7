"""What processes tell each other when one of them fails: who, and why, in place of the words of a broken connection."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass

from firebox.engine.world.store import Keys
from firebox.foundation.problems import TrainingFailure

WORD_SECONDS = 2.0
"""Seconds within which those that are alive say so once an exchange has failed."""
_POLL_SECONDS = 0.05
WITHOUT_A_WORD = "ended without a word: the system does so when memory runs out, or somebody killed it"


class PeerFailure(TrainingFailure):
    """Another process of the run has failed, or does not answer."""


@dataclass(frozen=True, slots=True)
class Member:
    """A process of the world.

    Args:
        rank: number of the process, counted from 0.
        host: name of its machine.
        pid: its process ID there.
    """

    rank: int
    host: str
    pid: int

    def __str__(self) -> str:
        return f"rank {self.rank} (process {self.pid} on {self.host})"


@dataclass(frozen=True, slots=True)
class Failure:
    """The reason that a process gave before it ended.

    Args:
        rank: number of the process.
        reason: the reason, in one line.
        at: seconds since 1970.
        traceback: where it came from, in many lines; empty if the reason says everything.
    """

    rank: int
    reason: str
    at: float
    traceback: str = ""


class Failures:
    """The reasons of failures, in the store that all processes share.

    Args:
        store: store of this attempt.
        rank: number of this process.
        members: all processes.
        first_here: whether this process is the first one of its machine.
    """

    def __init__(self, store: Keys, rank: int, members: Sequence[Member], *, first_here: bool = False) -> None:
        self._store = store
        self._rank = rank
        self._first_here = first_here
        self.members = members
        self.seconds = 0.0
        """The longest time that an exchange may take, as a message gives it."""
        self.speaker = rank == 0
        """Whether this process says what has failed: the first one that is alive."""
        self.store_is_lost = False
        """Whether the store can't be reached any more, so that a machine knows of nothing but itself."""
        self.traceback = ""
        """Where the failure of another process came from; empty if that is not known, or its reason says everything."""
        self._told: str | None = None

    def report(self, reason: str, traceback: str = "") -> None:
        """Says why this process ends, before its connections do."""
        if self._told is None:
            self._told = reason
            with suppress(Exception):  # without the store, the others learn that this process has ended
                self._say(Failure(self._rank, reason, time.time(), traceback))

    def _say(self, failure: Failure) -> None:
        self._store.set(f"failed/{failure.rank}", json.dumps(asdict(failure)))
        self._store.set("failed", "")

    def lose(self, ranks: Sequence[int]) -> str:
        """Says for other processes that they have ended, which they could not; returns who has failed, and why."""
        for rank in ranks:
            if not self._store.check([f"failed/{rank}"]):
                self._say(Failure(rank, WITHOUT_A_WORD, time.time()))
        return self.first() or WITHOUT_A_WORD

    @contextmanager
    def meeting(self) -> Iterator[None]:
        """Raises a PeerFailure in the place of an error of the store in the block: it has ended, or is cut off."""
        try:
            yield
        except RuntimeError as error:
            if isinstance(error, TrainingFailure):
                raise
            self._lose_store()
            raise PeerFailure(self._told or "") from error

    def _lose_store(self, beside: str = "") -> str:
        self.store_is_lost, self.speaker = True, self._first_here
        where = f"the connection to {beside}the store of torchrun, in which the processes meet, is lost"
        self._told = f"{where}: torchrun has ended on the node that keeps it, or that node is cut off"
        return self._told

    def first(self) -> str | None:
        """Returns who has reported a failure, and its reason; None if nobody has."""
        if not self._store.check(["failed"]):
            return None
        reported = [member for member in self.members if self._store.check([f"failed/{member.rank}"])]
        failures = [Failure(**json.loads(self._store.get(f"failed/{member.rank}"))) for member in reported]
        if 0 in (failure.rank for failure in failures) and not self.speaker:
            self.speaker = self._store.add("speaks", 1) == 1
        return self._first(failures)

    def _first(self, failures: Sequence[Failure]) -> str:
        first = min(failures, key=lambda failure: failure.at)
        self.traceback = first.traceback
        return f"{self.members[first.rank]}: {first.reason}"

    @contextmanager
    def named(self, partner: Callable[[], int | None] = lambda: None) -> Iterator[None]:
        """Raises a PeerFailure with the reason in the place of the error of an exchange in the block.

        Args:
            partner: function that returns the process that the exchange was with; None if it was with several.
        """
        try:
            yield
        except RuntimeError as error:
            if isinstance(error, TrainingFailure):
                raise
            reason = self.explained(str(error), partner())
            self._told = reason
            raise PeerFailure(reason) from error

    def explained(self, error: str, partner: int | None = None) -> str:
        """Returns who has failed and why, once all that are alive have said so.

        Args:
            error: the words of the exchange that has failed.
            partner: the process that it was with; None if it was with several.
        """
        words = error.splitlines()[0] if error else "no reason given"
        try:
            failures, silent = self._heard(partner)
        except RuntimeError:
            return self._lose_store("" if partner is None else f"{self.members[partner]} and ")
        lost = {failure.rank for failure in failures} | {member.rank for member in silent}
        self.speaker = self._rank == min(set(range(len(self.members))) - lost, default=0)
        if failures:
            return self._first(failures)
        if silent and "timed out" in error.lower():
            names = ", ".join(map(str, silent))
            return f"{names}: has not answered within {self.seconds:g} s: it hangs, or its data needs a longer timeout"
        if silent:
            names = ", ".join(map(str, silent))
            return f"{names}: {WITHOUT_A_WORD}"
        return f"the connection between the processes broke: {words}"

    def _heard(self, partner: int | None) -> tuple[list[Failure], list[Member]]:
        """Returns the failures that were reported, and the processes that are lost.

        Lost is who says nothing; but one that waits for another has nothing to say yet. So of those, whoever another
        process has lost in an exchange.
        """
        self._store.set(f"alive/{self._rank}", str(self._rank if partner is None else partner))
        failed: dict[int, Failure] = {}
        suspects = set() if partner is None else {partner}
        waiting = {member.rank for member in self.members if member.rank != self._rank}
        ends = time.monotonic() + WORD_SECONDS
        while waiting and time.monotonic() < ends:
            for rank in list(waiting):
                if self._store.check([f"failed/{rank}"]):
                    failed[rank] = Failure(**json.loads(self._store.get(f"failed/{rank}")))
                    waiting.remove(rank)
                elif self._store.check([f"alive/{rank}"]):
                    suspects.add(int(self._store.get(f"alive/{rank}")))
                    waiting.remove(rank)
            if waiting:
                time.sleep(_POLL_SECONDS)
        return list(failed.values()), [self.members[rank] for rank in sorted(waiting & suspects or waiting)]
