"""Guards for the shards of a batch, and for the processes that share them."""

from __future__ import annotations

from collections.abc import Iterator

from firebox.data.streaming.epoch import batch_sizes
from firebox.engine.checks.guard import Guard
from firebox.engine.checks.preflight import Preflight
from firebox.foundation.problems import Problem, setting


class Shards(Guard):
    """Refuses shards whose number is no power of two, and microbatches beside them."""

    def check(self, preflight: Preflight) -> Iterator[Problem]:
        training = preflight.configuration.training
        shards, lower = training.shards, 1 << (training.shards.bit_length() - 1)
        if shards != lower:
            message = f"got {shards}, expected a power of two, such as {lower} or {2 * lower}"
            yield preflight.problem(f"{message}: {setting('training.shards', str(lower))}", "training", "shards")
        if shards > 1 and training.accumulation > 1:
            message = f"got {training.accumulation} beside {shards} shards, each of which already takes the memory of "
            message += f"its own images alone; expected one of them: {setting('training.accumulation', '1')}"
            yield preflight.problem(message, "training", "accumulation")


class DivisibleStep(Guard):
    """Refuses shards where a step changes something that can't be put together from its parts."""

    def check(self, preflight: Preflight) -> Iterator[Problem]:
        configuration = preflight.configuration
        if configuration.training.shards > 1 and not preflight.run.module.divisible:
            name, shards = configuration.module.component.short_name, configuration.training.shards
            message = f"got {shards}, but a step of the module {name} changes more than weights by their gradients, "
            message += "which takes the whole batch"
            yield preflight.problem(f"{message}; expected 1: {setting('training.shards', '1')}", "training", "shards")


class ShardsOfBatch(Guard):
    """Refuses batches with fewer images than shards, or of one image a shard beside batch normalisation."""

    def check(self, preflight: Preflight) -> Iterator[Problem]:
        from torch.nn.modules.batchnorm import _BatchNorm

        data, shards = preflight.configuration.data, preflight.configuration.training.shards
        if shards == 1:
            return
        length, size = preflight.split_lengths.get("train"), data.loading.batch_size
        if not isinstance(length, int) or length < size:
            return  # refused already
        least, why = 1, "of at least one image"
        if any(isinstance(part, _BatchNorm) for part in preflight.run.model.modules()):
            least, why = 2, "of at least two images, which batch normalisation needs"
        for images in batch_sizes(length, size, drop_last=data.loading.drop_last):
            if images >= least * shards:
                continue
            what = "a batch" if images == size else f"the last batch of the {length} training images"
            message = f"got {shards}, but {what} is {images} images; expected shards {why}"
            most = 1 << ((images // least).bit_length() - 1) if images >= least else 1
            way_out = setting("training.shards", str(most))
            if images < size:
                way_out = f"{setting(f'{data.kind}.drop_last', 'true')}, or {way_out}"
            yield preflight.problem(f"{message}: {way_out}", "training", "shards")


class Processes(Guard):
    """Refuses more processes than there are shards, and a device that they would all be on."""

    def check(self, preflight: Preflight) -> Iterator[Problem]:
        training, processes = preflight.configuration.training, preflight.world.size
        if processes == 1:
            return
        if training.shards % processes:
            message = f"got {training.shards} for {processes} processes, which would not have equal parts of a batch"
            way_out = setting("training.shards", str(processes))
            yield preflight.problem(f"{message}; expected a multiple: {way_out}", "training", "shards")
        if ":" in training.device or training.device == "mps":
            message = f"got {training.device}, where all {processes} processes would be"
            way_out = setting("training.device", training.device.partition(":")[0].replace("mps", "cpu"))
            yield preflight.problem(f"{message}; expected one device for each: {way_out}", "training", "device")


class OwnDevices(Guard):
    """Refuses more processes on a machine than it has CUDA devices."""

    looks_at_machine = True

    def check(self, preflight: Preflight) -> Iterator[Problem]:
        from firebox.engine.training.devices.devices import choose_device

        local = preflight.world.local_size
        if local == 1 or choose_device(preflight.configuration.training.device).type != "cuda":
            return
        import torch

        devices = torch.cuda.device_count()
        if local > devices:
            message = f"{local} processes on this machine, which has {devices} CUDA devices"
            way_out = f"expected one for each: --nproc-per-node {devices}"
            yield preflight.problem(f"{message}; {way_out}, or --set training.device=cpu", "training", "device")
