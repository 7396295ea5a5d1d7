"""What belongs to one shard of a batch while the others take their turns: buffers, and gradients that wait."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch

from firebox.engine.training.bases.module import Module
from firebox.engine.training.bases.ownership import own_networks
from firebox.engine.training.steps.terms import UnusableModule
from firebox.engine.world.tree import Tree

STATISTICS = ("running_mean", "running_var")
"""Names of the buffers in which torch's layers keep statistics of batches."""


class ShardStates:
    """The buffers and the unfinished gradients of each shard that a process takes.

    Every shard begins an iteration with the same buffers, such as the statistics of batch normalisation, and changes
    its own. In the end those of floating point are the mean over all shards, weighted by their samples, and others are
    the first shard's.

    Args:
        module: the module, whose model and networks have the buffers.
        parameters: the parameters that are trained.
        count: number of shards that the process takes.
    """

    def __init__(self, module: Module, parameters: Iterable[torch.Tensor], count: int) -> None:
        networks = [module.model, *(n for n in own_networks(module).values() if isinstance(n, torch.nn.Module))]
        self._holders = [part for network in networks for part in network.modules() if part._buffers]
        self._parameters = list(parameters)
        self._count = count
        self._buffers: list[torch.Tensor] = []
        self._before: list[torch.Tensor] = []
        self._own: list[list[torch.Tensor]] = []
        self._versions: list[int] = []
        self._statistics: list[bool] = []
        self._gradients: list[list[torch.Tensor | None]] = []
        self.changed: list[bool] = []
        """Whether a shard of this process has changed a buffer in this iteration, in the order of the buffers."""

    def begin(self) -> None:
        """Begins an iteration."""
        self._buffers = self._present()
        self._before = [buffer.data for buffer in self._buffers]
        self._own = [self._before]
        if self._count > 1:
            self._own = [[buffer.clone() for buffer in self._before] for _ in range(self._count)]
        self._gradients = [[] for _ in range(self._count)]
        # The batch normalisation of torch changes its statistics without counting that as a change.
        self._statistics = [
            part.training and name in STATISTICS
            for part in self._holders
            for name, buffer in part._buffers.items()
            if buffer is not None
        ]
        self.changed = [False] * len(self._buffers)

    def enter(self, number: int) -> None:
        """Puts a shard's buffers and gradients in place; they are its own until ``leave``."""
        if self._count > 1:
            # Not copied: that would count as a change to what a graph has saved for its backward pass.
            for buffer, own in zip(self._buffers, self._own[number], strict=True):
                buffer.data = own
        self._versions = [buffer._version for buffer in self._buffers]
        for parameter, gradient in zip(self._parameters, self._gradients[number], strict=False):
            parameter.grad = gradient

    def leave(self, number: int) -> None:
        """Takes a shard's buffers and gradients away for as long as others take their turns.

        Raises:
            UnusableModule: the step has replaced a buffer.
        """
        if any(now is not before for now, before in zip(self._present(), self._buffers, strict=True)):
            expected = "expected it changed in place, such as by copy_, which can be combined over shards"
            raise UnusableModule([f"its training step puts another tensor in the place of a buffer; {expected}"])
        for place, (buffer, version) in enumerate(zip(self._buffers, self._versions, strict=True)):
            self.changed[place] |= self._statistics[place] or buffer._version != version
        if self._count > 1:
            self._gradients[number] = [parameter.grad for parameter in self._parameters]
            for parameter in self._parameters:
                parameter.grad = None

    def _present(self) -> list[torch.Tensor]:
        return [buffer for part in self._holders for buffer in part._buffers.values() if buffer is not None]

    def combined(self, changed: Sequence[bool], shares: Sequence[float], *, first: bool) -> list[torch.Tensor]:
        """Returns this process's part of the buffers that shards have changed, each to be added to the others' parts.

        Args:
            changed: which buffers any shard of any process has changed.
            shares: the share of each of the process's shards of the batch's samples.
            first: whether the process takes the first shard.
        """
        tree = Tree()
        for number, share in enumerate(shares):
            chosen = [buffer for buffer, is_changed in zip(self._own[number], changed, strict=True) if is_changed]
            tree.add([_part(buffer, share, first=first and number == 0) for buffer in chosen])
        return [part for part in tree.take() if part is not None]

    def take(self, changed: Sequence[bool], combined: list[torch.Tensor]) -> None:
        """Puts the combined buffers in place, and those that nothing has changed as they were."""
        for buffer, before in zip(self._buffers, self._before, strict=True):
            buffer.data = before
        chosen = [buffer for buffer, is_changed in zip(self._buffers, changed, strict=True) if is_changed]
        for buffer, part in zip(chosen, combined, strict=True):
            buffer.copy_(part)


def _part(buffer: torch.Tensor, share: float, *, first: bool) -> torch.Tensor:
    if buffer.is_floating_point() or buffer.is_complex():
        return buffer * share
    return buffer.to(torch.float64) * first
