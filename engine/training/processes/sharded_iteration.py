"""One iteration over a batch that is cut into shards."""

from __future__ import annotations

import zlib
from functools import cache, partial
from itertools import accumulate, pairwise
from typing import Any

import torch
from ignite.engine import Engine
from torch.nn.functional import pad

from firebox.data.sources.batch import Batch
from firebox.data.streaming.stream import BatchStream
from firebox.engine.training.bases.module import Module
from firebox.engine.training.limits.stopping import StopRequest
from firebox.engine.training.processes.shard_state import ShardStates
from firebox.engine.training.processes.sharded_update import ShardedUpdate
from firebox.engine.training.processes.turns import Turns
from firebox.engine.training.steps.iteration import TrainingIteration
from firebox.engine.training.steps.quiet_engine import QuietEngine
from firebox.engine.training.steps.terms import UnusableModule, faults_of_terms, require_usable
from firebox.engine.world.tree import Tree
from firebox.engine.world.world import Sum, World
from firebox.foundation.shards import Portion

DIFFERENT_TERMS = "its training step returns other loss terms for one shard than for another"
ROOM = 16
"""Number of loss terms that processes exchange, or a multiple of it."""


class ShardedIteration(TrainingIteration):
    """One iteration in which the module makes its step for each shard of the batch by itself, as if it were the batch.

    Every shard has random draws of its own. Gradients, losses and buffers are means over the shards, weighted by their
    samples and added in a fixed tree, so that they are the same however many processes share the shards.

    Args:
        module: the module whose step is made.
        update: the optimizers' update.
        stream: the stream of the batches, which says how large a whole batch is.
        world: the processes that the shards are spread over.
        portion: the shards that this process takes.
        stop: the stop request, which the processes agree on after each iteration.
        device: the model's device.
        named: the other arguments of ``TrainingIteration``.
    """

    def __init__(
        self,
        module: Module,
        update: ShardedUpdate,
        *,
        stream: BatchStream,
        world: World,
        portion: Portion,
        stop: StopRequest,
        device: torch.device,
        **named: Any,
    ) -> None:
        super().__init__(module, update, device=device, **named)
        self._shared_update = update
        self._stream = stream
        self._world = world
        self._portion = portion
        self._stop = stop
        parameters = [p for o in update.optimizers.values() for group in o.param_groups for p in group["params"]]
        self._states = ShardStates(module, parameters, portion.count)
        self._turns = Turns(portion.count, device, enter=self._enter, leave=self._states.leave)
        update.takes_turns(self._turns, self.seeder.seed)
        self._iteration = 0
        self._places: list[range] = []
        self._samples = 0
        self._shares: list[float] = []
        self._sums: dict[tuple[bool, ...], Sum] = {}
        self._ends = False

    def __call__(self, trainer: Engine, raw: Batch) -> dict[str, torch.Tensor]:
        losses = super().__call__(trainer, raw)
        if self._ends:
            assert isinstance(trainer, QuietEngine)
            trainer.end()
        return losses

    def ask_to_end(self) -> None:
        """Has all processes end the training after the next iteration, where they agree on it."""
        self._ends = True

    def close(self) -> None:
        self._turns.close()

    def prepared(self, iteration: int, raw: Batch) -> Batch:
        """Returns the process's part of the batch as its model sees it, augmented."""
        batches = []
        for number, shard in enumerate(raw.split(self._portion.sizes(self._stream.size(iteration - 1)))):
            self.seeder.shard(iteration, self._portion.first + number, 0)
            batches.append(self._prepare(shard))
        targets = [batch.targets for batch in batches if batch.targets is not None]
        images = torch.cat([batch.images for batch in batches])
        return Batch(images, torch.cat(targets) if targets else None, raw.indices)

    def _losses_of(self, iteration: int, raw: Batch) -> dict[str, torch.Tensor]:
        samples = self._stream.size(iteration - 1)
        sizes = self._portion.sizes(samples)
        ends = [*accumulate(sizes, initial=self._portion.bounds(samples)[0])]
        self._iteration, self._samples = iteration, samples
        self._places = [range(*ends) for ends in pairwise(ends)]
        self._shares = [size / samples for size in sizes]
        self._states.begin()
        terms = self._turns.run([partial(self._of_shard, shard) for shard in raw.split(sizes)])
        self._shared_update.require_complete()
        return self._joined(terms)

    def _of_shard(self, shard: Batch) -> dict[str, torch.Tensor]:
        terms = self._step(self._prepare(shard))
        if not self._returned:
            require_usable(faults_of_terms(terms))
        return terms

    def _enter(self, number: int) -> None:
        self._states.enter(number)
        self._shared_update.enter(self._places[number], self._samples)
        self.seeder.shard(self._iteration, self._portion.first + number, self._shared_update.meetings)

    def _joined(self, terms: list[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
        """Joins the losses and the buffers of all shards, and has the processes agree on whether to stop."""
        names = list(terms[0])
        if any(list(each) != names for each in terms):
            raise UnusableModule([DIFFERENT_TERMS])
        tree = Tree()
        for each, share in zip(terms, self._shares, strict=True):
            tree.add([torch.stack([value.float() for value in each.values()]) * share])
        (losses,) = tree.take()
        assert losses is not None
        stopping = self._stop.votes()
        # Of one size whatever the terms are, so that processes with others can meet, and see that.
        padded = pad(losses, (0, -len(losses) % ROOM))
        own = _bits(tuple(names))
        padded, votes = self._world.settle(padded, [*own, self._ends, *stopping, *self._states.changed])
        if votes[: len(own)] != own:
            raise UnusableModule([DIFFERENT_TERMS])
        losses, votes = padded[: len(losses)], votes[len(own) :]
        self._ends, votes = votes[0], votes[1:]
        self._stop.agree(votes[: len(stopping)])
        changed = tuple(votes[len(stopping) :])
        self._states.take(changed, self._combined(changed))
        return dict(zip(names, losses.unbind(), strict=True))

    def _combined(self, changed: tuple[bool, ...]) -> list[torch.Tensor]:
        """Returns the buffers that any shard has changed, combined over all."""
        if not any(changed):
            return []
        own = self._states.combined(changed, self._shares, first=self._portion.first == 0)
        if changed not in self._sums:
            self._sums[changed] = self._world.sum_of(own)
        return [each for each in self._sums[changed](own) if each is not None]


@cache
def _bits(names: tuple[str, ...]) -> list[bool]:
    """Returns a digest of names, each bit with its opposite: for other names, a process sets a bit that is not set."""
    digest = zlib.crc32("\n".join(names).encode())
    bits = [bool(digest >> bit & 1) for bit in range(16)]
    return [*bits, *(not bit for bit in bits)]
