"""The two engines of a run, for one process or several."""

from __future__ import annotations

import logging
from typing import Any

import torch
from ignite.engine import Engine

from firebox.data.sources.batch import Preparation
from firebox.data.streaming.stream import BatchStream
from firebox.engine.training.bases.module import Module
from firebox.engine.training.limits.stopping import StopRequest
from firebox.engine.training.processes.sharded_iteration import ShardedIteration
from firebox.engine.training.processes.sharded_update import ShardedUpdate
from firebox.engine.training.processes.shared_evaluation import InStep, SharedEvaluation
from firebox.engine.training.steps.iteration import EvaluationIteration, TrainingIteration
from firebox.engine.training.steps.quiet_engine import QuietEngine
from firebox.engine.training.updates.update import Update
from firebox.engine.world.world import World


def training_iteration(
    update: Update, *, shards: int, stream: BatchStream, world: World, stop: StopRequest, module: Module, **named: Any
) -> TrainingIteration:
    """Makes the function that the trainer engine calls with a batch, which may be cut into shards."""
    if not isinstance(update, ShardedUpdate):
        return TrainingIteration(module, update, **named)
    return ShardedIteration(
        module, update, stream=stream, world=world, portion=world.portion(shards), stop=stop, **named
    )


def evaluator_engine(
    module: Module,
    preparation: Preparation,
    *,
    stop: StopRequest,
    seed: int,
    world: World,
    device: torch.device,
    spreads: bool = False,
) -> Engine:
    """Makes the evaluator engine. Where several processes share an evaluation, the first one has the metrics."""
    if world.size == 1:
        evaluator = QuietEngine(EvaluationIteration(module, preparation=preparation, stop=stop, seed=seed))
    else:
        kind = InStep if spreads else SharedEvaluation
        evaluator = QuietEngine(kind(module, preparation, stop=stop, seed=seed, world=world, device=device))
    if world.leads:
        for name, metric in module.metrics(device).items():
            metric.attach(evaluator, name)
    return evaluator


def quieten(*engines: Engine) -> None:
    """Has engines log nothing: errors are reported once, by the launch."""
    for engine in engines:
        engine.logger.setLevel(logging.CRITICAL)
