"""Experiment trackers for which Ignite has a logger, such as W&B, MLflow and ClearML."""

from __future__ import annotations

import importlib.util
import inspect
from typing import Any, Literal

import ignite.handlers
from ignite.engine import Engine, Events
from ignite.handlers.base_logger import BaseLogger

from firebox.data.bases.datamodule import Split
from firebox.engine.training.handler import Handler
from firebox.engine.training.losses import Row
from firebox.engine.training.phases import Phase
from firebox.engine.training.run import Run
from firebox.foundation.intervals import Interval
from firebox.handlers.loss_log import metrics_of

PACKAGES = {
    "ClearMLLogger": "clearml",
    "MLflowLogger": "mlflow",
    "NeptuneLogger": "neptune",
    "PolyaxonLogger": "polyaxon",
    "TensorboardLogger": "tensorboardX",
    "VisdomLogger": "visdom",
    "WandBLogger": "wandb",
}


class Tracker(Handler):
    """Sends losses and metrics to an experiment tracker, through Ignite's logger for it.

    The writing thread constructs, uses and closes the logger, so training never waits for the network. To continue the
    same record when a run is resumed, identify it in the tracker's own parameters, such as W&B's ``id`` and ``resume``.

    Args:
        logger: name of Ignite's logger.
        parameters: arguments of the logger by name; null for none.
        every: interval between the training losses that are sent.
    """

    phase = Phase.LOG
    observes = True

    def __init__(
        self,
        *,
        logger: Literal[
            "ClearMLLogger",
            "MLflowLogger",
            "NeptuneLogger",
            "PolyaxonLogger",
            "TensorboardLogger",
            "VisdomLogger",
            "WandBLogger",
        ],
        parameters: dict[str, Any] | None = None,
        every: Interval = "10 iterations",
    ) -> None:
        self.logger = logger
        self.parameters = parameters or {}
        self.every = every
        self._last: Row | None = None
        self._open: BaseLogger | None = None
        self._sources: dict[Split, Engine] = {}
        package = PACKAGES[logger]
        if importlib.util.find_spec(package) is None:
            raise ValueError(f"{logger} needs the package {package}, which is not installed: pip install {package}")
        try:
            inspect.signature(getattr(ignite.handlers, logger)).bind(**self.parameters)
        except TypeError as error:
            raise ValueError(f"parameters of {logger}: {error}") from None

    def attach(self, run: Run) -> None:
        self._run = run
        run.losses.subscribe(self._take)
        run.every(self.every, self._send_losses, self.phase)
        run.after_evaluation(self._send_validation, self.phase)

    def start(self, run: Run) -> None:
        run.background.submit(self._start)
        run.background.drain()

    def finish(self) -> None:
        self._send_losses()
        self._send("test", metrics_of(self._run.metrics, "test"))

    def close(self) -> None:
        self._run.background.submit(self._close)

    def _take(self, rows: list[Row]) -> None:
        self._last = rows[-1]

    def _send_losses(self) -> None:
        self._run.losses.settle()
        row, self._last = self._last, None
        if row is not None:
            self._send("train", {**row.losses, **row.learning_rates})

    def _send_validation(self) -> None:
        self._send("validation", metrics_of(self._run.metrics, "validation"))

    def _send(self, split: Split, values: dict[str, float]) -> None:
        if values:
            self._run.background.submit(self._fire, split, values, self._run.iteration)

    def _start(self) -> None:
        opened: BaseLogger = getattr(ignite.handlers, self.logger)(**self.parameters)
        self._open = opened
        splits: tuple[Split, ...] = ("train", "validation", "test")
        for split in splits:
            # Ignite's loggers react to an engine's events. This engine never runs; its event is fired for each message.
            source = Engine(lambda *_: None)
            opened.attach_output_handler(
                source,
                Events.ITERATION_COMPLETED,
                tag=split,
                output_transform=lambda values: values,
                global_step_transform=lambda *_, source=source: source.state.iteration,
            )
            self._sources[split] = source

    def _fire(self, split: Split, values: dict[str, float], iteration: int) -> None:
        source = self._sources[split]
        source.state.iteration = iteration
        source.state.output = values  # type: ignore[assignment]
        source.fire_event(Events.ITERATION_COMPLETED)

    def _close(self) -> None:
        if self._open is not None:
            self._open.close()
