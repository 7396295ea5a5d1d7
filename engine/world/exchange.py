"""Sums over processes, pair by pair, in one flat vector: the upper part of the fixed tree of additions."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import torch
import torch.distributed as dist

from firebox.engine.world.tree import Addend

ALIGNMENT = 16
"""Elements that the place of a tensor in the vector is a multiple of, as in memory of its own."""
WORTH_HALVING = 1 << 16
"""Elements from which on more than two processes exchange halves, which takes fewer bytes and more messages."""


class Exchanges:
    """Exchanges with the other processes, one at a time.

    Args:
        rank: number of this process, counted from 0.
        size: number of processes, a power of two.
    """

    def __init__(self, rank: int, size: int) -> None:
        self.seconds: float | None = None
        """The longest time that an exchange on the CPU may take; None for that of the group."""
        self.partner: int | None = None
        """The process that the last exchange was with."""
        self._rank, self._size = rank, size
        self._distances = [1 << bit for bit in range(size.bit_length() - 1)]

    def flat_sum(self, like: Sequence[torch.Tensor]) -> FlatSum:
        """Returns what adds lists of tensors of the shapes of ``like``."""
        return FlatSum(like, self)

    def add_up(self, flat: torch.Tensor, incoming: torch.Tensor) -> None:
        """Replaces a vector by its sum over all processes.

        Each process adds what its neighbour has to its own, then what the neighbouring pair has, and so on: the
        balanced tree over the ranks. The sum of two is the same whichever of them adds, so that all have the same bits.

        Args:
            flat: the vector, contiguous.
            incoming: memory of the same size, which is overwritten.
        """
        if self._size <= 2 or len(flat) < WORTH_HALVING:
            for distance in self._distances:
                self._swap(flat, incoming, self._rank ^ distance)
                flat.add_(incoming)
            return
        # The same additions: of each pair, each process adds one half of what it has left, and hands it back later.
        for distance, kept, given in reversed(self._halve(flat, incoming)):
            self._swap(flat[kept], flat[given], self._rank ^ distance)

    def scatter(self, parts: torch.Tensor) -> torch.Tensor:
        """Returns this process's part of a vector's sum over all processes: the same additions, and half the bytes.

        Args:
            parts: the vector, contiguous, which consists of a part for each process, all of the same size.
        """
        bits = len(self._distances)
        # The halves of halves that a process keeps end at the place that its rank read backwards is.
        places = [int(f"{rank:0{bits}b}"[::-1], 2) for rank in range(self._size)]
        flat = parts.view(self._size, -1)[places].flatten()
        return flat[self._halve(flat, torch.empty_like(flat))[-1][1]]

    def _halve(self, flat: torch.Tensor, incoming: torch.Tensor) -> list[tuple[int, slice, slice]]:
        """Adds up, of a vector, what is left of it for this process; returns what was kept and given at each step."""
        start, stop, halves = 0, len(flat), []
        for distance in self._distances:
            middle = (start + stop) // 2
            lower, upper = slice(start, middle), slice(middle, stop)
            kept, given = (upper, lower) if self._rank & distance else (lower, upper)
            self._swap(flat[given], incoming[kept], self._rank ^ distance)
            flat[kept].add_(incoming[kept])
            halves.append((distance, kept, given))
            start, stop = kept.start, kept.stop
        return halves

    def _swap(self, sent: torch.Tensor, received: torch.Tensor, partner: int) -> None:
        self.partner = partner
        if sent.device.type != "cpu":
            # NCCL's own watch has a limit: to give one here would have the host wait for the device.
            operations = [dist.P2POp(dist.isend, sent, partner), dist.P2POp(dist.irecv, received, partner)]
            for work in dist.batch_isend_irecv(operations):
                work.wait()
            return
        group = dist.group.WORLD
        assert group is not None
        # What dist.isend and dist.irecv call once they have looked at their arguments, which takes longer than this.
        for work in (group.send([sent], partner, 0), group.recv([received], partner, 0)):
            work.wait() if self.seconds is None else work.wait(timedelta(seconds=self.seconds))


class FlatSum:
    """Adds lists of tensors over all processes, each list in one exchange.

    The vector holds the tensors in the layout that they have in memory, and for each whether a process has it: what
    none has stays None, as an unused parameter's gradient.

    Args:
        like: tensors of the shapes, layouts and dtypes that are added.
        exchanges: exchanges with the other processes.
    """

    def __init__(self, like: Sequence[torch.Tensor], exchanges: Exchanges) -> None:
        places: dict[tuple[torch.dtype, torch.device], list[int]] = {}
        for number, tensor in enumerate(like):
            places.setdefault((tensor.dtype, tensor.device), []).append(number)
        self._parts = [_Part([like[n] for n in numbers], numbers, exchanges) for numbers in places.values()]
        self._count = len(like)

    def __call__(self, addend: Addend) -> list[torch.Tensor | None]:
        """Returns the sums, which the next call overwrites."""
        total: list[torch.Tensor | None] = [None] * self._count
        for part in self._parts:
            for number, tensor in zip(part.numbers, part.sum([addend[n] for n in part.numbers]), strict=True):
                total[number] = tensor
        return total


class _Part:
    """The tensors of one dtype."""

    def __init__(self, like: Sequence[torch.Tensor], numbers: list[int], exchanges: Exchanges) -> None:
        self.numbers = numbers
        self._exchanges = exchanges
        starts, end = [], 0
        for tensor in like:
            starts.append(end)
            end += -(-tensor.numel() // ALIGNMENT) * ALIGNMENT
        self._flat = torch.zeros(end + len(like), dtype=like[0].dtype, device=like[0].device)
        self._incoming = torch.empty_like(self._flat)
        self._views = [
            self._flat.as_strided(tensor.shape, _strides(tensor), start)
            for start, tensor in zip(starts, like, strict=True)
        ]
        self._there = self._flat[end:]

    def sum(self, addend: Addend) -> list[torch.Tensor | None]:
        there = [(view, tensor) for view, tensor in zip(self._views, addend, strict=True) if tensor is not None]
        torch._foreach_copy_([view for view, _ in there], [tensor.detach() for _, tensor in there])
        self._there.fill_(1)
        if len(there) < len(self._views):
            for number, (view, tensor) in enumerate(zip(self._views, addend, strict=True)):
                if tensor is None:
                    view.zero_()
                    self._there[number] = 0
        self._exchanges.add_up(self._flat, self._incoming)
        if len(there) == len(self._views):
            return list(self._views)
        found = self._there.tolist()
        return [view if anywhere else None for view, anywhere in zip(self._views, found, strict=True)]


def _strides(tensor: torch.Tensor) -> tuple[int, ...]:
    """Returns a tensor's strides, or those of a contiguous one where it leaves gaps in memory."""
    dense = torch.empty_like(tensor, memory_format=torch.preserve_format, device="meta")
    return dense.stride()
