"""Experiment trackers for which there is a logger for Ignite, such as W&B, MLflow, ClearML and Aim."""

from __future__ import annotations

import importlib.util
import inspect
from typing import Any, Literal

from ignite.engine import Engine, Events
from ignite.handlers.base_logger import BaseLogger

from firebox.data.bases.datamodule import Split
from firebox.engine.configuration.plain_values import Value
from firebox.engine.records.hyper_parameters import hyper_parameters
from firebox.engine.training.bases.handler import Handler
from firebox.engine.training.bases.phases import Phase
from firebox.engine.training.run import Run
from firebox.engine.training.updates.losses import Row
from firebox.foundation.intervals import Interval
from firebox.handlers.loss_log import metrics_of
from firebox.handlers.tracked_record import RECORDS


class Tracker(Handler):
    """Sends losses and metrics to an experiment tracker, through Ignite's logger for it.

    The writing thread constructs, uses and closes the logger, so training never waits for the network. MLflow, W&B,
    ClearML and Aim are told the hyper-parameters, and a resumed run continues the same record: its identity in the
    tracker is kept in every checkpoint.

    Args:
        logger: name of Ignite's logger; Aim's comes with Aim.
        parameters: arguments of the logger by name; null for none.
        every: interval between the training losses that are sent.
    """

    phase = Phase.LOG
    observes = True

    def __init__(
        self,
        *,
        logger: Literal[
            "AimLogger",
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
        self._identity: str | None = None
        self._sources: dict[Split, Engine] = {}
        self._record = RECORDS[logger](logger, self.parameters)
        package = self._record.package
        if importlib.util.find_spec(package) is None:
            raise ValueError(f"{logger} needs the package {package}, which is not installed: pip install {package}")
        try:
            inspect.signature(self._record.kind).bind(**self.parameters)
        except TypeError as error:
            raise ValueError(f"parameters of {logger}: {error}") from None

    def attach(self, run: Run) -> None:
        self._run = run
        run.losses.subscribe(self._take)
        run.every(self.every, self._send_losses, self.phase)
        run.after_evaluation(self._send_validation, self.phase)

    def start(self, run: Run) -> None:
        # Not its own parameters, which may hold an address with a password.
        settings = {
            k: v for k, v in hyper_parameters(run.configuration).items() if not k.startswith("handlers.tracker.")
        }
        run.background.submit(self._start, settings)
        run.background.drain()

    def finish(self) -> None:
        self._send_losses()
        self._send("test", metrics_of(self._run.metrics, "test"))

    def state_dict(self) -> dict[str, Any]:
        return {"identity": self._identity}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._identity = state["identity"]

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

    def _start(self, settings: dict[str, Value]) -> None:
        opened = self._record.open(self._identity)
        self._open = opened
        if self._identity is None:
            self._record.describe(opened, settings)
        self._identity = self._record.identity_of(opened)
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
            self._record.close(self._open)
