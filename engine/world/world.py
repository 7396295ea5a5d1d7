"""The processes that train one run, as one of them sees them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from firebox.engine.world.job import Job
from firebox.foundation.shards import Portion

if TYPE_CHECKING:
    import torch

    from firebox.engine.world.failures import Failures
    from firebox.engine.world.tree import Addend

T = TypeVar("T")
Sum: TypeAlias = "Callable[[Addend], list[torch.Tensor | None]]"
"""Adds lists of tensors over all processes; what no process has stays None."""


class World:
    """A single process, which has nobody to talk to. ``Processes`` are several.

    The first process, of rank 0, speaks, claims and writes; all of them compute.
    """

    rank: int = 0
    """The process's number, counted from 0."""
    size: int = 1
    """Number of processes."""
    local_rank: int = 0
    """The process's number on its machine."""
    local_size: int = 1
    """Number of processes on its machine."""
    job: Job = Job()
    """What outlives an attempt of a launcher."""
    failures: Failures | None = None
    """What several processes tell each other when one fails."""

    @property
    def leads(self) -> bool:
        """Whether this process is the one that speaks, claims and writes."""
        return self.rank == 0

    def portion(self, shards: int) -> Portion:
        """Returns the shards of each batch that this process takes."""
        return Portion.of(self.rank, self.size, shards)

    def sum_of(self, like: Sequence[torch.Tensor]) -> Sum:
        """Returns the function that adds tensors of the shapes of ``like`` over all processes, in the fixed tree."""
        return list

    def scattered_sum(self, parts: torch.Tensor) -> torch.Tensor:
        """Returns this process's part of a vector's sum over all processes, in the fixed tree.

        Args:
            parts: the vector, contiguous, which consists of a part for each process, all of the same size.
        """
        return parts

    def settle(self, losses: torch.Tensor, votes: list[bool]) -> tuple[torch.Tensor, list[bool]]:
        """Adds losses, (n,) float32, over all processes; returns with them what any process has voted for."""
        return losses, votes

    def broadcast(self, value: T | None) -> T:
        """Returns the first process's value in all processes."""
        return value  # type: ignore[return-value]

    def gather(self, value: T) -> list[T]:
        """Returns the values of all processes to the first one, in their order; an empty list to the others."""
        return [value]

    def tell(self, value: T | None) -> T:
        """As ``broadcast``, before the training: waits for the first process without limit, unless a stop is requested.

        Raises:
            Interrupted: a stop was requested.
        """
        return value  # type: ignore[return-value]

    def collect(self, value: T) -> list[T]:
        """As ``gather``, before the training: waits for the others without limit, unless a stop is requested."""
        return [value]

    def ended(self, iteration: int, *, early: bool) -> None:
        """Says that this process has trained up to an iteration; where it ended early, makes sure that all have.

        Raises:
            TrainingFailure: another process goes on.
        """

    def part(self) -> None:
        """Waits at the end until the first process has written everything, during which a launcher stops nobody."""

    def limit(self, seconds: float) -> None:
        """Sets how long an exchange in the training may take, in seconds."""


ALONE = World()
