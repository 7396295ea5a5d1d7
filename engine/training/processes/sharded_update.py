"""One optimizer update with the gradients of all shards of a batch."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import torch

from firebox.engine.training.processes.turns import Turns
from firebox.engine.training.steps.terms import UnusableModule
from firebox.engine.training.updates.update import Update
from firebox.engine.world.tree import Tree
from firebox.engine.world.world import Sum, World
from firebox.foundation.randomness import generator

TOTAL = "a total"
"""What shards meet in that is no update."""


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
        self._sums: dict[Hashable, Sum] = {}
        self._totals: list[torch.Tensor] = []
        self.meetings = 0
        """How often the shards have met in this iteration so far, in an update or a total."""
        super().__init__(*arguments, **named)

    def takes_turns(self, turns: Turns, seed: int) -> None:
        """Says who lets the shards take turns, and the seed of what they draw together."""
        self._turns, self._seed = turns, seed

    def begin(self, iteration: int) -> None:
        super().begin(iteration)
        self._asked, self.meetings, self._losses = [], 0, {}

    def enter(self, samples: range, whole: int) -> None:
        """Says that a shard's turn begins.

        Args:
            samples: where in the batch its samples are.
            whole: number of samples in the batch.
        """
        self._samples, self._whole, self._drawn = samples, whole, 0
        self._share = len(samples) / whole

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
        self._hand_over()

    def total(self, *tensors: torch.Tensor) -> list[torch.Tensor]:
        self._ask(TOTAL)
        self._tree.add([tensor.detach().clone() for tensor in tensors])
        if self._all_have_asked():
            own = self._tree.take()
            like = tuple((tensor.shape, tensor.dtype) for tensor in tensors)
            if like not in self._sums:
                self._sums[like] = self._world.sum_of(own)  # type: ignore[arg-type]
            self._totals = [each.clone() for each in self._sums[like](own) if each is not None]
        self._hand_over()
        return self._totals

    def lots(self, count: int, device: torch.device) -> torch.Tensor:
        draw = generator(self._seed, "lots", self.iteration, self.meetings, self._drawn)
        self._drawn += 1
        places = torch.randint(self._whole, (count,), generator=draw)
        return ((places >= self._samples.start) & (places < self._samples.stop)).to(device)

    def _hand_over(self) -> None:
        assert self._turns is not None
        self._turns.hand_over()

    def _ask(self, name: str) -> None:
        if self._asked and self._asked[0] != name:
            self._refuse_difference()
        self._asked.append(name)

    def _all_have_asked(self) -> bool:
        """Whether all shards of this process have come as far, and meet those of the others."""
        if len(self._asked) < self._count:
            return False
        self._asked = []
        self.meetings += 1
        return True

    def _contribute(self, name: str, optimizer: torch.optim.Optimizer, loss: torch.Tensor) -> None:
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        self._ask(name)
        self._collect(loss, parameters)
        if self._all_have_asked():
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
                "calls of update and of its total for all, or --set training.shards=1"
            ]
        )
