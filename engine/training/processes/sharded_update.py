"""One optimizer update with the gradients of all shards of a batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from firebox.engine.training.processes.turns import Turns
from firebox.engine.training.steps.terms import UnusableModule
from firebox.engine.training.updates.update import Update
from firebox.engine.world.tree import Tree
from firebox.engine.world.world import Sum, World


class ShardedUpdate(Update):
    """What a module's training step calls with the loss of one shard: the step is made with the gradients of all.

    Each call adds the gradient of the shard's loss, weighted by its share of the batch's samples, and lets the other
    shards come as far; the last one makes the step, and all go on from it. So the training steps of all shards must
    call it equally often, with the same names.

    Args:
        world: the processes that the shards are spread over.
        count: number of shards that this process takes.
        arguments: those of ``Update``.
    """

    def __init__(self, *arguments: Any, world: World, count: int, **named: Any) -> None:
        self._world = world
        self._count = count
        self._turns: Turns | None = None
        self._tree = Tree()
        self._asked: list[str] = []
        self._losses: dict[str, torch.Tensor] = {}
        self._sums: dict[str, Sum] = {}
        self.updates = 0
        """The updates of this iteration so far."""
        super().__init__(*arguments, **named)

    def takes_turns(self, turns: Turns) -> None:
        """Says who lets the shards take turns."""
        self._turns = turns

    def begin(self, iteration: int) -> None:
        super().begin(iteration)
        self._asked, self.updates, self._losses = [], 0, {}

    def enter(self, share: float) -> None:
        """Says that a shard's turn begins, and what its share of the batch's samples is, in (0, 1]."""
        self._share = share

    def require_complete(self) -> None:
        """Refuses an iteration in which a shard has made an update that another has not."""
        if self._asked:
            self._refuse_difference()

    def __call__(self, loss: torch.Tensor, name: str = "main", *, step: bool = True) -> None:
        optimizer = self._named(name)
        watched = self._add(loss, optimizer)
        if watched is None:
            return
        watched = watched.float() * self._share
        if name in self._losses:
            watched = self._losses.pop(name) + watched
        if not step:
            self._losses[name] = watched
            return
        self._contribute(name, optimizer, watched)
        assert self._turns is not None
        self._turns.hand_over()

    def _contribute(self, name: str, optimizer: torch.optim.Optimizer, loss: torch.Tensor) -> None:
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        self._collect(loss, parameters)
        self._asked.append(name)
        if len(self._asked) < self._count:
            return
        if len(set(self._asked)) > 1:
            self._refuse_difference()
        self._asked = []
        self.updates += 1
        self._step(name, optimizer, self._joined(name, parameters))

    def _collect(self, loss: torch.Tensor, parameters: Sequence[torch.nn.Parameter]) -> None:
        """Adds a shard's loss and gradients to those of the process's other shards."""
        self._tree.add([loss, *(parameter.grad for parameter in parameters)])
        for parameter in parameters:
            parameter.grad = None

    def _joined(self, name: str, parameters: Sequence[torch.nn.Parameter]) -> torch.Tensor:
        """Returns the loss of all shards, and leaves their gradients in the parameters."""
        own = self._tree.take()
        if name not in self._sums:
            self._sums[name] = self._world.sum_of([own[0], *parameters])  # type: ignore[list-item]
        total, *gradients = self._sums[name](own)
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = gradient
        assert total is not None
        return total

    def _refuse_difference(self) -> None:
        raise UnusableModule(
            [
                "its training step makes other updates for one shard of a batch than for another; expected the same "
                "calls of update for all, or --set training.shards=1"
            ]
        )
