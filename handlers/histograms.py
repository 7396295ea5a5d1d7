"""Distributions of weights, gradients and updates."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from ignite.engine import Events

from firebox.engine.training.bases.handler import Handler
from firebox.engine.training.bases.phases import Phase
from firebox.engine.training.run import Run
from firebox.foundation.intervals import Interval
from firebox.foundation.observing import observed

RATIO = "update_ratio"
"""The group of the ratios in TensorBoard."""
Tensors = dict[str, torch.Tensor]


class Histograms(Handler):
    """Writes histograms of each parameter, its gradient and its update to TensorBoard, and how large the updates are.

    ``update_ratio/NAME`` is the norm of an update divided by that of the weights before it: about 1e-3 where training
    goes well; much less learns nothing, much more diverges. What is shown is the first update after each interval; only
    that one iteration costs anything. Gradients are those that the optimizer is given: clipped, if they are, and in
    float16 scaled unless they are clipped.

    Args:
        every: interval between histograms.
    """

    phase = Phase.LOG
    observes = True

    def __init__(self, *, every: Interval = "1 epoch") -> None:
        self.every = every
        self._hooks: list[Any] = []
        self._before: Tensors = {}
        self._measured: dict[str, Tensors] = {}

    def attach(self, run: Run) -> None:
        self._run = run
        self._names = {parameter: name for name, parameter in run.model.named_parameters()}
        run.every(self.every, self._arm, self.phase)

    def _arm(self) -> None:
        """Looks at the optimizers' next steps: hooks that are always there would slow down each of them."""
        if self._hooks or self._run.iteration >= self._run.total_iterations:
            return
        self._measured = {"weights": {}, "gradients": {}, "updates": {}}
        for optimizer in self._run.update.optimizers.values():
            self._hooks.append(optimizer.register_step_pre_hook(self._hook(partial(self._look, optimizer))))
            self._hooks.append(optimizer.register_step_post_hook(self._hook(partial(self._compare, optimizer))))
        # This is one of the handlers of an iteration's end: Ignite goes on with those that were there.
        self._run.trainer.add_event_handler(Events.ITERATION_STARTED, self._due)

    def _due(self) -> None:
        trainer = self._run.trainer
        trainer.remove_event_handler(self._due, Events.ITERATION_STARTED)
        trainer.add_event_handler(Events.ITERATION_COMPLETED, self._write)

    @staticmethod
    def _hook(action: Callable[[], None]) -> Callable[..., None]:
        guarded = observed(action)
        return lambda *_: guarded()

    def _parameters(self, optimizer: torch.optim.Optimizer) -> Tensors:
        parameters = (parameter for group in optimizer.param_groups for parameter in group["params"])
        return {self._names[p]: p for p in parameters if p in self._names and p.grad is not None}

    def _look(self, optimizer: torch.optim.Optimizer) -> None:
        parameters = self._parameters(optimizer)
        self._before = {name: parameter.detach().clone() for name, parameter in parameters.items()}
        gradients = {name: p.grad.detach().clone() for name, p in parameters.items() if p.grad is not None}
        self._measured["gradients"] |= gradients

    def _compare(self, optimizer: torch.optim.Optimizer) -> None:
        for name, parameter in self._parameters(optimizer).items():
            self._measured["weights"][name] = self._before[name]
            self._measured["updates"][name] = parameter.detach() - self._before[name]

    def _write(self) -> None:
        run = self._run
        run.trainer.remove_event_handler(self._write, Events.ITERATION_COMPLETED)
        for hook in self._hooks:
            hook.remove()
        self._hooks.clear()
        weights, updates = self._measured["weights"], self._measured["updates"]
        ratios = {name: float(updates[name].norm() / weights[name].norm().clamp(min=1e-12)) for name in updates}
        shown = {kind: {name: t.float().cpu() for name, t in each.items()} for kind, each in self._measured.items()}
        self._measured, self._before = {}, {}
        run.background.submit(self._show, shown, ratios, run.iteration)

    def _show(self, shown: Mapping[str, Tensors], ratios: Mapping[str, float], iteration: int) -> None:
        writer = self._run.tensorboard
        for kind, tensors in shown.items():
            for name, tensor in tensors.items():
                if tensor.isfinite().all():
                    writer.add_histogram(f"{kind}/{name}", tensor.numpy(), iteration)
        writer.add_values({f"{RATIO}/{name}": ratio for name, ratio in ratios.items()}, iteration)
