"""The losses of every iteration and the metrics of every evaluation, in losses.jsonl and in TensorBoard."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Mapping
from functools import cache
from typing import IO, Any

from ignite.engine import Events

from firebox.engine.configuration.plain_values import Value
from firebox.engine.records.hyper_parameters import hyper_parameters, settings_table
from firebox.engine.records.loss_rows import truncate, whole_rows
from firebox.engine.records.results import as_markdown, results_table
from firebox.engine.records.run_directory import RunDirectory
from firebox.engine.records.tags import GRADIENT_NORM, OPTIMIZATION, SPEED, tag_of
from firebox.engine.training.bases.handler import Handler
from firebox.engine.training.bases.phases import Phase
from firebox.engine.training.run import Run
from firebox.engine.training.updates.losses import Row
from firebox.foundation.files import naming
from firebox.foundation.intervals import Interval, iterations

WRITE_SECONDS = 0.2
"""Seconds between writes at least; until then rows are collected, because waking the writing thread costs a small model
more than writing itself."""


class LossLog(Handler):
    """Writes the losses of every iteration and the metrics of every evaluation to losses.jsonl and TensorBoard.

    TensorBoard also has the learning rates, the speed, and the norm of the gradients before they are clipped.
    losses.jsonl holds only what the training determines, so that the file of a resumed run equals, byte for byte, that
    of a run that was never stopped. NaN and infinities are written as null.

    Args:
        every: interval at which the losses are read from the device, written, and shown as a point in TensorBoard.
    """

    phase = Phase.LOG
    writes = ("losses.jsonl",)

    def __init__(self, *, every: Interval = "10 iterations") -> None:
        self.every = every
        self._rows: list[Row] = []
        self._last: Row | None = None
        self._points: list[tuple[dict[str, float], int]] = []
        self._written = 0.0
        self._logged_evaluation = 0
        self._evaluations = 0
        self._pointed = 0
        self._since = 0.0
        self._evaluation_began = 0.0
        self._file: IO[bytes] | None = None

    def attach(self, run: Run) -> None:
        self._run = run
        self._batch_size = run.configuration.data.loading.batch_size
        run.losses.subscribe(self._take)
        if run.configuration.training.parallel == "replicated":  # else all processes would have to measure them
            run.update.measure_norms(iterations(self.every, run.epoch_length))
        run.every(self.every, self._log_stretch, self.phase)
        run.after_evaluation(self._log_evaluation, self.phase)
        run.trainer.add_event_handler(Events.STARTED, self._start_clock)
        run.evaluator.add_event_handler(Events.STARTED, self._stop_clock)
        run.evaluator.add_event_handler(Events.COMPLETED, self._continue_clock)

    def start(self, run: Run) -> None:
        self._path = run.directory.losses
        truncate(self._path, {"train": run.iteration, "validation": self._logged_evaluation})
        self._file = self._path.open("ab")
        self._writer = run.tensorboard
        self._pointed = run.iteration
        if run.iteration and not self._writer.continues:
            run.background.submit(self._repeat, iterations(self.every, run.epoch_length))
        # Not on the thread that writes: these parse source, which Python 3.11 can't do in two threads at once.
        chosen = hyper_parameters(run.configuration)
        settings = settings_table(run.configuration, chosen)
        run.background.submit(self._describe, chosen, settings, run.iteration)

    def finish(self) -> None:
        """Logs the test metrics, and a table of all metrics."""
        self._log_stretch()
        self._write_out()
        run = self._run
        test = metrics_of(run.metrics, "test")
        if test:
            run.background.submit(self._write_metrics, "test", test, run.iteration, run.epoch)
        run.background.submit(
            self._writer.add_markdown, "results", as_markdown(results_table(run.metrics)), run.iteration
        )

    def state_dict(self) -> dict[str, Any]:
        return {"logged_evaluation": self._logged_evaluation, "evaluations": self._evaluations}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._logged_evaluation = state["logged_evaluation"]
        self._evaluations = state.get("evaluations", 0)

    @classmethod
    def lost(cls, directory: RunDirectory, state: dict[str, Any], iteration: int) -> str | None:
        """Returns which rows losses.jsonl lacks; None if it has every row up to the iteration exactly once."""
        evaluated = state["logged_evaluation"]
        rows = whole_rows(directory.losses, {"train": iteration, "validation": evaluated})
        if rows.train < iteration:
            what = (
                "there is no such file"
                if not directory.losses.is_file()
                else (f"row {rows.train + rows.evaluations + 1} is missing, doubled or torn")
            )
            return f"{directory.losses} has the losses of iterations 1 to {rows.train} of {iteration}: {what}"
        # Checkpoints of earlier versions don't record the number of evaluations.
        expected = state.get("evaluations", rows.evaluations)
        if rows.evaluations != expected:
            return f"{directory.losses} has {rows.evaluations} evaluations up to iteration {evaluated} of {expected}"
        return None

    def flush(self) -> None:
        if self._file is not None:
            self._write_out()
            self._run.background.submit(self._sync)

    def close(self) -> None:
        if self._file is not None:
            self._run.background.submit(self._file.close)

    def _take(self, rows: list[Row]) -> None:
        self._rows += rows
        self._last = rows[-1]

    def _log_stretch(self) -> None:
        """Reads the losses since the previous call; those of the last iteration become a point in TensorBoard."""
        self._run.losses.settle()
        last = self._last
        if last is None or last.iteration == self._pointed:
            return
        now = time.perf_counter()
        images = (last.iteration - self._pointed) * self._batch_size
        point = {tag_of("train", name): value for name, value in last.losses.items()}
        point |= {f"{OPTIMIZATION}/{name}": rate for name, rate in last.learning_rates.items()}
        several = len(self._run.update.optimizers) > 1
        for name, norm in last.gradient_norms.items():
            point[f"{GRADIENT_NORM}/{name}" if several else GRADIENT_NORM] = norm
        point[SPEED] = images / max(now - self._since, 1e-9)
        self._since, self._pointed = now, last.iteration
        self._points.append((point, last.iteration))
        if now - self._written >= WRITE_SECONDS:
            self._written = now
            self._write_out()

    def _write_out(self) -> None:
        """Submits everything that has not been written yet."""
        self._run.losses.settle()
        if self._rows or self._points:
            rows, points = self._rows.copy(), self._points.copy()
            self._rows.clear()
            self._points.clear()
            self._run.background.submit(self._write, rows, points)

    def _log_evaluation(self) -> None:
        run = self._run
        self._write_out()
        if self._logged_evaluation == run.iteration:
            return
        self._logged_evaluation = run.iteration
        self._evaluations += 1
        metrics = metrics_of(run.metrics, "validation")
        run.background.submit(self._write_metrics, "validation", metrics, run.iteration, run.epoch)

    def _write(self, rows: list[Row], points: list[tuple[dict[str, float], int]]) -> None:
        assert self._file is not None
        length = self._run.epoch_length
        lines = []
        for row in rows:
            values = {**row.losses, **row.learning_rates}
            lines.append(line(row.iteration, -(-row.iteration // length), "train", values))
        with naming(self._path):
            self._file.write("".join(lines).encode())
            self._file.flush()
        for point, iteration in points:
            self._writer.add_values(point, iteration)
        self._writer.show()

    def _write_metrics(self, split: str, metrics: dict[str, float], iteration: int, epoch: int) -> None:
        assert self._file is not None
        with naming(self._path):
            self._file.write(line(iteration, epoch, split, metrics).encode())
            self._file.flush()
        self._writer.add_values({tag_of(split, name): value for name, value in metrics.items()}, iteration)
        self._writer.show()

    def _describe(self, chosen: dict[str, Value], settings: list[list[str]], iteration: int) -> None:
        self._writer.add_hyper_parameters(chosen)
        self._writer.add_markdown("settings", as_markdown(settings), iteration)

    def _repeat(self, every: int) -> None:
        """Adds what losses.jsonl has to TensorBoard, for a run that has no event files of its own."""
        with self._path.open(encoding="utf-8") as file:
            for text in file:
                row = json.loads(text)
                iteration, _, split = (row.pop(key) for key in ("iteration", "epoch", "split"))
                if split != "train" or iteration % every == 0:
                    tags = {name: _tag(split, name) for name in row}
                    point = {tags[name]: value for name, value in row.items() if value is not None}
                    self._writer.add_values(point, iteration)

    def _sync(self) -> None:
        assert self._file is not None
        with naming(self._path):
            self._file.flush()
            os.fsync(self._file.fileno())
        self._writer.flush()

    def _start_clock(self) -> None:
        self._since = time.perf_counter()

    def _stop_clock(self) -> None:
        self._evaluation_began = time.perf_counter()

    def _continue_clock(self) -> None:
        self._since += time.perf_counter() - self._evaluation_began


@cache
def field(name: str) -> str:
    """Returns the text before a value in a row. A run has few names, and each is encoded once."""
    return f", {json.dumps(name, ensure_ascii=False)}: "


def line(iteration: int, epoch: int, split: str, values: Mapping[str, float]) -> str:
    """Returns one row of losses.jsonl, including the newline."""
    # json.dumps would write NaN and Infinity, which are not JSON, and takes twice as long.
    fields = [f"{field(name)}{repr(value) if math.isfinite(value) else 'null'}" for name, value in values.items()]
    return f'{{"iteration": {iteration}, "epoch": {epoch}, "split": "{split}"{"".join(fields)}}}\n'


def metrics_of(metrics: Mapping[str, float], split: str) -> dict[str, float]:
    """Returns the metrics of a split by name, without the split."""
    prefix = f"{split}/"
    return {name.removeprefix(prefix): value for name, value in metrics.items() if name.startswith(prefix)}


def _tag(split: str, name: str) -> str:
    """Returns the tag of a column of losses.jsonl."""
    rate = name.partition("/")[0] == "learning_rate"
    return f"{OPTIMIZATION}/{name}" if rate else tag_of(split, name)
