"""A plot of the losses, as a PNG file."""

from __future__ import annotations

import time

from firebox.engine.records.loss_curves import LossCurves
from firebox.engine.training.bases.handler import Handler
from firebox.engine.training.bases.phases import Phase
from firebox.engine.training.run import Run
from firebox.foundation.files import write_whole
from firebox.foundation.intervals import Interval
from firebox.foundation.loss_plot import draw_losses
from firebox.foundation.pictures import encode

LEAST_SECONDS = 120.0
"""Seconds between two plots at least, so that drawing them, a quarter of a second each, does not slow the training."""


class LossPlot(Handler):
    """Draws the losses of every split, read from losses.jsonl, as losses.png.

    Another thread draws: at intervals, and when the run ends or is stopped.

    Args:
        every: interval between plots; where it is shorter than two minutes, a plot is drawn every two minutes.
    """

    phase = Phase.DUMP
    writes = ("losses.png",)
    observes = True

    def __init__(self, *, every: Interval = "1 epoch") -> None:
        self.every = every
        self._curves: LossCurves | None = None

    def attach(self, run: Run) -> None:
        self._run = run
        run.every(self.every, self._plot_if_due, self.phase)

    def start(self, run: Run) -> None:
        self._curves = LossCurves(run.directory.losses)
        self._drawn = time.monotonic()

    def close(self) -> None:
        if self._curves is not None:
            self._run.background.submit(self._plot)

    def _plot_if_due(self) -> None:
        now = time.monotonic()
        if now - self._drawn >= LEAST_SECONDS:
            self._drawn = now
            self._run.background.submit(self._plot)

    def _plot(self) -> None:
        run = self._run
        assert self._curves is not None
        curves = self._curves.read() if run.directory.losses.is_file() else {}
        if any(curves.values()):
            configuration = run.configuration
            model, data = configuration.model.component.short_name, configuration.data.named.component.short_name
            picture = draw_losses(curves, f"{model} on {data}", run.epoch_length)
            write_whole(run.directory.loss_plot, encode(picture))
