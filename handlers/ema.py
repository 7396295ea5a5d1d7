"""An exponential moving average of the weights."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import torch
from ignite.engine import Events
from pydantic import Field

from firebox.engine.training.handler import Handler
from firebox.engine.training.phases import Phase
from firebox.engine.training.run import Run

HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


class EMA(Handler):
    """Averages the weights over the iterations; what is evaluated, shown and archived is the average.

    After update n the average moves by ``1 - min(decay, (1 + n) / (10 + n))`` towards the weights, so that the
    initialisation does not weigh on a short run. Buffers, such as the statistics of batch normalisation, are copied.
    Polyak and Juditsky, "Acceleration of Stochastic Approximation by Averaging" (1992); the growing decay is that of
    TensorFlow's ExponentialMovingAverage.

    Args:
        decay: what the average keeps of itself at each iteration, once it has grown so far.
    """

    # Not Ignite's EMAHandler: it has no state, and its copied buffers are the live model's own. Not torch's
    # AveragedModel: it asks a tensor for its value at every update, and has one decay from the first update on.

    phase = Phase.STEP

    def __init__(self, *, decay: Annotated[float, Field(gt=0, lt=1)] = 0.999) -> None:
        self.decay = decay
        self._updates = 0

    def attach(self, run: Run) -> None:
        with without_hooks(run.model):
            self.model = copy.deepcopy(run.model)
        self.model.requires_grad_(False)
        run.average(self.model)
        self._weights = detached(self.model.parameters()), detached(run.model.parameters())
        self._buffers = detached(self.model.buffers()), detached(run.model.buffers())
        run.trainer.add_event_handler(Events.ITERATION_COMPLETED, self._update)

    def start(self, run: Run) -> None:
        if not self._updates:
            # A run resumed from a checkpoint that was made without averaging begins at the weights it has.
            torch._foreach_copy_(*self._weights)
            self._copy_buffers()

    def state_dict(self) -> dict[str, Any]:
        return {"model": self.model.state_dict(), "updates": self._updates}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.model.load_state_dict(state["model"])
        self._updates = state["updates"]

    def _update(self) -> None:
        self._updates += 1
        decay = min(self.decay, (1 + self._updates) / (10 + self._updates))
        torch._foreach_lerp_(*self._weights, 1 - decay)
        self._copy_buffers()

    def _copy_buffers(self) -> None:
        if self._buffers[0]:
            torch._foreach_copy_(*self._buffers)


def detached(tensors: Iterable[torch.Tensor]) -> list[torch.Tensor]:
    """Returns the same memory without its part in any gradient."""
    return [tensor.detach() for tensor in tensors]


@contextmanager
def without_hooks(model: torch.nn.Module) -> Iterator[None]:
    """Takes the hooks off a model and its parts for as long as the block lasts.

    A hook is often a method of something that holds a whole run. torch's own, which compute weights, stay.
    """
    held = {}
    for part in model.modules():
        for name in HOOKS:
            hooks = getattr(part, name)
            held[part, name] = hooks.copy()
            foreign = [key for key, hook in hooks.items() if not type(hook).__module__.startswith("torch.")]
            for key in foreign:
                del hooks[key]
    try:
        yield
    finally:
        for (part, name), hooks in held.items():
            getattr(part, name).clear()
            getattr(part, name).update(hooks)
