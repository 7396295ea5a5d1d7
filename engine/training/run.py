"""A run: everything that one training is made of."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from ignite.engine import Engine

from firebox.data.batch import Preparation
from firebox.data.datamodule import DataModule, Split
from firebox.data.stream import BatchStream
from firebox.engine.configuration import Configuration
from firebox.engine.records.run_directory import RunDirectory
from firebox.engine.training.dispatcher import Action, Dispatcher
from firebox.engine.training.handler import Handler
from firebox.engine.training.iteration import TrainingIteration
from firebox.engine.training.losses import LossRecord
from firebox.engine.training.module import Module
from firebox.engine.training.phases import Phase
from firebox.engine.training.stopping import StopRequest
from firebox.engine.training.update import Update
from firebox.foundation.background import Background
from firebox.foundation.intervals import iterations

if TYPE_CHECKING:
    from firebox.engine.records.tensorboard import TensorBoardWriter


@dataclass(slots=True)
class Run:
    """What the factory assembled, for handlers to work with.

    Args:
        configuration: that all of it was assembled from.
        device: that the run trains on.
        data: the datamodule or datagenerator.
        streams: the batches of each split that exists.
        preparation: takes an evaluation batch from the stream to the device.
        model: the network.
        module: the training logic around it.
        update: the optimizers and how they step.
        training: what the trainer engine does with a batch.
        trainer: the engine that trains.
        evaluator: the engine that evaluates.
        dispatcher: who acts after which iteration.
        losses: the losses of every iteration.
        stop: whether a signal asked to stop.
        background: the thread that writes.
        handlers: by name, in the order of their phases.
        metrics: the latest value of each metric, by ``split/name``.
        tables: the latest evaluation's metrics that are no scalars, by ``split/name``.
        averaged_model: the model that is evaluated where a handler averages weights; None: the trained one.
        finished: why a handler ended the training before its last epoch; None: it did not.
        resumed_at: the iteration of the checkpoint that was loaded; 0: none was.
        claimed: the run's directory, once it has been claimed.
        writer: the TensorBoard writer, once it has been opened.
    """

    configuration: Configuration
    device: torch.device
    data: DataModule
    streams: dict[Split, BatchStream]
    preparation: Preparation
    model: torch.nn.Module
    module: Module
    update: Update
    training: TrainingIteration
    trainer: Engine
    evaluator: Engine
    dispatcher: Dispatcher
    losses: LossRecord
    stop: StopRequest
    background: Background
    handlers: dict[str, Handler] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    tables: dict[str, Any] = field(default_factory=dict)
    averaged_model: torch.nn.Module | None = None
    finished: str | None = None
    resumed_at: int = 0
    claimed: RunDirectory | None = None
    writer: TensorBoardWriter | None = None

    @property
    def iteration(self) -> int:
        """The last completed iteration, counted from 1."""
        return int(self.trainer.state.iteration)

    @property
    def epoch(self) -> int:
        """The epoch of the last completed iteration, counted from 1."""
        return -(-self.iteration // self.epoch_length)

    @property
    def epoch_length(self) -> int:
        """Iterations in an epoch."""
        return len(self.streams["train"])

    @property
    def total_iterations(self) -> int:
        """Iterations in the whole run."""
        return self.configuration.training.epochs * self.epoch_length

    @property
    def directory(self) -> RunDirectory:
        """The run's directory; exists once the run has been claimed."""
        assert self.claimed is not None, "the run directory is claimed after the handlers are attached"
        return self.claimed

    @property
    def tensorboard(self) -> TensorBoardWriter:
        """The run's TensorBoard writer; opened at the first use."""
        if self.writer is None:
            self.writer = self.directory.open_tensorboard(self.resumed_at)
        return self.writer

    @property
    def evaluated_model(self) -> torch.nn.Module:
        """The model whose metrics are reported and that is archived."""
        return self.model if self.averaged_model is None else self.averaged_model

    @contextmanager
    def evaluating(self) -> Iterator[torch.nn.Module]:
        """Puts the evaluated model into the module, in evaluation mode, for as long as the block lasts."""
        trained, evaluated = self.model, self.evaluated_model
        self.module.model = evaluated
        evaluated.eval()
        try:
            yield evaluated
        finally:
            evaluated.train()
            self.module.model = trained

    def finish_early(self, reason: str) -> None:
        """Ends the training after this iteration's actions; the run counts as completed."""
        self.finished = reason
        self.trainer.terminate()

    def every(self, interval: str, action: Action, phase: Phase) -> None:
        """Has ``action`` called at an interval such as ``1 epoch`` or ``100 iterations``."""
        self.dispatcher.add(phase, iterations(interval, self.epoch_length), action)

    def after_evaluation(self, action: Action, phase: Phase) -> None:
        """Has ``action`` called at the iterations at which an evaluation was made."""
        self.dispatcher.add(phase, None, action)

    def state_dict(self) -> dict[str, Any]:
        """Returns everything that a resumed run needs; loads with ``weights_only=True``."""
        return {
            "model": self.model.state_dict(),
            "optimizers": {name: optimizer.state_dict() for name, optimizer in self.update.optimizers.items()},
            "scaler": self.update.scaler.state_dict() if self.update.scaler is not None else None,
            "module": self.module.state_dict(),
            "iteration": self.iteration,
            "epoch_length": self.epoch_length,
            "metrics": dict(self.metrics),
            "dispatcher": self.dispatcher.state_dict(),
            "handlers": {name: handler.state_dict() for name, handler in self.handlers.items()},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Puts the run where a checkpoint left it.

        Raises:
            ValueError: the checkpoint's epochs have another length.
        """
        if state["epoch_length"] != self.epoch_length:
            message = f"the checkpoint's epochs have {state['epoch_length']} iterations, this run's {self.epoch_length}"
            raise ValueError(message)
        self.model.load_state_dict(state["model"])
        for name, optimizer in self.update.optimizers.items():
            optimizer.load_state_dict(state["optimizers"][name])
        if self.update.scaler is not None:
            self.update.scaler.load_state_dict(state["scaler"])
        self.module.load_state_dict(state["module"])
        self.metrics.update(state["metrics"])
        self.dispatcher.load_state_dict(state["dispatcher"])
        for name, handler in self.handlers.items():
            if name in state["handlers"]:
                handler.load_state_dict(state["handlers"][name])
        position = {"iteration": state["iteration"], "epoch_length": self.epoch_length}
        self.trainer.load_state_dict({**position, "max_epochs": self.configuration.training.epochs})
        self.streams["train"].seek(state["iteration"])
        self.resumed_at = state["iteration"]
