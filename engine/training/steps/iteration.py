"""The functions that the two engines call with each batch."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any

import torch
from ignite.engine import Engine

from firebox.data.sources.batch import Batch, Preparation
from firebox.engine.training.bases.module import Evaluated, Module
from firebox.engine.training.limits.stopping import StopRequest
from firebox.engine.training.steps.terms import faults_of_terms, require_usable
from firebox.engine.training.updates.losses import NO_RATES, LossRecord
from firebox.engine.training.updates.update import Update
from firebox.foundation.randomness import IterationSeeder, mix, seed_everything

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


class TrainingIteration:
    """One iteration: seed, prepare the batch, have the module make its step, keep the losses on the device.

    Args:
        module: the module whose step is made.
        update: the optimizers' update.
        seeder: seeds the generators for the iteration.
        preparation: the conversion and augmentation of the batch, on the device.
        losses: the record of the reported losses.
        accumulation: microbatches per batch; one optimizer step per batch.
        precision: the dtype of the forward pass.
        device: the model's device.
    """

    def __init__(
        self,
        module: Module,
        update: Update,
        *,
        seeder: IterationSeeder,
        preparation: Preparation,
        losses: LossRecord,
        accumulation: int,
        precision: torch.dtype,
        device: torch.device,
    ) -> None:
        self._module = module
        self._update = update
        self.seeder = seeder
        self._prepare = preparation
        self._record = losses
        self._microbatches = accumulation
        self._autocast = None if precision is torch.float32 else torch.autocast(device.type, precision)
        self._returned = False
        self._optimizer = next(iter(update.optimizers.values()))
        self._other_rates = other_rates(update.optimizers)
        self._scaled = update.scaler is not None

    def __call__(self, trainer: Engine, raw: Batch) -> dict[str, torch.Tensor]:
        iteration = trainer.state.iteration
        self._update.begin(iteration)
        losses = self._losses_of(iteration, raw)
        if not self._returned:
            require_usable(faults_of_terms(losses))
            self._returned = True
        if self._scaled:
            self._update.end()
        self.seeder.others.end()
        rate, others = self._optimizer.param_groups[0]["lr"], NO_RATES
        if self._other_rates:
            # Looked up each time: loading a state replaces an optimizer's groups.
            others = {name: optimizer.param_groups[n]["lr"] for name, (optimizer, n) in self._other_rates.items()}
        self._record.add(iteration, rate, losses, self._update.non_finite, others, self._update.norms)
        return losses

    def close(self) -> None:
        """Ends what the iterations have started."""

    def prepared(self, iteration: int, raw: Batch) -> Batch:
        """Seeds the iteration and returns the batch as its model sees it, augmented."""
        self.seeder(iteration)
        return self._prepare(raw)

    def _losses_of(self, iteration: int, raw: Batch) -> dict[str, torch.Tensor]:
        batch = self.prepared(iteration, raw)
        return self._step(batch) if self._microbatches == 1 else self._accumulate(batch)

    def _step(self, batch: Batch) -> dict[str, torch.Tensor]:
        if self._autocast is None:
            return self._module.training_step(batch, self._update)
        with self._autocast:
            return self._module.training_step(batch, self._update)

    def _accumulate(self, batch: Batch) -> dict[str, torch.Tensor]:
        microbatches = batch.chunk(self._microbatches)
        total: dict[str, torch.Tensor] = {}
        for number, microbatch in enumerate(microbatches, start=1):
            share = len(microbatch) / len(batch)
            self._update.microbatch(share, last=number == len(microbatches))
            terms = self._step(microbatch)
            if not self._returned:
                require_usable(faults_of_terms(terms))
            for name, loss in terms.items():
                total[name] = total[name] + loss * share if name in total else loss * share
        return total


def other_rates(
    optimizers: Mapping[str, torch.optim.Optimizer],
) -> dict[str, tuple[torch.optim.Optimizer, int]]:
    """Returns the learning rates of a run beside that of the first optimizer's first group, by their names in a row.

    The rate of another optimizer is ``learning_rate/critic``; that of a group whose rate is not its optimizer's is
    ``learning_rate/critic/1``, with the group's number.

    Args:
        optimizers: the optimizers by name, as they were constructed.

    Returns:
        Each rate's optimizer and the number of the group that has it.
    """
    first, found = next(iter(optimizers)), {}
    for name, optimizer in optimizers.items():
        rates = [group["lr"] for group in optimizer.param_groups]
        if name != first:
            found[f"learning_rate/{name}"] = optimizer, 0
        found |= {f"learning_rate/{name}/{n}": (optimizer, n) for n, rate in enumerate(rates) if rate != rates[0]}
    return found


class EvaluationIteration:
    """One batch of an evaluation. What it draws at random is the same at every evaluation.

    Args:
        module: the module whose step is made.
        preparation: the conversion of the batch, on the device.
        stop: the stop request, which ends the evaluation.
        seed: the run's seed.
    """

    def __init__(self, module: Module, *, preparation: Preparation, stop: StopRequest, seed: int) -> None:
        self._module = module
        self._prepare = preparation
        self._stop = stop
        self._seed = seed

    def __call__(self, evaluator: Engine, raw: Any) -> Evaluated | None:
        if self._stop.requested:
            evaluator.terminate()
        return self.evaluated(evaluator.state.iteration, raw)

    def evaluated(self, number: int, raw: Batch) -> Evaluated:
        """Evaluates a batch of an evaluation, counted from 1."""
        seed_everything(mix(self._seed, "evaluation", number))
        with self._gradients(needed=self._module.evaluation_needs_gradients):
            return self._module.evaluation_step(self._prepare(raw))

    def _gradients(self, *, needed: bool) -> AbstractContextManager[Any]:
        return torch.inference_mode(not needed)
