"""A run rehearsed on fake tensors: the ordinary factory, the ordinary steps, no data and no memory."""

from __future__ import annotations

import logging
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Literal

import torch
from torch._subclasses.fake_tensor import (
    DataDependentOutputException,
    DynamicOutputShapeException,
    UnsupportedFakeTensorException,
    UnsupportedOperatorException,
)
from torch.fx.experimental.symbolic_shapes import GuardOnDataDependentSymNode

from firebox.data.bases.datamodule import Samples, Split
from firebox.data.declarations.specification import ImageSpecification
from firebox.data.sources.batch import Batch
from firebox.data.streaming.epoch import batch_sizes, microbatch_sizes
from firebox.data.streaming.placement import choose_placement
from firebox.engine.checks.costs import Costs, bytes_in, largest_output, saved_bytes
from firebox.engine.checks.fake_data import FakeData
from firebox.engine.checks.fake_tensors import Copying, fake_tensor_mode
from firebox.engine.checks.output import Output, last_activation
from firebox.engine.checks.states import states, unstorable
from firebox.engine.configuration import Configuration
from firebox.engine.training.bases.module import Evaluated
from firebox.engine.training.devices.devices import choose_device
from firebox.engine.training.factory import build
from firebox.engine.training.run import Run
from firebox.engine.training.steps.terms import UnusableModule, faults_of_evaluated, faults_of_gradients, require_usable
from firebox.engine.training.updates.optimizer_step import unmarked_step
from firebox.foundation.shards import shard_sizes

NEEDS_VALUES = (
    DataDependentOutputException,
    DynamicOutputShapeException,
    UnsupportedFakeTensorException,
    UnsupportedOperatorException,
    GuardOnDataDependentSymNode,
)
"""Raised by fake tensors where code reads a tensor's values: it may be right, but it can't be rehearsed."""

SIMPLER = {"compile": False, "accumulation": 1, "shards": 1, "threads": None}
"""Settings of the training that a rehearsal does without."""

SHORT = 100
"""Number of iterations of a run of which each may be rehearsed."""
LATER_ITERATIONS = (*range(2, 11), 720_720, 1_000_000)
"""Iterations at which an optimizer of a longer run may step: multiples of all numbers up to 16, and most round ones."""


class StepFailure(Exception):
    """A step that fails on the run's own batches.

    Args:
        step: the step that failed, such as "a training step with 128 images".
        of_model: whether the model alone fails on the images, too.
    """

    def __init__(self, step: str, *, of_model: bool) -> None:
        super().__init__(step)
        self.step = step
        self.of_model = of_model


