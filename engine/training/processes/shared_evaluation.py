"""An evaluation that several processes share: each takes whole batches in turn, and the first one has the results."""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Any, TypeVar

import torch
from ignite.engine import Engine

from firebox.data.sources.batch import Batch, Preparation
from firebox.data.streaming.stream import BatchStream
from firebox.engine.training.bases.module import Evaluated, Module
from firebox.engine.training.limits.stopping import StopRequest
from firebox.engine.training.steps.iteration import EvaluationIteration
from firebox.engine.world.world import World

T = TypeVar("T")
CPU = torch.device("cpu")


class SharedEvaluation(EvaluationIteration):
    """One batch of a shared evaluation: batch b is evaluated by process b modulo their number.

    In the first process, the engine makes an iteration for each batch, in order, so that metrics meet what they meet in
    an evaluation by one process. In the others it makes one for each batch of their own.

    Args:
        module: the module whose step is made.
        preparation: the conversion of the batch, on the device.
        stop: the stop request, which the processes agree on after each round of batches.
        seed: the run's seed.
        world: the processes.
        device: the model's device.
    """

    def __init__(
        self,
        module: Module,
        preparation: Preparation,
        *,
        stop: StopRequest,
        seed: int,
        world: World,
        device: torch.device,
    ) -> None:
        super().__init__(module, preparation=preparation, stop=stop, seed=seed)
        self._world = world
        self._device = device
        self._come: deque[Evaluated] = deque()
        self._stream: BatchStream | None = None

    def __call__(self, evaluator: Engine, raw: Batch | None) -> Evaluated | None:
        world = self._world
        made = evaluator.state.iteration - 1
        if made == 0:
            self._come.clear()
            # Handlers tell by it which split is evaluated.
            evaluator.state.dataloader = self._stream
        if not self._come:
            number = made if world.leads else made * world.size + world.rank
            own = self._own(number, raw)
            self._come.extend(each for each in world.gather(on(own, CPU)) if each is not None)
            _, votes = world.settle(torch.zeros(0), self._stop.votes())
            self._stop.agree(votes)
            if self._stop.requested:
                evaluator.terminate()
            if not world.leads:
                return own
        return on(self._come.popleft(), self._device)

    def _own(self, number: int, raw: Batch | None) -> Evaluated | None:
        """Evaluates a batch of this process, counted from 0, if there is one in this round."""
        return None if raw is None else self.evaluated(number + 1, raw)

    def own_batches(self, stream: BatchStream) -> tuple[Iterator[Batch | None], int]:
        """Returns what this process's engine iterates over, and in how many iterations.

        Args:
            stream: a stream of the split that goes from one batch of this process to the next.
        """
        world, count = self._world, len(stream)
        self._stream = stream
        stream.seek(world.rank)
        rounds = -(-count // world.size)
        if world.leads:
            return (next(stream) if number % world.size == 0 else None for number in range(count)), count
        return (next(stream) if turn * world.size + world.rank < count else None for turn in range(rounds)), rounds


class InStep(SharedEvaluation):
    """A shared evaluation in which all processes call the model equally often, because each holds a part of it alone.

    In the last round, a process for which no batch is left evaluates the first one, and leaves the result out.
    """

    def own_batches(self, stream: BatchStream) -> tuple[Iterator[Batch | None], int]:
        self._first = stream.read(0)
        return super().own_batches(stream)

    def _own(self, number: int, raw: Batch | None) -> Evaluated | None:
        made = self.evaluated(number + 1, self._first if raw is None else raw)
        return None if raw is None else made

    def _gradients(self, *, needed: bool) -> AbstractContextManager[Any]:
        return torch.set_grad_enabled(needed)  # parameters first gathered in inference mode can't be trained later


def on(value: T, device: torch.device) -> T:
    """Returns a value with its tensors, those in dicts and sequences and dataclasses too, on a device."""
    moved: Any = value
    if isinstance(value, torch.Tensor):
        moved = value.to(device)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = [field.name for field in dataclasses.fields(value) if field.init]
        moved = dataclasses.replace(value, **{name: on(getattr(value, name), device) for name in fields})
    elif isinstance(value, Mapping):
        moved = {name: on(each, device) for name, each in value.items()}
    elif type(value) in (list, tuple):
        moved = type(value)(on(each, device) for each in value)  # type: ignore[call-arg, attr-defined]
    return moved  # type: ignore[no-any-return]
