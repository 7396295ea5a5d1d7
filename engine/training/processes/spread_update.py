"""One optimizer update where each process holds a part of the weights, of their gradients and of the optimizer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from firebox.engine.training.processes.sharded_update import ShardedUpdate
from firebox.engine.training.processes.spread_parameters import DIFFERENT, Calls, exchanging, local
from firebox.engine.training.steps.terms import UnusableModule
from firebox.engine.training.updates.optimizer_step import unmarked_step

FLAG = "the flag"
"""The name of the sum that is no optimizer's."""


class SpreadUpdate(ShardedUpdate):
    """The update of a process's part of the weights. The backward pass itself has added the gradients of all shards.

    Args:
        calls: what the processes have exchanged for that.
        arguments: those of ``ShardedUpdate``.
    """

    def __init__(self, *arguments: Any, calls: Calls, **named: Any) -> None:
        self._calls = calls
        super().__init__(*arguments, **named)

    def __call__(self, loss: torch.Tensor, name: str = "main", *, step: bool = True) -> None:
        if not step:
            raise UnusableModule(
                [
                    "its training step adds up losses by update(..., step=False), which training.parallel fsdp can't; "
                    "expected one update with their sum, or --set training.parallel=replicated"
                ]
            )
        super().__call__(loss, name)

    def _collect(self, loss: torch.Tensor, parameters: Sequence[torch.nn.Parameter]) -> None:
        self._tree.add([loss])
        if len(self._asked) + 1 < self._count:
            for parameter in parameters:
                parameter.grad = None

    def _joined(self, name: str, parameters: Sequence[torch.nn.Parameter]) -> torch.Tensor:
        own = self._tree.take()
        if name not in self._sums:
            self._sums[name] = self._world.sum_of(own)  # type: ignore[arg-type]
        (total,) = self._sums[name](own)
        assert total is not None
        if not self._calls.complete:
            raise UnusableModule([DIFFERENT])
        return total

    def _step(self, name: str, optimizer: torch.optim.Optimizer, loss: torch.Tensor) -> None:
        parameters = [p for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
        own = [local(parameter.grad) for parameter in parameters]
        clip = self._clips[name]
        if clip is None:
            self._watch([loss, *own])
        else:
            self.norms[name] = self._clipped(parameters, own, clip)
            self._watch([loss, self.norms[name]])
        self._agree()
        unmarked_step(optimizer)()
        for parameter in parameters:
            parameter.grad = None

    def _clipped(
        self, parameters: Sequence[torch.nn.Parameter], own: Sequence[torch.Tensor], largest: float
    ) -> torch.Tensor:
        """Clips the gradients as ``clip_grad_norm_`` does, and returns their norm: of whole ones, one at a time."""
        norms = []
        for parameter in parameters:
            with exchanging(self._world):
                norms.append(torch.linalg.vector_norm(parameter.grad.full_tensor()))  # type: ignore[union-attr]
        norm: torch.Tensor = torch.linalg.vector_norm(torch.stack(norms))
        torch._foreach_mul_(list(own), torch.clamp(largest / (norm + 1e-6), max=1.0))
        return norm

    def _agree(self) -> None:
        """Sets the flag in all processes where one has found something that is not finite in its part.

        Raises:
            UnusableModule: this process has exchanged something else than the others.
        """
        own = torch.stack([self.non_finite.cpu(), torch.tensor(float(self._calls.digest))])
        if FLAG not in self._sums:
            self._sums[FLAG] = self._world.sum_of([own])
        (total,) = self._sums[FLAG]([own])
        assert total is not None
        if total[1] != own[1] * self._world.size:  # whole numbers that float32 holds exactly
            raise UnusableModule([DIFFERENT])
        self.non_finite.copy_(total[0])
