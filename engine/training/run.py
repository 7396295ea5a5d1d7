"""A run: all parts of one training."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import torch
from ignite.engine import Engine

from firebox.data.bases.datamodule import DataModule, Split
from firebox.data.sources.batch import Preparation
from firebox.data.streaming.stream import BatchStream
from firebox.engine.configuration import Configuration
from firebox.engine.records.run_directory import RunDirectory
from firebox.engine.records.storable import Unstorable, snapshot
from firebox.engine.training.bases.handler import Handler
from firebox.engine.training.bases.module import Module
from firebox.engine.training.bases.ownership import (
    UnstorableState,
    handler_states,
    load_network,
    network_state,
    own_networks,
    owner,
    restoring,
)
from firebox.engine.training.bases.phases import Phase
from firebox.engine.training.limits.stopping import StopRequest
from firebox.engine.training.reading.data_identity import DataIdentity
from firebox.engine.training.state import State
from firebox.engine.training.steps.dispatcher import Action, Dispatcher
from firebox.engine.training.steps.iteration import TrainingIteration
from firebox.engine.training.steps.modes import evaluation_mode
from firebox.engine.training.steps.terms import is_number
from firebox.engine.training.updates.losses import LossRecord
from firebox.engine.training.updates.update import Update
from firebox.engine.training.weights.beginning import WarmStart
from firebox.engine.training.weights.trained_state import load_trained_state, trained_state
from firebox.engine.world.world import ALONE, World
from firebox.foundation.background import Background
from firebox.foundation.intervals import iterations
from firebox.foundation.observing import Observers, observed

if TYPE_CHECKING:
    from firebox.engine.records.tensorboard import TensorBoardWriter

logger = logging.getLogger("firebox")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Run:
    """The assembled parts of a training, for handlers to use. Properties give what changes.

    Args:
        configuration: the run's configuration.
        device: the run's device.
        data: the datamodule or datagenerator.
        identity: what the data consists of.
        streams: the batches of each split that exists.
        preparation: the conversion of an evaluation batch, on the device.
        model: the network.
        module: the training logic around it.
        update: the optimizers' update.
        training: the function that the trainer engine calls with a batch.
        trainer: the engine that trains.
        evaluator: the engine that evaluates.
        dispatcher: the schedule of the handlers' actions.
        losses: the record of every iteration's losses.
        stop: the stop request that signals set.
        background: the writing thread.
        handlers: the handlers by name, in the order of their phases.
        observers: the observers of the handlers that only report, by the handlers' names.
        world: the processes that train the run; ``world.rank`` is this one.
        warm_start: the weights that the model began with; None for its own initialisation, or those of a checkpoint.
        beginning: digest of the weights at the beginning, where each process holds a part of them; else None.
    """

    configuration: Configuration
    device: torch.device
    data: DataModule
    identity: DataIdentity
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
    handlers: dict[str, Handler]
    observers: Observers
    world: World = ALONE
    warm_start: WarmStart | None = None
    beginning: str | None = None
    _state: State = field(default_factory=State, init=False, repr=False)

    @property
    def iteration(self) -> int:
        """The last completed iteration, starting at 1; 0 before the first."""
        return int(self.trainer.state.iteration)

    @property
    def epoch(self) -> int:
        """The epoch of the last completed iteration, starting at 1; 0 before the first."""
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
        """The run's directory; exists from ``begin`` on."""
        assert self._state.directory is not None, "a run begins after its handlers are attached"
        return self._state.directory

    @property
    def resumed_at(self) -> int:
        """The iteration of the checkpoint that was loaded; 0 if none was."""
        return self._state.resumed_at

    @property
    def tensorboard(self) -> TensorBoardWriter:
        """The run's TensorBoard writer; opened at the first use."""
        if self._state.writer is None:
            self._state.writer = self.directory.open_tensorboard(self.resumed_at)
        return self._state.writer

    @property
    def metrics(self) -> Mapping[str, float]:
        """The latest value of each metric, by ``split/name``."""
        return MappingProxyType(self._state.metrics)

    @property
    def tables(self) -> Mapping[str, Any]:
        """The latest evaluations' metrics that are not scalars, such as a confusion matrix, by ``split/name``."""
        return MappingProxyType(self._state.tables)

    @property
    def evaluated(self) -> bool:
        """Whether the metrics of the validation split are those of the last iteration."""
        return self.dispatcher.evaluated_at == self.iteration

    @property
    def averaged_model(self) -> torch.nn.Module | None:
        """The model that is evaluated instead of the trained one; None if nothing averages weights."""
        return self._state.averaged_model

    @property
    def evaluated_model(self) -> torch.nn.Module:
        """The model whose metrics are reported and that is archived."""
        return self.model if self.averaged_model is None else self.averaged_model

    @property
    def spreads(self) -> bool:
        """Whether each process holds a part of the weights alone."""
        return self.beginning is not None

    @property
    def finished(self) -> str | None:
        """Why a handler ended the training before its last epoch; None if none did."""
        return self._state.finished

    def scheduled_by(self, schedule: Handler) -> dict[str, torch.optim.Optimizer]:
        """Returns the optimizers whose learning rates a schedule sets, by name: all that have none of their own."""
        part = next((name.partition(".")[2] for name, each in self.handlers.items() if each is schedule), "")
        own = self.configuration.scheduler_parts
        return {k: v for k, v in self.update.optimizers.items() if (k == part if part else k not in own)}

    def begin(self, directory: RunDirectory) -> None:
        """Gives the run the directory that it writes to."""
        self._state.directory = directory

    def average(self, model: torch.nn.Module) -> None:
        """Sets the model that is evaluated, shown and archived instead of the trained one: its averaged weights."""
        self._state.averaged_model = model

    def record_evaluation(self, split: Split, values: Mapping[str, Any]) -> None:
        """Records the metrics of an evaluation made at the last iteration.

        Args:
            split: the evaluated split; actions due after an evaluation follow that of the validation split.
            values: the metrics by name; one that is not a single number becomes a table.
        """
        for name, value in values.items():
            if is_number(value):
                self._state.metrics[f"{split}/{name}"] = float(value)
            else:
                self._state.tables[f"{split}/{name}"] = value
        if split == "validation":
            self.dispatcher.note_evaluation(self.iteration)

    @contextmanager
    def evaluating(self) -> Iterator[torch.nn.Module]:
        """Puts the evaluated model into the module, in evaluation mode, for the duration of the block."""
        self.module.model = evaluated = self.evaluated_model
        try:
            with evaluation_mode(evaluated):
                yield evaluated
        finally:
            self.module.model = self.model

    def finish_early(self, reason: str) -> None:
        """Ends the training after this iteration's actions, in all processes; the run counts as completed."""
        self._state.finished = reason
        self.trainer.terminate()

    def close_tensorboard(self) -> None:
        """Closes the TensorBoard writer, if it was opened."""
        if self._state.writer is not None:
            self._state.writer.close()

    def every(self, interval: str, action: Action, phase: Phase) -> None:
        """Schedules ``action`` at an interval such as ``1 epoch`` or ``100 iterations``."""
        self.dispatcher.add(phase, iterations(interval, self.epoch_length), action)

    def after_evaluation(self, action: Action, phase: Phase) -> None:
        """Schedules ``action`` for the iterations at which an evaluation was made."""
        self.dispatcher.add(phase, None, action)

    def on_stop(self, action: Action) -> None:
        """Schedules ``action`` for the moment before the training ends because a stop was requested."""
        self.dispatcher.save_on_stop = observed(action)

    def state_dict(self) -> dict[str, Any]:
        """Returns everything that a resumed run needs, uncopied and unchecked; by all processes where it spreads."""
        return {
            **trained_state(self.model, self.update.optimizers, self.world, spreads=self.spreads),
            "scaler": None if self.update.scaler is None else self.update.scaler.state_dict(),
            "networks": {name: network_state(part) for name, part in own_networks(self.module).items()},
            "module": self.module.state_dict(),
            "draws_outside_torch": self.training.seeder.others.used,
            "iteration": self.iteration,
            "epoch_length": self.epoch_length,
            "metrics": dict(self.metrics),
            "dispatcher": self.dispatcher.state_dict(),
            "handlers": handler_states(self.handlers, self.observers),
        }

    def snapshot(self) -> dict[str, Any]:
        """Returns a copy of the state on the CPU that loads with ``weights_only=True``.

        Raises:
            UnstorableState: names the part of the run whose state could not be read back, and the value.
        """
        try:
            return dict(snapshot(self.state_dict()))
        except Unstorable as error:
            raise UnstorableState(owner(error.keys, self.configuration), error) from None

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restores the run to the state of a checkpoint.

        Raises:
            StateMismatch: a part is missing or does not fit. The run is of no further use: assemble another one.
        """
        with restoring("the run", state):
            if (now := self.epoch_length) != (before := state["epoch_length"]):
                raise ValueError(f"the checkpoint's epochs have {before} iterations, this run's {now}")
            self._state.metrics.update(state["metrics"])
            self.dispatcher.load_state_dict(state["dispatcher"])
            self.training.seeder.others.used |= state.get("draws_outside_torch", False)
        load_trained_state(self.model, self.update.optimizers, state, spreads=self.spreads)
        if self.update.scaler is not None:
            with restoring("the gradient scaler", state, "scaler"):
                self.update.scaler.load_state_dict(state["scaler"])
        for name, part in own_networks(self.module).items():
            with restoring(f"the module's {name}", state, "networks", name):
                load_network(part, state["networks"][name])
        with restoring("the module", state, "module"):
            self.module.load_state_dict(state["module"])
        with restoring("the handlers", state, "handlers"):
            states = dict(state["handlers"])
        for name, handler in self.handlers.items():
            who = owner(("handlers", name), self.configuration)
            if name in states:
                with restoring(who, state, "handlers", name):
                    self.observers.act(name, handler.load_state_dict, states[name])
            elif type(handler).state_dict is not Handler.state_dict:
                logger.warning("the checkpoint has no state of %s, which starts anew", who)
        with restoring("the run", state):
            ends = {"epoch_length": now, "max_epochs": self.configuration.training.epochs}
            self.trainer.load_state_dict({"iteration": state["iteration"], **ends})
            self.streams["train"].seek(state["iteration"])
            self._state.resumed_at = state["iteration"]
