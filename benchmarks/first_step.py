"""A handler for ``startup.py``."""

from __future__ import annotations

import os
import time
from pathlib import Path

from ignite.engine import Events

from firebox.engine.training.bases.handler import Handler
from firebox.engine.training.run import Run


class FirstStep(Handler):
    """Records when the first optimizer step is done, and ends the process.

    Args:
        into: file to which the time is written, in seconds of the system's monotonic clock.
    """

    def __init__(self, *, into: str) -> None:
        self.into = into

    def attach(self, run: Run) -> None:
        run.trainer.add_event_handler(Events.ITERATION_COMPLETED, self._note)

    def _note(self) -> None:
        now = time.monotonic()
        Path(self.into).write_text(repr(now))
        os._exit(0)
