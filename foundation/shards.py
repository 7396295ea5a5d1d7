"""How a batch is cut into shards, and which of them a process takes.

A batch is always cut into the same number of shards, however many processes there are; each process takes as many of
them, in their order. The sizes are those of ``torch.tensor_split``: no sample is repeated, and none is left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate


def shard_sizes(samples: int, shards: int) -> list[int]:
    """Returns the number of samples in each shard of a batch, the larger shards first."""
    each, rest = divmod(samples, shards)
    return [each + 1] * rest + [each] * (shards - rest)


@dataclass(frozen=True, slots=True)
class Portion:
    """The shards of every batch that a process takes.

    Args:
        shards: number of shards of a batch.
        first: the first shard that the process takes, counted from 0.
        count: number of shards that it takes.
    """

    shards: int = 1
    first: int = 0
    count: int = 1

    @classmethod
    def of(cls, rank: int, processes: int, shards: int) -> Portion:
        """Returns the portion of one of several processes, whose number divides that of the shards."""
        count = shards // processes
        return WHOLE if count == shards == 1 else cls(shards, rank * count, count)

    def sizes(self, samples: int) -> list[int]:
        """Returns the number of samples in each of the process's shards of a batch."""
        return shard_sizes(samples, self.shards)[self.first : self.first + self.count]

    def bounds(self, samples: int) -> tuple[int, int]:
        """Returns where in a batch the process's samples begin and end (exclusive)."""
        ends = [0, *accumulate(shard_sizes(samples, self.shards))]
        return ends[self.first], ends[self.first + self.count]


WHOLE = Portion()
"""The portion of a single process whose batches are not cut."""
