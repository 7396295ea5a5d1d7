"""The progress of a run: a bar on a terminal, lines elsewhere."""

from __future__ import annotations

import logging
import time
from collections import deque
from typing import Any

from ignite.engine import Events
from rich.live import Live
from rich.text import Text

from firebox.engine.training.bases.handler import Handler
from firebox.engine.training.bases.phases import Phase
from firebox.engine.training.run import Run
from firebox.engine.training.updates.losses import Row
from firebox.foundation import console
from firebox.foundation.intervals import Interval

logger = logging.getLogger("firebox")

SPEED_WINDOW = 50
"""Number of redraws over which the displayed speed is averaged."""
SHORTEST_BAR = 5
"""Number of characters. Where there is no room for it, the speed is left out, then the loss."""
LOSS_WIDTH, SPEED_WIDTH = 10, 9


class Progress(Handler):
    """Shows the progress of the run, its loss, its speed and the time left.

    On a terminal, a separate thread draws a bar and reads the iteration ten times a second; training is unaffected.
    Elsewhere, and in log.txt, a line is written at intervals.

    Args:
        every: interval between lines.
    """

    phase = Phase.LOG
    observes = True

    def __init__(self, *, every: Interval = "1 epoch") -> None:
        self.every = every
        self._sum = 0.0
        self._count = 0
        self._last: Row | None = None
        self._began: tuple[float, int] | None = None
        self._draws: deque[tuple[float, int]] = deque(maxlen=SPEED_WINDOW)
        self._live: Live | None = None

    def attach(self, run: Run) -> None:
        self._run = run
        self._batch_size = run.configuration.data.loading.batch_size
        run.losses.subscribe(self._take)
        run.every(self.every, self._say, self.phase)
        run.trainer.add_event_handler(Events.STARTED, self._begin)

    def state_dict(self) -> dict[str, Any]:
        return {"sum": self._sum, "count": self._count}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._sum, self._count = state["sum"], state["count"]

    def flush(self) -> None:
        """Adds up all losses before the state is saved."""
        self._run.losses.settle()

    def close(self) -> None:
        if self._live is not None:
            self._live.stop()

    def _begin(self) -> None:
        self._began = (time.perf_counter(), self._run.iteration)
        self._lines_from = self._began
        if console.draws_progress():
            self._live = console.live(self.bar)
            self._live.start()

    def _take(self, rows: list[Row]) -> None:
        for row in rows:
            self._sum += row.losses["loss"]
        self._count += len(rows)
        self._last = rows[-1]

    def _say(self) -> None:
        """Writes a line: to the console if there is no bar, and always to log.txt."""
        run = self._run
        run.losses.settle()
        now = (time.perf_counter(), run.iteration)
        parts = [f"epoch {run.epoch}/{run.configuration.training.epochs}, iteration {run.iteration}"]
        if self._count:
            parts.append(f"train loss {self._sum / self._count:.4g}")
        if run.evaluated:
            parts += [
                f"{name.replace('/', ' ')} {value:.4g}"
                for name, value in run.metrics.items()
                if name.startswith("validation/")
            ]
        if self._began is not None:
            parts += [f"{self._images_per_second(self._lines_from, now):,.0f} images/s", f"{self._left(now)} left"]
            self._lines_from = now
        self._sum, self._count = 0.0, 0
        logger.log(logging.INFO if self._live is None else logging.DEBUG, "%s", ", ".join(parts))

    def bar(self) -> Text:
        """Returns the bar; called by the drawing thread."""
        run = self._run
        iteration, total, epochs = run.iteration, run.total_iterations, run.configuration.training.epochs
        now = (time.perf_counter(), iteration)
        if not self._draws or self._draws[-1][1] != iteration:
            # During an evaluation the speed before it is shown.
            self._draws.append(now)
        # Every column has a width of its own, so that none moves when another changes.
        epoch = f"epoch {min(iteration // run.epoch_length + 1, epochs):{len(str(epochs))}}/{epochs} "
        done, left = f" {100 * iteration // total:3d} %", f"  {self._left(now):>8} left"
        value = "" if self._last is None else f"{self._last.losses['loss']:.4g}"
        loss = f"  loss {value:{LOSS_WIDTH}}"
        speed = f"  {self._images_per_second(self._draws[0], self._draws[-1]):{SPEED_WIDTH},.0f} images/s"
        room = console.messages.width - 1 - len(epoch + done + left)
        middle = next((text for text in (loss + speed, loss) if len(text) + SHORTEST_BAR <= room), "")
        return console.bar(epoch, iteration, total, f"{done}{middle}{left}")

    def _images_per_second(self, start: tuple[float, int], now: tuple[float, int]) -> float:
        return (now[1] - start[1]) * self._batch_size / max(now[0] - start[0], 1e-9)

    def _left(self, now: tuple[float, int]) -> str:
        """Returns the time left at the average pace since this process began, evaluations included."""
        assert self._began is not None
        made = now[1] - self._began[1]
        if not made:
            return "?"
        seconds = (now[0] - self._began[0]) / made * (self._run.total_iterations - now[1])
        minutes, seconds = divmod(round(seconds), 60)
        return f"{minutes // 60}:{minutes % 60:02d}:{seconds:02d}"
