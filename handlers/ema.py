"""An exponential moving average of the weights."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, Any

import torch
from ignite.engine import Events
from pydantic import Field

from firebox.engine.training.bases.handler import Handler
from firebox.engine.training.bases.phases import Phase
from firebox.engine.training.run import Run
from firebox.engine.training.weights.parameter_groups import matches, unfitting

Pair = tuple[list[torch.Tensor], list[torch.Tensor]]
"""Averages, and what they are of."""
HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


class EMA(Handler):
    """Averages the weights over the iterations; the averaged model is the one evaluated, shown and archived.

    After update n the average moves towards the weights by ``1 - min(decay, (1 + n) / (10 + n))``, so that the
    initialisation does not dominate a short run. Buffers, such as the statistics of batch normalisation, are copied.
    Polyak and Juditsky, "Acceleration of Stochastic Approximation by Averaging" (1992); the growing decay is that of
    TensorFlow's ExponentialMovingAverage. A module may say by ``averaged`` that only a part of its model is averaged,
    such as the generator of a GAN: the rest of the evaluated model is the trained one's.

    Args:
        decay: fraction of the average kept at each iteration, in (0, 1), once n is large enough.
    """

    # Ignite's EMAHandler is not used: it has no state, and the buffers it copies are the live model's own. Nor is
    # torch's AveragedModel: it reads a tensor's value at every update, and has a constant decay from the first one on.

    phase = Phase.STEP

    def __init__(self, *, decay: Annotated[float, Field(gt=0, lt=1)] = 0.999) -> None:
        self.decay = decay
        self._updates = 0

    def attach(self, run: Run) -> None:
        shared = live(run.model, run.module.averaged)
        with without_hooks(run.model):
            self.model = copy.deepcopy(run.model, {id(tensor): tensor for tensor in shared})
        known = {id(tensor) for tensor in shared}
        for parameter in self.model.parameters():
            if id(parameter) not in known:
                parameter.requires_grad_(False)
        run.average(self.model)
        self._weights = _pairs(self.model.parameters(), run.model.parameters())
        self._buffers = _pairs(self.model.buffers(), run.model.buffers())
        run.trainer.add_event_handler(Events.ITERATION_COMPLETED, self._update)

    def start(self, run: Run) -> None:
        if not self._updates:
            # A run resumed from a checkpoint that was saved without averaging starts from the weights it has.
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


def live(model: torch.nn.Module, averaged: Sequence[str]) -> list[torch.Tensor]:
    """Returns the parameters and buffers that are not averaged.

    Args:
        model: the model.
        averaged: patterns of those that are; none for all.

    Raises:
        ValueError: a pattern fits nothing.
    """
    parameters = dict(model.named_parameters())
    for pattern in averaged:
        if not any(matches(pattern, name) for name in parameters):
            message = f"averaged of the module has {pattern!r}, which fits no parameter of the model"
            raise ValueError(f"{message}{unfitting(pattern, parameters)}")
    tensors = {**parameters, **dict(model.named_buffers())}
    return [t for name, t in tensors.items() if averaged and not any(matches(pattern, name) for pattern in averaged)]


def _pairs(averages: Iterable[torch.Tensor], tensors: Iterable[torch.Tensor]) -> Pair:
    """Returns the averages and what they are of, without those that are the same tensor.

    They share memory with the given ones and take no part in any gradient.
    """
    both = [(a.detach(), t.detach()) for a, t in zip(averages, tensors, strict=True) if a is not t]
    return [average for average, _ in both], [tensor for _, tensor in both]


@contextmanager
def without_hooks(model: torch.nn.Module) -> Iterator[None]:
    """Removes the hooks of a model and its submodules for the duration of the block.

    A hook is often a method of an object that holds a whole run. torch's own hooks, which compute weights, stay.
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
