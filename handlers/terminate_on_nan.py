"""Stops a run whose losses, gradients or weights are no longer finite."""

from __future__ import annotations

import json
import math
import shlex
from collections.abc import Iterator

import torch

from firebox.engine.training.bases.handler import Handler
from firebox.engine.training.bases.phases import Phase
from firebox.engine.training.run import Run
from firebox.engine.training.updates.losses import Row
from firebox.foundation.files import write_whole
from firebox.foundation.intervals import Interval
from firebox.foundation.problems import TrainingFailure, shown

SMALLEST_SCALE = 2.0**-24
"""Smallest loss scale of float16 at which training goes on. The scale is halved at each step that overflows; below this
one, a loss of 1 is scaled to zero."""


class NonFiniteLoss(TrainingFailure):
    """A loss, a gradient or a weight is NaN or infinite."""


class TerminateOnNaN(Handler):
    """Stops the run at the first loss or gradient that is NaN or infinite, and says how to replay it.

    Fused optimizers take no step in such an iteration: the device decides that by itself. This handler reads the
    losses, and whether everything was finite, and reports it. Before a checkpoint becomes valid, it also checks the
    weights and buffers. All checkpoints are from before the failure.

    Args:
        every: interval at which the losses are read from the device.
    """

    phase = Phase.STEP
    writes = ("non_finite.json",)
    uses_weights = True

    def __init__(self, *, every: Interval = "10 iterations") -> None:
        self.every = every
        self._stopped = False

    def attach(self, run: Run) -> None:
        self._run = run
        run.every(self.every, run.losses.settle, self.phase)

    def start(self, run: Run) -> None:
        # Subscribed last: the handlers that log the losses then have the offending row before the run stops.
        run.losses.subscribe(self._look)
        # A buffer may hold infinities by design, such as an attention mask.
        self._finite = [name for name, tensor in floating(run.model) if tensor.isfinite().all()]

    def finish(self) -> None:
        self.flush()

    def flush(self) -> None:
        """Checks every loss, gradient and weight before a checkpoint becomes valid."""
        self._run.losses.settle()
        self._look_at_weights()

    def _look(self, rows: list[Row]) -> None:
        for row in rows:
            terms = ", ".join(f"{name} {value:g}" for name, value in row.losses.items())
            if not all(map(math.isfinite, row.losses.values())):
                self._stop(row.iteration, terms, row)
            if not row.finite:
                self._stop(row.iteration, f"{terms}, but its gradients are not finite", row)
        scaler = self._run.update.scaler
        if scaler is not None and scaler.get_scale() < SMALLEST_SCALE:
            what = f"its gradients overflow float16 even where the loss is scaled by {scaler.get_scale():g}"
            self._stop(rows[-1].iteration, what, rows[-1])

    def _look_at_weights(self) -> None:
        run = self._run
        tensors = dict(floating(run.model))
        watched = [name for name in self._finite if name in tensors]
        if self._stopped or not run.iteration or not watched:
            return
        finite = torch.stack([tensors[name].isfinite().all() for name in watched]).tolist()
        broken = [name for name, sound in zip(watched, finite, strict=True) if not sound]
        if broken:
            self._stop(run.iteration, f"the model's {shown(', '.join(broken))} came out of it not finite")

    def _stop(self, iteration: int, what: str, row: Row | None = None) -> None:
        run, self._stopped = self._run, True
        indices = run.streams["train"].indices(iteration - 1).tolist()
        terms = {} if row is None else row.losses
        losses = {name: value if math.isfinite(value) else str(value) for name, value in terms.items()}
        content = {"iteration": iteration, "what": what, "losses": losses, "indices": indices}
        file = run.directory.path / "non_finite.json"
        write_whole(file, json.dumps(content, indent=1) + "\n")
        raise NonFiniteLoss(
            f"iteration {iteration}: {what}; no checkpoint has what came of it\n"
            f"samples {shown(indices)}, all of them in {file}\n"
            f"to see it again: firebox replay {shlex.quote(str(run.directory.path))} --iteration {iteration}"
        )


def floating(model: torch.nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    """Yields a model's parameters and saved buffers that hold floating-point numbers, by name: this process's part."""
    for name, value in model.state_dict().items():
        if isinstance(value, torch.Tensor) and value.is_floating_point():
            yield name, value.to_local() if hasattr(value, "to_local") else value