class Rehearsal:
    """A run built on fake tensors, on the CPU whatever the device, and the steps that it would make.

    Args:
        configuration: the run's configuration.
        specification: the specification of the run's data.
        split_lengths: the number of samples in each split.
        samples: the data's ``reads``: whether a sample may differ from epoch to epoch.
        dtype: dtype of its images as they are read.
        warm_start: whether the model begins with the weights that the configuration names.

    Raises:
        Refusal: a component can't be constructed.
    """

    def __init__(
        self,
        configuration: Configuration,
        specification: ImageSpecification,
        split_lengths: dict[Split, int],
        *,
        samples: Samples = "fixed",
        dtype: Literal["uint8", "uint16", "float32"] = "uint8",
        warm_start: bool = True,
    ) -> None:
        loading, training = configuration.data.loading, configuration.training
        # These change no shape: kornia accepts no fake tensors, the first real step starts the compiler, and
        # microbatches and shards are alike.
        simpler = {"augmentations": [], "sampling": "shuffled", "workers": 0, "placement": "stream"}
        self._configuration = replace(
            configuration,
            data=replace(configuration.data, loading=loading.model_copy(update=simpler)),
            training=training.model_copy(update={**SIMPLER, "device": "cpu"}),
        )
        self._loading = loading
        self._samples = samples
        self._device = choose_device(training.device)
        self._accumulation, self._shards = training.accumulation, training.shards
        self._steps: Counter[str] = Counter()
        self._data = FakeData(specification, split_lengths, dtype)
        self._mode = fake_tensor_mode()
        with self._faking():
            self.run: Run = build(self._configuration, data=self._data, warm_start=warm_start)

    def output(self) -> Output | None:
        """Returns the model's output for a training batch; None if it can't be called by itself."""
        batch = self._parts(batch_sizes(self._data.split_lengths["train"], self._loading.batch_size)[0])[0]
        return self.called(self.run.model, lambda: self.run.preparation(self._data.batch(batch)).images)

    def called(self, part: Callable[..., object], given: Callable[[], torch.Tensor]) -> Output | None:
        """Returns what a part of the run, such as a generator, makes of a tensor; None if that fails."""
        with self._faking():
            try:
                output = part(given())
            except Exception:  # reported as a step that fails, where the steps need it
                return None
        return Output(tuple(output.shape), last_activation(output)) if isinstance(output, torch.Tensor) else None

    def _parts(self, batch: int) -> list[int]:
        """Returns the distinct numbers of images that the module is given of a batch, the largest first."""
        if self._shards > 1:
            return [images for images in dict.fromkeys(shard_sizes(batch, self._shards)) if images]
        return microbatch_sizes(batch, self._accumulation)

    def steps(self) -> Costs:
        """Makes a training and an evaluation step of every batch size that will occur, and returns the run's costs.

        Raises:
            StepFailure: with the error as its cause.
            UnusableModule: they go through, but a run can't train by them or record what they return.
        """
        lengths, loading = self._data.split_lengths, self._loading
        whole = batch_sizes(lengths["train"], loading.batch_size, drop_last=loading.drop_last)
        sizes = dict.fromkeys(images for size in whole for images in self._parts(size))
        total = self.run.total_iterations
        later, within = LATER_ITERATIONS, ""
        if total <= SHORT:
            later, within = tuple(range(2, total + 1)), f" in the {total} iterations of the run"
        activations, evaluation = 0, 0
        faults: list[str] = []
        with self._faking():
            with self._idle() as idle:
                for iteration in (1, *later):
                    self.run.trainer.state.iteration = iteration
                    for size in sizes if iteration == 1 else list(sizes)[:1] if idle else ():
                        batch = self._data.batch(size)
                        step = f"a training step with {counted(size)}"
                        with self._naming(step, batch), saved_bytes(self.run) as saved:
                            self._train(batch, faults)
                        activations = max(activations, saved.total)
            never = "its training step never calls update for the optimizer {} with a loss that reaches its parameters"
            faults += [never.format(name) + within for name in sorted(idle)]
            evaluated = {
                size
                for split, length in lengths.items()
                for size in batch_sizes(length, loading.batch_size_of(split))
                if split != "train"
            }
            for size in sorted(evaluated):
                batch = self._data.batch(size)
                with self._naming(f"an evaluation step with {counted(size)}", batch), largest_output() as largest:
                    faults += faults_of_evaluated(self._evaluate(batch), size)
                faults += faults_of_gradients("evaluation", self._trained())
                evaluation = max(evaluation, largest.total)
            require_usable(dict.fromkeys(faults))
            return self._costs(activations, evaluation)

    def evaluated(self) -> Evaluated | None:
        """Returns an evaluation of two samples, of zeros in the shapes and dtypes that it has; None if it fails."""
        with self._faking():
            try:
                fake = self._evaluate(self._data.batch(2))
            except Exception:  # reported as a step that fails
                return None
        if not isinstance(fake, Evaluated):
            return None
        losses = {name: torch.zeros(loss.shape, dtype=loss.dtype) for name, loss in fake.losses.items()}
        prediction, target = (torch.zeros(t.shape, dtype=t.dtype) for t in (fake.prediction, fake.target))
        return Evaluated(losses, prediction, target)

    def _evaluate(self, batch: Batch) -> Evaluated:
        with self.run.evaluating(), torch.inference_mode(not self.run.module.evaluation_needs_gradients):
            return self.run.module.evaluation_step(self.run.preparation(batch))

    def _train(self, batch: Batch, faults: list[str]) -> None:
        """Makes a training step; results that can't be recorded are added to the faults."""
        self._steps.clear()
        try:
            self.run.training(self.run.trainer, batch)
        except UnusableModule as unusable:
            faults += unusable.faults
        faults += faults_of_gradients("training", self._trained())
        if self._accumulation > 1 and max(self._steps.values(), default=0) > 1:
            faults.append(
                "its training step makes several steps of one optimizer, which training.accumulation can't divide into "
                "microbatches; expected update(..., step=False) before the last, or --set training.accumulation=1"
            )

    def _trained(self) -> list[torch.nn.Parameter]:
        optimizers = self.run.update.optimizers.values()
        return [p for optimizer in optimizers for group in optimizer.param_groups for p in group["params"]]

    @contextmanager
    def _idle(self) -> Iterator[set[str]]:
        """Collects the names of the optimizers that make no step in the block, or none with any gradient."""
        optimizers = self.run.update.optimizers
        idle = set(optimizers)

        def note(name: str, step: Callable[..., object], *arguments: object, **named: object) -> object:
            if any(p.grad is not None for group in optimizers[name].param_groups for p in group["params"]):
                idle.discard(name)
            self._steps[name] += 1
            return step(*arguments, **named)

        # Not a hook: with one, a step is torch's own, which imports its compiler.
        for name, optimizer in optimizers.items():
            optimizer.step = partial(note, name, unmarked_step(optimizer))  # type: ignore[method-assign, assignment]
        try:
            yield idle
        finally:
            self.run.trainer.state.iteration = 0
            for optimizer in optimizers.values():
                del optimizer.step

    def _costs(self, activations: int, evaluation: int) -> Costs:
        run = self.run
        parameters = list(run.model.parameters())
        trained = [p for group in run.module.parameters().values() for p in group]
        optimizers = [optimizer.state_dict() for optimizer in run.update.optimizers.values()]
        return Costs(
            parameters=sum(p.numel() for p in parameters),
            trained=sum(p.numel() for p in trained),
            weights=bytes_in(run.model.state_dict()),
            gradients=bytes_in(trained),
            optimizer=bytes_in(optimizers),
            activations=activations,
            evaluation=evaluation,
            data=self._held(),
            checkpoint=bytes_in(list(states(run).values())),
        )

    def _held(self) -> int:
        """The size of the images that stay in the training device's memory, in bytes."""
        images = sum(self._data.split_lengths.values()) * self._data.image_bytes
        placement, _ = choose_placement(
            self._loading.placement,
            self._samples,
            all_bytes=lambda: images,
            workers=self._loading.workers,
            device=self._device,
        )
        return images if placement == "device" or (placement == "memory" and self._device.type == "cpu") else 0

    def unstorable(self) -> dict[tuple[str, ...], str]:
        """Returns what a checkpoint could not give back, by the section and name of the part whose state it is."""
        with self._faking():
            return unstorable(self.run)

    @contextmanager
    def _faking(self) -> Iterator[None]:
        # Fake tensors log a stack before they raise.
        log = logging.getLogger("torch._subclasses.fake_tensor")
        level = log.level
        log.setLevel(logging.CRITICAL + 1)
        try:
            with warnings.catch_warnings(), self._mode, Copying():
                warnings.simplefilter("ignore")
                yield
        finally:
            log.setLevel(level)

    @contextmanager
    def _naming(self, step: str, batch: Batch) -> Iterator[None]:
        """Turns an error in the block into a StepFailure that says whether the model alone fails, too."""
        try:
            yield
        except Exception as error:
            try:
                self.run.model(self.run.preparation(batch).images)
            except Exception as of_model:
                raise StepFailure(step, of_model=True) from of_model
            raise StepFailure(step, of_model=False) from error


def counted(images: int) -> str:
    """Returns a number of images in words."""
    return "1 image" if images == 1 else f"{images} images"
