"""Guards for the sizes of batches and microbatches."""

from __future__ import annotations

from collections.abc import Iterator

from firebox.data.streaming.epoch import batch_sizes, microbatch_sizes
from firebox.engine.checks.guard import Guard
from firebox.engine.checks.preflight import Preflight
from firebox.foundation.problems import Problem, counted


class BatchSize(Guard):
    """Refuses a batch that is larger than the training split."""

    def check(self, preflight: Preflight) -> Iterator[Problem]:
        data, length = preflight.configuration.data, preflight.split_lengths.get("train")
        size = data.loading.batch_size
        if isinstance(length, int) and 0 < length < size:
            message = f"got {size}, but the training split of {data.named.written} has {counted(length, 'image')}"
            yield preflight.problem(f"{message}; expected at most {length}", data.kind, "batch_size")


class BatchOfOne(Guard):
    """Refuses batch normalisation over a single image, which ends many an epoch."""

    def check(self, preflight: Preflight) -> Iterator[Problem]:
        from torch.nn.modules.batchnorm import _BatchNorm

        data, training = preflight.configuration.data, preflight.configuration.training
        _ = preflight.epoch_length  # unavailable if there is nothing to train on
        length, size = preflight.split_lengths["train"], data.loading.batch_size
        normalised = [name for name, part in preflight.run.model.named_modules() if isinstance(part, _BatchNorm)]
        if not normalised:
            return
        why = f"which the batch normalisation {normalised[0]} can't take statistics of"
        if size == 1:
            yield preflight.problem(f"got 1, {why}; expected 2 or more", data.kind, "batch_size")
            return
        sizes = batch_sizes(length, size, drop_last=data.loading.drop_last)
        if 1 in sizes:
            message = f"got {size}: the last batch of the {length} training images is one image, {why}"
            way_out = f"--set {data.kind}.drop_last=true, or another batch size"
            yield preflight.problem(f"{message}; expected {way_out}", data.kind, "batch_size")
        accumulation = training.accumulation
        if any(1 in microbatch_sizes(images, accumulation) for images in sizes if images > 1):
            message = f"got {accumulation}, which leaves microbatches of one image, {why}; expected fewer microbatches"
            yield preflight.problem(message, "training", "accumulation")


class Accumulation(Guard):
    """Refuses more microbatches than a batch has images, and any for a module whose step can't be divided.

    The loss of a second optimizer is computed after the step of the first, which the microbatches before the last would
    come too early for; a codebook that follows one microbatch is another one for the next.
    """

    def check(self, preflight: Preflight) -> Iterator[Problem]:
        accumulation, data = preflight.configuration.training.accumulation, preflight.configuration.data
        if accumulation > 1 and len(preflight.run.update.optimizers) > 1:
            names = ", ".join(preflight.run.update.optimizers)
            message = f"got {accumulation}, but the module has several optimizers ({names}), whose losses are computed"
            message += " one after the other's step; expected 1, or a smaller batch_size"
            yield preflight.problem(message, "training", "accumulation")
        elif accumulation > 1 and not preflight.run.module.divisible:
            name = preflight.configuration.module.component.short_name
            message = f"got {accumulation}, but a step of the module {name} changes what the next microbatch would see"
            way_out = "expected 1, or a smaller batch_size: --set training.accumulation=1"
            yield preflight.problem(f"{message}; {way_out}", "training", "accumulation")
        if accumulation > data.loading.batch_size:
            message = f"got {accumulation} microbatches, but {data.kind}.batch_size is {data.loading.batch_size}"
            yield preflight.problem(f"{message}; expected at most that many", "training", "accumulation")
