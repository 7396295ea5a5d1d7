"""Where the time of some iterations goes."""

from __future__ import annotations

import logging
import time
from typing import Any

from ignite.engine import Events
from pydantic import PositiveInt
from torch.profiler import ProfilerActivity, profile

from firebox.engine.training.bases.handler import Handler
from firebox.engine.training.bases.phases import Phase
from firebox.engine.training.run import Run
from firebox.foundation.files import write_whole
from firebox.foundation.intervals import Interval, iterations

logger = logging.getLogger("firebox")

ROWS = 30
"""Number of operations in the table."""
FOLDER = "profile"


class Profiler(Handler):
    """Records some iterations by torch.profiler, and says what they wait for.

    ``profile/trace.json.gz`` opens in Perfetto or chrome://tracing; ``profile/operations.txt`` is a table of the
    operations that take longest; ``profile/summary.txt``, which is also logged, says how long an iteration waits for
    its batch, how long its step takes the processor, how long its handlers take, and how long the device works on it.
    Recording slows down these iterations.

    Args:
        after: duration before the recording begins, for caches to fill.
        iterations: number of iterations recorded.
    """

    phase = Phase.LOG
    observes = True
    writes = (FOLDER,)

    def __init__(self, *, after: Interval = "10 iterations", iterations: PositiveInt = 10) -> None:
        self.after = after
        self.iterations = iterations
        self._profile: profile | None = None
        self._clock: dict[str, float] = {}
        self._began = self._since = 0.0
        self._last = 0

    def attach(self, run: Run) -> None:
        self._run = run
        self._first = iterations(self.after, run.epoch_length)
        run.trainer.add_event_handler(Events.ITERATION_COMPLETED, self._look)

    def close(self) -> None:
        if self._profile is not None:
            self._profile.stop()
            self._profile = None

    def _look(self) -> None:
        """Begins the recording after an iteration, and ends it; in a resumed run, as late after its start."""
        run = self._run
        if self._profile is None and run.iteration - run.resumed_at == self._first:
            self._begin()
        elif self._profile is not None and run.iteration >= self._last:
            self._end(self._profile)
        elif run.iteration - run.resumed_at > self._first and self._profile is None:
            run.trainer.remove_event_handler(self._look, Events.ITERATION_COMPLETED)

    def _begin(self) -> None:
        run = self._run
        self._last = run.iteration + self.iterations
        cuda = [ProfilerActivity.CUDA] if run.device.type == "cuda" else []
        self._profile = profile(activities=[ProfilerActivity.CPU, *cuda])
        self._clock = {"batch": 0.0, "step": 0.0}
        for event, action, part in self._clocks():
            run.trainer.add_event_handler(event, action, part)
        self._profile.start()
        self._began = time.perf_counter()

    def _clocks(self) -> list[tuple[Events, Any, str]]:
        return [
            (Events.GET_BATCH_STARTED, self._tick, "batch"),
            (Events.GET_BATCH_COMPLETED, self._tock, "batch"),
            (Events.ITERATION_STARTED, self._tick, "step"),
            (Events.ITERATION_COMPLETED, self._tock, "step"),
        ]

    def _tick(self, part: str) -> None:
        self._since = time.perf_counter()

    def _tock(self, part: str) -> None:
        if self._since:
            self._clock[part] += time.perf_counter() - self._since
        self._since = 0.0

    def _end(self, recorded: profile) -> None:
        run, whole = self._run, time.perf_counter() - self._began
        self._tock("step")  # this is called before the clock's own end of the last iteration, or after it: once
        self._profile = None
        recorded.stop()
        for event, action, _ in self._clocks():
            run.trainer.remove_event_handler(action, event)
        folder = run.directory.path / FOLDER
        folder.mkdir(exist_ok=True)
        recorded.export_chrome_trace(str(folder / "trace.json.gz"))
        averages = recorded.key_averages()
        device = run.device.type == "cuda"
        order = "self_device_time_total" if device else "self_cpu_time_total"
        write_whole(folder / "operations.txt", averages.table(sort_by=order, row_limit=ROWS) + "\n")
        worked = sum(each.self_device_time_total for each in averages) / 1e6 if device else None
        text = summary(whole, self._clock["batch"], self._clock["step"], worked, self.iterations)
        write_whole(folder / "summary.txt", text + "\n")
        logger.info("%s", text)


def summary(whole: float, batch: float, step: float, worked: float | None, count: int) -> str:
    """Returns what some iterations took, and what they wait for.

    Args:
        whole: seconds that all of them took.
        batch: seconds of it that they waited for their batches.
        step: seconds of it that the processor was in their steps.
        worked: seconds that the device worked; None on the processor alone.
        count: number of iterations.
    """
    handlers = max(whole - batch - step, 0.0)
    parts = {"waiting for the batch": batch, "the step": step, "handlers and the engine": handlers}
    shown = parts if worked is None else {**parts, "the device works": worked}
    texts = [f"{name} {1e3 * taken / count:.3f} ms ({100 * taken / whole:.0f} %)" for name, taken in shown.items()]
    longest = max(parts, key=lambda name: parts[name])
    if worked is not None and worked > 0.8 * whole:
        longest = "the device"
    return f"{1e3 * whole / count:.3f} ms an iteration: {', '.join(texts)}; most of it is {longest}"
