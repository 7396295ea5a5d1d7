"""Stops a run whose loss is no longer a number."""

from __future__ import annotations

import json
import math
import shlex

from firebox.engine.training.handler import Handler
from firebox.engine.training.losses import Row
from firebox.engine.training.phases import Phase
from firebox.engine.training.run import Run
from firebox.foundation.files import write_whole
from firebox.foundation.intervals import Interval
from firebox.foundation.problems import TrainingFailure, shown


class NonFiniteLoss(TrainingFailure):
    """A loss is NaN or infinite."""


class TerminateOnNaN(Handler):
    """Stops the run at the first loss that is NaN or infinite, and says how to replay it.

    Fused optimizers take no step from that loss on, which the device decides by itself; this handler reads the losses
    and says so. Whatever is saved is from before.

    Args:
        every: how often the losses are read from the device.
    """

    phase = Phase.STEP
    writes = ("non_finite.json",)

    def __init__(self, *, every: Interval = "10 iterations") -> None:
        self.every = every

    def attach(self, run: Run) -> None:
        self._run = run
        run.every(self.every, run.losses.settle, self.phase)

    def start(self, run: Run) -> None:
        # After all handlers are attached: who logs the losses has the offending row before the run stops.
        run.losses.subscribe(self._look)

    def finish(self) -> None:
        self._run.losses.settle()

    def flush(self) -> None:
        """Looks at every loss before a checkpoint becomes valid."""
        self._run.losses.settle()

    def _look(self, rows: list[Row]) -> None:
        for row in rows:
            if not all(map(math.isfinite, row.losses.values())):
                self._stop(row)

    def _stop(self, row: Row) -> None:
        run = self._run
        indices = run.streams["train"].indices(row.iteration - 1).tolist()
        losses = {name: value if math.isfinite(value) else str(value) for name, value in row.losses.items()}
        content = {"iteration": row.iteration, "losses": losses, "indices": indices}
        file = run.directory.path / "non_finite.json"
        write_whole(file, json.dumps(content, indent=1) + "\n")
        terms = ", ".join(f"{name} {value:g}" for name, value in row.losses.items())
        raise NonFiniteLoss(
            f"iteration {row.iteration}: {terms}; no checkpoint has what came of it\n"
            f"samples {shown(indices)}, all of them in {file}\n"
            f"to see it again: firebox replay {shlex.quote(str(run.directory.path))} --iteration {row.iteration}"
        )
