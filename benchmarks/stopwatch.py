"""A handler that notes how long each epoch takes."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

from ignite.engine import Events

from firebox.engine.training.bases.handler import Handler
from firebox.engine.training.run import Run


class Stopwatch(Handler):
    """Writes the seconds of each epoch to the file that the variable FIREBOX_EPOCHS names."""

    observes = True

    def attach(self, run: Run) -> None:
        self._taken: list[float] = []
        run.trainer.add_event_handler(Events.EPOCH_STARTED, self._begin)
        run.trainer.add_event_handler(Events.EPOCH_COMPLETED, self._end)

    def finish(self) -> None:
        Path(os.environ["FIREBOX_EPOCHS"]).write_text(json.dumps(self._taken))

    def _begin(self) -> None:
        self._began = time.perf_counter()

    def _end(self) -> None:
        self._taken.append(time.perf_counter() - self._began)
